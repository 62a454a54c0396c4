//! A disk in memory that fails as real ones do, the same way every time.
//!
//! It keeps two copies of every file: what the process sees (the page cache) and what is on the medium; which 512-byte
//! sectors differ is known. A sync copies them over. Names have two copies too, and wait for a sync of the folder.
//! A power failure decides per sector whether it was written, dropped, or torn within, and how many of the waiting
//! names took effect.

use crate::disk::{Disk, DiskFile};
use parking_lot::Mutex;
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

/// What a disk writes at once.
const SECTOR_BYTES: usize = 512;

/// A process' view of a simulated disk. Clones are the same process.
#[derive(Clone)]
pub struct SimDisk {
    medium: Arc<Mutex<Medium>>,
    process: u64,
}

/// An open file of a [`SimDisk`].
pub struct SimFile {
    medium: Arc<Mutex<Medium>>,
    process: u64,
    inode: usize,
}

/// The disk itself.
struct Medium {
    /// The process that is alive; what others hold is dead.
    process: u64,
    locked: bool,
    capacity: u64,
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    names_durable: BTreeMap<String, usize>,
    /// The names after each change since the folder was last synced.
    names_waiting: Vec<BTreeMap<String, usize>>,
    fail_write: Option<u64>,
    fail_sync: Option<u64>,
    fail_sync_dir: Option<u64>,
    cut_power: Option<u64>,
    is_off: bool,
    operations: u64,
}

/// A file.
#[derive(Default)]
struct Inode {
    cache: Vec<u8>,
    medium: Vec<u8>,
    /// Sectors that the next sync writes.
    dirty: BTreeSet<usize>,
    /// Sectors that a failed sync has given up although the cache shows them.
    lost: BTreeSet<usize>,
    /// Sectors that cannot be read until they are written.
    spoilt: BTreeSet<usize>,
}

impl SimDisk {
    /// An empty disk that takes `capacity` bytes.
    pub fn new(capacity: u64) -> SimDisk {
        let medium = Medium {
            process: 0,
            locked: false,
            capacity,
            inodes: Vec::new(),
            names: BTreeMap::new(),
            names_durable: BTreeMap::new(),
            names_waiting: Vec::new(),
            fail_write: None,
            fail_sync: None,
            fail_sync_dir: None,
            cut_power: None,
            is_off: false,
            operations: 0,
        };
        SimDisk {
            medium: Arc::new(Mutex::new(medium)),
            process: 0,
        }
    }

    /// The power fails: un-synced sectors are kept, dropped or torn, and un-synced names kept or lost, each as
    /// `random` decides. This view and its files are dead; returns the next process' view.
    pub fn crash(&self, random: &mut impl Rng) -> SimDisk {
        let mut medium = self.medium.lock();
        let kept = random.random_range(0..=medium.names_waiting.len());
        if let Some(names) = kept.checked_sub(1).and_then(|at| medium.names_waiting.get(at)) {
            medium.names_durable = names.clone();
        }
        medium.names = medium.names_durable.clone();
        medium.names_waiting.clear();
        for inode in &mut medium.inodes {
            inode.crash(random);
        }
        drop(medium);
        self.kill()
    }

    /// The process is killed: the page cache survives. Returns the next process' view.
    pub fn kill(&self) -> SimDisk {
        let mut medium = self.medium.lock();
        medium.process += 1;
        medium.locked = false;
        medium.is_off = false;
        medium.fail_write = None;
        medium.fail_sync = None;
        medium.fail_sync_dir = None;
        medium.cut_power = None;
        SimDisk {
            medium: self.medium.clone(),
            process: medium.process,
        }
    }

    /// The `nth` write from now on fails (1 = the next); half of it is written.
    pub fn fail_write(&self, nth: u64) {
        self.medium.lock().fail_write = Some(nth);
    }

    /// The `nth` sync of a file from now on fails (1 = the next), and what it should have made durable is lost at
    /// the next power failure although it can be read until then, as on Linux.
    pub fn fail_sync(&self, nth: u64) {
        self.medium.lock().fail_sync = Some(nth);
    }

    /// The `nth` sync of the folder from now on fails (1 = the next); its names stay as they are.
    pub fn fail_sync_dir(&self, nth: u64) {
        self.medium.lock().fail_sync_dir = Some(nth);
    }

    /// The power goes in the middle of the `nth` operation from now on (1 = the next): it and all later ones fail
    /// until [`SimDisk::crash`].
    pub fn cut_power(&self, nth: u64) {
        self.medium.lock().cut_power = Some(nth);
    }

    /// Takes back the faults that are still to come.
    pub fn clear_faults(&self) {
        let mut medium = self.medium.lock();
        medium.fail_write = None;
        medium.fail_sync = None;
        medium.fail_sync_dir = None;
        medium.cut_power = None;
    }

    /// Whether the power is off: all that goes on then is [`SimDisk::crash`].
    pub fn is_off(&self) -> bool {
        self.medium.lock().is_off
    }

    /// What the disk takes from now on, bytes.
    pub fn resize(&self, capacity: u64) {
        self.medium.lock().capacity = capacity;
    }

    /// Flips a bit (0 to 7) of a byte, on the medium and in the cache. Returns whether there is such a byte.
    pub fn flip(&self, name: &str, offset: u64, bit: u8) -> bool {
        let mut medium = self.medium.lock();
        let Some((inode, at)) = medium.place(name, offset) else {
            return false;
        };
        inode.cache[at] ^= 1 << (bit & 7);
        if let Some(byte) = inode.medium.get_mut(at) {
            *byte ^= 1 << (bit & 7);
        }
        true
    }

    /// The sector with this byte cannot be read from now on, until it is written. Returns whether there is such a byte.
    pub fn spoil(&self, name: &str, offset: u64) -> bool {
        let mut medium = self.medium.lock();
        let place = medium.place(name, offset);
        place
            .map(|(inode, at)| inode.spoilt.insert(at / SECTOR_BYTES))
            .is_some()
    }

    /// The names and lengths of all files, for tests that look for a place to damage.
    pub fn files(&self) -> Vec<(String, u64)> {
        let medium = self.medium.lock();
        let length = |inode: usize| medium.inodes[inode].cache.len() as u64;
        medium
            .names
            .iter()
            .map(|(name, inode)| (name.clone(), length(*inode)))
            .collect()
    }

    /// A file's bytes as the process sees them, for tests that compare runs.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let medium = self.medium.lock();
        medium
            .names
            .get(name)
            .map(|inode| medium.inodes[*inode].cache.clone())
    }

    /// Operations done so far.
    pub fn operations(&self) -> u64 {
        self.medium.lock().operations
    }

    fn change_names<T>(&self, change: impl FnOnce(&mut Medium) -> io::Result<T>) -> io::Result<T> {
        let mut medium = self.medium.lock();
        medium.operate(self.process)?;
        let changed = change(&mut medium)?;
        let names = medium.names.clone();
        medium.names_waiting.push(names);
        Ok(changed)
    }

    fn file(&self, inode: usize) -> SimFile {
        SimFile {
            medium: self.medium.clone(),
            process: self.process,
            inode,
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn lock(&self) -> io::Result<()> {
        let mut medium = self.medium.lock();
        medium.operate(self.process)?;
        if std::mem::replace(&mut medium.locked, true) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut medium = self.medium.lock();
        medium.operate(self.process)?;
        Ok(medium.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let inode = self.change_names(|medium| {
            if medium.names.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            medium.inodes.push(Inode::default());
            let inode = medium.inodes.len() - 1;
            medium.names.insert(name.to_owned(), inode);
            Ok(inode)
        })?;
        Ok(self.file(inode))
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let mut medium = self.medium.lock();
        medium.operate(self.process)?;
        let inode = *medium.names.get(name).ok_or(ErrorKind::NotFound)?;
        drop(medium);
        Ok(self.file(inode))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change_names(|medium| {
            medium
                .names
                .remove(name)
                .map(|_| ())
                .ok_or_else(|| ErrorKind::NotFound.into())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change_names(|medium| {
            let inode = medium.names.remove(from).ok_or(ErrorKind::NotFound)?;
            medium.names.insert(to.to_owned(), inode);
            Ok(())
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut medium = self.medium.lock();
        medium.operate(self.process)?;
        if counts_down(&mut medium.fail_sync_dir) {
            return Err(io::Error::other("simulated sync error"));
        }
        medium.names_durable = medium.names.clone();
        medium.names_waiting.clear();
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut medium = self.medium.lock();
        if medium.is_off {
            return Err(dead());
        }
        let cut = medium.operate(self.process).err();
        if medium.process != self.process {
            return Err(dead());
        }
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(part);
        }
        let fails = counts_down(&mut medium.fail_write);
        let offset = usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge)?;
        let written = if fails || cut.is_some() {
            &bytes[..bytes.len() / 2]
        } else {
            &bytes[..]
        };
        medium.grow(self.inode, offset + written.len())?;
        medium.inodes[self.inode].write(offset, written);
        match cut {
            Some(error) => Err(error),
            None if fails => Err(io::Error::other("simulated write error")),
            None => Ok(()),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut medium = self.medium.lock();
        medium.operate(self.process)?;
        let Inode { cache, spoilt, .. } = &medium.inodes[self.inode];
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(cache.len());
        let read = buffer.len().min(cache.len() - from);
        if read > 0 && spoilt.range(sectors(from, from + read)).next().is_some() {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        buffer[..read].copy_from_slice(&cache[from..from + read]);
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut medium = self.medium.lock();
        medium.operate(self.process)?;
        let fails = counts_down(&mut medium.fail_sync);
        let inode = &mut medium.inodes[self.inode];
        if fails {
            let dirty = std::mem::take(&mut inode.dirty);
            inode.lost.extend(dirty);
            return Err(io::Error::other("simulated sync error"));
        }
        inode.sync();
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let mut medium = self.medium.lock();
        medium.operate(self.process)?;
        Ok(medium.inodes[self.inode].cache.len() as u64)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut medium = self.medium.lock();
        medium.operate(self.process)?;
        let length = usize::try_from(length).map_err(|_| ErrorKind::FileTooLarge)?;
        medium.grow(self.inode, length)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        let mut medium = self.medium.lock();
        medium.operate(self.process)?;
        let inode = &mut medium.inodes[self.inode];
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        inode.cache.truncate(length);
        inode.medium.truncate(length);
        let first = length.div_ceil(SECTOR_BYTES);
        for sectors in [&mut inode.dirty, &mut inode.lost, &mut inode.spoilt] {
            sectors.retain(|sector| *sector < first);
        }
        Ok(())
    }
}

impl Medium {
    /// Counts an operation of a process; fails when it is dead or the power is off, or goes.
    fn operate(&mut self, process: u64) -> io::Result<()> {
        if self.process != process {
            return Err(dead());
        }
        self.operations += 1;
        let goes = counts_down(&mut self.cut_power);
        if self.is_off || goes {
            // Only the operation in whose middle it went has any effect.
            self.is_off = true;
            return Err(if goes {
                io::Error::other("the power goes")
            } else {
                dead()
            });
        }
        Ok(())
    }

    /// The file with this byte, and where in it.
    fn place(&mut self, name: &str, offset: u64) -> Option<(&mut Inode, usize)> {
        let inode = &mut self.inodes[*self.names.get(name)?];
        let at = usize::try_from(offset).ok()?;
        (at < inode.cache.len()).then_some((inode, at))
    }

    fn grow(&mut self, inode: usize, length: usize) -> io::Result<()> {
        let more = length.saturating_sub(self.inodes[inode].cache.len());
        let used: usize = self
            .names
            .values()
            .map(|inode| self.inodes[*inode].cache.len())
            .sum();
        if (used + more) as u64 > self.capacity && more > 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        if more > 0 {
            let inode = &mut self.inodes[inode];
            let from = inode.cache.len();
            inode.cache.extend_from_slice(&vec![0; more]);
            inode.dirty.extend(sectors(from, length));
        }
        Ok(())
    }
}

impl Inode {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.cache[offset..offset + bytes.len()].copy_from_slice(bytes);
        let sectors = sectors(offset, offset + bytes.len());
        for sector in sectors {
            self.dirty.insert(sector);
            self.lost.remove(&sector);
            self.spoilt.remove(&sector);
        }
    }

    fn sync(&mut self) {
        self.grow_medium(self.cache.len());
        for sector in std::mem::take(&mut self.dirty) {
            self.persist(sector, SECTOR_BYTES);
        }
    }

    /// Zeros up to a length. Not with `resize`: that is a loop over bytes where this crate is not optimised.
    fn grow_medium(&mut self, length: usize) {
        let more = length.saturating_sub(self.medium.len());
        if more > 0 {
            self.medium.extend_from_slice(&vec![0; more]);
        }
    }

    /// Puts the first `count` bytes of a sector on the medium.
    fn persist(&mut self, sector: usize, count: usize) {
        let from = sector * SECTOR_BYTES;
        let to = (from + count).min(self.cache.len());
        self.grow_medium(to);
        self.medium[from..to].copy_from_slice(&self.cache[from..to]);
    }

    fn crash(&mut self, random: &mut impl Rng) {
        // Mostly all or nothing of what waits; now and then any subset.
        let odds = [0.0, 1.0, 0.5, 0.9, 0.1][random.random_range(0..5)];
        for sector in std::mem::take(&mut self.dirty) {
            if random.random_bool(0.02) {
                self.persist(sector, random.random_range(0..SECTOR_BYTES));
            } else if random.random_bool(odds) {
                self.persist(sector, SECTOR_BYTES);
            }
        }
        self.lost.clear();
        self.cache = self.medium.clone();
    }
}

/// The sectors of a range of bytes.
fn sectors(from: usize, to: usize) -> std::ops::Range<usize> {
    from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES)
}

/// Counts towards a fault; true when it is due.
fn counts_down(counter: &mut Option<u64>) -> bool {
    match counter {
        Some(1) => {
            *counter = None;
            true
        }
        Some(more) => {
            *more -= 1;
            false
        }
        None => false,
    }
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}
