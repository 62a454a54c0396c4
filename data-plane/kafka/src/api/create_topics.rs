//! CreateTopics.

use super::{Handler, assignment, configs};
use crate::error::Code;
use crate::session::Call;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use millstream_kafka_wire::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use millstream_kafka_wire::messages::{CreateTopicsRequest, CreateTopicsResponse};
use millstream_metadata::{CreateTopic, Image, TopicRow};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) struct CreateTopics;

impl Handler for CreateTopics {
    type Request = CreateTopicsRequest;

    async fn handle(call: &Call, request: CreateTopicsRequest) -> CreateTopicsResponse {
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<String> = request
            .topics
            .iter()
            .filter(|topic| !seen.insert(&topic.name))
            .map(|topic| topic.name.clone())
            .collect();
        let mut topics: Vec<CreatableTopicResult> = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let name = topic.name.clone();
            if topics.iter().any(|answered| answered.name == name) {
                continue;
            }
            let created = if twice.contains(&name) {
                Err((
                    ErrorCode::InvalidRequest,
                    "the topic is named twice in one request".to_owned(),
                ))
            } else {
                create(call, topic, request.validate_only).await
            };
            topics.push(match created {
                Ok(row) => answer(&call.image(), &row, request.validate_only),
                Err((code, text)) => CreatableTopicResult {
                    name,
                    error_code: call.code(&code),
                    error_message: Some(text),
                    num_partitions: -1,
                    replication_factor: -1,
                    configs: Some(Vec::new()),
                    ..CreatableTopicResult::default()
                },
            });
        }
        CreateTopicsResponse {
            topics,
            ..CreateTopicsResponse::default()
        }
    }
}

async fn create(
    call: &Call,
    topic: CreatableTopic,
    validate_only: bool,
) -> Result<Arc<TopicRow>, (ErrorCode, String)> {
    if !topic.assignments.is_empty() && (topic.num_partitions != -1 || topic.replication_factor != -1) {
        let text = "give a number of partitions or an assignment, not both";
        return Err((ErrorCode::InvalidRequest, text.to_owned()));
    }
    let (partitions, replication) = match topic.assignments.is_empty() {
        true => (topic.num_partitions, topic.replication_factor),
        false => assigned(call, &topic.assignments)?,
    };
    let mut config = BTreeMap::new();
    for one in topic.configs {
        let value = one
            .value
            .ok_or_else(|| (ErrorCode::InvalidConfig, format!("{} = null", one.name)))?;
        // Given twice, the last one holds, as with Kafka (only IncrementalAlterConfigs refuses that).
        config.insert(one.name, value);
    }
    let command = CreateTopic {
        tenant: call.who().tenant,
        name: topic.name,
        partitions,
        replication,
        config,
        validate_only,
    };
    let made = call.submit(command).await;
    made.map_err(|refusal| (refusal.code(), refusal.to_string()))
}

/// How many partitions and replicas an assignment comes to, if the service would place them so.
fn assigned(
    call: &Call,
    assignments: &[CreatableReplicaAssignment],
) -> Result<(i32, i16), (ErrorCode, String)> {
    let mut lists: Vec<(i32, &[i32])> = assignments
        .iter()
        .map(|one| (one.partition_index, one.broker_ids.as_slice()))
        .collect();
    lists.sort_unstable();
    let count = i32::try_from(lists.len()).unwrap_or(i32::MAX);
    if !lists.iter().map(|(index, _)| *index).eq(0..count) {
        let text = "an assignment names every partition from 0 on, once";
        return Err((ErrorCode::InvalidReplicaAssignment, text.to_owned()));
    }
    let lists: Vec<&[i32]> = lists.into_iter().map(|(_, list)| list).collect();
    let replicas = assignment::check(&call.image(), &lists)?;
    Ok((count, replicas))
}

fn answer(image: &Image, row: &TopicRow, validate_only: bool) -> CreatableTopicResult {
    let configs = configs::of_topic(image, row).map(|config| CreatableTopicConfigs {
        name: config.name.to_owned(),
        value: Some(config.value),
        read_only: false,
        config_source: config.source,
        is_sensitive: false,
    });
    CreatableTopicResult {
        name: row.name.as_str().to_owned(),
        topic_id: if validate_only {
            uuid::Uuid::nil()
        } else {
            row.id.0
        },
        num_partitions: i32::try_from(row.partitions.len()).unwrap_or(i32::MAX),
        replication_factor: i16::from(row.class.replicas),
        configs: Some(configs.collect()),
        error_message: None,
        ..CreatableTopicResult::default()
    }
}
