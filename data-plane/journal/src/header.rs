//! The header of a journal file: where it stands in the chain of files.
//!
//! ```text
//! byte  0      4       6     8           24          32    40        48        56        64        72
//!       magic  format  flags journal id  generation  salt  oldest    previous  previous  previous  commit
//!                                                          generat.  generat.  end       commit    of the
//! 80    previous checksum    84  checksum of 0..84                                                 first block
//! ```
//! It is written twice, at byte 0 and at byte 2048, and never both at once: the second copy (with the first
//! block) goes out after the first one is durable. So a crash leaves one of them whole, and a file of which neither
//! can be read although neither is empty has rotted.

use crate::disk::{DiskFile, is_unreadable};
use crate::frame::{u32_at, u64_at};
use crc_fast::crc32_iscsi;
use millstream_model::JournalId;
use std::io::{self, IoSlice};

/// Where the second copy is.
pub(crate) const SECOND_AT: u64 = 2048;
/// Where the first block is.
pub(crate) const FIRST_BLOCK_AT: u64 = 4096;
/// Bytes of one copy.
pub(crate) const COPY_BYTES: usize = 512;

const MAGIC: u32 = u32::from_le_bytes(*b"MSJF");
const FORMAT: u16 = 1;
const FLAG_DRAFT: u16 = 1;
const CHECKSUM_AT: usize = 84;

/// The header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Rises with every file that is opened.
    pub generation: u64,
    /// A random number that the file's blocks repeat.
    pub salt: u64,
    /// The oldest file that was needed when this one was opened.
    pub oldest: u64,
    /// The end of the chain when this file was opened.
    pub previous: End,
    /// The number of the first block.
    pub commit: u64,
    /// It was opened while a damaged journal was mended: it counts only when a file that is none goes on behind it.
    pub draft: bool,
}

/// The end of the blocks in a file. All zero when there is no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    pub generation: u64,
    /// The byte behind the last block and its zeros.
    pub offset: u64,
    /// The last block's number.
    pub commit: u64,
    /// The last block's checksum.
    pub checksum: u32,
}

/// What the head of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A header.
    Header(Header),
    /// None was ever completed.
    Unused,
    /// There was one.
    Rotten,
    /// Another journal's, or a newer release's.
    Foreign,
}

impl Header {
    /// One copy of the stored form.
    pub fn encode(&self, id: JournalId) -> [u8; COPY_BYTES] {
        let mut out = [0u8; COPY_BYTES];
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4..6].copy_from_slice(&FORMAT.to_le_bytes());
        out[6..8].copy_from_slice(&(if self.draft { FLAG_DRAFT } else { 0 }).to_le_bytes());
        out[8..24].copy_from_slice(&id.to_bytes());
        out[24..32].copy_from_slice(&self.generation.to_le_bytes());
        out[32..40].copy_from_slice(&self.salt.to_le_bytes());
        out[40..48].copy_from_slice(&self.oldest.to_le_bytes());
        out[48..56].copy_from_slice(&self.previous.generation.to_le_bytes());
        out[56..64].copy_from_slice(&self.previous.offset.to_le_bytes());
        out[64..72].copy_from_slice(&self.previous.commit.to_le_bytes());
        out[72..80].copy_from_slice(&self.commit.to_le_bytes());
        out[80..84].copy_from_slice(&self.previous.checksum.to_le_bytes());
        let checksum = crc32_iscsi(&out[..CHECKSUM_AT]);
        out[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the two copies at the head of a file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(file: &impl DiskFile, id: JournalId) -> io::Result<Found> {
        let mut copies = [Found::Unused; 2];
        for (copy, at) in copies.iter_mut().zip([0, SECOND_AT]) {
            let mut bytes = [0u8; COPY_BYTES];
            *copy = match file.read_at(at, &mut bytes) {
                Err(error) if is_unreadable(&error) => Found::Rotten,
                read => {
                    read?;
                    decode(&bytes, id)
                }
            };
        }
        Ok(match copies {
            [Found::Foreign, _] | [_, Found::Foreign] => Found::Foreign,
            [Found::Header(first), Found::Header(second)] if second.generation > first.generation => {
                Found::Header(second)
            }
            [Found::Header(header), _] | [_, Found::Header(header)] => Found::Header(header),
            [Found::Unused, _] | [_, Found::Unused] => Found::Unused,
            [Found::Rotten, Found::Rotten] => Found::Rotten,
        })
    }

    /// Writes one copy.
    ///
    /// # Errors
    /// Any of the disk's.
    pub fn write(&self, file: &impl DiskFile, id: JournalId, at: u64) -> io::Result<()> {
        file.write_at(at, &[IoSlice::new(&self.encode(id))])
    }
}

fn decode(bytes: &[u8; COPY_BYTES], id: JournalId) -> Found {
    if bytes.iter().all(|byte| *byte == 0) {
        return Found::Unused;
    }
    if crc32_iscsi(&bytes[..CHECKSUM_AT]) != u32_at(bytes, CHECKSUM_AT) || u32_at(bytes, 0) != MAGIC {
        return Found::Rotten;
    }
    let flags = u32_at(bytes, 4) >> 16;
    if u32_at(bytes, 4) & 0xffff != u32::from(FORMAT)
        || flags > u32::from(FLAG_DRAFT)
        || bytes[8..24] != id.to_bytes()
    {
        return Found::Foreign;
    }
    Found::Header(Header {
        generation: u64_at(bytes, 24),
        salt: u64_at(bytes, 32),
        oldest: u64_at(bytes, 40),
        previous: End {
            generation: u64_at(bytes, 48),
            offset: u64_at(bytes, 56),
            commit: u64_at(bytes, 64),
            checksum: u32_at(bytes, 80),
        },
        commit: u64_at(bytes, 72),
        draft: flags == u32::from(FLAG_DRAFT),
    })
}

/// The id in a file's header, whatever journal it belongs to; `None` when neither copy is whole.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn id_in(file: &impl DiskFile) -> io::Result<Option<JournalId>> {
    for at in [0, SECOND_AT] {
        let mut bytes = [0u8; COPY_BYTES];
        match file.read_at(at, &mut bytes) {
            Err(error) if is_unreadable(&error) => continue,
            read => drop(read?),
        }
        if crc32_iscsi(&bytes[..CHECKSUM_AT]) == u32_at(&bytes, CHECKSUM_AT) && u32_at(&bytes, 0) == MAGIC {
            let mut id = [0u8; 16];
            id.copy_from_slice(&bytes[8..24]);
            return Ok(Some(JournalId::from_bytes(id)));
        }
    }
    Ok(None)
}
