//! CreatePartitions: more partitions for topics that exist.

use super::{Handler, assignment};
use crate::error::Code;
use crate::session::Call;
use crate::topics::find;
use millstream_access::Named;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::create_partitions_request::CreatePartitionsTopic;
use millstream_kafka_wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use millstream_kafka_wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
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

/// The lists of replicas, if there are any, are what the service does anyway. What else is wrong the command says.
fn check_assignments(call: &Call, topic: &CreatePartitionsTopic) -> Result<(), (ErrorCode, String)> {
    let image = call.image();
    let (Some(lists), Ok(row)) = (&topic.assignments, find(&image, call, Named::Name(&topic.name))) else {
        return Ok(());
    };
    let now = i32::try_from(row.partitions.len()).unwrap_or(i32::MAX);
    let more = topic.count.saturating_sub(now);
    if more <= 0 {
        return Ok(());
    }
    let refused = |text: String| Err((ErrorCode::InvalidReplicaAssignment, text));
    if usize::try_from(more) != Ok(lists.len()) {
        let count = lists.len();
        return refused(format!(
            "{more} partitions are to be added and {count} lists of replicas are given"
        ));
    }
    let lists: Vec<&[i32]> = lists.iter().map(|list| list.broker_ids.as_slice()).collect();
    let replicas = assignment::check(&image, &lists)?;
    if replicas != i16::from(row.class.replicas) {
        let has = row.class.replicas;
        return refused(format!("the topic's partitions have {has} replicas each"));
    }
    Ok(())
}

async fn create(
    call: &Call,
    topic: CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), (ErrorCode, String)> {
    check_assignments(call, &topic)?;
    let (name, total) = (topic.name, topic.count);
    let command = millstream_metadata::CreatePartitions {
        tenant: call.who().tenant,
        name,
        total,
        validate_only,
    };
    let done = call.submit(command).await;
    done.map(|_| ())
        .map_err(|refusal| (refusal.code(), refusal.to_string()))
}
