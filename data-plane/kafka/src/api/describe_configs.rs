//! DescribeConfigs: of topics, and the little that a node of a shared service has to say.

use super::Handler;
use super::configs::{self, SOURCE_ALL_BROKERS, SOURCE_DEFAULT, SOURCE_STATIC, SOURCE_TOPIC};
use crate::session::Call;
use crate::topics::look_up;
use millstream_access::Named;
use millstream_access::Operation;
use millstream_door::leadership::nodes;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::describe_configs_request::DescribeConfigsResource;
use millstream_kafka_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use millstream_kafka_wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use millstream_metadata::topic_config::documentation;
use millstream_metadata::topic_defaults::RETENTION_MS_DEFAULT;
use millstream_metadata::{Image, TopicDefaults};
use millstream_model::limits::{BATCH_BYTES_MAX, OFFSET_METADATA_BYTES_MAX};
use millstream_model::{NodeId, TenantId};
use std::collections::BTreeSet;

// Kafka's `ConfigType`.
const BOOLEAN: i8 = 1;
const INT: i8 = 3;
const LONG: i8 = 5;

pub(super) struct DescribeConfigs;

/// What is told of each config beside its value.
#[derive(Clone, Copy)]
struct More {
    synonyms: bool,
    documentation: bool,
}

type Described = Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)>;

impl Handler for DescribeConfigs {
    type Request = DescribeConfigsRequest;

    async fn handle(call: &Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
        let more = More {
            synonyms: request.include_synonyms,
            documentation: request.include_documentation,
        };
        // Each is described once, however often it was named: else a small request had a huge answer.
        let mut seen = BTreeSet::new();
        let mut resources = request.resources;
        resources.retain(|resource| {
            let keys = resource.configuration_keys.clone();
            seen.insert((resource.resource_type, resource.resource_name.clone(), keys))
        });
        let results = resources.into_iter().map(|resource| {
            let (code, text, configs) = match describe(call, &resource, more) {
                // Kafka says an empty text here, not null.
                Ok(configs) => (ErrorCode::None, String::new(), configs),
                Err((code, text)) => (code, text, Vec::new()),
            };
            DescribeConfigsResult {
                error_code: call.code(&code),
                error_message: Some(text),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                configs,
            }
        });
        DescribeConfigsResponse {
            results: results.collect(),
            ..DescribeConfigsResponse::default()
        }
    }
}

fn describe(call: &Call, resource: &DescribeConfigsResource, more: More) -> Described {
    let invalid = |text: &str| Err((ErrorCode::InvalidRequest, text.to_owned()));
    match resource.resource_type {
        kind if !call.may(Operation::Describe) => Err(configs::denied(kind)),
        configs::TOPIC => of_topic(call, resource, more),
        configs::BROKER => of_node(call, resource, more),
        // What a node logs is not shown: none of its loggers is.
        configs::BROKER_LOGGER => known_node(&call.image(), &resource.resource_name).map(|_| Vec::new()),
        configs::GROUP if resource.resource_name.is_empty() => invalid("a group has a name"),
        configs::CLIENT_METRICS if resource.resource_name.is_empty() => invalid("a subscription has a name"),
        // Only groups of the new protocols have configs, and only clients' metrics: neither is served.
        configs::GROUP | configs::CLIENT_METRICS => Ok(Vec::new()),
        other => invalid(&format!("there is no kind of resource {other}")),
    }
}

fn wanted(resource: &DescribeConfigsResource, name: &str) -> bool {
    resource
        .configuration_keys
        .as_ref()
        .is_none_or(|names| names.is_empty() || names.iter().any(|one| one == name))
}

fn of_topic(call: &Call, resource: &DescribeConfigsResource, more: More) -> Described {
    let name = &resource.resource_name;
    let image = call.image();
    let topic = look_up(&image, call, Named::Name(name)).map_err(|code| {
        let text = match code {
            ErrorCode::InvalidTopicException => "no topic can have this name",
            _ => "there is no topic of this name",
        };
        (code, text.to_owned())
    })?;
    let configs = configs::of_topic(&image, &topic).filter(|config| wanted(resource, config.name));
    let described = configs.map(|config| {
        let chain = config.chain.into_iter().filter(|_| more.synonyms);
        let synonyms = chain.map(|origin| DescribeConfigsSynonym {
            name: origin.name.to_owned(),
            value: Some(origin.value),
            source: origin.source,
        });
        DescribeConfigsResourceResult {
            name: config.name.to_owned(),
            read_only: false,
            is_default: config.source != SOURCE_TOPIC,
            config_source: config.source,
            is_sensitive: false,
            synonyms: synonyms.collect(),
            config_type: config.kind,
            documentation: documentation(config.name)
                .filter(|_| more.documentation)
                .map(str::to_owned),
            value: Some(config.value),
        }
    });
    Ok(described.collect())
}

/// A node, or with an empty name all of them: what was set for all while they run.
fn of_node(call: &Call, resource: &DescribeConfigsResource, more: More) -> Described {
    let (image, name) = (call.image(), &resource.resource_name);
    let node = match name.is_empty() {
        true => None,
        false => Some(known_node(&image, name)?),
    };
    let facts = facts(&image, call.who().tenant, node).into_iter();
    let facts = facts.filter(|fact| node.is_some() || fact.source == SOURCE_ALL_BROKERS);
    let described = facts.filter(|fact| wanted(resource, fact.name));
    let described = described.map(|fact| DescribeConfigsResourceResult {
        name: fact.name.to_owned(),
        value: Some(fact.value),
        read_only: true,
        config_source: fact.source,
        config_type: fact.kind,
        documentation: more.documentation.then(|| fact.documentation.to_owned()),
        ..DescribeConfigsResourceResult::default()
    });
    Ok(described.collect())
}

/// The node of this number.
fn known_node(image: &Image, name: &str) -> Result<NodeId, (ErrorCode, String)> {
    let node = name.parse().ok().map(NodeId);
    node.filter(|node| image.node(*node).is_some()).ok_or_else(|| {
        let text = "there is no broker of this number".to_owned();
        (ErrorCode::InvalidRequest, text)
    })
}

/// A config of a node.
struct Fact {
    name: &'static str,
    value: String,
    kind: i8,
    source: i8,
    documentation: &'static str,
}

fn fact(name: &'static str, value: String, kind: i8, source: i8, documentation: &'static str) -> Fact {
    Fact {
        name,
        value,
        kind,
        source,
        documentation,
    }
}

/// What the node's clients may want to know, by name.
fn facts(image: &Image, tenant: TenantId, node: Option<NodeId>) -> Vec<Fact> {
    let cluster = image.virtual_cluster(tenant);
    let auto_create = cluster.is_some_and(|cluster| cluster.auto_create_topics);
    let mut facts = vec![
        fact(
            "auto.create.topics.enable",
            auto_create.to_string(),
            BOOLEAN,
            SOURCE_STATIC,
            "Whether an unknown topic is made when a client asks for it.",
        ),
        fact(
            "broker.id",
            node.map(|node| node.to_string()).unwrap_or_default(),
            INT,
            SOURCE_STATIC,
            "The node's number.",
        ),
        fact(
            "message.max.bytes",
            BATCH_BYTES_MAX.to_string(),
            INT,
            SOURCE_STATIC,
            "The most that a topic's max.message.bytes can be.",
        ),
        fact(
            "offset.metadata.max.bytes",
            OFFSET_METADATA_BYTES_MAX.to_string(),
            INT,
            SOURCE_STATIC,
            "The longest text beside a committed offset.",
        ),
    ];
    let own = cluster.map(|cluster| cluster.topic_defaults).unwrap_or_default();
    facts.extend(defaults(image, own));
    facts.sort_by_key(|fact| fact.name);
    facts
}

/// What topics get that their makers did not say, and who said it: the virtual cluster, the service's settings, or
/// nobody.
fn defaults(image: &Image, own: TopicDefaults) -> [Fact; 3] {
    let service = image.cluster().topic_defaults;
    let defaults = own.or(service);
    let source = |said: fn(&TopicDefaults) -> bool| match (said(&own), said(&service)) {
        (true, _) => SOURCE_ALL_BROKERS,
        (false, true) => SOURCE_STATIC,
        (false, false) => SOURCE_DEFAULT,
    };
    let replicas = defaults.replication_factor.map_or_else(
        || nodes(image).count().clamp(1, 3).to_string(),
        |count| count.to_string(),
    );
    [
        fact(
            "default.replication.factor",
            replicas,
            INT,
            source(|said| said.replication_factor.is_some()),
            "Replicas of a topic whose maker did not say.",
        ),
        fact(
            configs::RETENTION_OF_BROKER,
            defaults.retention_ms.unwrap_or(RETENTION_MS_DEFAULT).to_string(),
            LONG,
            source(|said| said.retention_ms.is_some()),
            "How long records of a topic are kept that does not say, in milliseconds; -1 keeps them for ever.",
        ),
        fact(
            "num.partitions",
            defaults.partitions.unwrap_or(1).to_string(),
            INT,
            source(|said| said.partitions.is_some()),
            "Partitions of a topic whose maker did not say.",
        ),
    ]
}
