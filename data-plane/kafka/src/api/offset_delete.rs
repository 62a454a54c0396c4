//! OffsetDelete: forgets offsets of topics that no member reads.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use crate::topics::{find, partition};
use millstream_access::Named;
use millstream_door::Action;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use millstream_kafka_wire::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use millstream_model::{PartitionId, TopicName};
use std::collections::BTreeMap;

pub(super) struct OffsetDelete;

impl Handler for OffsetDelete {
    type Request = OffsetDeleteRequest;

    async fn handle(call: &Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
        let image = call.image();
        let mut known: Vec<(TopicName, PartitionId)> = Vec::new();
        let mut asked = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let row = find(&image, call, Named::Name(&topic.name));
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for one in topic.partitions {
                let found = row.as_ref().map_err(|code| *code).and_then(|row| {
                    let partition = partition(row, one.partition_index)?;
                    known.push((row.name.clone(), partition));
                    Ok(partition)
                });
                partitions.push((one.partition_index, found));
            }
            asked.push((topic.name, partitions));
        }
        let deleted = match delete(call, &request.group_id, known).await {
            Ok(deleted) => deleted,
            Err(code) => {
                return OffsetDeleteResponse {
                    error_code: call.code(&code),
                    ..OffsetDeleteResponse::default()
                };
            }
        };
        let answer = |(partition_index, found): (i32, Result<PartitionId, ErrorCode>)| {
            let code = found.map(|partition| deleted.get(&partition).copied().unwrap_or(ErrorCode::None));
            let error_code = call.code(&code.unwrap_or_else(|code| code));
            OffsetDeleteResponsePartition {
                partition_index,
                error_code,
            }
        };
        let topics = asked
            .into_iter()
            .map(|(name, partitions)| OffsetDeleteResponseTopic {
                name,
                partitions: partitions.into_iter().map(answer).collect(),
            });
        OffsetDeleteResponse {
            topics: topics.collect(),
            ..OffsetDeleteResponse::default()
        }
    }
}

async fn delete(
    call: &Call,
    group: &str,
    offsets: Vec<(TopicName, PartitionId)>,
) -> Result<BTreeMap<PartitionId, ErrorCode>, ErrorCode> {
    let group = call.check_group(Action::DeleteOffsets, group)?;
    let deleted = call
        .broker()
        .groups()
        .delete_offsets(call.who(), group, offsets)
        .await;
    let deleted = deleted.map_err(|error| error.code())?;
    Ok(deleted
        .into_iter()
        .map(|(partition, result)| (partition, result.code()))
        .collect())
}
