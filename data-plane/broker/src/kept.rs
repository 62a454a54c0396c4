//! What the journal still has of records that are in the store, too: read from there while the store does not answer
//! (log.md 9, 10, 30).
//!
//! The state forgets where a batch lies in the journal once it is tiered, and the journal's index once it is released; the
//! bytes are there until the file is used again, hours later on a node with room. A few numbers for each batch, and only
//! for those in files that are in use.

use millstream_journal::Position;
use millstream_model::{Offset, PartitionId};
use std::collections::{BTreeMap, VecDeque};

/// Where the batches of a group lie in the journal, by partition, in offset order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    partitions: BTreeMap<PartitionId, VecDeque<Place>>,
}

/// One batch.
#[derive(Clone, Copy, Debug)]
struct Place {
    base_offset: Offset,
    end_offset: Offset,
    position: Position,
}

impl Kept {
    /// A batch lies here. One that is known already stays.
    pub(crate) fn push(
        &mut self,
        partition: PartitionId,
        (base_offset, end_offset): (Offset, Offset),
        position: Position,
    ) {
        let places = self.partitions.entry(partition).or_default();
        let next = places.back().map(|last| last.end_offset);
        if next.is_some_and(|next| base_offset < next) {
            return;
        }
        if next.is_some_and(|next| base_offset > next) {
            // What lay between is not here.
            places.clear();
        }
        places.push_back(Place {
            base_offset,
            end_offset,
            position,
        });
    }

    /// Files of generations before this one are used again.
    pub(crate) fn recycled(&mut self, oldest: u64) {
        self.partitions.retain(|_, places| {
            let gone = places.partition_point(|place| place.position.generation < oldest);
            places.drain(..gone);
            if places.len() * 4 < places.capacity() {
                places.shrink_to(places.len() * 2);
            }
            !places.is_empty()
        });
    }

    /// A partition is gone.
    pub(crate) fn forget(&mut self, partition: &PartitionId) {
        self.partitions.remove(partition);
    }

    /// Where the batches lie from the one with `offset` on that start before `end`: one, and more while they fit. None when
    /// the journal has not the first.
    pub(crate) fn places(
        &self,
        partition: &PartitionId,
        offset: Offset,
        end: Offset,
        bytes_max: usize,
    ) -> Option<Vec<Position>> {
        let places = self.partitions.get(partition)?;
        let first = places.partition_point(|place| place.end_offset <= offset);
        places.get(first).filter(|place| place.base_offset <= offset)?;
        let mut bytes = 0usize;
        let fits = |place: &&Place| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(place.position.length as usize);
            place.base_offset < end && (is_first || bytes <= bytes_max)
        };
        let found = places.range(first..).take_while(fits);
        Some(found.map(|place| place.position).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_model::{PartitionIndex, TopicId};

    fn partition() -> PartitionId {
        PartitionId {
            topic: TopicId::from_bytes([1; 16]),
            index: PartitionIndex(0),
        }
    }

    fn at(number: u32) -> Position {
        Position {
            generation: u64::from(number / 2),
            offset: number,
            length: 100,
        }
    }

    /// Six batches of ten offsets each, two in each file.
    fn kept() -> Kept {
        let mut kept = Kept::default();
        for number in 0..6 {
            let base = i64::from(number) * 10;
            kept.push(partition(), (Offset(base), Offset(base + 10)), at(number));
        }
        kept
    }

    fn places(kept: &Kept, offset: i64, end: i64, bytes_max: usize) -> Option<Vec<u32>> {
        let places = kept.places(&partition(), Offset(offset), Offset(end), bytes_max)?;
        Some(places.iter().map(|place| place.offset).collect())
    }

    #[test]
    fn what_the_journal_has_is_found_and_nothing_else() {
        let mut kept = kept();
        assert_eq!(places(&kept, 0, 60, 1), Some(vec![0]));
        assert_eq!(places(&kept, 15, 60, 250), Some(vec![1, 2]));
        assert_eq!(places(&kept, 15, 31, 10_000), Some(vec![1, 2, 3]));
        assert_eq!(places(&kept, 60, 70, 100), None);
        kept.push(partition(), (Offset(50), Offset(60)), at(9));
        assert_eq!(places(&kept, 50, 60, 100), Some(vec![5]), "it was known");
        kept.recycled(1);
        assert_eq!(places(&kept, 19, 60, 100), None, "its file is used again");
        assert_eq!(places(&kept, 20, 60, 100), Some(vec![2]));
        kept.push(partition(), (Offset(70), Offset(71)), at(10));
        assert_eq!(
            places(&kept, 30, 60, 100),
            None,
            "nothing across offsets that are missing"
        );
        kept.forget(&partition());
        assert_eq!(places(&kept, 70, 71, 100), None);
    }
}
