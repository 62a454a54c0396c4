//! The newest committed batches of a group in memory: what most fetches are served from (log.md 9).
//!
//! A FIFO in bytes over all partitions of the group: the batch that was committed first goes first.

use bytes::Bytes;
use millstream_model::{Offset, PartitionId};
use std::collections::{HashMap, VecDeque};

/// What keeping a batch costs beside its bytes: an allocation's header and its places in the two queues.
const BATCH_COST: usize = 128;

/// A committed batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) base_offset: Offset,
    pub(crate) end_offset: Offset,
    pub(crate) bytes: Bytes,
}

/// The newest batches of each partition of a group.
#[derive(Debug)]
pub(crate) struct Tail {
    bytes_max: usize,
    bytes: usize,
    /// The partition of every batch, oldest first.
    order: VecDeque<PartitionId>,
    partitions: HashMap<PartitionId, VecDeque<Batch>>,
}

impl Tail {
    pub(crate) fn new(bytes_max: usize) -> Tail {
        Tail {
            bytes_max,
            bytes: 0,
            order: VecDeque::new(),
            partitions: HashMap::new(),
        }
    }

    /// Adds a batch behind those of its partition.
    pub(crate) fn push(&mut self, partition: PartitionId, batch: Batch) {
        self.bytes += batch.bytes.len() + BATCH_COST;
        let batches = self.partitions.entry(partition).or_default();
        assert!(
            batches
                .back()
                .is_none_or(|last| last.end_offset <= batch.base_offset),
            "bug: a partition's batches come in the order of their offsets"
        );
        batches.push_back(batch);
        self.order.push_back(partition);
        while self.bytes > self.bytes_max && self.order.len() > 1 {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let Some(partition) = self.order.pop_front() else {
            return;
        };
        let Some(batches) = self.partitions.get_mut(&partition) else {
            return;
        };
        if let Some(batch) = batches.pop_front() {
            self.bytes -= batch.bytes.len() + BATCH_COST;
        }
        if batches.is_empty() {
            self.partitions.remove(&partition);
        }
    }

    /// The batches from the one that holds `offset` on; `None` when that one is not here.
    pub(crate) fn starting_at<'a>(
        &'a self,
        partition: &PartitionId,
        offset: Offset,
    ) -> Option<impl Iterator<Item = &'a Batch> + use<'a>> {
        let batches = self.partitions.get(partition)?;
        let first = batches.partition_point(|batch| batch.end_offset <= offset);
        batches.get(first).filter(|batch| batch.base_offset <= offset)?;
        Some(batches.range(first..))
    }

    /// Forgets a partition's batches; the places in the queue go with their turn.
    pub(crate) fn forget(&mut self, partition: &PartitionId) {
        let Some(batches) = self.partitions.remove(partition) else {
            return;
        };
        self.bytes -= batches
            .iter()
            .map(|batch| batch.bytes.len() + BATCH_COST)
            .sum::<usize>();
        self.order.retain(|other| other != partition);
    }

    /// Bytes kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
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

    fn batch(base: i64, bytes: usize) -> Batch {
        Batch {
            base_offset: Offset(base),
            end_offset: Offset(base + 10),
            bytes: vec![0; bytes].into(),
        }
    }

    fn bases(tail: &Tail, index: u32, offset: i64) -> Option<Vec<i64>> {
        let batches = tail.starting_at(&partition(index), Offset(offset))?;
        Some(batches.map(|batch| batch.base_offset.0).collect())
    }

    #[test]
    fn the_oldest_of_all_partitions_goes_first() {
        let mut tail = Tail::new(4 * (1000 + BATCH_COST));
        for base in [0, 10] {
            tail.push(partition(0), batch(base, 1000));
            tail.push(partition(1), batch(base, 1000));
        }
        assert_eq!(
            bases(&tail, 0, 5),
            Some(vec![0, 10]),
            "an offset inside a batch finds it"
        );
        tail.push(partition(1), batch(20, 1000));
        assert_eq!(bases(&tail, 0, 5), None);
        assert_eq!(bases(&tail, 0, 10), Some(vec![10]));
        assert_eq!(bases(&tail, 1, 0), Some(vec![0, 10, 20]));
        assert_eq!(bases(&tail, 1, 30), None, "the end is not in memory");
    }

    #[test]
    fn a_batch_larger_than_the_cache_is_kept_alone() {
        let mut tail = Tail::new(100);
        tail.push(partition(0), batch(0, 10));
        tail.push(partition(0), batch(10, 5000));
        assert_eq!(bases(&tail, 0, 10), Some(vec![10]));
        tail.forget(&partition(0));
        assert_eq!(tail.bytes(), 0);
        tail.push(partition(0), batch(20, 10));
        assert_eq!(bases(&tail, 0, 20), Some(vec![20]));
    }
}
