//! The write-ahead log on one disk: group commit, recycled files, recovery.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod block;
mod disk;
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
pub use frame::Framed;
pub use journal::{CommitError, Committed, Journal, OpenError};
pub use prepare::{PrepareError, Prepared, Preparer};
pub use reader::{ReadError, Reader};
pub use record::{Position, Record};
pub use recover::{Damage, Ending, Recovered};
pub use settings::{Planted, Settings};
pub use space::{Level, Space};
pub use writer::{Append, Running, SubmitError, Writer, WriterSettings};
