//! Objects that are files of this machine: kept open, and read on the spot where the system has them in memory.
//!
//! The system's page cache is the cache of these: what it has is copied out without waking another thread, and is not
//! kept a second time in the block cache. A blocking thread waits for what it has not.

use crate::buffers::{Buffer, Buffers};
use bytes::Bytes;
use millstream_model::limits::TIER_OPEN_FILES_MAX;
use millstream_model::segment::ObjectRef;
use moka::future::Cache;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

/// How long a file stays open that nobody reads: while it is, deleting it frees no space.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Open files, and memory to read them into.
#[derive(Debug)]
pub(crate) struct Files {
    open: Cache<ObjectRef, Arc<File>>,
    buffers: Arc<Buffers>,
}

impl Files {
    pub(crate) fn new() -> Files {
        Files {
            open: Cache::builder()
                .max_capacity(TIER_OPEN_FILES_MAX)
                .time_to_idle(IDLE_MAX)
                .build(),
            buffers: Arc::default(),
        }
    }

    /// The object's file, if it was opened before.
    pub(crate) async fn get(&self, object: &ObjectRef) -> Option<Arc<File>> {
        self.open.get(object).await
    }

    /// Remembers an open file.
    pub(crate) async fn keep(&self, object: &ObjectRef, file: File) -> Arc<File> {
        let file = Arc::new(file);
        self.open.insert(*object, Arc::clone(&file)).await;
        file
    }

    /// The next read opens the object anew.
    pub(crate) async fn forget(&self, object: &ObjectRef) {
        self.open.invalidate(object).await;
    }

    /// So many bytes from `offset` on, if all of them are in the system's memory.
    pub(crate) fn read_now(&self, file: &File, offset: u64, length: usize) -> Option<Bytes> {
        let mut buffer = self.buffers.take(length);
        fill_now(file, &mut buffer, offset).then(|| buffer.freeze(length))
    }

    /// The same from wherever they are; fewer when the file ends before.
    pub(crate) async fn read(&self, file: &Arc<File>, offset: u64, length: usize) -> io::Result<Bytes> {
        let (file, buffer) = (Arc::clone(file), self.buffers.take(length));
        let read = tokio::task::spawn_blocking(move || fill(&file, buffer, offset));
        read.await
            .unwrap_or_else(|_| Err(io::Error::other("the reading task ended early")))
    }
}

/// Whether all of the buffer could be filled without waiting for a disk. What is in the way, if anything, shows when
/// the file is read by [`fill`].
fn fill_now(file: &File, buffer: &mut [u8], offset: u64) -> bool {
    let mut filled = 0;
    while filled < buffer.len() {
        let at = offset + filled as u64;
        let mut rest = [IoSliceMut::new(&mut buffer[filled..])];
        match preadv2(file, &mut rest, at, ReadWriteFlags::NOWAIT) {
            Ok(0) => return false,
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

fn fill(file: &File, mut buffer: Buffer, offset: u64) -> io::Result<Bytes> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer.freeze(filled))
}
