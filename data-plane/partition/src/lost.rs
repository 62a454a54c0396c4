//! Records that are gone with every journal that had them, and what stands in their place.
//!
//! A group that goes on from a snapshot without its journal (`group recover`, log.md 5, 17) has hot runs that nobody can
//! read. Its leader says so in the log, partition by partition, with a batch that has their offsets and no records: what
//! a compacted Kafka log has where all records of a batch are gone. Readers pass over it, the flush carries it to the
//! store like any other batch, the offsets are never given out again.
//!
//! Behind a damaged journal that goes on (`broker::mend`) such a batch may also come where the next one would: for records
//! that no snapshot knew. Then the partition's producers are forgotten, for nobody knows what they wrote last.

use crate::change::{PayloadError, stamped};
use crate::group::GroupState;
use crate::hot::HotRun;
use crate::partition::PartitionState;
use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchBuilder, HEADER_BYTES};
use millstream_model::{LeaderEpoch, Lsn, Offset, PartitionId, TenantId, TimestampMs};

/// Offsets whose records are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first.
    pub base_offset: Offset,
    /// One past the last; at most 2^31 further, or no batch could say it.
    pub end_offset: Offset,
    /// The epoch that wrote the last of them.
    pub leader_epoch: LeaderEpoch,
    /// The largest timestamp they had: retention judges the gap as it would have judged them.
    pub timestamp_max: TimestampMs,
}

impl Gap {
    /// Bytes of the batch that stands for it.
    pub(crate) const BYTES: u64 = HEADER_BYTES as u64;

    /// The batch that stands for it.
    pub fn batch(&self) -> Bytes {
        let last = self.end_offset.0 - self.base_offset.0 - 1;
        let mut builder = BatchBuilder::new().stamp(self.base_offset, self.leader_epoch);
        builder.extend_to(i32::try_from(last).expect("a gap is no longer than a batch may be"));
        builder.reach_to(self.timestamp_max);
        builder.build().expect("a header alone is within every limit")
    }

    pub(crate) fn read(payload: &Bytes) -> Result<Gap, PayloadError> {
        let header = stamped(payload)?;
        if header.record_count != 0 || header.size() != HEADER_BYTES {
            return Err(PayloadError::Records);
        }
        Ok(Gap {
            base_offset: header.base_offset,
            end_offset: header.next_offset(),
            leader_epoch: header.leader_epoch,
            timestamp_max: header.max_timestamp,
        })
    }
}

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
