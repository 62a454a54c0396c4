//! DeleteTopics: by name, from version 6 on also by id.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use crate::topics::{by_id, find};
use millstream_access::Named;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::delete_topics_request::DeleteTopicState;
use millstream_kafka_wire::messages::delete_topics_response::DeletableTopicResult;
use millstream_kafka_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use millstream_metadata::{DeleteTopic, TopicRow};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

pub(super) struct DeleteTopics;

impl Handler for DeleteTopics {
    type Request = DeleteTopicsRequest;

    async fn handle(call: &Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
        let wanted = if call.version >= 6 {
            request.topics
        } else {
            let named = |name| DeleteTopicState {
                name: Some(name),
                ..DeleteTopicState::default()
            };
            request.topic_names.into_iter().map(named).collect()
        };
        let twice = twice(&wanted);
        let mut responses: Vec<DeletableTopicResult> = Vec::with_capacity(wanted.len());
        let mut told = BTreeSet::new();
        for wanted in wanted {
            let mut response = DeletableTopicResult {
                name: wanted.name.clone(),
                topic_id: wanted.topic_id,
                ..DeletableTopicResult::default()
            };
            let named = (wanted.name.clone(), wanted.topic_id);
            let deleted = if twice.contains(&named) {
                if !told.insert(named) {
                    continue;
                }
                let text = "the topic is named twice in one request".to_owned();
                Err((ErrorCode::InvalidRequest, text))
            } else {
                delete(call, &wanted).await
            };
            match deleted {
                Ok(row) => {
                    (response.name, response.topic_id) = (Some(row.name.as_str().to_owned()), row.id.0)
                }
                Err((code, text)) => {
                    (response.error_code, response.error_message) = (call.code(&code), Some(text))
                }
            }
            responses.push(response);
        }
        DeleteTopicsResponse {
            responses,
            ..DeleteTopicsResponse::default()
        }
    }
}

/// Who is named more than once: then nobody knows what was meant.
fn twice(wanted: &[DeleteTopicState]) -> BTreeSet<(Option<String>, Uuid)> {
    let mut seen = BTreeSet::new();
    let again = wanted
        .iter()
        .map(|wanted| (wanted.name.clone(), wanted.topic_id))
        .filter(|named| !seen.insert(named.clone()));
    again.collect()
}

async fn delete(call: &Call, wanted: &DeleteTopicState) -> Result<Arc<TopicRow>, (ErrorCode, String)> {
    let named = match &wanted.name {
        Some(_) if !wanted.topic_id.is_nil() => {
            return Err((
                ErrorCode::InvalidRequest,
                "give a topic's name or its id, not both".to_owned(),
            ));
        }
        None if wanted.topic_id.is_nil() => {
            return Err((
                ErrorCode::InvalidRequest,
                "give a topic's name or its id".to_owned(),
            ));
        }
        Some(name) => Named::Name(name),
        None => by_id(wanted.topic_id),
    };
    let row = find(&call.image(), call, named).map_err(|code| (code, "there is no such topic".to_owned()))?;
    let command = DeleteTopic {
        tenant: call.who().tenant,
        name: row.name.as_str().to_owned(),
    };
    match call.submit(command).await {
        Ok(_) => Ok(row),
        Err(refusal) => Err((refusal.code(), refusal.to_string())),
    }
}
