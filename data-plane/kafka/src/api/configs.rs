//! Configs as clients see them: of topics, where a value comes from, and what else Kafka lets have configs.

use crate::session::Call;
use millstream_kafka_wire::ErrorCode;
use millstream_metadata::topic_config::{Domain, TOPIC_CONFIGS, TopicConfig};
use millstream_metadata::{Image, Request, TopicRow};
use millstream_model::TopicName;
use std::collections::BTreeSet;

/// A list of words in Kafka.
const CLEANUP_POLICY: &str = "cleanup.policy";
/// The topic config whose default can be set, and what the default is called.
const RETENTION: &str = "retention.ms";
/// Kafka's name for the default of [`RETENTION`].
pub(super) const RETENTION_OF_BROKER: &str = "log.retention.ms";

// Kafka's `ConfigResource.Type`.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;
/// Everything that Kafka lets have configs.
pub(super) const RESOURCES: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

/// Kafka's `ConfigSource`: set on the topic.
pub(super) const SOURCE_TOPIC: i8 = 1;
/// The same: set for all brokers while they run; here by the virtual cluster.
pub(super) const SOURCE_ALL_BROKERS: i8 = 3;
/// The same: a setting of the broker's start.
pub(super) const SOURCE_STATIC: i8 = 4;
/// The same: the default.
pub(super) const SOURCE_DEFAULT: i8 = 5;

/// One config.
pub(super) struct Config {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) source: i8,
    /// Kafka's `ConfigType`.
    pub(super) kind: i8,
    /// Where the value comes from, and what would hold without it: the strongest first.
    pub(super) chain: Vec<Origin>,
}

/// A value and where it is set.
pub(super) struct Origin {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) source: i8,
}

/// All configs of a topic, by name.
pub(super) fn of_topic<'a>(image: &'a Image, topic: &'a TopicRow) -> impl Iterator<Item = Config> + 'a {
    TOPIC_CONFIGS.iter().map(|config| {
        let origin = |name, value: String, source| Origin { name, value, source };
        let set = topic.config(config.name);
        let mut chain: Vec<Origin> = set
            .map(|value| origin(config.name, value.to_owned(), SOURCE_TOPIC))
            .into_iter()
            .collect();
        if config.name == RETENTION {
            chain.extend(retention(image, topic));
        }
        chain.push(origin(config.name, config.default.to_owned(), SOURCE_DEFAULT));
        let (value, source) = chain
            .first()
            .map(|first| (first.value.clone(), first.source))
            .unwrap_or_default();
        Config {
            name: config.name,
            value,
            source,
            kind: kind(config),
            chain,
        }
    })
}

/// How long the topic's records would be kept if it did not say: as the virtual cluster says, and as the service does.
fn retention(image: &Image, topic: &TopicRow) -> impl Iterator<Item = Origin> {
    let of_tenant = image
        .virtual_cluster(topic.tenant)
        .and_then(|cluster| cluster.topic_defaults.retention_ms)
        .map(|ms| (ms, SOURCE_ALL_BROKERS));
    let of_service = image.cluster().topic_defaults.retention_ms;
    let of_service = of_service.map(|ms| (ms, SOURCE_STATIC));
    of_tenant
        .into_iter()
        .chain(of_service)
        .map(|(ms, source)| Origin {
            name: RETENTION_OF_BROKER,
            value: ms.to_string(),
            source,
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

/// What is asked for is a topic, whose configs can be altered; else a code and words.
pub(super) fn check_alterable(resource_type: i8, name: &str) -> Result<(), (ErrorCode, String)> {
    let text = match resource_type {
        TOPIC if name.parse::<TopicName>().is_ok() => return Ok(()),
        TOPIC => {
            let text = "no topic can have this name".to_owned();
            return Err((ErrorCode::InvalidTopicException, text));
        }
        BROKER => "a node's configs are settings of the service: clients do not alter them",
        BROKER_LOGGER => "clients do not alter what a node logs",
        CLIENT_METRICS => "metrics of clients are not taken",
        GROUP => "groups have no configs here: groups of the new protocols are not served",
        _ => "only topics have configs to alter",
    };
    Err((ErrorCode::InvalidRequest, text.to_owned()))
}

/// The refusal of a caller who may not describe configs of this kind.
pub(super) fn denied(resource_type: i8) -> (ErrorCode, String) {
    let code = match resource_type {
        TOPIC => ErrorCode::TopicAuthorizationFailed,
        GROUP => ErrorCode::GroupAuthorizationFailed,
        _ => ErrorCode::ClusterAuthorizationFailed,
    };
    (code, "this key may not describe configs".to_owned())
}

/// Submits a change of a topic's configs.
pub(super) async fn submit(call: &Call, command: impl Request) -> Result<(), (ErrorCode, String)> {
    use crate::error::Code;
    let done = call.submit(command).await;
    done.map(|_| ())
        .map_err(|refusal| (refusal.code(), refusal.to_string()))
}

/// Resources that one request names more than once: Kafka changes none of those.
pub(super) struct Twice(BTreeSet<(i8, String)>);

impl Twice {
    pub(super) fn among<'a>(named: impl Iterator<Item = (i8, &'a str)>) -> Twice {
        let mut seen = BTreeSet::new();
        let again = named.filter(|it| !seen.insert(*it));
        Twice(again.map(|(kind, name)| (kind, name.to_owned())).collect())
    }

    pub(super) fn check(&self, kind: i8, name: &str) -> Result<(), (ErrorCode, String)> {
        if self.0.contains(&(kind, name.to_owned())) {
            let text = "the resource is named twice in one request".to_owned();
            return Err((ErrorCode::InvalidRequest, text));
        }
        Ok(())
    }
}

/// What became of a change, as the answer has it: no words for what went well.
pub(super) fn told(altered: Result<(), (ErrorCode, String)>) -> (ErrorCode, Option<String>) {
    match altered {
        Ok(()) => (ErrorCode::None, None),
        Err((code, text)) => (code, Some(text)),
    }
}
