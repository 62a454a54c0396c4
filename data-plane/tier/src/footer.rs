//! The footer of a segment object: which runs it has, and the blocks of each.
//!
//! ```text
//! footer   version u8 = 2 │ zero (3) │ runs u32 │ run…
//! run      topic (16) │ index u32 │ position u64 │ length u64 │ crc32c u32 │ first offset i64 │ end offset i64 │
//!          largest timestamp i64 │ blocks u32 │ block…
//! block    first offset i64 │ largest timestamp i64 │ length u32 │ crc32c u32
//! trailer  footer's length u64 │ footer's crc32c u32 │ "MSTIER01"
//! ```
//! Integers are little-endian. Blocks lie one after another from the run's position on. A block's checksum is that of
//! its batches' seals (`kafka-wire`), a run's that of its blocks' checksums.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use millstream_model::limits::OBJECT_FOOTER_BYTES_MAX;
use millstream_model::{Offset, PartitionId, PartitionIndex, TimestampMs, TopicId};

const VERSION: u8 = 2;
const MAGIC: &[u8; 8] = b"MSTIER01";
const RUN_BYTES: usize = 68;
const BLOCK_BYTES: usize = 24;

/// Bytes in the trailer.
pub(crate) const TRAILER_BYTES: usize = 20;

/// Some whole batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) base_offset: Offset,
    pub(crate) timestamp_max: TimestampMs,
    pub(crate) length: u32,
    pub(crate) checksum: u32,
}

/// One partition's batches in the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) partition: PartitionId,
    pub(crate) position: u64,
    pub(crate) length: u64,
    pub(crate) checksum: u32,
    pub(crate) base_offset: Offset,
    pub(crate) end_offset: Offset,
    pub(crate) timestamp_max: TimestampMs,
    pub(crate) blocks: Vec<Block>,
}

/// All runs of an object, in order of position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) runs: Vec<Run>,
}

/// What the trailer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) footer_bytes: usize,
    checksum: u32,
}

impl Footer {
    /// The footer and its trailer, as they end the object.
    pub(crate) fn encode(&self) -> Bytes {
        let blocks: usize = self.runs.iter().map(|run| run.blocks.len()).sum();
        let mut out =
            BytesMut::with_capacity(8 + self.runs.len() * RUN_BYTES + blocks * BLOCK_BYTES + TRAILER_BYTES);
        out.put_u8(VERSION);
        out.put_bytes(0, 3);
        out.put_u32_le(count(self.runs.len()));
        for run in &self.runs {
            out.put_slice(&run.partition.topic.to_bytes());
            out.put_u32_le(run.partition.index.0);
            out.put_u64_le(run.position);
            out.put_u64_le(run.length);
            out.put_u32_le(run.checksum);
            out.put_i64_le(run.base_offset.0);
            out.put_i64_le(run.end_offset.0);
            out.put_i64_le(run.timestamp_max.0);
            out.put_u32_le(count(run.blocks.len()));
            for block in &run.blocks {
                out.put_i64_le(block.base_offset.0);
                out.put_i64_le(block.timestamp_max.0);
                out.put_u32_le(block.length);
                out.put_u32_le(block.checksum);
            }
        }
        let length = out.len();
        let checksum = crc_fast::crc32_iscsi(&out);
        out.put_u64_le(length as u64);
        out.put_u32_le(checksum);
        out.put_slice(MAGIC);
        out.freeze()
    }

    /// Reads a footer whose trailer was read before.
    pub(crate) fn decode(bytes: Bytes, trailer: Trailer) -> Result<Footer, &'static str> {
        if bytes.len() != trailer.footer_bytes || crc_fast::crc32_iscsi(&bytes) != trailer.checksum {
            return Err("the footer's checksum does not fit");
        }
        let mut bytes = bytes;
        if bytes.len() < 8 {
            return Err("the footer is too short");
        }
        if bytes.get_u8() != VERSION {
            return Err("the footer's version needs another release");
        }
        bytes.advance(3);
        let mut runs = Vec::new();
        for _ in 0..bytes.get_u32_le() {
            runs.push(decode_run(&mut bytes)?);
        }
        if bytes.is_empty() {
            Ok(Footer { runs })
        } else {
            Err("the footer has bytes too many")
        }
    }

    /// The run that starts at this byte of the object.
    pub(crate) fn run_at(&self, position: u64) -> Option<&Run> {
        let at = self
            .runs
            .binary_search_by_key(&position, |run| run.position)
            .ok()?;
        self.runs.get(at)
    }

    /// Roughly what it takes in memory, bytes.
    pub(crate) fn weight(&self) -> usize {
        self.runs
            .iter()
            .map(|run| 128 + run.blocks.len() * std::mem::size_of::<Block>())
            .sum::<usize>()
            + 64
    }
}

impl Trailer {
    /// Reads the last bytes of an object.
    pub(crate) fn decode(end: &[u8]) -> Result<Trailer, &'static str> {
        let Some(mut trailer) = end.last_chunk::<TRAILER_BYTES>().map(|trailer| &trailer[..]) else {
            return Err("the object is shorter than a trailer");
        };
        let footer_bytes = trailer.get_u64_le();
        let checksum = trailer.get_u32_le();
        if trailer != MAGIC {
            return Err("the trailer is not one");
        }
        match usize::try_from(footer_bytes) {
            Ok(footer_bytes) if footer_bytes <= OBJECT_FOOTER_BYTES_MAX => Ok(Trailer {
                footer_bytes,
                checksum,
            }),
            _ => Err("the footer is larger than allowed"),
        }
    }
}

fn decode_run(bytes: &mut Bytes) -> Result<Run, &'static str> {
    const SHORT: &str = "the footer ends early";
    if bytes.len() < RUN_BYTES {
        return Err(SHORT);
    }
    let mut topic = [0; 16];
    bytes.copy_to_slice(&mut topic);
    let partition = PartitionId {
        topic: TopicId::from_bytes(topic),
        index: PartitionIndex(bytes.get_u32_le()),
    };
    let mut run = Run {
        partition,
        position: bytes.get_u64_le(),
        length: bytes.get_u64_le(),
        checksum: bytes.get_u32_le(),
        base_offset: Offset(bytes.get_i64_le()),
        end_offset: Offset(bytes.get_i64_le()),
        timestamp_max: TimestampMs(bytes.get_i64_le()),
        blocks: Vec::new(),
    };
    for _ in 0..bytes.get_u32_le() {
        if bytes.len() < BLOCK_BYTES {
            return Err(SHORT);
        }
        run.blocks.push(Block {
            base_offset: Offset(bytes.get_i64_le()),
            timestamp_max: TimestampMs(bytes.get_i64_le()),
            length: bytes.get_u32_le(),
            checksum: bytes.get_u32_le(),
        });
    }
    let length: u64 = run.blocks.iter().map(|block| u64::from(block.length)).sum();
    if length == run.length {
        Ok(run)
    } else {
        Err("a run's blocks do not add up")
    }
}

/// Runs and blocks are bounded by the size of an object, far below this.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
