//! The journal's core: one writer, synchronous, without clock or threads.

use crate::disk::Disk;
use crate::frame::Framed;
use crate::prepare::Preparer;
use crate::reader::Reader;
use crate::record::{Position, Record};
use crate::recover::{Damage, Recovered};
use crate::settings::Settings;
use crate::space::Space;
use millstream_model::{GroupId, JournalId, Lsn, Registration};
use std::io;
use std::sync::Arc;

/// The writing half of a journal; there is one.
pub struct Journal<D: Disk> {
    reader: Reader<D>,
}

/// A journal that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the folder.
    #[error("another process uses the journal's folder")]
    Locked,
    /// The disk failed.
    #[error("the journal cannot {action}: {source}")]
    Io {
        /// What could not be done.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// There is no room for the file that a start needs.
    #[error("the disk has no room for a journal file of {file_bytes} bytes")]
    Full {
        /// The file's size.
        file_bytes: u32,
    },
    /// The folder holds something that is not a journal of this release.
    #[error("{0}")]
    Foreign(String),
    /// Settings that no journal can have.
    #[error("{0}")]
    Settings(&'static str),
}

/// A commit that did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// All files are in use, or the disk has no room for another: nothing was written, try later.
    #[error("the journal is full")]
    Full,
    /// The records are more than a commit can take: nothing was written.
    #[error("a commit takes at most {limit} bytes, these are {length}")]
    TooLarge {
        /// The most that fits.
        limit: usize,
        /// What was asked for.
        length: usize,
    },
    /// A record does not follow what the group has: nothing was written.
    #[error("group {group} goes on at LSN {expected}, not at {found}")]
    OutOfOrder {
        /// The group.
        group: GroupId,
        /// The LSN that may come next (or the highest that can be cut or released).
        expected: Lsn,
        /// The LSN in the record.
        found: Lsn,
    },
    /// The journal is damaged: it takes nothing until an operator or a repair has decided (LOG.md 5, 6).
    #[error("the journal is damaged: {0}")]
    Damaged(Arc<Damage>),
}

/// A commit that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub commit: u64,
    /// Where each record lies, in their order.
    pub positions: Vec<Position>,
}

impl<D: Disk> Journal<D> {
    /// Opens the journal on `disk`, a new one when the disk is empty, and gives every valid record in order to
    /// `replay`, one block in memory at a time (keep a copy of a payload, not the payload itself, which shares
    /// its block's memory). A damaged journal opens too: it gives what precedes the damage, can be read, and
    /// refuses to write.
    ///
    /// # Errors
    /// When the disk fails, is taken, has no room or holds something else, or the settings are impossible.
    pub fn open(
        disk: Arc<D>,
        settings: Settings,
        replay: impl FnMut(Position, Record),
    ) -> Result<(Journal<D>, Recovered), OpenError> {
        unreachable!(
            "{:?}",
            (Arc::strong_count(&disk), settings, std::mem::size_of_val(&replay))
        )
    }

    /// The journal's id: the identity of its replicas (LOG.md 12).
    pub fn id(&self) -> JournalId {
        unreachable!()
    }

    /// The reading half; cheap to clone, usable from any thread while commits go on.
    pub fn reader(&self) -> Reader<D> {
        self.reader.clone()
    }

    /// What writes free files in the background; call its `step` from another thread or between commits.
    pub fn preparer(&self) -> Preparer<D> {
        unreachable!()
    }

    /// Writes the records as one block and makes it durable; only then are they in the index. No records:
    /// an empty commit.
    ///
    /// # Errors
    /// See [`CommitError`]. After `Damaged` the fate of the records is unknown until the next start.
    pub fn commit(&mut self, records: &[Framed]) -> Result<Committed, CommitError> {
        unreachable!("{}", records.len())
    }

    /// Writes an empty commit unless the last one carried no entry: so that the last entries can be told from a
    /// torn tail should they rot (LOG.md 4). Returns whether it wrote one.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn idle(&mut self) -> Result<bool, CommitError> {
        unreachable!()
    }

    /// Ends the journal cleanly: an empty commit that says so.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn close(self) -> Result<(), CommitError> {
        unreachable!()
    }

    /// Keeps the number of this process start (LOG.md 13).
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn register(&mut self, registration: Registration) -> Result<(), CommitError> {
        self.commit(&[Framed::new(Record::Registered { registration })])
            .map(|_| ())
    }

    /// Releases the group's entries up to `up_to` (at most up to its end), durably; files in which every group has
    /// released everything are used again.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn release(&mut self, group: GroupId, up_to: Lsn) -> Result<(), CommitError> {
        unreachable!("{group} {up_to}")
    }

    /// How full it is.
    pub fn space(&self) -> Space {
        self.reader.space()
    }

    /// The damage, if it is damaged.
    pub fn damage(&self) -> Option<Arc<Damage>> {
        self.reader.damage()
    }

    /// The operator's decision to go on with what precedes the damage: starts a new file behind it (LOG.md 5).
    /// Does nothing to a sound journal.
    ///
    /// # Errors
    /// As [`Journal::commit`]; a journal that was damaged by a failed write of this process needs a restart first.
    pub fn accept_loss(&mut self) -> Result<(), CommitError> {
        unreachable!()
    }
}
