//! When to move what is hot into the object store, and what.

use crate::group::GroupState;
use millstream_model::{Offset, PartitionId, TimestampMs};

/// When a group is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushSettings {
    /// As soon as this many bytes are hot.
    pub bytes: u64,
    /// As soon as something has been hot for this long, ms.
    pub age_ms: i64,
    /// An object takes about this many bytes at most; what is left goes into the next one.
    pub object_bytes_max: u64,
}

/// What one flush writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushPlan {
    /// In partition order.
    pub runs: Vec<FlushRun>,
}

/// One partition's part of a flush: whole batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushRun {
    /// The partition.
    pub partition: PartitionId,
    /// From this offset on; a batch that starts below it is already there.
    pub from: Offset,
    /// Up to this offset, the start of a batch or the end of the log.
    pub end: Offset,
    /// Bytes of its batches, about.
    pub bytes: u64,
}

/// What to flush now; `None` when nothing is due. With `force` everything hot is due, whatever its size and age.
pub fn plan_flush(
    state: &GroupState,
    now: TimestampMs,
    settings: FlushSettings,
    force: bool,
) -> Option<FlushPlan> {
    let oldest = state
        .partitions
        .values()
        .filter_map(|partition| partition.hot.first())
        .map(|run| run.time.0)
        .min()?;
    let old = now.0.saturating_sub(oldest) >= settings.age_ms;
    if !force && !old && state.hot_bytes() < settings.bytes {
        return None;
    }
    let mut runs = Vec::new();
    let mut room = settings.object_bytes_max;
    // Whoever pins the oldest entries goes first: the object may end before the last one's turn.
    let mut due: Vec<_> = state
        .partitions
        .iter()
        .filter_map(|(id, partition)| partition.hot.first().map(|run| (run.first, id, partition)))
        .collect();
    due.sort_unstable_by_key(|(first, id, _)| (*first, **id));
    for (_, id, partition) in due {
        let from = partition.tiered_up_to.max(partition.log_start);
        let mut run = FlushRun {
            partition: *id,
            from,
            end: from,
            bytes: 0,
        };
        for hot in partition.hot.iter() {
            if run.bytes + hot.bytes > room && !(runs.is_empty() && run.bytes == 0) {
                break;
            }
            run.bytes += hot.bytes;
            run.end = hot.end_offset;
        }
        if run.bytes == 0 {
            break;
        }
        room = room.saturating_sub(run.bytes);
        runs.push(run);
    }
    runs.sort_unstable_by_key(|run| run.partition);
    Some(FlushPlan { runs })
}
