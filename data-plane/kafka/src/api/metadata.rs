//! Metadata: nodes, topics and who leads their partitions; unknown topics are made where the tenant allows it.

use super::{Handler, authorized};
use crate::error::Code;
use crate::session::Call;
use crate::topics;
use crate::topics::{by_id, look_up};
use millstream_access::Named;
use millstream_access::Operation;
use millstream_door::leadership::{leadership, nodes};
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::metadata_request::MetadataRequestTopic;
use millstream_kafka_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use millstream_kafka_wire::messages::{MetadataRequest, MetadataResponse};
use millstream_metadata::{Actor, CreateTopic, Image, Refusal, TopicRow};
use millstream_model::PartitionIndex;
use std::collections::{BTreeMap, BTreeSet};

/// From this version on topics can be named by their ids.
const BY_ID_FROM: i16 = 12;

pub(super) struct Metadata;

impl Handler for Metadata {
    type Request = MetadataRequest;

    async fn handle(call: &Call, request: MetadataRequest) -> MetadataResponse {
        let operations = if request.include_topic_authorized_operations {
            authorized::topic(call)
        } else {
            authorized::NOT_ASKED
        };
        // Version 0 has no null list: an empty one means all topics.
        let wanted = request
            .topics
            .filter(|topics| call.version > 0 || !topics.is_empty());
        if call.version < BY_ID_FROM && wanted.iter().flatten().any(is_by_id) {
            return refused(call, wanted.unwrap_or_default());
        }
        let mut topics = match wanted {
            None => {
                let image = call.image();
                let visible = topics::all(&image, call);
                let visible = visible.filter(|_| call.may(Operation::Describe));
                visible.map(|topic| describe(&image, topic)).collect()
            }
            Some(wanted) => {
                let create = call.version < 4 || request.allow_auto_topic_creation;
                let mut topics = Vec::with_capacity(wanted.len().min(1024));
                // Each is described once, however often it was named: else a small request had a huge answer.
                let mut seen = BTreeSet::new();
                for topic in wanted {
                    if seen.insert((topic.name.clone(), topic.topic_id)) {
                        topics.push(one(call, topic, create).await);
                    }
                }
                topics
            }
        };
        topics
            .iter_mut()
            .for_each(|topic| topic.topic_authorized_operations = operations);
        let image = call.image();
        let brokers = nodes(&image).map(|node| MetadataResponseBroker {
            node_id: node.id.0,
            host: node.kafka.host.clone(),
            port: i32::from(node.kafka.port),
            rack: None,
        });
        MetadataResponse {
            brokers: brokers.collect(),
            cluster_id: Some(call.who().tenant.account()),
            controller_id: call.broker().node().0,
            topics,
            cluster_authorized_operations: if request.include_cluster_authorized_operations {
                authorized::cluster(call)
            } else {
                authorized::NOT_ASKED
            },
            ..MetadataResponse::default()
        }
    }
}

fn is_by_id(wanted: &MetadataRequestTopic) -> bool {
    wanted.name.is_none() || !wanted.topic_id.is_nil()
}

/// Versions 10 and 11 have a field for ids and refuse them, as Kafka's do.
fn refused(call: &Call, wanted: Vec<MetadataRequestTopic>) -> MetadataResponse {
    let topics = wanted.into_iter().map(|wanted| MetadataResponseTopic {
        error_code: call.code(&ErrorCode::InvalidRequest),
        name: Some(wanted.name.unwrap_or_default()),
        topic_id: wanted.topic_id,
        ..MetadataResponseTopic::default()
    });
    MetadataResponse {
        topics: topics.collect(),
        ..MetadataResponse::default()
    }
}

async fn one(call: &Call, wanted: MetadataRequestTopic, create: bool) -> MetadataResponseTopic {
    let named = match &wanted.name {
        Some(name) if wanted.topic_id.is_nil() => Named::Name(name),
        _ => by_id(wanted.topic_id),
    };
    let image = call.image();
    let found = if call.may(Operation::Describe) {
        look_up(&image, call, named)
    } else {
        Err(ErrorCode::TopicAuthorizationFailed)
    };
    let error = match (found, &wanted.name) {
        (Ok(topic), _) => return describe(&image, &topic),
        (Err(ErrorCode::UnknownTopicOrPartition), Some(name)) if create => {
            match auto_create(call, &image, name).await {
                Ok(()) => {
                    let image = call.image();
                    match look_up(&image, call, named) {
                        Ok(topic) => return describe(&image, &topic),
                        // This node has not heard of it yet; the client asks again.
                        Err(_) => ErrorCode::LeaderNotAvailable,
                    }
                }
                Err(error) => error,
            }
        }
        (Err(error), _) => error,
    };
    MetadataResponseTopic {
        error_code: call.code(&error),
        // Who asked by an id that nobody has learns no name.
        name: wanted.name.filter(|_| error != ErrorCode::UnknownTopicId),
        topic_id: wanted.topic_id,
        ..MetadataResponseTopic::default()
    }
}

/// Makes a topic that somebody asked for, if the virtual cluster is set to do so and the caller may write.
async fn auto_create(call: &Call, image: &Image, name: &str) -> Result<(), ErrorCode> {
    let tenant = call.who().tenant;
    let wanted = image
        .virtual_cluster(tenant)
        .is_some_and(|cluster| cluster.auto_create_topics);
    if !wanted || !call.may(Operation::Produce) {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let command = CreateTopic {
        tenant,
        name: name.to_owned(),
        partitions: -1,
        replication: -1,
        config: BTreeMap::new(),
        validate_only: false,
    };
    // Who may write but not manage makes it all the same: the setting says so, not the key.
    let actor = if call.may(Operation::Manage) {
        call.who().actor()
    } else {
        Actor::System
    };
    match call.submit_as(actor, command).await {
        Ok(_) | Err(Refusal::TopicExists { .. }) => Ok(()),
        Err(refusal) => {
            tracing::debug!(%refusal, topic = name, "a topic was not made by itself");
            Err(match refusal {
                Refusal::NotController | Refusal::Unknown { .. } | Refusal::Overloaded => {
                    ErrorCode::LeaderNotAvailable
                }
                refusal => refusal.code(),
            })
        }
    }
}

fn describe(image: &Image, topic: &TopicRow) -> MetadataResponseTopic {
    let partitions = (0u32..)
        .zip(&topic.partitions)
        .map(|(index, _)| partition(image, topic, index));
    MetadataResponseTopic {
        name: Some(topic.name.as_str().to_owned()),
        topic_id: topic.id.0,
        is_internal: topic.internal,
        partitions: partitions.collect(),
        ..MetadataResponseTopic::default()
    }
}

fn partition(image: &Image, topic: &TopicRow, index: u32) -> MetadataResponsePartition {
    let mut described = MetadataResponsePartition {
        partition_index: i32::try_from(index).unwrap_or(i32::MAX),
        leader_id: -1,
        leader_epoch: -1,
        ..MetadataResponsePartition::default()
    };
    let known = leadership(image, topic, PartitionIndex(index));
    if let Some(known) = &known {
        described.leader_epoch = known.epoch.0;
        described.replica_nodes = known.replicas.iter().map(|node| node.0).collect();
        described.isr_nodes = known.in_sync.iter().map(|node| node.0).collect();
        described.offline_replicas = known.offline.iter().map(|node| node.0).collect();
    }
    match known.and_then(|known| known.leader) {
        Some(leader) => described.leader_id = leader.id.0,
        None => described.error_code = ErrorCode::LeaderNotAvailable.number(),
    }
    described
}
