//! A disk in memory that fails as real ones do, the same way every time.

use crate::disk::{Disk, DiskFile};
use parking_lot::Mutex;
use rand::Rng;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// A process' view of a simulated disk.
#[derive(Clone)]
pub struct SimDisk {
    medium: Arc<Mutex<()>>,
}

/// An open file of a [`SimDisk`].
pub struct SimFile {
    medium: Arc<Mutex<()>>,
}

impl SimDisk {
    /// An empty disk that takes `capacity` bytes.
    pub fn new(capacity: u64) -> SimDisk {
        unreachable!("{capacity}")
    }

    /// The power fails: un-synced sectors and names are kept, dropped or torn, each as `random` decides. The
    /// process' view and its files are dead; returns the next process' view.
    pub fn crash(&self, random: &mut impl Rng) -> SimDisk {
        unreachable!("{}", random.random::<u8>())
    }

    /// The process is killed: the page cache survives. Returns the next process' view.
    pub fn kill(&self) -> SimDisk {
        unreachable!()
    }

    /// The `nth` write from now on fails (1 = the next); part of it may have been written.
    pub fn fail_write(&self, nth: u64) {
        unreachable!("{nth}")
    }

    /// The `nth` sync of a file from now on fails (1 = the next), and what it should have made durable is lost at
    /// the next power failure although it can be read until then, as on Linux.
    pub fn fail_sync(&self, nth: u64) {
        unreachable!("{nth}")
    }

    /// The power goes in the middle of the `nth` operation from now on (1 = the next): it and all later ones fail
    /// until [`SimDisk::crash`].
    pub fn cut_power(&self, nth: u64) {
        unreachable!("{nth}")
    }

    /// What the disk takes from now on, bytes.
    pub fn resize(&self, capacity: u64) {
        unreachable!("{capacity}")
    }

    /// Flips a bit on the medium. Returns whether there is such a byte.
    pub fn flip(&self, name: &str, offset: u64, bit: u8) -> bool {
        unreachable!("{name}{offset}{bit}")
    }

    /// The names and lengths of all files, for tests that look for a place to damage.
    pub fn files(&self) -> Vec<(String, u64)> {
        unreachable!()
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn lock(&self) -> io::Result<()> {
        drop(self.medium.lock());
        unreachable!()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        unreachable!()
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        unreachable!("{name}")
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        unreachable!("{name}")
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        unreachable!("{name}")
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        unreachable!("{from}{to}")
    }

    fn sync_dir(&self) -> io::Result<()> {
        unreachable!()
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        drop(self.medium.lock());
        unreachable!("{offset}{}", parts.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        unreachable!("{offset}{}", buffer.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        unreachable!()
    }

    fn length(&self) -> io::Result<u64> {
        unreachable!()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        unreachable!("{length}")
    }
}
