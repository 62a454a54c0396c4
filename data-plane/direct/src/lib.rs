//! Files past the page cache: direct I/O (`O_DIRECT`) out of memory that is used again.
//!
//! In: bytes in pieces, for a place that is aligned in an open file. Out: the same bytes handed to the disk, none of
//! them left in the page cache. What a write through the page cache costs is not the copying but the pages: each is
//! fetched fresh from the kernel, found again to be written, and dropped unread. Here the pieces are copied into a few
//! buffers that stay, and the disk takes them from there. Who reads past the page cache takes aligned buffers here, too.
//!
//! Nothing is durable before the file was synced: the disk may still have it in a cache of its own.
//!
//! Not here: when to sync, and what to do where a file system knows no direct I/O: [`DirectFile::write`] says so and
//! has written nothing, and its caller writes as ever.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod buffers;
mod file;

pub use buffers::{Buffer, Buffers};
pub use file::{DirectFile, open_direct, write_buffers};

/// What offsets and lengths in a file, and addresses in memory, must be multiples of: no disk asks for more.
pub const ALIGN: usize = 4096;
