//! Writing free files with zeros before they are needed (LOG.md 1).

use crate::disk::Disk;
use std::io;
use std::sync::Arc;

/// Writes free files with zeros, a piece at a time.
pub struct Preparer<D: Disk> {
    disk: Arc<D>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// A piece was written; there is more to do.
    More,
    /// There are as many free files as there should be, or as the size allows.
    Enough,
}

/// A step that failed. The journal goes on; try later.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The disk is full: back-pressure, not damage (LOG.md 6).
    #[error("the disk has no room for another journal file")]
    Full,
    /// The disk failed.
    #[error("a journal file cannot be prepared: {0}")]
    Io(#[from] io::Error),
}

impl<D: Disk> Preparer<D> {
    /// Writes the next piece.
    ///
    /// # Errors
    /// See [`PrepareError`].
    pub fn step(&mut self) -> Result<Prepared, PrepareError> {
        unreachable!("{}", Arc::strong_count(&self.disk))
    }
}
