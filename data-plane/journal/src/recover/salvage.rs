//! What is whole behind damage: for the operator who decides to go on (log.md 5).
//!
//! ```text
//!   prefix │ block ✗ │ block ◄ block │ (a file is missing) │ block ◄ block ✗ (torn end)
//!          │  Lost,  │    records    │        Hole         │ records
//!          │ records │               │                     │
//! ```
//! Blocks are found by their heads, wherever they are, in files whose header may have rotted; they count when they belong to
//! the life of their file that the newest header, or the newest block, names. Within a block that is not whole the records
//! that are count too: each has sums of its own. Where it cannot be said what is gone there is a [`Behind::Hole`]. Nothing
//! is looked for inside of what cannot be read: a tenant could put a frame into a payload.

use super::heads::{heads, page_by_page};
use super::walk::BlockError;
use crate::block::{BlockHead, HEAD_BYTES, padded};
use crate::disk::{DiskFile, is_unreadable};
use crate::frame::{self, FrameError, Survey};
use crate::header::{self, End, FIRST_BLOCK_AT, Header};
use crate::record::Record;
use bytes::Bytes;
use crc_fast::crc32_iscsi;
use millstream_model::JournalId;
use millstream_model::entry::EntryHeader;
use std::sync::Arc;

/// What lies behind damage, in the journal's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// A record that is whole.
    Record(Record),
    /// An entry was here, and its payload is gone.
    Lost(EntryHeader),
    /// Any number of records may have been here.
    Hole,
}

/// The blocks behind damage.
pub struct Salvage<F> {
    id: JournalId,
    /// The end of what precedes the damage.
    end: End,
    blocks: Vec<Place<F>>,
    rest: Rest,
}

/// What is behind the last block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Nothing.
    Readable,
    /// Something that cannot be read, not where the next block would be.
    SomeUnreadable,
    /// The next block's place cannot be read: there may have been one.
    NextUnreadable,
}

/// Where a block lies.
struct Place<F> {
    file: Arc<F>,
    offset: u64,
    head: BlockHead,
    checksum: u32,
}

/// The blocks of one file.
struct Found<F> {
    generation: u64,
    /// The file that it goes on from; unknown where the header has rotted.
    previous: Option<u64>,
    blocks: Vec<Place<F>>,
}

impl<F: DiskFile> Salvage<F> {
    /// Finds the blocks behind `end` in these files; those older than `oldest` hold nothing that is needed.
    pub(crate) fn find(
        files: impl Iterator<Item = Arc<F>>,
        id: JournalId,
        end: End,
        oldest: u64,
    ) -> Result<Salvage<F>, BlockError> {
        let mut found = Vec::new();
        for file in files {
            found.extend(life(&file, id, end, oldest.max(end.generation))?);
        }
        found.sort_by_key(|life| life.generation);
        let skipped: Vec<u64> = found.iter().map(|life| life.generation).collect();
        let is_skipped = |generation: u64| {
            found.iter().any(|later| {
                let is_opened = !later.blocks.is_empty();
                let previous = later.previous.unwrap_or(u64::MAX);
                is_opened && later.generation > generation && previous < generation
            })
        };
        let skipped: Vec<u64> = skipped.into_iter().filter(|it| is_skipped(*it)).collect();
        found.retain(|life| !skipped.contains(&life.generation));
        let blocks: Vec<_> = found.into_iter().flat_map(|life| life.blocks).collect();
        let rest = blocks.last().map_or(Ok(Rest::Readable), |last| last.rest(id))?;
        Ok(Salvage {
            id,
            end,
            blocks,
            rest,
        })
    }

    /// Gives everything in order, one block in memory at a time; can be repeated.
    ///
    /// # Errors
    /// What `take` says, or when the disk fails otherwise than by not giving what it holds.
    pub fn each<E: From<crate::error::OpenError>>(
        &self,
        mut take: impl FnMut(Behind) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut commit, mut checksum) = (self.end.commit, self.end.checksum);
        for (at, place) in self.blocks.iter().enumerate() {
            if place.head.commit != commit + 1 || place.head.previous != checksum {
                take(Behind::Hole)?;
            }
            (commit, checksum) = (place.head.commit, place.checksum);
            let is_last = at + 1 == self.blocks.len();
            let mut records = Vec::new();
            let is_whole = survey(place, &mut records).map_err(crate::error::OpenError::from)?;
            if is_last && !is_whole && self.rest == Rest::Readable {
                // Torn: nobody was told that it is durable.
                break;
            }
            for record in records {
                take(record)?;
            }
        }
        if self.rest == Rest::NextUnreadable || self.blocks.is_empty() {
            take(Behind::Hole)?;
        }
        Ok(())
    }

    /// The journal's.
    pub fn id(&self) -> JournalId {
        self.id
    }
}

impl<F: DiskFile> Place<F> {
    /// What is behind it in its file.
    fn rest(&self, id: JournalId) -> Result<Rest, BlockError> {
        let at = self.offset + padded(u64::from(self.head.length));
        match self.file.read_at(at, &mut [0u8; HEAD_BYTES]) {
            Err(error) if is_unreadable(&error) => return Ok(Rest::NextUnreadable),
            read => drop(read?),
        }
        Ok(match heads(&*self.file, id, at, |_, _| false)? {
            true => Rest::Readable,
            false => Rest::SomeUnreadable,
        })
    }
}

/// The blocks of a file's newest life, behind `end` where that lies in it; none when it is older than `oldest`.
fn life<F: DiskFile>(
    file: &Arc<F>,
    id: JournalId,
    end: End,
    oldest: u64,
) -> Result<Option<Found<F>>, BlockError> {
    let header: Option<Header> = match Header::read(&**file, id)? {
        header::Found::Header(header) => Some(header),
        header::Found::Rotten => None,
        header::Found::Unused | header::Found::Foreign => return Ok(None),
    };
    if header.is_some_and(|header| header.generation < oldest) {
        return Ok(None);
    }
    let mut blocks = Vec::new();
    heads(&**file, id, FIRST_BLOCK_AT, |offset, head| {
        blocks.push((offset, head));
        false
    })?;
    let newest = blocks.iter().map(|(_, head)| (head.generation, head.salt)).max();
    let named = header.map(|header| (header.generation, header.salt));
    let Some((generation, salt)) = named.or(newest) else {
        return Ok(None);
    };
    if generation < oldest {
        return Ok(None);
    }
    blocks.retain(|(offset, head)| {
        let is_behind = generation > end.generation || *offset >= end.offset;
        (head.generation, head.salt) == (generation, salt) && is_behind
    });
    let places = blocks.into_iter().map(|(offset, head)| {
        let (_, checksum) = head.encode(id);
        Place {
            file: Arc::clone(file),
            offset,
            head,
            checksum,
        }
    });
    Ok(Some(Found {
        generation,
        previous: header.map(|header| header.previous.generation),
        blocks: places.collect(),
    }))
}

/// What can be read of a block; whether that is all of it.
fn survey<F: DiskFile>(place: &Place<F>, found: &mut Vec<Behind>) -> Result<bool, BlockError> {
    let mut bytes = vec![0u8; padded(u64::from(place.head.length)) as usize];
    match place.file.read_at(place.offset, &mut bytes) {
        Err(error) if is_unreadable(&error) => drop(page_by_page(&*place.file, place.offset, &mut bytes)?),
        read => drop(read?),
    }
    bytes.truncate(place.head.length as usize);
    let body = Bytes::from(bytes).slice(HEAD_BYTES..);
    let (mut at, mut seen, mut sums) = (0, 0u32, Vec::new());
    let newer = |error: FrameError| BlockError::Newer(error.to_string());
    while at < body.len() {
        let step = match frame::survey(&body.slice(at..)).map_err(newer)? {
            Survey::Whole(record, length) => {
                sums.extend_from_slice(&body[at..at + 4]);
                found.push(Behind::Record(record));
                Some(length)
            }
            Survey::PayloadBad(header, length) => {
                found.push(Behind::Lost(header));
                Some(length)
            }
            Survey::Bad(length) => {
                found.push(Behind::Hole);
                let next = length.map(|length| at + length);
                let follows = |next: usize| {
                    next == body.len()
                        || matches!(
                            frame::survey(&body.slice(next..)),
                            Ok(Survey::Whole(..) | Survey::PayloadBad(..))
                        )
                };
                next.filter(|next| follows(*next)).map(|next| next - at)
            }
        };
        let Some(step) = step else { return Ok(false) };
        (at, seen) = (at + step, seen + 1);
    }
    if seen != place.head.records {
        found.push(Behind::Hole);
    }
    Ok(seen == place.head.records && crc32_iscsi(&sums) == place.head.sum)
}
