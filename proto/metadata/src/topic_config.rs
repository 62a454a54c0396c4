//! Kafka's topic configs: which there are, their defaults, what a value may be, and what they mean here.
//!
//! Names and defaults are Kafka 4.3's topic-level configs. Those about files on a broker's disk are accepted and
//! shown, and change nothing: partitions own no files here.

use crate::rows::TopicRow;
use millstream_model::limits::{BATCH_BYTES_MAX, TOPIC_CONFIG_VALUE_BYTES_MAX};

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Domain {
    /// A whole number within bounds.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A number from 0 to 1.
    Ratio,
    /// `true` or `false`.
    Boolean,
    /// One of these words; the others are Kafka's too, but not served yet.
    Word {
        /// Served.
        served: &'static [&'static str],
        /// Known, but refused for now.
        later: &'static [&'static str],
    },
    /// Kafka's list of throttled replicas; kept, not acted on.
    List,
}

/// One config.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopicConfig {
    /// Kafka's name.
    pub name: &'static str,
    /// Its value when nothing was set.
    pub default: &'static str,
    /// What a value may be.
    pub domain: Domain,
}

const fn config(name: &'static str, default: &'static str, domain: Domain) -> TopicConfig {
    TopicConfig {
        name,
        default,
        domain,
    }
}

const fn number(min: i64, max: i64) -> Domain {
    Domain::Integer { min, max }
}

const INT_MAX: i64 = i32::MAX as i64;
const LONG_MAX: i64 = i64::MAX;

/// Every config that a topic can have, by name.
pub const TOPIC_CONFIGS: &[TopicConfig] = &[
    config(
        "cleanup.policy",
        "delete",
        Domain::Word {
            served: &["delete"],
            later: &["compact", "compact,delete", "delete,compact"],
        },
    ),
    config("compression.gzip.level", "-1", number(-1, 9)),
    config("compression.lz4.level", "9", number(1, 17)),
    config(
        "compression.type",
        "producer",
        Domain::Word {
            served: &["producer"],
            later: &["uncompressed", "gzip", "snappy", "lz4", "zstd"],
        },
    ),
    config("compression.zstd.level", "3", number(-131_072, 22)),
    config("delete.retention.ms", "86400000", number(0, LONG_MAX)),
    config("file.delete.delay.ms", "60000", number(0, LONG_MAX)),
    config("flush.messages", "9223372036854775807", number(1, LONG_MAX)),
    config("flush.ms", "9223372036854775807", number(0, LONG_MAX)),
    config("follower.replication.throttled.replicas", "", Domain::List),
    config("index.interval.bytes", "4096", number(0, INT_MAX)),
    config("leader.replication.throttled.replicas", "", Domain::List),
    config("local.retention.bytes", "-2", number(-2, LONG_MAX)),
    config("local.retention.ms", "-2", number(-2, LONG_MAX)),
    config(
        "max.compaction.lag.ms",
        "9223372036854775807",
        number(1, LONG_MAX),
    ),
    config("max.message.bytes", "1048588", number(0, BATCH_BYTES_MAX as i64)),
    config("message.timestamp.after.max.ms", "3600000", number(0, LONG_MAX)),
    config(
        "message.timestamp.before.max.ms",
        "9223372036854775807",
        number(0, LONG_MAX),
    ),
    config(
        "message.timestamp.type",
        "CreateTime",
        Domain::Word {
            served: &["CreateTime", "LogAppendTime"],
            later: &[],
        },
    ),
    config("min.cleanable.dirty.ratio", "0.5", Domain::Ratio),
    config("min.compaction.lag.ms", "0", number(0, LONG_MAX)),
    config("min.insync.replicas", "1", number(1, INT_MAX)),
    config("preallocate", "false", Domain::Boolean),
    config("remote.log.copy.disable", "false", Domain::Boolean),
    config("remote.log.delete.on.disable", "false", Domain::Boolean),
    config("remote.storage.enable", "false", Domain::Boolean),
    config("retention.bytes", "-1", number(-1, LONG_MAX)),
    config("retention.ms", "604800000", number(-1, LONG_MAX)),
    config("segment.bytes", "1073741824", number(1_048_576, INT_MAX)),
    config("segment.index.bytes", "10485760", number(4, INT_MAX)),
    config("segment.jitter.ms", "0", number(0, LONG_MAX)),
    config("segment.ms", "604800000", number(1, LONG_MAX)),
    config(
        "unclean.leader.election.enable",
        "false",
        Domain::Word {
            served: &["false"],
            later: &[],
        },
    ),
];

/// The config with this name.
pub fn find(name: &str) -> Option<&'static TopicConfig> {
    TOPIC_CONFIGS.iter().find(|config| config.name == name)
}

/// Whether the config exists and may have this value; if not, why, in words for the one who asked.
pub fn check(name: &str, value: &str) -> Result<(), String> {
    let config = find(name).ok_or_else(|| format!("unknown topic config '{}'", shortened(name)))?;
    let refuse = |why: String| Err(format!("{name}={}: {why}", shortened(value)));
    if value.len() > TOPIC_CONFIG_VALUE_BYTES_MAX {
        return refuse(format!("longer than {TOPIC_CONFIG_VALUE_BYTES_MAX} bytes"));
    }
    match config.domain {
        Domain::Integer { min, max } => match value.trim().parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(()),
            Ok(_) => refuse(format!("must be between {min} and {max}")),
            Err(_) => refuse("must be a whole number".to_owned()),
        },
        Domain::Ratio => match value.trim().parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(()),
            _ => refuse("must be a number from 0 to 1".to_owned()),
        },
        Domain::Boolean => match value {
            "true" | "false" => Ok(()),
            _ => refuse("must be true or false".to_owned()),
        },
        Domain::Word { served, later } => {
            let compact: String = value.chars().filter(|c| !c.is_whitespace()).collect();
            if served.contains(&compact.as_str()) {
                Ok(())
            } else if later.contains(&compact.as_str()) {
                refuse(format!("not supported yet, only {}", served.join(" or ")))
            } else {
                refuse(format!("must be {}", served.join(" or ")))
            }
        }
        Domain::List => Ok(()),
    }
}

/// Which timestamp a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, when it appends.
    LogAppendTime,
}

/// A topic's configs as what they mean, defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// How long records are kept, ms; none = for ever.
    pub retention_ms: Option<i64>,
    /// How many bytes a partition keeps; none = any.
    pub retention_bytes: Option<u64>,
    /// The largest record batch.
    pub message_bytes_max: usize,
    /// Replicas in sync without which `acks=all` is refused.
    pub insync_min: u32,
    /// Which timestamp a record carries.
    pub timestamp_type: TimestampType,
    /// How far in the past a producer's timestamp may lie, ms.
    pub timestamp_before_ms_max: i64,
    /// How far in the future a producer's timestamp may lie, ms.
    pub timestamp_after_ms_max: i64,
}

impl TopicSettings {
    /// Of a topic. Values were checked when they were set; one that does not read counts as its default.
    pub fn of(topic: &TopicRow) -> TopicSettings {
        TopicSettings::read(|name| topic.config(name))
    }

    fn read<'a>(set: impl Fn(&str) -> Option<&'a str>) -> TopicSettings {
        let number = |name| number_of(set(name), name);
        TopicSettings {
            retention_ms: Some(number("retention.ms")).filter(|ms| *ms >= 0),
            retention_bytes: u64::try_from(number("retention.bytes")).ok(),
            message_bytes_max: usize::try_from(number("max.message.bytes"))
                .unwrap_or(0)
                .min(BATCH_BYTES_MAX),
            insync_min: u32::try_from(number("min.insync.replicas")).unwrap_or(1),
            timestamp_type: match set("message.timestamp.type") {
                Some("LogAppendTime") => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_ms_max: number("message.timestamp.before.max.ms"),
            timestamp_after_ms_max: number("message.timestamp.after.max.ms"),
        }
    }
}

impl Default for TopicSettings {
    /// Those of a topic that sets nothing.
    fn default() -> TopicSettings {
        TopicSettings::read(|_| None)
    }
}

fn number_of(set: Option<&str>, name: &str) -> i64 {
    let set = set.and_then(|value| value.trim().parse().ok());
    let default = || find(name).and_then(|config| config.default.parse().ok());
    set.or_else(default).unwrap_or_default()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
