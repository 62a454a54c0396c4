//! One commit: check, write, sync, index.

use super::{Committed, Journal};
use crate::block::{ALIGN, BlockHead, HEAD_BYTES, padded};
use crate::disk::{Disk, DiskFile};
use crate::error::CommitError;
use crate::frame::Framed;
use crate::index::{Ahead, Gap};
use crate::journal::Growth;
use crate::record::{Position, Record};
use crate::settings::Planted;
use crc_fast::crc32_iscsi;
use millstream_model::{Epoch, GroupId, JournalId, Lsn};
use std::io::{self, IoSlice};

/// Payloads up to here are copied beside the frames: the kernel takes longer over a part than a copy of this size.
const COPY_BYTES_MAX: usize = 1024;

/// The most that is kept of the last file: room for a release of every group.
const RESERVE_BYTES_MAX: u64 = 256 * 1024;

/// What is kept beside it: room for the empty commit of an idle journal, and the one that closes it.
const QUIET_BYTES: u64 = 2 * ALIGN;

/// What a block is for, when little room is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To hold something.
    Records,
    /// To come behind the last entries, so that they are known to be whole.
    Quiet,
    /// To free a file.
    Release,
}

/// Zeros behind a block.
static PADDING: [u8; ALIGN as usize] = [0; ALIGN as usize];

/// What is about to be committed, checked so far.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Where the groups go on behind what is in it; the staged releases are, once something was admitted.
    ahead: Option<Ahead>,
    bytes: usize,
    closes: bool,
}

impl Batch {
    /// A batch with which the journal ends.
    pub fn closing() -> Batch {
        Batch {
            closes: true,
            ..Batch::default()
        }
    }
}

impl From<Gap> for CommitError {
    fn from(gap: Gap) -> CommitError {
        CommitError::OutOfOrder {
            group: gap.group,
            expected: gap.expected,
            found: gap.found,
        }
    }
}

/// What a block is made with, and in what.
pub(super) struct Block<'a> {
    pub id: JournalId,
    pub head: BlockHead,
    pub buffer: &'a mut Vec<u8>,
}

/// A block that was written.
pub(super) struct Written {
    pub checksum: u32,
    pub length: u64,
    pub positions: Vec<Position>,
}

impl<D: Disk> Journal<D> {
    /// Takes records into a batch, or refuses them and leaves it as it was.
    pub(crate) fn admit(&self, batch: &mut Batch, records: &[Framed]) -> Result<(), CommitError> {
        let length: usize = records.iter().map(Framed::length).sum();
        let limit = self.shared.settings.commit_bytes_max;
        if length > limit {
            return Err(CommitError::TooLarge { limit, length });
        }
        let index = self.shared.index.read();
        if batch.ahead.is_none() {
            let mut ahead = Ahead::default();
            let staged: Vec<Record> = self
                .pending
                .iter()
                .map(|(group, release)| released(*group, *release))
                .collect();
            index.check(&mut ahead, staged.iter())?;
            batch.ahead = Some(ahead);
        }
        if let Some(ahead) = &mut batch.ahead {
            index.check(ahead, records.iter().map(Framed::record))?;
        }
        batch.bytes += length;
        Ok(())
    }

    /// Writes what was admitted, in this order, behind the staged releases, and makes it durable.
    pub(crate) fn write(&mut self, parts: &[&[Framed]], batch: Batch) -> Result<Committed, CommitError> {
        self.sound()?;
        let staged: Vec<Framed> = std::mem::take(&mut self.pending)
            .into_iter()
            .map(|(group, release)| Framed::new(released(group, release)))
            .collect();
        let all: Vec<&[Framed]> = std::iter::once(staged.as_slice())
            .chain(parts.iter().copied())
            .collect();
        match self.write_all(&all, &batch) {
            Ok(mut committed) => {
                committed.positions.drain(..staged.len());
                Ok(committed)
            }
            Err(error) => {
                for framed in staged {
                    if let Record::Released { group, epoch, lsn } = framed.into_record() {
                        self.pending.insert(group, (epoch, lsn));
                    }
                }
                Err(error)
            }
        }
    }

    fn write_all(&mut self, parts: &[&[Framed]], batch: &Batch) -> Result<Committed, CommitError> {
        let length: usize = parts
            .iter()
            .flat_map(|part| part.iter())
            .map(Framed::length)
            .sum();
        let purpose = match batch.bytes {
            0 if !batch.closes && self.pending_frees(parts) => Purpose::Release,
            0 => Purpose::Quiet,
            _ => Purpose::Records,
        };
        self.make_room(padded((HEAD_BYTES + length) as u64), purpose)?;
        self.planted_sync()?;
        let Some(active) = &self.active else {
            return Err(self.fail("a bug: writing", &no_file()));
        };
        let file = active.file.clone();
        let head = BlockHead {
            generation: self.end.generation,
            salt: active.salt,
            commit: self.end.commit + 1,
            length: 0,
            records: 0,
            previous: self.end.checksum,
            sum: 0,
            closes: batch.closes,
        };
        let commit = head.commit;
        let block_end = self.end.offset + padded((HEAD_BYTES + length) as u64);
        assert!(
            block_end <= active.length,
            "bug: a block up to {block_end} in a file of {} bytes",
            active.length
        );
        let mut block = Block {
            id: self.shared.id,
            head,
            buffer: &mut self.buffer,
        };
        let written = match block.write(&*file, self.end.offset, parts) {
            Ok(written) => written,
            Err(error) => return Err(self.fail("a write", &error)),
        };
        if self.shared.settings.planted == Planted::AcknowledgeBeforeFsync {
            self.unsynced = true;
        } else if let Err(error) = self.sync(&*file) {
            return Err(self.fail("an fdatasync", &error));
        }
        self.end.commit = commit;
        self.end.offset += written.length;
        self.end.checksum = written.checksum;
        self.apply(parts, &written.positions)?;
        Ok(Committed {
            commit,
            positions: written.positions,
        })
    }

    /// Puts what is durable into the index.
    pub(super) fn apply(&mut self, parts: &[&[Framed]], positions: &[Position]) -> Result<(), CommitError> {
        let count: usize = parts.iter().map(|part| part.len()).sum();
        assert!(
            count == positions.len(),
            "bug: {count} records at {} places",
            positions.len()
        );
        let records = parts.iter().flat_map(|part| part.iter()).map(Framed::record);
        let mut frees = false;
        let mut loud = false;
        let shared = self.shared.clone();
        let mut index = shared.index.write();
        for (record, position) in records.zip(positions) {
            frees |= !matches!(
                record,
                Record::Entry(_) | Record::Mark { .. } | Record::Registered { .. }
            );
            loud |= !record.may_come_back();
            index.apply(record, *position)?;
        }
        let mut files = shared.files.lock();
        files.written = self.end.offset;
        if frees && !self.is_draft {
            files.recycle(&index);
        }
        self.quiet = !loud;
        Ok(())
    }

    /// Sees to it that a block of this length fits into the active file.
    fn make_room(&mut self, length: u64, purpose: Purpose) -> Result<(), CommitError> {
        if length <= self.room(purpose) {
            return Ok(());
        }
        let growth = match self.is_draft {
            true => Growth::Forced,
            false => Growth::WithinSettings,
        };
        self.open_next(growth)?;
        let room = self.room(purpose);
        if length <= room {
            return Ok(());
        }
        let limit = usize::try_from(room)
            .unwrap_or(usize::MAX)
            .saturating_sub(HEAD_BYTES);
        Err(CommitError::TooLarge {
            limit,
            length: length as usize,
        })
    }

    /// What the active file takes. While no other is free its end is kept for the release that frees one.
    fn room(&self, purpose: Purpose) -> u64 {
        let file_bytes = self.active.as_ref().map_or(0, |active| active.length);
        let has_free = self.shared.files.lock().usable() > 0;
        let reserve = (file_bytes / 8).min(RESERVE_BYTES_MAX) / ALIGN * ALIGN;
        let kept = match purpose {
            _ if has_free => 0,
            Purpose::Release => 0,
            Purpose::Quiet => reserve,
            Purpose::Records => reserve + QUIET_BYTES,
        };
        file_bytes.saturating_sub(self.end.offset + kept)
    }

    /// Whether these releases let the oldest file be used again.
    fn pending_frees(&self, parts: &[&[Framed]]) -> bool {
        let releases = parts
            .iter()
            .flat_map(|part| part.iter())
            .filter_map(|framed| match framed.record() {
                Record::Released { group, epoch, lsn } => Some((*group, (*epoch, *lsn))),
                _ => None,
            });
        let releases = releases.collect();
        let files = self.shared.files.lock();
        let oldest = files
            .live
            .front()
            .filter(|_| files.live.len() > 1)
            .map(|oldest| oldest.generation);
        drop(files);
        oldest.is_some_and(|oldest| self.shared.index.read().would_free(oldest, &releases))
    }

    /// One fdatasync; never a second one after a failure, but for the bug that the simulator must find.
    pub(super) fn sync(&self, file: &D::File) -> io::Result<()> {
        match file.sync_data() {
            Err(_) if self.shared.settings.planted == Planted::RetryFailedFsync => file.sync_data(),
            result => result,
        }
    }

    /// The fdatasync that a planted bug has put off.
    pub(super) fn planted_sync(&mut self) -> Result<(), CommitError> {
        if std::mem::take(&mut self.unsynced)
            && let Some(active) = &self.active
            && let Err(error) = active.file.sync_data()
        {
            return Err(self.fail("an fdatasync", &error));
        }
        Ok(())
    }
}

impl Block<'_> {
    /// Writes the block with one gathering write: frames and small payloads from a buffer, large payloads from
    /// where they are.
    pub fn write<F: DiskFile>(&mut self, file: &F, offset: u64, parts: &[&[Framed]]) -> io::Result<Written> {
        let buffer = &mut *self.buffer;
        buffer.clear();
        buffer.resize(HEAD_BYTES, 0);
        let mut positions = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        let mut sums = Vec::with_capacity(positions.capacity() * 4);
        // Up to where the buffer comes before each large payload.
        let mut large: Vec<(usize, &[u8])> = Vec::new();
        let mut length = HEAD_BYTES;
        for framed in parts.iter().flat_map(|part| part.iter()) {
            let at = offset + length as u64;
            positions.push(Position {
                generation: self.head.generation,
                offset: u32::try_from(at).map_err(|_| io::Error::other("a file above 4 GiB"))?,
                length: framed.length() as u32,
            });
            sums.extend_from_slice(&framed.head()[..4]);
            buffer.extend_from_slice(framed.head());
            if framed.payload().len() <= COPY_BYTES_MAX {
                buffer.extend_from_slice(framed.payload());
            } else {
                large.push((buffer.len(), framed.payload()));
            }
            length += framed.length();
        }
        self.head.length = u32::try_from(length).map_err(|_| io::Error::other("a block above 4 GiB"))?;
        self.head.records = positions.len() as u32;
        self.head.sum = crc32_iscsi(&sums);
        let (head, checksum) = self.head.encode(self.id);
        buffer[..HEAD_BYTES].copy_from_slice(&head);

        let mut slices = Vec::with_capacity(large.len() * 2 + 2);
        let mut from = 0;
        for (to, payload) in large {
            slices.push(IoSlice::new(&buffer[from..to]));
            slices.push(IoSlice::new(payload));
            from = to;
        }
        slices.push(IoSlice::new(&buffer[from..]));
        let end = padded(length as u64);
        slices.push(IoSlice::new(&PADDING[..(end - length as u64) as usize]));
        file.write_at(offset, &slices)?;
        Ok(Written {
            checksum,
            length: end,
            positions,
        })
    }
}

fn released(group: GroupId, (epoch, lsn): (Epoch, Lsn)) -> Record {
    Record::Released { group, epoch, lsn }
}

fn no_file() -> io::Error {
    io::Error::other("the journal has no file to write")
}
