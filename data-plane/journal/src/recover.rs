//! Finding the valid prefix of a journal.
//!
//! ```text
//!   file 3 (released)   file 4 = oldest          file 5                    file 6 = head
//!  ┌─────────────────┐ ┌──────────────────────┐ ┌───────────────────────┐ ┌───────────────────────┐
//!  │ may be anything │ │ header: gen 4        │ │ header: gen 5         │ │ header: gen 6,        │
//!  │ by now          │ │ previous: 3, end, crc│ │ previous: 4, end, crc─┼─┼ oldest: 4             │
//!  │                 │ │ first block: carry   │◄┼ ...                   │◄┼ previous: 5, end, crc │
//!  │                 │ │ block ◄ block ◄ block│ │ carry ◄ block ◄ block │ │ carry ◄ block ◄ (torn)│
//!  └─────────────────┘ └──────────────────────┘ └───────────────────────┘ └───────────────────────┘
//! ```
//! **The chain.** Every block names the checksum of the block before it; every header names where the blocks of
//! the file before it end, and the last one's checksum. Only the head's end is not known beforehand; it is where
//! the first block is that does not fit. A commit is written after the one before it is durable, so a block of a
//! later commit behind that place proves that something durable has gone (damage); so does a header, even of a file that
//! was never completed, which names a later end; else it is a torn tail. What the disk cannot read may have been
//! anything: nothing is cut there, it is damage.
//!
//! **Where the chain may begin.** A predecessor may be missing only where it was released. That is a fact on disk:
//! a header names the `oldest` file that was needed when it was written, files are released in order only, and
//! the records that release them are durable before. A released file is written over only by opening it anew, and
//! its first header copy, durable before anything else of it changes, names a younger `oldest`. So the highest
//! `oldest` in any header, even in one whose file was never completed, bounds what is needed; a gap above it is
//! damage. Below it nothing is looked at. The carry says where each group's log began and ended when its file was
//! opened: a replay that begins there lets the log begin where it ended, for what lay before was released since, or
//! cut, and then the records behind say so. Whatever else the released files knew (the registration, each group's
//! start and mark) is repeated in the first block, the carry, of every file; a file counts as opened only with it.
//!
//! **Files that end nowhere.** A start opens a new file always. When the file before it holds bookkeeping alone,
//! which the carry repeats, the new header names the predecessor's predecessor and the skipped file becomes free
//! once the new one is open: a process that dies at every start uses two files, not all of them. The header's
//! `oldest` does not count on the skipping, for the new file may never be completed.
//!
//! **Drafts.** What is whole behind damage is written again when an operator goes on (`journal::mend`), into files whose
//! headers call them drafts. They are in the chain only when a file that is none, and was opened, goes on behind them; its
//! header's `oldest` still counts on none of them. Else they are passed over, and the damage is found as it was.
//!
//! **What is believed is made durable.** After a kill the page cache may hold a last commit that never reached the
//! disk, or whose fdatasync failed (then Linux calls its pages clean). Recovery writes that commit once more, the
//! same bytes to the same place, and syncs it, before the next header names its end.

mod chain;
mod heads;
mod salvage;
mod walk;

pub(crate) use chain::find;
pub(crate) use heads::is_readable;
pub use salvage::{Behind, Salvage};
pub(crate) use walk::{Replayed, replay};

use crate::header::{End, Header};
use millstream_model::{GroupId, JournalId, Lsn, Registration};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What opening a journal found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The journal's id; a new journal has a new one.
    pub id: JournalId,
    /// The number of the last process start that registered.
    pub registration: Option<Registration>,
    /// How the journal ended.
    pub ending: Ending,
    /// Somebody began to go on behind damage and did not come to the end: nothing of that counts.
    pub unfinished: bool,
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

impl Damage {
    pub(crate) fn new(reason: impl Into<String>, generation: u64, offset: u64) -> Damage {
        Damage {
            reason: reason.into(),
            generation,
            offset,
            lost: BTreeMap::new(),
        }
    }
}

/// The files of a journal, sorted out.
pub(crate) struct Chain<F> {
    /// What is to be replayed, oldest first.
    pub files: Vec<ChainFile<F>>,
    /// Files behind the chain's end that hold something; only when damaged.
    pub behind: Vec<ChainFile<F>>,
    /// Files that hold nothing that is needed.
    pub unneeded: Vec<(u64, Arc<F>)>,
    /// Files of a mending that was never finished: what they hold is behind the damage, too.
    pub drafts: Vec<(u64, Arc<F>)>,
    /// The oldest file that any header calls needed.
    pub oldest: u64,
    /// What is wrong with the files as such.
    pub damage: Option<Damage>,
    /// The ends that files name which were never completed. They were durable when those headers were written.
    ends: Vec<End>,
    /// The number for the next new file.
    pub next_number: u64,
    /// Higher than any generation there is.
    pub next_generation: u64,
}

/// A file that has a header.
pub(crate) struct ChainFile<F> {
    pub number: u64,
    pub file: Arc<F>,
    pub header: Header,
}
