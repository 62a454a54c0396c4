//! How far a partition's log may be trimmed, by the age of its records and by its size; and whose sequences it need not
//! remember any longer.

use crate::partition::PartitionState;
use millstream_model::{Offset, TimestampMs};

/// What a topic keeps (Kafka's `retention.ms` and `retention.bytes`); `None` is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Records may go when they are older than this, ms.
    pub time_ms: Option<i64>,
    /// The oldest may go while the rest has at least this many bytes.
    pub bytes: Option<u64>,
}

/// Where the partition's log should start now, if that is further on.
///
/// Whole segments and runs go, oldest first, as in Kafka. A run without timestamps is judged by when it was written.
pub fn plan_retention(
    partition: &PartitionState,
    now: TimestampMs,
    settings: RetentionSettings,
) -> Option<Offset> {
    let cold = partition
        .cold
        .iter()
        .map(|segment| (segment.end_offset, segment.length, segment.timestamp_max));
    let hot = partition.hot.iter().map(|run| {
        let time = if run.timestamp_max.0 < 0 {
            run.time
        } else {
            run.timestamp_max
        };
        (run.end_offset, run.bytes, time)
    });
    let mut bytes = partition.bytes();
    let mut log_start = None;
    for (end_offset, length, time) in cold.chain(hot) {
        let has_time = time.0 >= 0;
        bytes = bytes.saturating_sub(length);
        let expired = settings
            .time_ms
            .is_some_and(|keep| has_time && now.0.saturating_sub(time.0) > keep);
        let surplus = settings.bytes.is_some_and(|keep| bytes >= keep);
        if expired || surplus {
            log_start = Some(end_offset);
        } else if has_time {
            break;
        }
        // What has no time is at least as old as what comes behind it, and goes when that goes.
    }
    // What belongs to an open transaction stays.
    log_start
        .map(|offset| offset.min(partition.last_stable()))
        .filter(|offset| *offset > partition.log_start)
}

/// Since when idempotent producers must have been silent to be forgotten now, if there are any: Kafka's
/// `producer.id.expiration.ms`. One whose transaction is open stays.
pub fn plan_forgetting(partition: &PartitionState, now: TimestampMs, keep_ms: i64) -> Option<TimestampMs> {
    let silent_since = TimestampMs(now.0.saturating_sub(keep_ms));
    let is_busy = |id| partition.transactions.is_open(id);
    let due = partition.producers.is_any_silent(silent_since, is_busy);
    due.then_some(silent_since)
}
