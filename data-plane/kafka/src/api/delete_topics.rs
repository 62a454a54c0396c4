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
use millstream_model::TopicId;
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
        let both = by_name_and_id(call, &wanted);
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
            } else if let Some(row) = named_by(call, &wanted).ok().filter(|row| both.contains(&row.id)) {
                // One answer for the topic, with its name and its id, as Kafka's.
                let name = row.name.as_str().to_owned();
                if !told.insert((Some(name.clone()), row.id.0)) {
                    continue;
                }
                (response.name, response.topic_id) = (Some(name), row.id.0);
                let text = "the topic is named by its name and by its id in one request".to_owned();
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

/// Topics that one entry gives by name and another by id: as little is known of what was meant.
fn by_name_and_id(call: &Call, wanted: &[DeleteTopicState]) -> BTreeSet<TopicId> {
    let ids = |by_name: bool| -> BTreeSet<TopicId> {
        let wanted = wanted.iter().filter(|wanted| wanted.name.is_some() == by_name);
        let rows = wanted.filter_map(|wanted| named_by(call, wanted).ok());
        rows.map(|row| row.id).collect()
    };
    ids(true).intersection(&ids(false)).copied().collect()
}

async fn delete(call: &Call, wanted: &DeleteTopicState) -> Result<Arc<TopicRow>, (ErrorCode, String)> {
    let row = named_by(call, wanted)?;
    let command = DeleteTopic {
        tenant: call.who().tenant,
        name: row.name.as_str().to_owned(),
    };
    match call.submit(command).await {
        Ok(_) => Ok(row),
        Err(refusal) => Err((refusal.code(), refusal.to_string())),
    }
}

/// The topic that an entry means.
fn named_by(call: &Call, wanted: &DeleteTopicState) -> Result<Arc<TopicRow>, (ErrorCode, String)> {
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
    find(&call.image(), call, named).map_err(|code| (code, "there is no such topic".to_owned()))
}
