//! What a topic's configs mean to its partitions, cheaply for the many that set none.

use millstream_metadata::TopicRow;
use millstream_metadata::topic_config::TopicSettings;
use millstream_partition::RetentionSettings;
use std::sync::OnceLock;

/// The settings of a topic that sets nothing.
static DEFAULTS: OnceLock<TopicSettings> = OnceLock::new();

/// A topic's settings.
pub(crate) fn settings(topic: &TopicRow) -> TopicSettings {
    match topic.config.is_empty() {
        true => *DEFAULTS.get_or_init(TopicSettings::default),
        false => TopicSettings::of(topic),
    }
}

/// What it keeps; everything when it is internal.
pub(crate) fn retention(topic: &TopicRow) -> RetentionSettings {
    if topic.internal {
        return RetentionSettings::default();
    }
    let TopicSettings {
        retention_ms,
        retention_bytes,
        ..
    } = settings(topic);
    RetentionSettings {
        time_ms: retention_ms,
        bytes: retention_bytes,
    }
}
