//! Leader epochs as clients see them (log.md 23, 26): in the batches that they read, in answers to fetches, ListOffsets
//! and OffsetForLeaderEpoch. Whoever was in charge when a batch was ordered is what all of them say of it, for ever.

use crate::world::{Check, GROUP, World};
use millstream_broker::bounds::{Look, ends, epoch_end, look_up};
use millstream_broker::interface::{Isolation, ListOffset};
use millstream_kafka_wire::batch::BatchView;
use millstream_metadata::PartitionRow;
use millstream_model::{Epoch, LeaderEpoch, Offset};
use millstream_partition::PartitionState;
use std::collections::BTreeMap;

/// What lifts a partition's epochs above those of earlier ones: as if one of the same name had been deleted.
pub fn base_epoch(index: u32) -> i32 {
    7 * i32::try_from(index).unwrap()
}

/// As the catalog says, and every door with it.
pub fn leader_epoch(index: u32, epoch: Epoch) -> LeaderEpoch {
    let row = PartitionRow {
        group: GROUP,
        base_epoch: base_epoch(index),
        deleted: false,
    };
    row.leader_epoch(epoch)
}

/// An epoch, and where it ends.
type End = (LeaderEpoch, Offset);

/// What clients have read.
#[derive(Default)]
pub struct Epochs {
    /// The first and the last offset of each epoch, by partition.
    read: BTreeMap<u32, BTreeMap<LeaderEpoch, (i64, i64)>>,
}

impl Epochs {
    /// A batch was read, which was ordered in a group's epoch.
    pub fn batch(&mut self, index: u32, batch: &BatchView, ordered: Epoch) -> Check {
        let header = batch.header();
        let (said, first) = (header.leader_epoch, header.base_offset.0);
        let last = first + i64::from(header.last_offset_delta);
        let was = leader_epoch(index, ordered);
        if said != was {
            return Err(format!(
                "the batch at {index}/{first} says leader epoch {said}, it was ordered in {was}"
            ));
        }
        let known = self.read.entry(index).or_default();
        let range = known.entry(said).or_insert((first, last));
        *range = (first.min(range.0), last.max(range.1));
        Ok(())
    }

    /// Who asks where an epoch ends must neither lose what it read of it, nor keep what another epoch has there. What lies
    /// before the log's start is nobody's any more.
    fn end(&self, index: u32, log_start: Offset, asked: LeaderEpoch, said: End, is_newest: bool) -> Check {
        let (epoch, Offset(end)) = said;
        let left = self.of(index).filter(|(_, (_, last))| *last >= log_start.0);
        for (known, (first, last)) in left {
            let first = first.max(log_start.0);
            let lost = is_newest && known <= asked && last >= end;
            let kept = known > asked && first < end;
            if epoch > asked || lost || kept {
                return Err(format!(
                    "epoch {asked} of {index} is said to end as {epoch} at {end}, clients have {first} to {last} of {known}"
                ));
            }
        }
        Ok(())
    }

    /// The epoch of what lies at an offset, as far as clients know.
    pub fn at(&self, index: u32, offset: i64) -> Option<LeaderEpoch> {
        let mut known = self.of(index);
        known.find_map(|(epoch, (first, last))| (first..=last).contains(&offset).then_some(epoch))
    }

    fn of(&self, index: u32) -> impl Iterator<Item = (LeaderEpoch, (i64, i64))> {
        let known = self.read.get(&index).into_iter().flatten();
        known.map(|(epoch, range)| (*epoch, *range))
    }
}

impl World {
    /// What a leader would answer for every epoch that a client knows of, and where the partition starts and ends.
    pub fn check_epochs(
        &self,
        epoch: Epoch,
        index: u32,
        state: Option<&PartitionState>,
        is_known: bool,
    ) -> Check {
        let now = leader_epoch(index, epoch);
        let (log_start, log_end) = ends(state);
        let is_newest = epoch >= self.check.led();
        for (asked, _) in self.check.epochs.of(index).filter(|(asked, _)| *asked <= now) {
            if let Ok(end) = epoch_end(state, now, asked, is_known) {
                let said = (end.leader_epoch, end.end_offset);
                self.check.epochs.end(index, log_start, asked, said, is_newest)?;
            }
        }
        for what in [ListOffset::Earliest, ListOffset::Latest] {
            let looked = look_up(state, now, what, Isolation::ReadUncommitted, is_known);
            let Ok(Look::Found(found)) = looked else {
                continue;
            };
            let wanted = match what {
                ListOffset::Latest => Some(now),
                // Who was deposed does not know what others have put behind its end since.
                _ if !is_newest && found.offset >= log_end => None,
                _ => self.check.epochs.at(index, found.offset.0),
            };
            let is_unknown = !is_known && found.leader_epoch == LeaderEpoch(-1);
            if wanted.is_some_and(|wanted| wanted != found.leader_epoch && !is_unknown) {
                return Err(format!(
                    "{what:?} of {index} is {} of epoch {}, which is of {wanted:?}",
                    found.offset, found.leader_epoch
                ));
            }
        }
        Ok(())
    }

    /// A consumer reads from a replica: the leader epoch that the answer bears, or none when the consumer is not served, for
    /// it has heard of a later one.
    pub fn fetched_epoch(&mut self, node: usize, index: u32) -> Option<LeaderEpoch> {
        let running = self.nodes[node].running.as_ref()?;
        let now = leader_epoch(index, running.replica.machine().epoch());
        let known = &mut self.fetched[index as usize];
        if now < *known {
            return None;
        }
        *known = now;
        Some(now)
    }
}

#[test]
fn an_epoch_that_ends_too_early_or_too_late_is_found() {
    let mut epochs = Epochs::default();
    let read = [(LeaderEpoch(3), (0, 4)), (LeaderEpoch(5), (5, 9))];
    epochs.read.insert(1, BTreeMap::from(read));
    let end_after = |log_start, asked, epoch, end, newest| {
        let said = (LeaderEpoch(epoch), Offset(end));
        epochs.end(1, Offset(log_start), LeaderEpoch(asked), said, newest)
    };
    let end = |asked, epoch, end, newest| end_after(0, asked, epoch, end, newest);
    assert_eq!(end(3, 3, 5, true), Ok(()));
    assert_eq!(end(4, 3, 5, true), Ok(()));
    assert_eq!(end(5, 5, 10, true), Ok(()));
    assert!(end(3, 3, 4, true).is_err(), "a client would cut off what it read");
    assert_eq!(end(3, 3, 4, false), Ok(()), "who was deposed may be behind");
    assert!(
        end(4, 3, 6, true).is_err(),
        "a client would keep what is of another epoch"
    );
    assert!(end(3, 5, 5, true).is_err(), "an epoch above the one asked for");
    assert_eq!(end_after(8, 4, 4, 8, true), Ok(()), "the rest was trimmed");
    assert_eq!(epochs.at(1, 4), Some(LeaderEpoch(3)));
    assert_eq!(epochs.at(1, 10), None);
}
