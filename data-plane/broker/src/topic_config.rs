//! What a topic's configs mean to its partitions: Kafka's names and defaults.

use millstream_kafka_wire::batch::TimestampType;
use millstream_metadata::TopicRow;
use millstream_model::limits::BATCH_BYTES_MAX;
use millstream_partition::RetentionSettings;

/// Kafka's default for `retention.ms`: seven days.
const RETENTION_MS: i64 = 604_800_000;

/// Kafka's default for `message.timestamp.after.max.ms`: an hour.
const TIMESTAMP_AFTER_MAX_MS: i64 = 3_600_000;

fn number(topic: &TopicRow, name: &str) -> Option<i64> {
    topic.config(name).and_then(|value| value.parse().ok())
}

/// The largest batch that the topic takes, bytes.
pub(crate) fn batch_bytes_max(topic: &TopicRow) -> usize {
    let set = number(topic, "max.message.bytes").and_then(|bytes| usize::try_from(bytes).ok());
    set.map_or(BATCH_BYTES_MAX, |bytes| bytes.min(BATCH_BYTES_MAX))
}

/// Whose clock its records carry.
pub(crate) fn timestamp_type(topic: &TopicRow) -> TimestampType {
    match topic.config("message.timestamp.type") {
        Some("LogAppendTime") => TimestampType::LogAppendTime,
        _ => TimestampType::CreateTime,
    }
}

/// How far before and after the broker's clock a record's timestamp may be, ms.
pub(crate) fn timestamp_range(topic: &TopicRow) -> (i64, i64) {
    let before = number(topic, "message.timestamp.before.max.ms").unwrap_or(i64::MAX);
    let after = number(topic, "message.timestamp.after.max.ms").unwrap_or(TIMESTAMP_AFTER_MAX_MS);
    (before, after)
}

/// The fewest in-sync replicas with which it takes `acks=all`.
pub(crate) fn in_sync_min(topic: &TopicRow) -> usize {
    number(topic, "min.insync.replicas")
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(1)
}

/// What it keeps; everything when it is compacted only, or internal.
pub(crate) fn retention(topic: &TopicRow) -> RetentionSettings {
    let deletes = topic
        .config("cleanup.policy")
        .is_none_or(|policy| policy.split(',').any(|it| it.trim() == "delete"));
    if topic.internal || !deletes {
        return RetentionSettings::default();
    }
    RetentionSettings {
        time_ms: Some(number(topic, "retention.ms").unwrap_or(RETENTION_MS)).filter(|ms| *ms >= 0),
        bytes: number(topic, "retention.bytes").and_then(|bytes| u64::try_from(bytes).ok()),
    }
}
