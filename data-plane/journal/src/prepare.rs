//! Writing free files with zeros before they are needed (log.md 1).

use crate::disk::{Disk, DiskFile};
use crate::files::{Free, Shared, file_name, preparing_name};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What one step writes.
const PIECE: &[u8] = &[0; 1024 * 1024];
/// How much is written between two syncs: the writer's fdatasync must not wait for a whole file of zeros.
const SYNC_EVERY: u64 = 8 * 1024 * 1024;

/// Writes free files with zeros, a piece at a time.
pub struct Preparer<D: Disk> {
    shared: Arc<Shared<D>>,
    current: Option<Current<D::File>>,
}

/// The file being written.
struct Current<F> {
    number: u64,
    file: F,
    written: u64,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// A piece was written; there is more to do.
    More,
    /// There are as many free files as there should be, or as the size allows.
    Enough,
}

/// A step that failed. The journal goes on; try later.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The disk is full: back-pressure, not damage (log.md 6).
    #[error("the disk has no room for another journal file")]
    Full,
    /// The disk failed.
    #[error("a journal file cannot be prepared: {0}")]
    Io(io::Error),
}

impl<D: Disk> Preparer<D> {
    pub(crate) fn new(shared: Arc<Shared<D>>) -> Preparer<D> {
        Preparer {
            shared,
            current: None,
        }
    }

    /// Writes the next piece.
    ///
    /// # Errors
    /// See [`PrepareError`].
    pub fn step(&mut self) -> Result<Prepared, PrepareError> {
        if self.shared.damage.read().is_some() {
            return Ok(Prepared::Enough);
        }
        let stepped = match self.current.take() {
            None => self.begin(),
            Some(current) => self.go_on(current),
        };
        stepped.map_err(|error| {
            let full = is_full(&error);
            let mut files = self.shared.files.lock();
            files.preparing = 0;
            files.disk_full |= full;
            if full {
                PrepareError::Full
            } else {
                PrepareError::Io(error)
            }
        })
    }

    fn begin(&mut self) -> io::Result<Prepared> {
        let number = {
            let mut files = self.shared.files.lock();
            if !self.shared.wants_more(&files) {
                return Ok(Prepared::Enough);
            }
            files.preparing = 1;
            files.number()
        };
        let name = preparing_name(number);
        let file = self.shared.disk.create(&name)?;
        if let Err(error) = file.allocate(u64::from(self.shared.settings.file_bytes)) {
            return self.give_up(&name, error);
        }
        self.current = Some(Current {
            number,
            file,
            written: 0,
        });
        Ok(Prepared::More)
    }

    fn go_on(&mut self, mut current: Current<D::File>) -> io::Result<Prepared> {
        match self.write(&mut current) {
            Ok(false) => self.current = Some(current),
            Ok(true) => self.finish(current)?,
            Err(error) => return self.give_up(&preparing_name(current.number), error),
        }
        Ok(Prepared::More)
    }

    /// Writes a piece; returns whether it was the last one.
    fn write(&self, current: &mut Current<D::File>) -> io::Result<bool> {
        let length = u64::from(self.shared.settings.file_bytes);
        let piece = (length - current.written).min(PIECE.len() as u64);
        current
            .file
            .write_at(current.written, &[IoSlice::new(&PIECE[..piece as usize])])?;
        current.written += piece;
        if current.written.is_multiple_of(SYNC_EVERY) || current.written == length {
            current.file.sync_data()?;
        }
        Ok(current.written == length)
    }

    fn finish(&self, current: Current<D::File>) -> io::Result<()> {
        let disk = &self.shared.disk;
        let (before, after) = (preparing_name(current.number), file_name(current.number));
        if let Err(error) = disk.rename(&before, &after) {
            return self.give_up(&before, error);
        }
        if let Err(error) = disk.sync_dir() {
            return self.give_up(&after, error);
        }
        let mut files = self.shared.files.lock();
        files.preparing = 0;
        files.disk_full = false;
        files.free.push_back(Free {
            number: current.number,
            file: Arc::new(current.file),
            generation: 0,
            is_short: false,
        });
        Ok(())
    }

    /// A file that failed is never tried again, and takes no space: each further attempt makes another one.
    fn give_up<T>(&self, name: &str, error: io::Error) -> io::Result<T> {
        if let Err(error) = self.shared.disk.remove(name) {
            tracing::warn!(name, %error, "a journal file that could not be prepared stays until the next start");
        }
        Err(error)
    }

    /// Whether the journal goes on.
    pub(crate) fn goes_on(&self) -> bool {
        !self.shared.files.lock().closing
    }

    /// What ends every waiting, for good.
    pub(crate) fn stopper(&self) -> impl Fn() + Send + Sync + 'static + use<D> {
        let shared = self.shared.clone();
        move || {
            shared.files.lock().closing = true;
            shared.wanted.notify_all();
        }
    }

    /// Waits until a file may be wanted; false when the journal ends.
    pub(crate) fn wait(&self) -> bool {
        let mut files = self.shared.files.lock();
        if !files.closing && !self.shared.wants_more(&files) {
            self.shared.wanted.wait(&mut files);
        }
        files.asked = false;
        !files.closing
    }

    /// Leaves the disk alone after it was full or failed: for a while, for less when somebody waits for room; false when
    /// the journal ends.
    #[expect(
        clippy::disallowed_methods,
        reason = "the preparing thread waits here; what it prepares does not ask for the time"
    )]
    pub(crate) fn pause(&self, a_while: Duration, less: Duration) -> bool {
        let began = Instant::now();
        let mut files = self.shared.files.lock();
        files.asked = false;
        loop {
            let wished = if files.asked { less } else { a_while };
            let left = wished.saturating_sub(began.elapsed());
            if files.closing || left.is_zero() {
                return !files.closing;
            }
            self.shared.wanted.wait_for(&mut files, left);
        }
    }
}

/// Whether a disk's error says that there is no room for a file now: on the disk, or among the files that the process
/// and the machine may have open, which clients use up with their connections.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) || matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients use up the files that a process may have open: that must pass, and not damage the journal.
    #[test]
    fn too_many_open_files_is_no_room() {
        use rustix::io::Errno;
        for (errno, full) in [
            (Errno::NOSPC, true),
            (Errno::DQUOT, true),
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::IO, false),
            (Errno::ROFS, false),
        ] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(is_full(&error), full, "{error}");
        }
    }
}
