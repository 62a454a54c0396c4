//! What the journal still has of records that are in the store, too: read from there while the store does not answer
//! (LOG.md 9, 10, 30).
//!
//! The state forgets where a batch lies in the journal once it is tiered; the journal keeps it until its file is released,
//! hours later on a node with room. Three numbers for each batch, and only for those that the journal has.

use millstream_model::{Lsn, Offset, PartitionId, TimestampMs};
use millstream_partition::HotRun;
use std::collections::{BTreeMap, VecDeque};

/// Where the batches of a group lie that the journal has, by partition, in offset order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    partitions: BTreeMap<PartitionId, VecDeque<Place>>,
}

/// One batch.
#[derive(Clone, Copy, Debug)]
struct Place {
    base_offset: Offset,
    end_offset: Offset,
    lsn: Lsn,
    bytes: u32,
}

impl Kept {
    /// The entry at `lsn` appended this.
    pub(crate) fn push(
        &mut self,
        partition: PartitionId,
        (base_offset, end_offset): (Offset, Offset),
        lsn: Lsn,
        bytes: u64,
    ) {
        let places = self.partitions.entry(partition).or_default();
        if places.back().is_some_and(|last| last.end_offset != base_offset) {
            // Not what follows: made anew, or what lay between was never here.
            places.clear();
        }
        places.push_back(Place {
            base_offset,
            end_offset,
            lsn,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        });
    }

    /// The journal no longer has entries up to here.
    pub(crate) fn release(&mut self, up_to: Lsn) {
        self.partitions.retain(|_, places| {
            let gone = places.partition_point(|place| place.lsn <= up_to);
            places.drain(..gone);
            if places.len() * 4 < places.capacity() {
                places.shrink_to(places.len() * 2);
            }
            !places.is_empty()
        });
    }

    /// The log ends here.
    pub(crate) fn truncate(&mut self, to: Lsn) {
        self.partitions.retain(|_, places| {
            let keep = places.partition_point(|place| place.lsn <= to);
            places.truncate(keep);
            !places.is_empty()
        });
    }

    /// A partition is gone.
    pub(crate) fn forget(&mut self, partition: &PartitionId) {
        self.partitions.remove(partition);
    }

    /// The batches from the one with `offset` on that start before `end`: one, and more while they fit. None when the
    /// journal has not the first.
    pub(crate) fn runs(
        &self,
        partition: &PartitionId,
        offset: Offset,
        end: Offset,
        bytes_max: usize,
    ) -> Option<Vec<HotRun>> {
        let places = self.partitions.get(partition)?;
        let first = places.partition_point(|place| place.end_offset <= offset);
        places.get(first).filter(|place| place.base_offset <= offset)?;
        let mut bytes = 0usize;
        let fits = |place: &&Place| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(place.bytes as usize);
            place.base_offset < end && (is_first || bytes <= bytes_max)
        };
        let runs = places.range(first..).take_while(fits).map(|place| HotRun {
            base_offset: place.base_offset,
            end_offset: place.end_offset,
            first: place.lsn,
            last: place.lsn,
            bytes: u64::from(place.bytes),
            timestamp_max: TimestampMs(0),
            time: TimestampMs(0),
        });
        Some(runs.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_model::{PartitionIndex, TopicId};

    fn partition(index: u32) -> PartitionId {
        PartitionId {
            topic: TopicId::from_bytes([1; 16]),
            index: PartitionIndex(index),
        }
    }

    /// Ten offsets in each of the entries 1 to 6 of partition 0.
    fn kept() -> Kept {
        let mut kept = Kept::default();
        for lsn in 1..=6 {
            let base = (lsn as i64 - 1) * 10;
            kept.push(partition(0), (Offset(base), Offset(base + 10)), Lsn(lsn), 100);
        }
        kept
    }

    fn lsns(kept: &Kept, offset: i64, end: i64, bytes_max: usize) -> Option<Vec<u64>> {
        let runs = kept.runs(&partition(0), Offset(offset), Offset(end), bytes_max)?;
        Some(runs.iter().map(|run| run.first.0).collect())
    }

    #[test]
    fn what_the_journal_has_is_found_and_nothing_else() {
        let mut kept = kept();
        assert_eq!(lsns(&kept, 0, 60, 1), Some(vec![1]));
        assert_eq!(lsns(&kept, 15, 60, 250), Some(vec![2, 3]));
        assert_eq!(lsns(&kept, 15, 31, 10_000), Some(vec![2, 3, 4]));
        assert_eq!(lsns(&kept, 60, 70, 100), None);
        kept.release(Lsn(2));
        assert_eq!(lsns(&kept, 19, 60, 100), None, "it was released");
        assert_eq!(lsns(&kept, 20, 60, 100), Some(vec![3]));
        kept.truncate(Lsn(4));
        assert_eq!(lsns(&kept, 30, 60, 10_000), Some(vec![4]));
        kept.push(partition(0), (Offset(70), Offset(71)), Lsn(9), 100);
        assert_eq!(
            lsns(&kept, 30, 60, 100),
            None,
            "no run over offsets that are missing"
        );
        kept.forget(&partition(0));
        assert_eq!(lsns(&kept, 70, 71, 100), None);
    }
}
