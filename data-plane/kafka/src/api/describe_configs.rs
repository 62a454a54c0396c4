//! DescribeConfigs: of topics, and the little that a node of a shared service has to say.

use super::Handler;
use super::configs::{self, SOURCE_DEFAULT, SOURCE_TOPIC};
use crate::session::Call;
use crate::topics::{Named, find};
use millstream_access::Operation;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::describe_configs_request::DescribeConfigsResource;
use millstream_kafka_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use millstream_kafka_wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use millstream_model::TopicName;
use millstream_model::limits::{BATCH_BYTES_MAX, OFFSET_METADATA_BYTES_MAX};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Kafka's `ConfigSource`: of the node, fixed.
const SOURCE_STATIC: i8 = 4;

pub(super) struct DescribeConfigs;

impl Handler for DescribeConfigs {
    type Request = DescribeConfigsRequest;

    async fn handle(call: &Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
        let synonyms = request.include_synonyms;
        let results = request.resources.into_iter().map(|resource| {
            let described = match resource.resource_type {
                _ if !call.may(Operation::Describe) => Err(ErrorCode::TopicAuthorizationFailed),
                TOPIC => of_topic(call, &resource, synonyms),
                BROKER => of_node(call, &resource),
                _ => Err(ErrorCode::InvalidRequest),
            };
            DescribeConfigsResult {
                error_code: call.code(&described),
                error_message: described.as_ref().err().map(|code| code.name().to_owned()),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                configs: described.unwrap_or_default(),
            }
        });
        DescribeConfigsResponse {
            results: results.collect(),
            ..DescribeConfigsResponse::default()
        }
    }
}

fn wanted(resource: &DescribeConfigsResource, name: &str) -> bool {
    resource
        .configuration_keys
        .as_ref()
        .is_none_or(|names| names.is_empty() || names.iter().any(|one| one == name))
}

fn of_topic(
    call: &Call,
    resource: &DescribeConfigsResource,
    synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, ErrorCode> {
    let name = &resource.resource_name;
    name.parse::<TopicName>()
        .map_err(|_| ErrorCode::InvalidTopicException)?;
    let topic = find(&call.image(), call, Named::Name(name))?;
    let configs = configs::of_topic(&topic).filter(|config| wanted(resource, config.name));
    let described = configs.map(|config| {
        let set = config.source == SOURCE_TOPIC;
        let synonym = |value: &str, source| DescribeConfigsSynonym {
            name: config.name.to_owned(),
            value: Some(value.to_owned()),
            source,
        };
        let mut chain = Vec::new();
        if synonyms {
            chain.extend(set.then(|| synonym(&config.value, SOURCE_TOPIC)));
            chain.push(synonym(config.default, SOURCE_DEFAULT));
        }
        DescribeConfigsResourceResult {
            name: config.name.to_owned(),
            read_only: false,
            is_default: !set,
            config_source: config.source,
            is_sensitive: false,
            synonyms: chain,
            config_type: config.kind,
            documentation: None,
            value: Some(config.value),
        }
    });
    Ok(described.collect())
}

fn of_node(
    call: &Call,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, ErrorCode> {
    let node: i32 = resource
        .resource_name
        .parse()
        .map_err(|_| ErrorCode::InvalidRequest)?;
    if call.image().node(millstream_model::NodeId(node)).is_none() {
        return Err(ErrorCode::InvalidRequest);
    }
    let image = call.image();
    let cluster = image.virtual_cluster(call.who().tenant);
    let auto_create = cluster.is_some_and(|cluster| cluster.auto_create_topics);
    let partitions = cluster.map_or(1, |cluster| cluster.partitions_default);
    let facts = [
        ("auto.create.topics.enable", auto_create.to_string(), 1),
        ("broker.id", node.to_string(), 3),
        ("message.max.bytes", BATCH_BYTES_MAX.to_string(), 3),
        ("num.partitions", partitions.to_string(), 3),
        (
            "offset.metadata.max.bytes",
            OFFSET_METADATA_BYTES_MAX.to_string(),
            3,
        ),
    ];
    let described = facts.into_iter().filter(|(name, _, _)| wanted(resource, name));
    let described = described.map(|(name, value, config_type)| DescribeConfigsResourceResult {
        name: name.to_owned(),
        value: Some(value),
        read_only: true,
        config_source: SOURCE_STATIC,
        config_type,
        ..DescribeConfigsResourceResult::default()
    });
    Ok(described.collect())
}
