//! Walking along the blocks of a chain.

use super::heads::{Later, heads, later_block};
use super::{Chain, ChainFile, Damage};
use crate::block::{ALIGN, BlockHead, HEAD_BYTES, padded};
use crate::disk::{DiskFile, is_unreadable};
use crate::error::OpenError;
use crate::frame::{self, FrameError};
use crate::header::{End, FIRST_BLOCK_AT, Header};
use crate::index::Index;
use crate::record::{Position, Record};
use crate::settings::Planted;
use bytes::Bytes;
use crc_fast::crc32_iscsi;
use millstream_model::JournalId;
use std::io;

/// What a block must say to be the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    generation: u64,
    salt: u64,
    commit: u64,
    previous: u32,
}

/// A valid block.
pub(super) struct Block {
    head: BlockHead,
    checksum: u32,
    records: Vec<(Record, Position)>,
}

/// What is where a block should be.
pub(super) enum Found {
    /// The block.
    Whole(Block),
    /// Its head, but not the records that the head says.
    Torn,
    /// Something else.
    Bad,
    /// The disk does not give what is there. It may have been anything, so it proves no torn tail.
    Unreadable,
}

impl Later {
    /// Why what is at a place before it cannot be a torn tail; `None` when it can. Where a commit was begun, what cannot be
    /// read behind it may be the next one. Where none was, a sector that went bad while the file was free says nothing.
    pub(super) fn proves_loss(self, place: &Found) -> Option<&'static str> {
        match (self, place) {
            (Later::Block, _) => Some("a block is bad although a later one is whole"),
            (Later::Unreadable, Found::Torn) => Some("a block is bad and the disk cannot read what follows"),
            _ => None,
        }
    }
}

/// A block that cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlockError {
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its checksums are right and yet this release cannot read it.
    #[error("{0}: the journal needs a newer release")]
    Newer(String),
}

impl From<BlockError> for OpenError {
    fn from(error: BlockError) -> OpenError {
        match error {
            BlockError::Io(source) => OpenError::Io {
                action: "be read",
                source,
            },
            newer @ BlockError::Newer(_) => OpenError::Foreign(newer.to_string()),
        }
    }
}

/// What replaying a chain found.
pub(crate) struct Replayed {
    /// Where the valid prefix ends.
    pub end: End,
    /// The last valid block: offset and length with padding; 0 bytes when there is none.
    pub last_block: (u64, u64),
    /// The last valid block said that the journal was closed.
    pub closed: bool,
    /// Files of the chain that hold a part of the valid prefix.
    pub files: usize,
    /// The last of these holds bookkeeping only.
    pub bookkeeping_only: bool,
    pub records: u64,
    pub bytes_read: u64,
    pub damage: Option<Damage>,
}

impl Expected {
    pub fn first(header: &Header) -> Expected {
        Expected {
            generation: header.generation,
            salt: header.salt,
            commit: header.commit,
            previous: header.previous.checksum,
        }
    }

    fn fits(&self, head: &BlockHead, planted: Planted) -> bool {
        planted == Planted::StaleBlockAccepted
            || (head.generation, head.salt, head.commit, head.previous)
                == (self.generation, self.salt, self.commit, self.previous)
    }
}

/// Gives the records of the chain, in order, to `index` and `take`.
///
/// # Errors
/// When the disk cannot be read.
pub(crate) fn replay<F: DiskFile>(
    chain: &Chain<F>,
    id: JournalId,
    planted: Planted,
    index: &mut Index,
    mut take: impl FnMut(Position, Record),
) -> Result<Replayed, BlockError> {
    let mut found = Replayed {
        end: End::default(),
        last_block: (0, 0),
        closed: false,
        files: 0,
        bookkeeping_only: true,
        records: 0,
        bytes_read: 0,
        damage: None,
    };
    for (at, file) in chain.files.iter().enumerate() {
        let next = chain.files.get(at + 1).map(|next| next.header.previous);
        found.file(file, next, id, planted, index, &mut take)?;
        if next.is_none() && found.damage.is_none() {
            found.damage = chain.cut_short(found.end);
        }
        if let Some(damage) = &mut found.damage {
            see_lost(damage, file, found.end, id)?;
            for later in &chain.files[at + 1..] {
                see_lost(damage, later, End::default(), id)?;
            }
            break;
        }
    }
    index.settle();
    if found.damage.is_none() {
        found.damage = chain.damage.clone();
    }
    if let Some(damage) = &mut found.damage {
        for file in &chain.behind {
            see_lost(damage, file, End::default(), id)?;
        }
    }
    Ok(found)
}

impl Replayed {
    /// Walks one file; `next` is the end that its successor names.
    fn file<F: DiskFile>(
        &mut self,
        file: &ChainFile<F>,
        next: Option<End>,
        id: JournalId,
        planted: Planted,
        index: &mut Index,
        take: &mut impl FnMut(Position, Record),
    ) -> Result<(), BlockError> {
        let generation = file.header.generation;
        let mut expected = Expected::first(&file.header);
        let mut offset = FIRST_BLOCK_AT;
        self.bookkeeping_only = true;
        let bad = |reason: &str, offset| Some(Damage::new(reason, generation, offset));
        loop {
            if let Some(next) = next
                && offset >= next.offset
            {
                if self.end != next {
                    self.damage = bad("a file does not end as its successor says", offset);
                }
                return Ok(());
            }
            let block = match read_block(&*file.file, id, offset, &expected, planted)? {
                Found::Whole(block) => block,
                place => {
                    self.bytes_read += ALIGN;
                    self.damage = match (&place, next) {
                        (Found::Unreadable, _) => bad("the disk cannot read a block", offset),
                        (_, Some(_)) => bad("a block in the middle of the journal is bad", offset),
                        _ if planted == Planted::CorruptMiddleIsTornTail => None,
                        _ => {
                            let later = later_block(&*file.file, id, &file.header, offset, expected.commit)?;
                            later.proves_loss(&place).and_then(|reason| bad(reason, offset))
                        }
                    };
                    return Ok(());
                }
            };
            let length = padded(u64::from(block.head.length));
            for (record, position) in block.records {
                if let Err(gap) = index.apply(&record, position) {
                    let text = format!(
                        "group {} goes on at LSN {} instead of {}",
                        gap.group, gap.found, gap.expected
                    );
                    self.damage = bad(&text, offset);
                    return Ok(());
                }
                self.bookkeeping_only &= record.is_bookkeeping();
                self.records += 1;
                take(position, index.as_replayed(record));
            }
            self.bytes_read += length;
            self.last_block = (offset, length);
            self.closed = block.head.closes;
            if offset == FIRST_BLOCK_AT {
                self.files += 1;
            }
            offset += length;
            self.end = End {
                generation,
                offset,
                commit: block.head.commit,
                checksum: block.checksum,
            };
            expected.commit = block.head.commit + 1;
            expected.previous = block.checksum;
        }
    }
}

/// What is at a place where the expected block should be.
///
/// # Errors
/// When the disk fails, or a newer release wrote it.
pub(super) fn read_block<F: DiskFile>(
    file: &F,
    id: JournalId,
    offset: u64,
    expected: &Expected,
    planted: Planted,
) -> Result<Found, BlockError> {
    let mut head_bytes = [0u8; HEAD_BYTES];
    match file.read_at(offset, &mut head_bytes) {
        Ok(read) if read < HEAD_BYTES => return Ok(Found::Bad),
        Ok(_) => {}
        Err(error) if is_unreadable(&error) => return Ok(Found::Unreadable),
        Err(error) => return Err(error.into()),
    }
    if let Some(format) = BlockHead::newer_format(&head_bytes, id) {
        return Err(BlockError::Newer(format!("a block has the format {format}")));
    }
    let Some((head, checksum)) = BlockHead::decode(&head_bytes, id) else {
        return Ok(Found::Bad);
    };
    if !expected.fits(&head, planted) {
        return Ok(Found::Bad);
    }
    match read_records(file, offset, &head) {
        Ok(Some(records)) => Ok(Found::Whole(Block {
            head,
            checksum,
            records,
        })),
        Ok(None) => Ok(Found::Torn),
        Err(BlockError::Io(error)) if is_unreadable(&error) => Ok(Found::Unreadable),
        Err(error) => Err(error),
    }
}

/// The records of a block whose head is valid, if they are what the head says.
fn read_records<F: DiskFile>(
    file: &F,
    offset: u64,
    head: &BlockHead,
) -> Result<Option<Vec<(Record, Position)>>, BlockError> {
    let body_length = head.length as usize - HEAD_BYTES;
    let at = offset + HEAD_BYTES as u64;
    if file.length()? < at + body_length as u64 {
        return Ok(None);
    }
    let mut body = vec![0u8; body_length];
    if file.read_at(at, &mut body)? < body_length {
        return Ok(None);
    }
    let body = Bytes::from(body);
    let mut sums = Vec::new();
    let mut records = Vec::new();
    let mut done = 0;
    while done < body_length {
        let (record, length, sum) = match frame::decode(&body.slice(done..)) {
            Ok(decoded) => decoded,
            Err(error @ (FrameError::Kind(_) | FrameError::Entry(_))) => {
                return Err(BlockError::Newer(error.to_string()));
            }
            Err(_) => return Ok(None),
        };
        let Ok(offset) = u32::try_from(at + done as u64) else {
            return Ok(None);
        };
        records.push((
            record,
            Position {
                generation: head.generation,
                offset,
                length: length as u32,
            },
        ));
        sums.extend_from_slice(&sum.to_le_bytes());
        done += length;
    }
    let is_whole = records.len() == head.records as usize && crc32_iscsi(&sums) == head.sum;
    Ok(is_whole.then_some(records))
}

/// Notes the last entries that are readable in a file behind `end` (or in all of it, when the end is another's).
fn see_lost<F: DiskFile>(
    damage: &mut Damage,
    file: &ChainFile<F>,
    end: End,
    id: JournalId,
) -> io::Result<()> {
    let from = if end.generation == file.header.generation {
        end.offset
    } else {
        FIRST_BLOCK_AT
    };
    let mut blocks = Vec::new();
    heads(&*file.file, id, from, |at, head| {
        if (head.generation, head.salt) == (file.header.generation, file.header.salt) {
            blocks.push((at, head));
        }
        false
    })?;
    for (at, head) in blocks {
        let records = match read_records(&*file.file, at, &head) {
            Ok(records) => records.unwrap_or_default(),
            Err(BlockError::Io(error)) if !is_unreadable(&error) => return Err(error),
            Err(_) => continue,
        };
        for (record, _) in records {
            if let Record::Entry(entry) = record {
                let last = damage.lost.entry(entry.header.group).or_default();
                *last = entry.header.lsn.max(*last);
            }
        }
    }
    Ok(())
}
