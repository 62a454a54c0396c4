//! The reading half of a journal: the index, and entries by position, beside the writer.

use crate::disk::{Disk, DiskFile};
use crate::files::Shared;
use crate::frame;
use crate::record::{Position, Record};
use crate::recover::Damage;
use crate::space::Space;
use bytes::Bytes;
use millstream_model::entry::Entry;
use millstream_model::{Epoch, GroupId, JournalId, Lsn, Registration};
use std::io;
use std::sync::Arc;

/// The reading half of a journal. Shows what is durable, and nothing else; never waits for a commit's disk writes.
pub struct Reader<D: Disk> {
    pub(crate) shared: Arc<Shared<D>>,
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
    /// The disk gave other bytes than were written: the replica must be repaired (log.md 11).
    #[error("the journal's copy of the entry is damaged")]
    Damaged,
    /// The disk failed.
    #[error("the journal cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl<D: Disk> Reader<D> {
    /// The journal's id.
    pub fn id(&self) -> JournalId {
        self.shared.id
    }

    /// The number of the last process start that registered.
    pub fn registration(&self) -> Option<Registration> {
        self.shared.index.read().registration()
    }

    /// The groups that the journal knows, in order.
    pub fn groups(&self) -> Vec<GroupId> {
        self.shared.index.read().groups()
    }

    /// The (epoch, LSN) of the entry before the first one that the journal has of a group: what is released.
    pub fn start(&self, group: GroupId) -> Option<(Epoch, Lsn)> {
        self.shared.index.read().start(group)
    }

    /// The (epoch, LSN) of the last entry of a group; the same as [`Reader::start`] when there is none.
    pub fn end(&self, group: GroupId) -> Option<(Epoch, Lsn)> {
        self.shared.index.read().end(group)
    }

    /// The epoch of the entry at `lsn`, also of the one at [`Reader::start`].
    pub fn epoch(&self, group: GroupId, lsn: Lsn) -> Option<Epoch> {
        self.shared.index.read().epoch(group, lsn)
    }

    /// The last [`Record::Mark`] of a group: epoch and high watermark.
    pub fn mark(&self, group: GroupId) -> Option<(Epoch, Lsn)> {
        self.shared.index.read().mark(group)
    }

    /// Where an entry lies.
    pub fn position(&self, group: GroupId, lsn: Lsn) -> Option<Position> {
        self.shared.index.read().position(group, lsn)
    }

    /// The entry at a position.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&self, position: Position) -> Result<Entry, ReadError> {
        let mut entries = self.read_run(&[position])?;
        entries.pop().ok_or(ReadError::Absent)
    }

    /// The entry with this LSN.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn entry(&self, group: GroupId, lsn: Lsn) -> Result<Entry, ReadError> {
        let position = self.position(group, lsn).ok_or(ReadError::Absent)?;
        let entry = self.read(position)?;
        if (entry.header.group, entry.header.lsn) == (group, lsn) {
            Ok(entry)
        } else {
            Err(ReadError::Absent)
        }
    }

    /// The entries from `from` on, at least one if there is one, at most `bytes_max` bytes of them if there are
    /// more. Empty at the log's end.
    ///
    /// # Errors
    /// [`ReadError::Absent`] when `from` is released or behind the end's successor, or any other.
    pub fn entries(&self, group: GroupId, from: Lsn, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let positions = self
            .shared
            .index
            .read()
            .positions(group, from, bytes_max)
            .ok_or(ReadError::Absent)?;
        let mut entries = Vec::with_capacity(positions.len());
        for run in positions
            .chunk_by(|one, next| one.generation == next.generation && one.offset + one.length == next.offset)
        {
            entries.extend(self.read_run(run)?);
        }
        let numbered = entries.iter().zip(from.0..);
        if numbered
            .into_iter()
            .all(|(entry, lsn)| entry.header.group == group && entry.header.lsn.0 == lsn)
        {
            Ok(entries)
        } else {
            Err(ReadError::Absent)
        }
    }

    /// The generation of the oldest file that was not written again: what lies in older ones cannot be read any more.
    pub fn oldest(&self) -> u64 {
        self.shared.files.lock().oldest()
    }

    /// How full the journal is.
    pub fn space(&self) -> Space {
        self.shared.space()
    }

    /// Somebody was refused and waits for room: where the disk had none for a file that the settings allow, it is tried
    /// again now, or as soon as the last try is [`WriterSettings::prepare_asked_after`](crate::WriterSettings) ago.
    pub fn want_room(&self) {
        self.shared.want_room();
    }

    /// The damage, if the journal is damaged.
    pub fn damage(&self) -> Option<Arc<Damage>> {
        self.shared.damage.read().clone()
    }

    /// Entries that lie one behind the other, with one read. Their file may be recycled and written over meanwhile, even
    /// with whole entries in the same places: what was read counts only if the file was live all the while.
    fn read_run(&self, run: &[Position]) -> Result<Vec<Entry>, ReadError> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return Ok(Vec::new());
        };
        let file = self
            .shared
            .files
            .lock()
            .readable(first.generation)
            .ok_or(ReadError::Absent)?;
        let length = (last.offset + last.length - first.offset) as usize;
        let read = file.read_vec_at(u64::from(first.offset), length);
        let entries = read
            .map_err(ReadError::Io)
            .and_then(|bytes| entries_in(bytes.into(), run));
        match self.shared.files.lock().readable(first.generation) {
            Some(_) => entries,
            None => Err(ReadError::Absent),
        }
    }
}

/// Takes a run of entries apart.
fn entries_in(mut bytes: Bytes, run: &[Position]) -> Result<Vec<Entry>, ReadError> {
    let mut entries = Vec::with_capacity(run.len());
    for position in run {
        let (record, length, _) = frame::decode(&bytes).map_err(|_| ReadError::Damaged)?;
        let Record::Entry(entry) = record else {
            return Err(ReadError::Damaged);
        };
        if length != position.length as usize {
            return Err(ReadError::Damaged);
        }
        entries.push(entry);
        bytes = bytes.slice(length..);
    }
    Ok(entries)
}
