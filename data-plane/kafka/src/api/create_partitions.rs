//! CreatePartitions: more partitions for topics that exist.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::create_partitions_request::CreatePartitionsTopic;
use millstream_kafka_wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use millstream_kafka_wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use millstream_metadata::Command;
use std::collections::BTreeSet;

pub(super) struct CreatePartitions;

impl Handler for CreatePartitions {
    type Request = CreatePartitionsRequest;

    async fn handle(call: &Call, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
        let mut results = Vec::with_capacity(request.topics.len());
        let mut seen = BTreeSet::new();
        let names = request.topics.iter().map(|topic| topic.name.clone());
        let twice: BTreeSet<String> = names.filter(|name| !seen.insert(name.clone())).collect();
        let mut told = BTreeSet::new();
        for topic in request.topics {
            let name = topic.name.clone();
            let created = if twice.contains(&name) {
                if !told.insert(name.clone()) {
                    continue;
                }
                let text = "the topic is named twice in one request".to_owned();
                Err((ErrorCode::InvalidRequest, text))
            } else {
                create(call, topic, request.validate_only).await
            };
            let (code, error_message) = match created {
                Ok(()) => (ErrorCode::None, None),
                Err((code, text)) => (code, Some(text)),
            };
            results.push(CreatePartitionsTopicResult {
                name,
                error_code: call.code(&code),
                error_message,
            });
        }
        CreatePartitionsResponse {
            results,
            ..CreatePartitionsResponse::default()
        }
    }
}

async fn create(
    call: &Call,
    topic: CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), (ErrorCode, String)> {
    if topic.assignments.is_some() {
        let text = "replicas are placed by the service: give a number of partitions, no assignment";
        return Err((ErrorCode::InvalidReplicaAssignment, text.to_owned()));
    }
    let (name, total) = (topic.name, topic.count);
    let command = Command::CreatePartitions {
        tenant: call.who().tenant,
        name,
        total,
        validate_only,
    };
    let done = call.submit(command).await;
    done.map(|_| ())
        .map_err(|refusal| (refusal.code(), refusal.to_string()))
}
