//! Why a journal cannot be opened, and why a commit did not happen.

use crate::recover::Damage;
use millstream_model::{GroupId, Lsn};
use std::io;
use std::sync::Arc;

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
    #[error(
        "the disk has no room for a journal file of {file_bytes} bytes; make room, or choose a smaller journal"
    )]
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
        /// The LSN that may come next, or the lowest that can be cut to.
        expected: Lsn,
        /// The LSN in the record.
        found: Lsn,
    },
    /// The journal is damaged: it takes nothing until an operator or a repair has decided (log.md 5, 6).
    #[error("the journal is damaged: {0}")]
    Damaged(Arc<Damage>),
}
