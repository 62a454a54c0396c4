//! DeleteRecords: moves partitions' starts.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use crate::topics::{find, partition};
use millstream_access::Named;
use millstream_door::Action;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::delete_records_request::DeleteRecordsPartition;
use millstream_kafka_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use millstream_kafka_wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use millstream_metadata::TopicRow;
use millstream_model::Offset;
use std::sync::Arc;

pub(super) struct DeleteRecords;

impl Handler for DeleteRecords {
    type Request = DeleteRecordsRequest;

    async fn handle(call: &Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let found = find(&call.image(), call, Named::Name(&topic.name));
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let start = trim(call, &found, &asked).await;
                partitions.push(DeleteRecordsPartitionResult {
                    partition_index: asked.partition_index,
                    low_watermark: start.as_ref().map_or(-1, |start| start.0),
                    error_code: call.code(&start),
                });
            }
            topics.push(DeleteRecordsTopicResult {
                name: topic.name,
                partitions,
            });
        }
        DeleteRecordsResponse {
            topics,
            ..DeleteRecordsResponse::default()
        }
    }
}

async fn trim(
    call: &Call,
    topic: &Result<Arc<TopicRow>, ErrorCode>,
    asked: &DeleteRecordsPartition,
) -> Result<Offset, ErrorCode> {
    if !Action::DeleteRecords.is_allowed(call.who()) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let topic = topic.as_ref().map_err(|code| *code)?;
    let partition = partition(topic, asked.partition_index)?;
    let before = match asked.offset {
        -1 => None,
        0.. => Some(Offset(asked.offset)),
        _ => return Err(ErrorCode::OffsetOutOfRange),
    };
    call.broker()
        .delete_records(call.who(), partition, before)
        .await
        .map_err(|error| error.code())
}
