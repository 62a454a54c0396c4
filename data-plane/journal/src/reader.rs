//! The reading half of a journal: the index, and entries by position, beside the writer.

use crate::disk::Disk;
use crate::record::Position;
use crate::recover::Damage;
use crate::space::Space;
use millstream_model::entry::Entry;
use millstream_model::{Epoch, GroupId, JournalId, Lsn};
use std::io;
use std::sync::Arc;

/// The reading half of a journal. Shows what is durable, and nothing else.
pub struct Reader<D: Disk> {
    shared: Arc<D>,
}

impl<D: Disk> Clone for Reader<D> {
    fn clone(&self) -> Self {
        Reader {
            shared: self.shared.clone(),
        }
    }
}

/// An entry that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not in the journal: released, cut off, or never written.
    #[error("the journal does not have the entry")]
    Absent,
    /// The disk gave other bytes than were written: the replica must be repaired (LOG.md 11).
    #[error("the journal's copy of the entry is damaged")]
    Damaged,
    /// The disk failed.
    #[error("the journal cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl<D: Disk> Reader<D> {
    /// The journal's id.
    pub fn id(&self) -> JournalId {
        unreachable!()
    }

    /// The groups that the journal knows, in order.
    pub fn groups(&self) -> Vec<GroupId> {
        unreachable!()
    }

    /// The (epoch, LSN) of the entry before the first one that the journal has of a group: what is released.
    pub fn start(&self, group: GroupId) -> Option<(Epoch, Lsn)> {
        unreachable!("{group}")
    }

    /// The (epoch, LSN) of the last entry of a group; the same as [`Reader::start`] when there is none.
    pub fn end(&self, group: GroupId) -> Option<(Epoch, Lsn)> {
        unreachable!("{group}")
    }

    /// The epoch of the entry at `lsn`, also of the one at [`Reader::start`].
    pub fn epoch(&self, group: GroupId, lsn: Lsn) -> Option<Epoch> {
        unreachable!("{group}{lsn}")
    }

    /// The last [`crate::Record::Mark`] of a group: epoch and high watermark.
    pub fn mark(&self, group: GroupId) -> Option<(Epoch, Lsn)> {
        unreachable!("{group}")
    }

    /// Where an entry lies.
    pub fn position(&self, group: GroupId, lsn: Lsn) -> Option<Position> {
        unreachable!("{group}{lsn}")
    }

    /// The entry at a position.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&self, position: Position) -> Result<Entry, ReadError> {
        unreachable!("{position:?}")
    }

    /// The entry with this LSN.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn entry(&self, group: GroupId, lsn: Lsn) -> Result<Entry, ReadError> {
        let position = self.position(group, lsn).ok_or(ReadError::Absent)?;
        self.read(position)
    }

    /// The entries from `from` on, at least one if there is one, at most `bytes_max` bytes of them if there are
    /// more. Empty at the log's end.
    ///
    /// # Errors
    /// [`ReadError::Absent`] when `from` is released or behind the end's successor, or any other.
    pub fn entries(&self, group: GroupId, from: Lsn, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        unreachable!("{group}{from}{bytes_max}")
    }

    /// How full the journal is.
    pub fn space(&self) -> Space {
        unreachable!()
    }

    /// The damage, if the journal is damaged.
    pub fn damage(&self) -> Option<Arc<Damage>> {
        unreachable!()
    }
}
