//! CreateTopics.

use super::Handler;
use super::configs;
use crate::error::Code;
use crate::session::Call;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::create_topics_request::CreatableTopic;
use millstream_kafka_wire::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use millstream_kafka_wire::messages::{CreateTopicsRequest, CreateTopicsResponse};
use millstream_metadata::{Command, CreateTopic, Reply, TopicRow};
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
                Ok(row) => answer(&row, request.validate_only),
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
    if !topic.assignments.is_empty() {
        let text = "replicas are placed by the service: give a number of partitions, no assignment";
        return Err((ErrorCode::InvalidReplicaAssignment, text.to_owned()));
    }
    let mut config = BTreeMap::new();
    for one in topic.configs {
        let value = one
            .value
            .ok_or_else(|| (ErrorCode::InvalidConfig, format!("{} = null", one.name)))?;
        config.insert(one.name, value);
    }
    let command = Command::CreateTopic(CreateTopic {
        tenant: call.who().tenant,
        name: topic.name,
        partitions: topic.num_partitions,
        replication: topic.replication_factor,
        config,
        validate_only,
    });
    match call.submit(command).await {
        Ok(committed) => match committed.reply {
            Reply::Topic(row) => Ok(row),
            _ => Err((
                ErrorCode::UnknownServerError,
                "the answer is not about a topic".to_owned(),
            )),
        },
        Err(refusal) => Err((refusal.code(), refusal.to_string())),
    }
}

fn answer(row: &TopicRow, validate_only: bool) -> CreatableTopicResult {
    let configs = configs::of_topic(row).map(|config| CreatableTopicConfigs {
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
        ..CreatableTopicResult::default()
    }
}
