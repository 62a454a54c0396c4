//! Cold segments in the object store: layout, upload, read.
//!
//! In: runs of committed record batches ([`FlushBuilder`]), references to them (`model::segment::SegmentRef`) and
//! snapshots as bytes. Out: objects under names that only [`name`] forms, and blocks of whole batches read back.
//!
//! ```text
//! object   run of partition a │ run of partition b │ … │ footer │ trailer
//!          block│block│block    block│block              one entry per run, one per block of each run
//! ```
//! A block is some whole batches (256 KiB or one batch, whichever is more), the unit of reading, checking and caching;
//! its entry in the footer gives first offset, length, largest timestamp and checksum, so that a read finds an offset
//! or a time with one look at the footer and one range request. A batch says the CRC of nearly all of itself, so that
//! the checksum of a block is over the batches' first bytes, which hold those CRCs, and that of a run over its blocks'.
//!
//! Where objects are files of this machine ([`open_store`] with `file://`) they stay open: what the system's page cache has
//! is read on the spot, the rest past it, and neither into the block cache.
//!
//! Invariants: a name is never used twice (epoch and number are in it), so an upload may be repeated and a cached
//! block never goes stale; an object counts only once a committed log entry names it, so a failed upload harms nothing;
//! every call to the store ends within a time ([`Settings`]), and what is read is checked before it is believed.
//! Not here: what is to be flushed, kept or deleted (`partition` and `broker` decide); listing (nobody may).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod calls;
mod check;
mod error;
mod files;
mod flush;
mod folder;
mod footer;
mod lifecycle;
pub mod name;
mod open;
mod presence;
mod read;
mod settings;
mod snapshot;
mod tier;
mod upload;
mod verify;

pub use error::TierError;
pub use flush::{Batch, Flush, FlushBuilder};
pub use lifecycle::LifecycleError;
pub use open::{Before, OpenError, OpenStore, open_store};
pub use read::ReadRun;
pub use settings::Settings;
pub use tier::Tier;
pub use verify::DamagedRange;

pub use millstream_store::Fault as StoreFault;
