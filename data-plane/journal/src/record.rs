//! What a journal holds: entries of replica groups, and what it must remember about them.

use millstream_model::entry::{Entry, EntryHeader};
use millstream_model::{Epoch, GroupId, Lsn, Registration};

/// One record of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An entry of a group's log. Its LSN follows the one before it in the group without a gap.
    Entry(Entry),
    /// The group's log ends at `lsn`; what it had above is not part of it (log.md 8).
    Truncate {
        /// The group.
        group: GroupId,
        /// The epoch whose leader asked for it.
        epoch: Epoch,
        /// The last entry that stays.
        lsn: Lsn,
    },
    /// What the replica knows of its group, kept lazily: an older one may come back after a crash.
    Mark {
        /// The group.
        group: GroupId,
        /// The highest epoch that the replica has seen.
        epoch: Epoch,
        /// The high watermark that it has seen.
        high_watermark: Lsn,
    },
    /// The group does not need its entries up to `lsn` any more; the log goes on behind it. With an `lsn` above
    /// the log's end it starts the log anew there, as when a replica is rebuilt from a snapshot.
    Released {
        /// The group.
        group: GroupId,
        /// The epoch of the entry at `lsn`.
        epoch: Epoch,
        /// The last entry that is released.
        lsn: Lsn,
    },
    /// What the journal repeats at the head of every file about a group: the entry before its first one, and its
    /// last one. Only the journal writes it; a replay gives [`Record::Released`] in its place.
    Carried {
        /// The group.
        group: GroupId,
        /// The (epoch, LSN) before the first entry that is not released.
        start: (Epoch, Lsn),
        /// The (epoch, LSN) of the last entry.
        end: (Epoch, Lsn),
    },
    /// The group lives here no more.
    Removed {
        /// The group.
        group: GroupId,
    },
    /// The number that this start of the process got (log.md 13).
    Registered {
        /// The number.
        registration: Registration,
    },
}

impl Record {
    /// The group that the record is about, if it is about one.
    pub fn group(&self) -> Option<GroupId> {
        match self {
            Record::Entry(Entry {
                header: EntryHeader { group, .. },
                ..
            })
            | Record::Truncate { group, .. }
            | Record::Mark { group, .. }
            | Record::Released { group, .. }
            | Record::Carried { group, .. }
            | Record::Removed { group } => Some(*group),
            Record::Registered { .. } => None,
        }
    }

    /// Whether the record only says what may be forgotten or is repeated at the head of every file: such records
    /// may use the last of the space, and a file that holds no others need not be kept.
    pub fn is_bookkeeping(&self) -> bool {
        !matches!(self, Record::Entry(_) | Record::Truncate { .. })
    }

    /// Whether nothing is lost when a commit with this record alone is taken for a torn one: what it says is kept lazily,
    /// or was acted on only with a later commit. An idle journal need not write behind it.
    pub(crate) fn may_come_back(&self) -> bool {
        matches!(
            self,
            Record::Mark { .. } | Record::Released { .. } | Record::Carried { .. }
        )
    }
}

/// Where a record lies in the journal. Valid until its file is recycled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The generation of the file.
    pub generation: u64,
    /// The first byte of the record in the file.
    pub offset: u32,
    /// Bytes of the record with its frame.
    pub length: u32,
}
