//! What the journal asks of a disk: files by name in one folder, written where it says and synced when it says.
//!
//! Nothing is durable before the call that says so: bytes and lengths by [`DiskFile::sync_data`], names by
//! [`Disk::sync_dir`]. `tests/disk_suite.rs` holds every implementation to this.

pub mod real;
pub mod slow;

use std::io::{self, IoSlice};

/// A folder of files.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;

    /// Takes the folder for this process, until the disk is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process has it.
    fn lock(&self) -> io::Result<()>;

    /// The names of all files, sorted.
    ///
    /// # Errors
    /// Any of the disk's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file that does not exist yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or any of the disk's.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file that exists, to read and write.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or any of the disk's.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Removes a file's name; who has it open keeps it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or any of the disk's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, in the place of the file that has it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or any of the disk's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes every name durable: what was created, removed and renamed.
    ///
    /// # Errors
    /// Any of the disk's.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send + Sync + 'static {
    /// Writes all parts, one behind the other, from `offset` on; the file grows as needed.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`], or any of the disk's; then any part of it may have been written.
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// Fills `buffer` from `offset` on; returns how many bytes there were before the file's end.
    ///
    /// # Errors
    /// Any of the disk's.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Up to `length` bytes from `offset` on, fewer before the file's end: [`DiskFile::read_at`] into memory that needs
    /// not be zeroed first.
    ///
    /// # Errors
    /// Any of the disk's.
    fn read_vec_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = self.read_at(offset, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Makes all bytes and the length durable (fdatasync).
    ///
    /// # Errors
    /// Any of the disk's. What was not durable before may then never become so, however often this is called.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// Any of the disk's.
    fn length(&self) -> io::Result<u64>;

    /// Makes the file at least `length` bytes long, the new ones zero, and reserves the space for them.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`], or any of the disk's.
    fn allocate(&self, length: u64) -> io::Result<()>;

    /// Makes the file at most `length` bytes long and gives back the space behind.
    ///
    /// # Errors
    /// Any of the disk's.
    fn cut(&self, length: u64) -> io::Result<()>;
}

/// Whether a read failed because the medium does not give what is there, rather than because the disk cannot be asked.
/// Such an error is about this place only and comes again; Linux says it as EIO, file systems and drives with checksums
/// of their own as EBADMSG, EILSEQ or ENODATA.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::IO | Errno::BADMSG | Errno::ILSEQ | Errno::NODATA)
    )
}
