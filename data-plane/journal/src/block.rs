//! A block: one commit, at a multiple of 4096 bytes in a file (log.md 2).
//!
//! ```text
//! byte  0      4       6      8           16    24      32      36       40        44      48    60
//!       magic  format  flags  generation  salt  commit  length  records  checksum  sum of  zero  checksum of
//!                             of the file                                of block  the           0..60
//!                                                                        before    records
//! 64    the records, one behind the other; then zeros up to the next multiple of 4096
//! ```
//! The block's checksum is taken over the journal's id and the head. The head names the sum of the records, which
//! is the checksum of their checksums, so it covers everything; and a tenant, who knows neither id nor salt, cannot
//! put a block into a payload.

use crate::frame::{u32_at, u64_at};
use crc_fast::crc32_iscsi;
use millstream_model::JournalId;

/// What blocks and everything else in a file are aligned to: a page.
pub(crate) const ALIGN: u64 = 4096;
/// Bytes of a block's head.
pub(crate) const HEAD_BYTES: usize = 64;

const MAGIC: u32 = u32::from_le_bytes(*b"MSJB");
const FORMAT: u16 = 1;
const FLAG_CLOSES: u16 = 1;

/// The head of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHead {
    pub generation: u64,
    pub salt: u64,
    pub commit: u64,
    /// Bytes of the block, without the zeros behind it.
    pub length: u32,
    pub records: u32,
    /// The checksum of the block before.
    pub previous: u32,
    /// The checksum of the records' checksums.
    pub sum: u32,
    /// The journal was closed with this block.
    pub closes: bool,
}

impl BlockHead {
    /// The stored form and its checksum.
    pub fn encode(&self, id: JournalId) -> ([u8; HEAD_BYTES], u32) {
        let mut out = [0u8; HEAD_BYTES];
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4..6].copy_from_slice(&FORMAT.to_le_bytes());
        out[6..8].copy_from_slice(&(if self.closes { FLAG_CLOSES } else { 0 }).to_le_bytes());
        out[8..16].copy_from_slice(&self.generation.to_le_bytes());
        out[16..24].copy_from_slice(&self.salt.to_le_bytes());
        out[24..32].copy_from_slice(&self.commit.to_le_bytes());
        out[32..36].copy_from_slice(&self.length.to_le_bytes());
        out[36..40].copy_from_slice(&self.records.to_le_bytes());
        out[40..44].copy_from_slice(&self.previous.to_le_bytes());
        out[44..48].copy_from_slice(&self.sum.to_le_bytes());
        let checksum = checksum(id, &out);
        out[60..64].copy_from_slice(&checksum.to_le_bytes());
        (out, checksum)
    }

    /// The format of a head that another release wrote into this journal: its checksum is right, its format is not ours.
    pub fn newer_format(bytes: &[u8; HEAD_BYTES], id: JournalId) -> Option<u16> {
        let format = u16::from_le_bytes([bytes[4], bytes[5]]);
        let is_head = u32_at(bytes, 0) == MAGIC && checksum(id, bytes) == u32_at(bytes, 60);
        (is_head && format != FORMAT).then_some(format)
    }

    /// Reads a head; `None` when it is none of this journal.
    pub fn decode(bytes: &[u8; HEAD_BYTES], id: JournalId) -> Option<(BlockHead, u32)> {
        let flags = u32_at(bytes, 4);
        let checksum_stored = u32_at(bytes, 60);
        if u32_at(bytes, 0) != MAGIC
            || flags & 0xffff != u32::from(FORMAT)
            || checksum(id, bytes) != checksum_stored
        {
            return None;
        }
        let head = BlockHead {
            generation: u64_at(bytes, 8),
            salt: u64_at(bytes, 16),
            commit: u64_at(bytes, 24),
            length: u32_at(bytes, 32),
            records: u32_at(bytes, 36),
            previous: u32_at(bytes, 40),
            sum: u32_at(bytes, 44),
            closes: flags >> 16 == u32::from(FLAG_CLOSES),
        };
        (head.length as usize >= HEAD_BYTES).then_some((head, checksum_stored))
    }
}

/// `length` with the zeros that follow.
pub(crate) fn padded(length: u64) -> u64 {
    length.next_multiple_of(ALIGN)
}

fn checksum(id: JournalId, head: &[u8; HEAD_BYTES]) -> u32 {
    let mut bytes = [0u8; 16 + 60];
    bytes[..16].copy_from_slice(&id.to_bytes());
    bytes[16..].copy_from_slice(&head[..60]);
    crc32_iscsi(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: BlockHead = BlockHead {
        generation: 7,
        salt: u64::MAX - 3,
        commit: 99,
        length: 4097,
        records: 3,
        previous: 0x1234_5678,
        sum: 0x9abc_def0,
        closes: true,
    };

    #[test]
    fn a_head_reads_back() {
        let id = JournalId::from_bytes([5; 16]);
        let (bytes, checksum) = HEAD.encode(id);
        assert_eq!(BlockHead::decode(&bytes, id), Some((HEAD, checksum)));
    }

    #[test]
    fn a_changed_bit_or_another_journal_is_refused() {
        let id = JournalId::from_bytes([5; 16]);
        let (bytes, _) = HEAD.encode(id);
        assert_eq!(BlockHead::decode(&bytes, JournalId::from_bytes([6; 16])), None);
        for bit in 0..HEAD_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BlockHead::decode(&bytes, id), None, "bit {bit}");
        }
    }
}
