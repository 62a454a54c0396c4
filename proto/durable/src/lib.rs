//! A file kept durably in the place of the last one, and one that somebody named read to a bound.
//!
//! In: a path and bytes. Out: the file, on the disk itself when [`replace`] returns. Blocks.
//!
//! Invariant: whoever reads the path finds the last one or the new one, each whole, whenever the power fails: what is
//! half written has another name. Not here: what the bytes say and whether they are whole (each format checks itself);
//! the journal, whose files are written in place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Who may read and write a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody reads, the owner writes.
    Everybody,
    /// The owner alone: it holds a secret.
    Owner,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Access::Everybody => 0o644,
            Access::Owner => 0o600,
        }
    }
}

/// Keeps `bytes` at `path` in the place of what is there.
///
/// # Errors
/// When the disk fails or is full: the last file is still there then, and nothing half written takes room. Only when
/// the folder itself cannot be synced is the new one there and perhaps not durable.
pub fn replace(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let fresh = beside(path);
    if let Err(error) = write(&fresh, bytes, access).and_then(|()| fs::rename(&fresh, path)) {
        // Half a file would only take room on a disk that may be full.
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

/// What a file holds that somebody named: it may be a device that has no end.
///
/// # Errors
/// When it cannot be read, or has more than `bytes_max` bytes.
pub fn read_named(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let longest = bytes_max.saturating_add(1);
    let read = File::open(path)?.take(longest).read_to_end(&mut bytes)?;
    if read as u64 > bytes_max {
        let reason = format!("it has more than {bytes_max} bytes: is it the right file?");
        return Err(io::Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// Whether [`replace`] can make a file here; a reader of the path sees nothing of the try.
///
/// # Errors
/// When it cannot be made.
pub fn can_replace(path: &Path) -> io::Result<()> {
    let fresh = beside(path);
    write(&fresh, &[], Access::Owner)?;
    fs::remove_file(&fresh)
}

fn write(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(access.mode())
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The name of the file while it is written; a crash may leave it behind, and the next one writes over it.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}
