//! A simulated disk that notes what it is asked for, and lets a test act in the middle of a read.

use millstream_journal::sim::{SimDisk, SimFile};
use millstream_journal::{Disk, DiskFile};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

type Hook = Box<dyn FnOnce() + Send>;

/// The disk; clones share the notes.
#[derive(Clone)]
pub struct TracedDisk {
    pub inner: SimDisk,
    notes: Arc<Notes>,
}

#[derive(Default)]
struct Notes {
    lines: Mutex<Vec<String>>,
    before_read: Mutex<Option<Hook>>,
}

pub struct TracedFile {
    name: String,
    inner: SimFile,
    notes: Arc<Notes>,
}

impl TracedDisk {
    pub fn new(inner: SimDisk) -> TracedDisk {
        TracedDisk {
            inner,
            notes: Arc::default(),
        }
    }

    /// What was noted since this was asked last: changes and syncs, in order.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lines.lock().unwrap())
    }

    /// Does this before the next read.
    pub fn before_read(&self, hook: impl FnOnce() + Send + 'static) {
        *self.notes.before_read.lock().unwrap() = Some(Box::new(hook));
    }

    fn note(&self, line: String) {
        self.notes.lines.lock().unwrap().push(line);
    }

    fn file(&self, name: &str, inner: SimFile) -> TracedFile {
        TracedFile {
            name: name.to_owned(),
            inner,
            notes: self.notes.clone(),
        }
    }
}

impl TracedFile {
    fn note(&self, what: &str) {
        self.notes
            .lines
            .lock()
            .unwrap()
            .push(format!("{} {what}", self.name));
    }
}

impl Disk for TracedDisk {
    type File = TracedFile;

    fn lock(&self) -> io::Result<()> {
        self.inner.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn create(&self, name: &str) -> io::Result<TracedFile> {
        self.note(format!("{name} create"));
        self.inner.create(name).map(|file| self.file(name, file))
    }

    fn open(&self, name: &str) -> io::Result<TracedFile> {
        self.inner.open(name).map(|file| self.file(name, file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.note(format!("{name} remove"));
        self.inner.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.note(format!("{from} becomes {to}"));
        self.inner.rename(from, to)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.note("names sync".to_owned());
        self.inner.sync_dir()
    }
}

impl DiskFile for TracedFile {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.note(&format!("write {offset} +{length}"));
        self.inner.write_at(offset, parts)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let hook = self.notes.before_read.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        self.inner.read_at(offset, buffer)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note("sync");
        self.inner.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.note(&format!("allocate {length}"));
        self.inner.allocate(length)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.note(&format!("cut {length}"));
        self.inner.cut(length)
    }
}
