//! What a topic gets that its maker did not say: set for the whole service, and by each virtual cluster for itself.

use millstream_model::limits::TOPIC_PARTITIONS_MAX;
use serde::{Deserialize, Serialize};

/// How long a topic keeps its records when nobody said, ms: Kafka's seven days.
pub const RETENTION_MS_DEFAULT: i64 = 604_800_000;

/// The most replicas that a topic can have.
const REPLICAS_MAX: u8 = 3;

/// Defaults of topics; none where a field is absent, and the next one in line holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicDefaults {
    /// Partitions of an automatically made topic, and of one made with -1: Kafka's `num.partitions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// How long records are kept where the topic does not say, ms, -1 for ever: Kafka's `log.retention.ms`. It holds for
    /// the topics that there are, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<i64>,
    /// Replicas of an automatically made topic, and of one made with -1: Kafka's `default.replication.factor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<u8>,
}

impl TopicDefaults {
    /// These, and the others where these say nothing.
    pub fn or(self, others: TopicDefaults) -> TopicDefaults {
        TopicDefaults {
            partitions: self.partitions.or(others.partitions),
            retention_ms: self.retention_ms.or(others.retention_ms),
            replication_factor: self.replication_factor.or(others.replication_factor),
        }
    }

    /// Whether they can be; if not, why, in words for the one who asked.
    pub fn check(&self) -> Result<(), String> {
        if self
            .partitions
            .is_some_and(|count| !(1..=TOPIC_PARTITIONS_MAX).contains(&count))
        {
            return Err(format!(
                "the default number of partitions must be between 1 and {TOPIC_PARTITIONS_MAX}"
            ));
        }
        if self.retention_ms.is_some_and(|ms| ms < -1) {
            return Err("the default retention must be -1 (for ever) or a number of ms".to_owned());
        }
        if self
            .replication_factor
            .is_some_and(|count| !(1..=REPLICAS_MAX).contains(&count))
        {
            return Err(format!(
                "the default replication factor must be between 1 and {REPLICAS_MAX}"
            ));
        }
        Ok(())
    }
}
