//! The write-ahead log on one disk: group commit, recycled files, recovery (log.md 1 to 13).
//!
//! In: [`Record`]s of any number of replica groups. Out: their [`Position`]s once they are durable; the records
//! again, in order, after a restart; entries by group and LSN.
//!
//! ```text
//!   callers ──► Writer (queue, its own thread) ──► Journal (core: synchronous, no clock) ──► Disk
//!                                                     │ index, files                          ▲
//!   readers ──────────────────────────────────────► Reader ───────────────────────────────────┤
//!   background thread ────────────────────────────► Preparer (zeros ahead) ───────────────────┘
//! ```
//! The service runs [`Journal`] under a [`Writer`]; the simulator calls the same core and the writer's [`Intake`] by
//! itself, over [`sim::SimDisk`].
//!
//! Invariants: nothing is in the index or acknowledged that is not durable; a commit is written after the one before
//! it is durable; a file is never appended to after a restart; a failed write or sync is never done again; a group's
//! LSNs have no gap; files are released in order. How recovery tells a torn tail from damage, and where the chain may
//! begin, is said in `recover`; the stored forms are drawn in `block`, `frame`, `header` and `superblock`.
//!
//! Not here: who leads, what is committed, when to flush (`replication`, `broker`).
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod block;
mod disk;
mod error;
mod files;
mod frame;
mod header;
mod index;
mod journal;
mod prepare;
mod reader;
mod record;
mod recover;
mod settings;
pub mod sim;
mod space;
mod superblock;
mod writer;

pub use disk::real::{LockError, RealDisk};
pub use disk::slow::SlowDisk;
pub use disk::{Disk, DiskFile};
pub use error::{CommitError, OpenError};
pub use frame::Framed;
pub use journal::{Committed, Journal, journal_id};
pub use prepare::{PrepareError, Prepared, Preparer};
pub use reader::{ReadError, Reader};
pub use record::{Position, Record};
pub use recover::{Behind, Damage, Ending, Recovered, Salvage};
pub use settings::{Planted, Settings};
pub use space::{Level, Space};
pub use writer::{Answers, Append, Intake, Running, SubmitError, Taken, Writer, WriterSettings};
