//! A topic's configs as clients see them.

use millstream_metadata::TopicRow;
use millstream_metadata::topic_config::{Domain, TOPIC_CONFIGS, TopicConfig};

/// A list of words in Kafka.
const CLEANUP_POLICY: &str = "cleanup.policy";

/// Kafka's `ConfigSource`: set on the topic.
pub(super) const SOURCE_TOPIC: i8 = 1;
/// Kafka's `ConfigSource`: the default.
pub(super) const SOURCE_DEFAULT: i8 = 5;

/// One config.
pub(super) struct Config {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) source: i8,
    /// Kafka's `ConfigType`.
    pub(super) kind: i8,
    pub(super) default: &'static str,
}

/// All configs of a topic, by name.
pub(super) fn of_topic(topic: &TopicRow) -> impl Iterator<Item = Config> + '_ {
    TOPIC_CONFIGS.iter().map(|config| {
        let set = topic.config(config.name);
        Config {
            name: config.name,
            value: set.unwrap_or(config.default).to_owned(),
            source: if set.is_some() {
                SOURCE_TOPIC
            } else {
                SOURCE_DEFAULT
            },
            kind: kind(config),
            default: config.default,
        }
    })
}

/// Kafka's numbers: BOOLEAN 1, STRING 2, INT 3, SHORT 4, LONG 5, DOUBLE 6, LIST 7.
fn kind(config: &TopicConfig) -> i8 {
    match config.domain {
        Domain::Boolean => 1,
        Domain::Word { .. } if config.name == CLEANUP_POLICY => 7,
        Domain::Word { .. } => 2,
        Domain::Integer { max, .. } if max <= i64::from(i32::MAX) => 3,
        Domain::Integer { .. } => 5,
        Domain::Ratio => 6,
        Domain::List => 7,
    }
}

/// Whether a config is a list, to which words can be added.
pub(super) fn is_list(name: &str) -> bool {
    let found = TOPIC_CONFIGS.iter().find(|config| config.name == name);
    found.is_some_and(|config| kind(config) == 7)
}
