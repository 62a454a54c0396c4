//! Finding the valid prefix of a journal.

use millstream_model::{GroupId, JournalId, Lsn, Registration};
use std::collections::BTreeMap;

/// What opening a journal found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The journal's id; a new journal has a new one.
    pub id: JournalId,
    /// The number of the last process start that registered.
    pub registration: Option<Registration>,
    /// How the journal ended.
    pub ending: Ending,
    /// Records given to `replay`.
    pub records: u64,
    /// Bytes read from the disk.
    pub bytes_read: u64,
}

/// How a journal ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There was none.
    New,
    /// It was closed.
    Clean,
    /// The process ended without closing it; a commit that was not durable may have been cut.
    Torn,
    /// Something durable is missing or wrong.
    Damaged(Damage),
}

/// Why a journal is damaged, and what it lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (file generation {generation}, byte {offset})")]
pub struct Damage {
    /// What is wrong, in a sentence.
    pub reason: String,
    /// The file in which it is.
    pub generation: u64,
    /// The byte there.
    pub offset: u64,
    /// The last LSN of each group that was seen behind the damage: the entries up to there are not served.
    pub lost: BTreeMap<GroupId, Lsn>,
}
