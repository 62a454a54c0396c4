//! Building a segment object: batches go in as they lie in memory, none is copied.

use crate::footer::{Block, Footer, Run, TRAILER_BYTES};
use bytes::Bytes;
use millstream_kafka_wire::batch::SEAL_BYTES;
use millstream_model::limits::OBJECT_BYTES_MAX;
use millstream_model::segment::{ObjectRef, SegmentRef};
use millstream_model::{Offset, PartitionId, TimestampMs};

/// One committed record batch of a run.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its bytes as they were stamped.
    pub bytes: Bytes,
    /// Its first offset.
    pub base_offset: Offset,
    /// One past its last offset.
    pub end_offset: Offset,
    /// Its largest timestamp.
    pub timestamp_max: TimestampMs,
}

/// Gathers runs into one object.
#[derive(Debug)]
pub struct FlushBuilder {
    object: ObjectRef,
    block_bytes: usize,
    chunks: Vec<Bytes>,
    footer: Footer,
    position: u64,
    block: Option<OpenBlock>,
    /// The seals of the open block's batches.
    seals: Vec<u8>,
}

#[derive(Debug)]
struct OpenBlock {
    base_offset: Offset,
    timestamp_max: TimestampMs,
    length: usize,
}

/// An object ready to be uploaded.
#[derive(Clone, Debug)]
pub struct Flush {
    /// Its name's parts.
    pub object: ObjectRef,
    /// What to remember of each run, once it is uploaded.
    pub segments: Vec<(PartitionId, SegmentRef)>,
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) footer: Footer,
}

impl FlushBuilder {
    /// An empty object. `block_bytes` is how large a block grows before the next one begins ([`crate::Settings`]).
    pub fn new(object: ObjectRef, block_bytes: usize) -> FlushBuilder {
        let footer = Footer::default();
        FlushBuilder {
            object,
            block_bytes,
            chunks: Vec::new(),
            footer,
            position: 0,
            block: None,
            seals: Vec::new(),
        }
    }

    /// Begins the run of a partition; a run that gets no batch is left out.
    pub fn begin(&mut self, partition: PartitionId) {
        self.end();
        self.footer.runs.push(Run {
            partition,
            position: self.position,
            length: 0,
            checksum: 0,
            base_offset: Offset(0),
            end_offset: Offset(0),
            timestamp_max: TimestampMs::NONE,
            blocks: Vec::new(),
        });
    }

    /// Adds the next batch of the run.
    ///
    /// # Panics
    /// Without [`FlushBuilder::begin`], or when batches do not follow one another: the caller reads a committed log.
    pub fn push(&mut self, batch: Batch) {
        // A large batch is a block of its own: the cache then keeps it as it lies in memory.
        let is_large = batch.bytes.len() >= self.block_bytes / 2;
        if is_large {
            self.end_block();
        }
        let run = self.footer.runs.last_mut().expect("bug: a run was begun");
        let first = run.blocks.is_empty() && self.block.is_none();
        assert!(
            batch.base_offset < batch.end_offset,
            "bug: a batch has at least one offset"
        );
        assert!(
            first || batch.base_offset >= run.end_offset,
            "bug: batches of a run follow one another"
        );
        if first {
            run.base_offset = batch.base_offset;
        }
        run.end_offset = batch.end_offset;
        run.timestamp_max = run.timestamp_max.max(batch.timestamp_max);
        run.length += batch.bytes.len() as u64;
        self.position += batch.bytes.len() as u64;
        let block = self.block.get_or_insert(OpenBlock {
            base_offset: batch.base_offset,
            timestamp_max: batch.timestamp_max,
            length: 0,
        });
        block.timestamp_max = block.timestamp_max.max(batch.timestamp_max);
        block.length += batch.bytes.len();
        let is_full = is_large || block.length >= self.block_bytes;
        // The rest of a batch is under the CRC in its seal: what was checked when it came in is not summed again.
        let seal = batch.bytes.get(..SEAL_BYTES).unwrap_or(&batch.bytes);
        self.seals.extend_from_slice(seal);
        self.chunks.push(batch.bytes);
        if is_full {
            self.end_block();
        }
    }

    /// Bytes gathered so far.
    pub fn bytes(&self) -> u64 {
        self.position
    }

    /// Whether a batch of this size still fits in an object.
    pub fn fits(&self, batch_bytes: usize) -> bool {
        self.position + batch_bytes as u64 <= OBJECT_BYTES_MAX
    }

    /// Whether nothing was gathered.
    pub fn is_empty(&self) -> bool {
        self.position == 0
    }

    /// The object, with its footer.
    pub fn finish(mut self) -> Flush {
        self.end();
        let mut position = 0;
        for run in &self.footer.runs {
            assert!(
                run.position == position,
                "bug: a run at {} where {position} is free",
                run.position
            );
            position += run.length;
        }
        assert!(
            position == self.position,
            "bug: runs of {position} bytes in an object of {}",
            self.position
        );
        let segments = self
            .footer
            .runs
            .iter()
            .map(|run| {
                let segment = SegmentRef {
                    object: self.object,
                    position: run.position,
                    length: run.length,
                    checksum: run.checksum,
                    base_offset: run.base_offset,
                    end_offset: run.end_offset,
                    timestamp_max: run.timestamp_max,
                };
                (run.partition, segment)
            })
            .collect();
        self.chunks.push(self.footer.encode());
        Flush {
            object: self.object,
            segments,
            chunks: self.chunks,
            footer: self.footer,
        }
    }

    /// Ends the current run.
    fn end(&mut self) {
        self.end_block();
        match self.footer.runs.last_mut() {
            Some(run) if run.blocks.is_empty() => drop(self.footer.runs.pop()),
            Some(run) => {
                let bytes: u64 = run.blocks.iter().map(|block| u64::from(block.length)).sum();
                assert!(
                    bytes == run.length,
                    "bug: blocks of {bytes} bytes in a run of {}",
                    run.length
                );
                let sums = run.blocks.iter().map(|block| block.checksum.to_le_bytes());
                run.checksum = crc_fast::crc32_iscsi(&sums.collect::<Vec<_>>().concat());
            }
            None => {}
        }
    }

    fn end_block(&mut self) {
        let (Some(block), Some(run)) = (self.block.take(), self.footer.runs.last_mut()) else {
            return;
        };
        let checksum = crc_fast::crc32_iscsi(&self.seals);
        self.seals.clear();
        run.blocks.push(Block {
            base_offset: block.base_offset,
            timestamp_max: block.timestamp_max,
            length: u32::try_from(block.length)
                .expect("bug: a block is at most a batch larger than its setting"),
            checksum,
        });
    }
}

impl Flush {
    /// Bytes of the whole object.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// The object as it will lie in the store, in pieces.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The bytes of the footer with its trailer.
    pub fn footer_bytes(&self) -> usize {
        self.chunks.last().map_or(TRAILER_BYTES, Bytes::len)
    }
}
