//! A file's second descriptor: the one that goes past the page cache.

use crate::{ALIGN, Buffers};
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What goes to the disk at once: enough to keep it busy.
const WRITE_BYTES: usize = 4 * 1024 * 1024;

/// Buffers for writes, so many of which are kept while nobody writes.
pub fn write_buffers(idle_max: usize) -> Arc<Buffers> {
    Buffers::of(WRITE_BYTES, idle_max)
}

/// Opens the file at `path`, which exists, past the page cache; an error where its file system knows no direct I/O.
///
/// # Errors
/// Any of the disk's.
pub fn open_direct(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = i32::try_from(OFlags::DIRECT.bits()).map_err(io::Error::other)?;
    options.custom_flags(flags).open(path)
}

/// A file that is written past the page cache, beside whatever else has it open. The kernel keeps both views the same:
/// pages that lie in the cache are written before and dropped after.
#[derive(Debug)]
pub struct DirectFile {
    file: Option<File>,
    refused: AtomicBool,
    write_bytes: usize,
    buffers: Arc<Buffers>,
}

impl DirectFile {
    /// The file at `path`, which exists. Where its file system knows no direct I/O every write answers so.
    pub fn open(path: &Path, buffers: &Arc<Buffers>) -> DirectFile {
        DirectFile {
            file: open_direct(path, OpenOptions::new().write(true)).ok(),
            refused: AtomicBool::new(false),
            write_bytes: WRITE_BYTES,
            buffers: Arc::clone(buffers),
        }
    }

    /// Writes the parts, one behind the other, from `offset` on; returns whether it did. It does not, and has written
    /// nothing, when offset or length is not aligned or the file system refuses.
    ///
    /// # Errors
    /// Any of the disk's; then any part of it may have been written.
    pub fn write<'a>(
        &self,
        offset: u64,
        length: usize,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> io::Result<bool> {
        let aligned = offset.is_multiple_of(ALIGN as u64) && length.is_multiple_of(ALIGN);
        let Some(file) = self.file.as_ref().filter(|_| aligned && length > 0) else {
            return Ok(false);
        };
        if self.refused.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match copy_out(file, &mut self.buffers.take(self.write_bytes), offset, parts) {
            Ok(written) => {
                assert_eq!(written, length, "bug: as long as was said");
                Ok(true)
            }
            // Refused for how it was asked, which is always the same: before anything was written.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.refused.store(true, Ordering::Relaxed);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Gathers the parts in the buffer and writes it each time it is full; returns their length.
fn copy_out<'a>(
    file: &File,
    buffer: &mut [u8],
    offset: u64,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> io::Result<usize> {
    let (mut written, mut filled) = (0, 0);
    for mut part in parts {
        while !part.is_empty() {
            let (now, later) = part.split_at(part.len().min(buffer.len() - filled));
            buffer[filled..filled + now.len()].copy_from_slice(now);
            filled += now.len();
            part = later;
            if filled == buffer.len() {
                file.write_all_at(buffer, offset + written as u64)?;
                written += filled;
                filled = 0;
            }
        }
    }
    file.write_all_at(&buffer[..filled], offset + written as u64)?;
    Ok(written + filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of `length` bytes that are all 9.
    fn file(length: usize) -> (tempfile::TempDir, File, DirectFile, Arc<Buffers>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![9; length]).unwrap();
        let buffers = Buffers::of(2 * ALIGN, 1);
        let plain = File::open(&path).unwrap();
        let direct = DirectFile {
            write_bytes: 2 * ALIGN,
            ..DirectFile::open(&path, &buffers)
        };
        (folder, plain, direct, buffers)
    }

    #[test]
    fn parts_of_any_length_arrive_whole_also_beside_what_the_cache_holds() {
        let (_folder, plain, direct, _) = file(8 * ALIGN);
        let mut before = vec![0; 8 * ALIGN];
        plain.read_exact_at(&mut before, 0).unwrap();
        // More than a buffer takes, in pieces that end where no page does.
        let bytes: Vec<u8> = (0..5 * ALIGN).map(|at| (at % 251) as u8).collect();
        let parts = bytes.chunks(1000);
        if !direct.write(ALIGN as u64, bytes.len(), parts).unwrap() {
            return; // No direct I/O here.
        }
        let mut after = vec![0; 8 * ALIGN];
        plain.read_exact_at(&mut after, 0).unwrap();
        assert!(
            after[..ALIGN]
                .iter()
                .chain(&after[6 * ALIGN..])
                .all(|byte| *byte == 9)
        );
        assert_eq!(after[ALIGN..6 * ALIGN], bytes);
    }

    #[test]
    fn what_is_not_aligned_is_left_to_the_caller() {
        let (_folder, plain, direct, _) = file(2 * ALIGN);
        for (offset, length) in [(1, ALIGN), (0, ALIGN - 1), (0, 0)] {
            let bytes = vec![7; length];
            assert!(!direct.write(offset, length, [&bytes[..]]).unwrap());
        }
        let mut all = vec![0; 2 * ALIGN];
        plain.read_exact_at(&mut all, 0).unwrap();
        assert_eq!(all, vec![9; 2 * ALIGN]);
    }

    #[test]
    fn a_file_that_cannot_be_opened_so_is_left_to_the_caller() {
        let buffers = Buffers::of(ALIGN, 1);
        let direct = DirectFile::open(Path::new("/nowhere/at/all"), &buffers);
        assert!(!direct.write(0, ALIGN, [&[0; ALIGN][..]]).unwrap());
    }
}
