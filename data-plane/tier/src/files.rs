//! Objects that are files of this machine: kept open, and read into memory that is used again.
//!
//! What the system has in its page cache is copied out on the spot, without waking another thread, and is not kept a
//! second time in the block cache (but for blocks that a reader takes in several reads). What it has not is read past the
//! page cache (`O_DIRECT`) by a blocking thread: pages fresh from the kernel cost several times what reading costs.

use bytes::Bytes;
use millstream_direct::{ALIGN, Buffers, open_direct};
use millstream_model::limits::{TIER_IDLE_BUFFERS_BYTES_MAX, TIER_OPEN_FILES_MAX};
use millstream_model::segment::ObjectRef;
use moka::future::Cache;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a file stays open that nobody reads (and until another is read): while it is, deleting it frees no space.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// After a miss so many reads of a file go past the page cache at once: what it lost, or never had, is mostly together.
const UNASKED_READS: u32 = 8;

/// Open files, and memory to read them into.
#[derive(Debug)]
pub(crate) struct Files {
    open: Cache<ObjectRef, Arc<OpenFile>>,
    buffers: Arc<Buffers>,
}

/// An object's file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: File,
    path: PathBuf,
    /// Reads to come that do not ask the page cache: asking it for what it has not makes it read that.
    unasked: AtomicU32,
    /// The same file past the page cache, once it is needed; nothing where the file system knows no such thing.
    direct: OnceLock<Option<File>>,
}

impl Files {
    pub(crate) fn new() -> Files {
        Files {
            open: Cache::builder()
                .max_capacity(TIER_OPEN_FILES_MAX)
                .time_to_idle(IDLE_MAX)
                .build(),
            buffers: Buffers::new(TIER_IDLE_BUFFERS_BYTES_MAX),
        }
    }

    /// The object's file, if it was opened before.
    pub(crate) async fn get(&self, object: &ObjectRef) -> Option<Arc<OpenFile>> {
        self.open.get(object).await
    }

    /// Remembers an open file.
    pub(crate) async fn keep(&self, object: &ObjectRef, file: OpenFile) -> Arc<OpenFile> {
        let file = Arc::new(file);
        self.open.insert(*object, Arc::clone(&file)).await;
        file
    }

    /// The next read opens the object anew.
    pub(crate) async fn forget(&self, object: &ObjectRef) {
        self.open.invalidate(object).await;
    }

    /// So many bytes from `offset` on, if all of them are in the system's memory.
    pub(crate) fn read_now(&self, file: &OpenFile, offset: u64, length: usize) -> Option<Bytes> {
        let unasked = file.unasked.load(Ordering::Relaxed);
        if unasked > 0 {
            file.unasked.store(unasked - 1, Ordering::Relaxed);
            return None;
        }
        let mut buffer = self.buffers.take(length);
        if fill_now(&file.file, &mut buffer, offset) {
            return Some(buffer.freeze(0..length));
        }
        file.unasked.store(UNASKED_READS, Ordering::Relaxed);
        None
    }

    /// The same from wherever they are; fewer when the file ends before.
    #[expect(
        clippy::disallowed_methods,
        reason = "the shell that reads files where it may block"
    )]
    pub(crate) async fn read(&self, file: &Arc<OpenFile>, offset: u64, length: usize) -> io::Result<Bytes> {
        let (file, buffers) = (Arc::clone(file), Arc::clone(&self.buffers));
        let read = tokio::task::spawn_blocking(move || file.read(&buffers, offset, length));
        read.await
            .unwrap_or_else(|_| Err(io::Error::other("the reading task ended early")))
    }
}

impl OpenFile {
    pub(crate) fn new(file: File, path: PathBuf) -> OpenFile {
        OpenFile {
            file,
            path,
            unasked: AtomicU32::new(0),
            direct: OnceLock::new(),
        }
    }

    fn read(&self, buffers: &Arc<Buffers>, offset: u64, length: usize) -> io::Result<Bytes> {
        if let Some(direct) = self.direct() {
            match read_direct(direct, buffers, offset, length) {
                // Refused for how it was asked: not by every file system, and the other way works on all.
                Err(error) if error.kind() == ErrorKind::InvalidInput => {}
                read => return read,
            }
        }
        let mut buffer = buffers.take(length);
        let filled = fill(&self.file, &mut buffer, offset, length)?;
        // Now the page cache has it, and more of what follows.
        self.unasked.store(0, Ordering::Relaxed);
        Ok(buffer.freeze(0..filled))
    }

    fn direct(&self) -> Option<&File> {
        let open = || {
            let file = open_direct(&self.path, File::options().read(true)).ok()?;
            // Another one by now, or renamed: then the one that is open is the object.
            let (one, other) = (self.file.metadata().ok()?, file.metadata().ok()?);
            ((one.dev(), one.ino()) == (other.dev(), other.ino())).then_some(file)
        };
        self.direct.get_or_init(open).as_ref()
    }
}

/// Whether all of the buffer could be filled without waiting for a disk. What is in the way, if anything, shows when
/// the file is read by [`OpenFile::read`].
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

/// Reads whole pages, and keeps what was wanted of them.
fn read_direct(file: &File, buffers: &Arc<Buffers>, offset: u64, length: usize) -> io::Result<Bytes> {
    let before = (offset % ALIGN as u64) as usize;
    let wanted = before..before.saturating_add(length);
    let mut buffer = buffers.take(wanted.end.next_multiple_of(ALIGN));
    let filled = fill(file, &mut buffer, offset - before as u64, wanted.end)?;
    Ok(buffer.freeze(wanted.start..wanted.end.min(filled)))
}

/// Reads into the buffer until `wanted` bytes are there or the file ends; returns how many there are.
fn fill(file: &File, buffer: &mut [u8], offset: u64, wanted: usize) -> io::Result<usize> {
    let mut filled = 0;
    while filled < wanted {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
