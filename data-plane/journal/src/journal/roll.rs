//! Going on to the next file.

use super::commit::Block;
use super::{Active, Growth, Journal};
use crate::block::{ALIGN, BlockHead};
use crate::disk::{Disk, DiskFile};
use crate::error::CommitError;
use crate::files::{Free, Live, file_name};
use crate::frame::Framed;
use crate::header::{End, FIRST_BLOCK_AT, Header, SECOND_AT};
use crate::prepare::is_full;
use crate::settings::FILE_BYTES_MIN;
use rand::Rng;
use std::io;
use std::sync::Arc;

/// A file to go on in.
struct Next<F> {
    free: Free<F>,
    is_new: bool,
}

impl<D: Disk> Journal<D> {
    /// Opens the next file: header, header again with the carry, each durable before the next; only then does it
    /// count (see `recover`).
    pub(super) fn open_next(&mut self, growth: Growth) -> Result<(), CommitError> {
        self.planted_sync()?;
        let next = match self.take_file(growth) {
            Ok(Some(next)) => next,
            Ok(None) => return Err(CommitError::Full),
            Err(error) => return Err(self.fail("making a file", &error)),
        };
        let generation = self.next_generation;
        self.next_generation += 1;
        let before = self.end.generation;
        assert!(
            generation > before,
            "bug: a file of generation {generation} behind one of {before}"
        );
        let oldest = self
            .shared
            .files
            .lock()
            .live
            .front()
            .map(|oldest| oldest.generation);
        let oldest = match self.is_mending {
            // Should it never be finished, the damaged journal is needed as it was.
            true => self.oldest,
            false => oldest.or(self.skipped).unwrap_or(generation),
        };
        let header = Header {
            generation,
            salt: self.random.random(),
            oldest,
            previous: self.end,
            commit: self.end.commit + 1,
            draft: self.is_draft,
        };
        let file = next.free.file.clone();
        let length = match file.length() {
            Ok(length) => length,
            Err(error) => return Err(self.fail("asking for a file's length", &error)),
        };
        if let Err(error) = self.write_first_header(&header, &next) {
            if next.is_new && is_full(&error) {
                return self.discard(next);
            }
            return Err(self.fail("writing a file's header", &error));
        }
        let carry: Vec<Framed> = self
            .shared
            .index
            .read()
            .carry()
            .into_iter()
            .map(Framed::new)
            .collect();
        let (end, positions) = match self.write_carry(&header, &file, &carry) {
            Ok(written) => written,
            Err(error) => return Err(self.fail("writing a file's first block", &error)),
        };
        self.end = end;
        self.active = Some(Active {
            file: file.clone(),
            salt: header.salt,
            length,
        });
        let live = Live {
            generation,
            number: next.free.number,
            file,
            is_short: next.free.is_short,
        };
        self.shared.files.lock().live.push_back(live);
        self.apply(&[&carry], &positions)?;
        // Should this block rot, the file counts as never opened, and the one before it says the same.
        self.quiet = true;
        self.skipped = None;
        self.recycle();
        self.shared.wanted.notify_all();
        Ok(())
    }

    /// Frees what nobody needs any more; not before a mending is finished.
    fn recycle(&self) {
        if !self.is_draft {
            let index = self.shared.index.read();
            self.shared.files.lock().recycle(&index);
        }
    }

    fn write_first_header(&self, header: &Header, next: &Next<D::File>) -> io::Result<()> {
        let file = &*next.free.file;
        header.write(file, self.shared.id, 0)?;
        self.sync(file)?;
        if next.is_new {
            self.shared.disk.sync_dir()
        } else {
            Ok(())
        }
    }

    fn write_carry(
        &mut self,
        header: &Header,
        file: &D::File,
        carry: &[Framed],
    ) -> io::Result<(End, Vec<crate::record::Position>)> {
        header.write(file, self.shared.id, SECOND_AT)?;
        let head = BlockHead {
            generation: header.generation,
            salt: header.salt,
            commit: header.commit,
            length: 0,
            records: 0,
            previous: header.previous.checksum,
            sum: 0,
            closes: false,
        };
        let mut block = Block {
            id: self.shared.id,
            head,
            buffer: &mut self.buffer,
        };
        let written = block.write(file, FIRST_BLOCK_AT, &[carry])?;
        self.sync(file)?;
        let end = End {
            generation: header.generation,
            offset: FIRST_BLOCK_AT + written.length,
            commit: header.commit,
            checksum: written.checksum,
        };
        Ok((end, written.positions))
    }

    /// A free file, or a new one; `None` when there can be none now.
    fn take_file(&self, growth: Growth) -> io::Result<Option<Next<D::File>>> {
        let free = {
            let mut files = self.shared.files.lock();
            match growth {
                Growth::WithinSettings => files.take_usable(),
                Growth::Forced => files.take_any(),
            }
        };
        if let Some(free) = free {
            return Ok(Some(Next { free, is_new: false }));
        }
        let is_at_size = self.shared.files.lock().total() >= self.shared.files_max();
        if growth == Growth::WithinSettings && is_at_size {
            return Ok(None);
        }
        let made = self.make_file()?;
        Ok(made.map(|free| Next { free, is_new: true }))
    }

    /// Keeps a file for the next start, if the disk has room for one; the preparer tries again if it has not.
    pub(super) fn keep_spare(&self) -> io::Result<()> {
        if self.shared.files.lock().has_spare() {
            return Ok(());
        }
        if let Some(spare) = self.make_file()? {
            self.shared.disk.sync_dir()?;
            self.shared.files.lock().keep(spare);
        }
        Ok(())
    }

    /// Before a start takes the only free file of a disk that has room for no other: it takes one half, the next start has
    /// the other one. So a process that dies again before anything could be released still finds a file.
    pub(super) fn divide_last(&self) -> io::Result<()> {
        let is_last = {
            let (index, files) = (self.shared.index.read(), self.shared.files.lock());
            files.free.len() == 1 && !files.opening_frees_one(&index)
        };
        if !is_last {
            return Ok(());
        }
        if let Some(other) = self.make_file()? {
            self.shared.disk.sync_dir()?;
            self.shared.files.lock().keep(other);
            return Ok(());
        }
        let Some(last) = self.shared.files.lock().free.pop_back() else {
            return Ok(());
        };
        let half = (last.file.length()? / 2).next_multiple_of(ALIGN);
        if half < u64::from(FILE_BYTES_MIN) {
            self.shared.files.lock().keep(last);
            return Ok(());
        }
        last.file.cut(half)?;
        last.file.sync_data()?;
        let other = self.make_file_of(half)?;
        self.shared.disk.sync_dir()?;
        let mut files = self.shared.files.lock();
        for mut short in std::iter::once(last).chain(other) {
            short.is_short = true;
            files.keep(short);
        }
        Ok(())
    }

    /// A new file; `None` when the disk is full.
    fn make_file(&self) -> io::Result<Option<Free<D::File>>> {
        let made = self.make_file_of(u64::from(self.shared.settings.file_bytes))?;
        self.shared.files.lock().disk_full = made.is_none();
        Ok(made)
    }

    fn make_file_of(&self, length: u64) -> io::Result<Option<Free<D::File>>> {
        let number = self.shared.files.lock().number();
        let name = file_name(number);
        let file = match self.shared.disk.create(&name) {
            Ok(file) => file,
            Err(error) if is_full(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.allocate(length) {
            Ok(()) => Ok(Some(Free {
                number,
                file: Arc::new(file),
                generation: 0,
                is_short: false,
            })),
            Err(error) if is_full(&error) => {
                self.shared.disk.remove(&name)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives up a new file for which there is no room after all.
    fn discard(&mut self, next: Next<D::File>) -> Result<(), CommitError> {
        if let Err(error) = self.shared.disk.remove(&file_name(next.free.number)) {
            return Err(self.fail("removing a file", &error));
        }
        self.shared.files.lock().disk_full = true;
        Err(CommitError::Full)
    }
}
