//! A disk whose fdatasync takes longer, to see what group commit makes of it.

use super::{Disk, DiskFile};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Another disk, with a delay added to every `sync_data` and a count of them.
#[derive(Debug)]
pub struct SlowDisk<D> {
    inner: D,
    delay: Duration,
    syncs: Arc<AtomicU64>,
}

impl<D: Disk> SlowDisk<D> {
    /// `inner`, with `delay` added to each fdatasync.
    pub fn new(inner: D, delay: Duration) -> SlowDisk<D> {
        SlowDisk {
            inner,
            delay,
            syncs: Arc::default(),
        }
    }

    /// Counts the fdatasyncs of all files; stays valid when the disk has been handed to a journal.
    pub fn syncs(&self) -> Arc<AtomicU64> {
        self.syncs.clone()
    }

    fn slow(&self, inner: D::File) -> SlowFile<D::File> {
        SlowFile {
            inner,
            delay: self.delay,
            syncs: self.syncs.clone(),
        }
    }
}

impl<D: Disk> Disk for SlowDisk<D> {
    type File = SlowFile<D::File>;

    fn lock(&self) -> io::Result<()> {
        self.inner.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn create(&self, name: &str) -> io::Result<Self::File> {
        self.inner.create(name).map(|file| self.slow(file))
    }

    fn open(&self, name: &str) -> io::Result<Self::File> {
        self.inner.open(name).map(|file| self.slow(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.inner.sync_dir()
    }
}

/// An open file of a [`SlowDisk`].
#[derive(Debug)]
pub struct SlowFile<F> {
    inner: F,
    delay: Duration,
    syncs: Arc<AtomicU64>,
}

impl<F: DiskFile> DiskFile for SlowFile<F> {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.inner.write_at(offset, parts)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(offset, buffer)
    }

    fn read_vec_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.inner.read_vec_at(offset, length)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a disk is a shell: this one is slow on purpose"
    )]
    fn sync_data(&self) -> io::Result<()> {
        std::thread::sleep(self.delay);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.inner.allocate(length)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.inner.cut(length)
    }
}
