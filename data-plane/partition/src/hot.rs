//! Where a partition's batches lie in the group's log: the read index of what is not in the object store yet.

use crate::codec::{CodecError, Reader, Writer};
use millstream_model::{Lsn, Offset, TimestampMs};
use std::collections::VecDeque;

/// A run grows over adjacent entries up to this many bytes: reading one of its batches reads no more than this.
const RUN_BYTES_MAX: u64 = 32 * 1024;

/// Batches of one partition in adjacent entries of the group's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotRun {
    /// The first offset.
    pub base_offset: Offset,
    /// One past the last offset.
    pub end_offset: Offset,
    /// The first entry.
    pub first: Lsn,
    /// The last entry; all between belong to the run.
    pub last: Lsn,
    /// Bytes of its batches.
    pub bytes: u64,
    /// The largest timestamp of its records.
    pub timestamp_max: TimestampMs,
    /// When its first entry was written.
    pub time: TimestampMs,
}

/// The runs of one partition, in order, without gaps in their offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotRuns {
    runs: VecDeque<HotRun>,
    bytes: u64,
}

impl HotRuns {
    /// Adds what an entry appended.
    pub(crate) fn append(&mut self, run: HotRun) {
        self.bytes += run.bytes;
        if let Some(last) = self.runs.back_mut()
            && last.last.next() == run.first
            && last.bytes + run.bytes <= RUN_BYTES_MAX
        {
            last.end_offset = run.end_offset;
            last.last = run.last;
            last.bytes += run.bytes;
            last.timestamp_max = last.timestamp_max.max(run.timestamp_max);
            return;
        }
        self.runs.push_back(run);
    }

    /// Forgets the runs that end at or below `offset`; returns how many bytes they had.
    pub(crate) fn drop_below(&mut self, offset: Offset) -> u64 {
        let mut dropped = 0;
        while let Some(run) = self.runs.front().filter(|run| run.end_offset <= offset) {
            dropped += run.bytes;
            self.runs.pop_front();
        }
        self.bytes -= dropped;
        dropped
    }

    /// The runs from the one that holds `offset` on.
    pub fn starting_at(&self, offset: Offset) -> impl Iterator<Item = &HotRun> {
        let first = self.runs.partition_point(|run| run.end_offset <= offset);
        self.runs.range(first..)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &HotRun> {
        self.runs.iter()
    }

    /// Puts one run in the place of those that have exactly its offsets; whether there were any. It may lie later in the
    /// log than the runs behind it.
    pub(crate) fn replace(&mut self, run: HotRun) -> bool {
        let start = self.runs.partition_point(|old| old.base_offset < run.base_offset);
        let end = self.runs.partition_point(|old| old.end_offset <= run.end_offset);
        let gone = self.runs.range(start.min(end)..end);
        let (Some(first), Some(last)) = (gone.clone().next(), gone.clone().next_back()) else {
            return false;
        };
        if (first.base_offset, last.end_offset) != (run.base_offset, run.end_offset) {
            return false;
        }
        let bytes: u64 = gone.map(|old| old.bytes).sum();
        self.bytes = self.bytes - bytes + run.bytes;
        self.runs.drain(start..end);
        self.runs.insert(start, run);
        true
    }

    /// The first entry of the log that any of them needs.
    pub fn first_lsn(&self) -> Option<Lsn> {
        self.runs.iter().map(|run| run.first).min()
    }

    /// The one with the lowest offsets.
    pub fn first(&self) -> Option<&HotRun> {
        self.runs.front()
    }

    /// Bytes of all their batches.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.count(self.runs.len());
        for run in &self.runs {
            out.offset(run.base_offset);
            out.offset(run.end_offset);
            out.u64(run.first.0);
            out.u64(run.last.0);
            out.u64(run.bytes);
            out.time(run.timestamp_max);
            out.time(run.time);
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<HotRuns, CodecError> {
        let runs = from.list(56, |from| {
            Ok(HotRun {
                base_offset: from.offset()?,
                end_offset: from.offset()?,
                first: Lsn(from.u64()?),
                last: Lsn(from.u64()?),
                bytes: from.u64()?,
                timestamp_max: from.time()?,
                time: from.time()?,
            })
        })?;
        let bytes = runs.iter().map(|run| run.bytes).fold(0, u64::saturating_add);
        Ok(HotRuns {
            runs: runs.into(),
            bytes,
        })
    }
}
