//! Looking for the heads of blocks anywhere in a file, past what is bad and past what the disk cannot read.

use crate::block::{ALIGN, BlockHead};
use crate::disk::{DiskFile, is_unreadable};
use crate::header::{FIRST_BLOCK_AT, Header};
use millstream_model::JournalId;
use std::io;

/// How much is read at once where a block may or may not be.
const CHUNK: usize = 1024 * 1024;

/// What lies behind a bad block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Later {
    /// A block of a later commit: what is bad was durable.
    Block,
    /// No such block in what can be read, which is not all.
    Unreadable,
    /// None.
    None,
}

/// Calls `see` for every head of a block of this journal from `offset` to the end of the file, until it says that it has
/// seen enough. Returns whether all was readable up to there.
///
/// # Errors
/// When the disk fails otherwise than by not giving what it holds.
pub(super) fn heads<F: DiskFile>(
    file: &F,
    id: JournalId,
    offset: u64,
    mut see: impl FnMut(u64, BlockHead) -> bool,
) -> io::Result<bool> {
    let mut chunk = vec![0u8; CHUNK];
    let mut is_readable = true;
    let mut at = offset;
    loop {
        let read = match file.read_at(at, &mut chunk) {
            Err(error) if is_unreadable(&error) => {
                is_readable = false;
                page_by_page(file, at, &mut chunk)?
            }
            read => read?,
        };
        for (page, place) in chunk[..read].chunks(ALIGN as usize).zip(0u64..) {
            if let Some(bytes) = page.first_chunk()
                && let Some((head, _)) = BlockHead::decode(bytes, id)
                && see(at + place * ALIGN, head)
            {
                return Ok(is_readable);
            }
        }
        if read < CHUNK {
            return Ok(is_readable);
        }
        at += CHUNK as u64;
    }
}

/// Fills `chunk` with what can be read, and zeros where nothing can.
pub(super) fn page_by_page<F: DiskFile>(file: &F, at: u64, chunk: &mut [u8]) -> io::Result<usize> {
    let length = usize::try_from(file.length()?.saturating_sub(at)).unwrap_or(usize::MAX);
    let length = length.min(chunk.len());
    for (page, place) in chunk[..length].chunks_mut(ALIGN as usize).zip(0u64..) {
        match file.read_at(at + place * ALIGN, page) {
            Err(error) if is_unreadable(&error) => page.fill(0),
            read => drop(read?),
        }
    }
    Ok(length)
}

/// Whether, from `offset` on, a block of this life of the file has a number above `commit`. Its head is enough: it was
/// written when everything up to `commit` was durable.
///
/// # Errors
/// When the disk fails otherwise than by not giving what it holds.
pub(super) fn later_block<F: DiskFile>(
    file: &F,
    id: JournalId,
    header: &Header,
    offset: u64,
    commit: u64,
) -> io::Result<Later> {
    let mut found = false;
    let is_readable = heads(file, id, offset, |_, head| {
        found = (head.generation, head.salt) == (header.generation, header.salt) && head.commit > commit;
        found
    })?;
    Ok(match (found, is_readable) {
        (true, _) => Later::Block,
        (false, false) => Later::Unreadable,
        (false, true) => Later::None,
    })
}

/// Whether all of a file's blocks can be read.
///
/// # Errors
/// When the disk fails otherwise than by not giving what it holds.
pub(crate) fn is_readable<F: DiskFile>(file: &F, id: JournalId) -> io::Result<bool> {
    heads(file, id, FIRST_BLOCK_AT, |_, _| false)
}

/// The highest generation in the blocks of a file, 0 when there is none; and whether all of it could be read.
///
/// # Errors
/// When the disk fails otherwise than by not giving what it holds.
pub(super) fn newest_generation<F: DiskFile>(file: &F, id: JournalId) -> io::Result<(u64, bool)> {
    let mut newest = 0;
    let is_readable = heads(file, id, FIRST_BLOCK_AT, |_, head| {
        newest = newest.max(head.generation);
        false
    })?;
    Ok((newest, is_readable))
}
