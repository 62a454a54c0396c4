//! Records that are gone with every journal that had them, and what stands in their place.
//!
//! A group that goes on from a snapshot without its journal (`group recover`, log.md 5, 17) has hot runs that nobody can
//! read. Its leader says so in the log, partition by partition, with a batch that has their offsets and no records: what
//! a compacted Kafka log has where all records of a batch are gone. Readers pass over it, the flush carries it to the
//! store like any other batch, the offsets are never given out again.
//!
//! Behind a damaged journal that goes on (`broker::mend`) such a batch may also come where the next one would: for records
//! that no snapshot knew. Then the partition's producers are forgotten, for nobody knows what they wrote last.

use crate::gap::Gap;
use crate::group::GroupState;
use crate::hot::HotRun;
use crate::partition::PartitionState;
use millstream_model::{LeaderEpoch, Lsn, PartitionId, TenantId};

/// What a group's partitions know as hot in entries up to `start`, which no journal has any more.
pub fn plan_lost(state: &GroupState, start: Lsn) -> Vec<(PartitionId, TenantId, Gap)> {
    let mut lost = Vec::new();
    for (id, partition) in &state.partitions {
        if partition.quarantine.is_none() {
            lost.extend(gaps(partition, start).map(|gap| (*id, partition.tenant, gap)));
        }
    }
    lost
}

/// One partition's lost runs, joined as far as one batch reaches.
fn gaps(partition: &PartitionState, start: Lsn) -> impl Iterator<Item = Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    for run in partition.hot.iter().filter(|run| run.last <= start) {
        let joined = gaps.last_mut().filter(|gap| joins(gap, run));
        match joined {
            Some(gap) => {
                gap.end_offset = run.end_offset;
                gap.timestamp_max = gap.timestamp_max.max(run.timestamp_max);
            }
            None => gaps.push(Gap {
                base_offset: run.base_offset,
                end_offset: run.end_offset,
                leader_epoch: LeaderEpoch(-1),
                timestamp_max: run.timestamp_max,
            }),
        }
    }
    gaps.into_iter().map(|gap| {
        let epoch = partition.epochs.epoch_at(gap.end_offset.plus(-1));
        Gap {
            leader_epoch: epoch.unwrap_or(gap.leader_epoch),
            ..gap
        }
    })
}

fn joins(gap: &Gap, run: &HotRun) -> bool {
    gap.end_offset == run.base_offset && run.end_offset.0 - gap.base_offset.0 <= i64::from(i32::MAX)
}
