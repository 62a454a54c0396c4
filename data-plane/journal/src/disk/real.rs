//! The real disk: a folder of the file system, written past the page cache where the file system can.

use super::{Disk, DiskFile};
use millstream_direct::{Buffers, DirectFile, write_buffers};
use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most parts that one `pwritev` takes (Linux' `UIO_MAXIOV`).
const PARTS_MAX: usize = 1024;

/// One for the writer and one for who prepares files.
const BUFFERS_IDLE_MAX: usize = 2;

/// A folder of the file system.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    folder: File,
    buffers: Arc<Buffers>,
    locked: Mutex<bool>,
}

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be made, opened or locked.
    #[error("cannot use the folder {path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another process uses the folder {path}: stop it, or choose another folder")]
    Taken {
        /// The folder.
        path: PathBuf,
    },
}

impl RealDisk {
    /// The folder at `path`, made when it does not exist, taken for this process until the value is dropped.
    ///
    /// # Errors
    /// When the folder cannot be made or opened, or another process has it.
    pub fn open(path: &Path) -> Result<RealDisk, LockError> {
        let io = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        std::fs::create_dir_all(path).map_err(io)?;
        let disk = RealDisk {
            path: path.to_owned(),
            folder: File::open(path).map_err(io)?,
            buffers: write_buffers(BUFFERS_IDLE_MAX),
            locked: Mutex::new(false),
        };
        disk.lock().map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => LockError::Taken {
                path: path.to_owned(),
            },
            _ => LockError::Io {
                path: path.to_owned(),
                source,
            },
        })?;
        Ok(disk)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_with(&self, options: &mut OpenOptions, name: &str) -> io::Result<RealFile> {
        let path = self.path.join(name);
        let file = options.read(true).write(true).open(&path)?;
        Ok(RealFile {
            file,
            direct: DirectFile::open(&path, &self.buffers),
        })
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn lock(&self) -> io::Result<()> {
        let mut locked = self.locked.lock();
        if !*locked {
            rustix::fs::flock(&self.folder, FlockOperation::NonBlockingLockExclusive)?;
            *locked = true;
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for file in std::fs::read_dir(&self.path)? {
            let file = file?;
            if file.file_type()?.is_file()
                && let Ok(name) = file.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<RealFile> {
        self.open_with(OpenOptions::new().create_new(true), name)
    }

    fn open(&self, name: &str) -> io::Result<RealFile> {
        self.open_with(&mut OpenOptions::new(), name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.folder.sync_all()
    }
}

/// An open file of a [`RealDisk`].
#[derive(Debug)]
pub struct RealFile {
    file: File,
    /// For whole pages, which is what commits are.
    direct: DirectFile,
}

impl DiskFile for RealFile {
    fn write_at(&self, mut offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let length = parts.iter().map(|part| part.len()).sum();
        let pieces = parts.iter().map(|part| &**part);
        if self.direct.write(offset, length, pieces)? {
            return Ok(());
        }
        for parts in parts.chunks(PARTS_MAX) {
            let total: usize = parts.iter().map(|part| part.len()).sum();
            let written = write_some(&self.file, parts, offset)?;
            if written < total {
                write_rest(&self.file, parts, written, offset)?;
            }
            offset += total as u64;
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn read_vec_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = offset + bytes.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // A vector may have more room than it was asked for.
        bytes.truncate(length);
        Ok(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            // A file system without fallocate: the length alone, and no promise of space.
            Err(Errno::OPNOTSUPP) if self.length()? < length => self.file.set_len(length),
            Err(Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        if self.length()? > length {
            self.file.set_len(length)?;
        }
        Ok(())
    }
}

/// One `pwritev`; only an interrupted one, which wrote nothing, is done again.
fn write_some(file: &File, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pwritev(file, parts, offset) {
            Ok(written) => return Ok(written),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a short `pwritev` left: Linux writes at most 2 GiB at once, and less when a signal comes.
fn write_rest(file: &File, parts: &[IoSlice<'_>], written: usize, offset: u64) -> io::Result<()> {
    let mut skip = written;
    let mut at = offset + written as u64;
    for part in parts {
        let rest = part.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(part.len());
        file.write_all_at(rest, at)?;
        at += rest.len() as u64;
    }
    Ok(())
}
