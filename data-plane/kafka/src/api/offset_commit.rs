//! OffsetCommit: answers once the offsets are durable.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use crate::topics::{by_id, find, partition};
use millstream_access::Named;
use millstream_broker::interface::groups::{CommitOffsets, GroupError, MemberRef, OffsetToCommit};
use millstream_door::Action;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::offset_commit_request::OffsetCommitRequestTopic;
use millstream_kafka_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use millstream_kafka_wire::messages::{OffsetCommitRequest, OffsetCommitResponse};
use millstream_model::{Offset, PartitionId};
use std::collections::BTreeMap;

/// A topic as it was asked, each partition with what it is here.
struct Asked {
    name: String,
    topic_id: uuid::Uuid,
    partitions: Vec<(i32, Result<PartitionId, ErrorCode>)>,
}

pub(super) struct OffsetCommit;

impl Handler for OffsetCommit {
    type Request = OffsetCommitRequest;

    async fn handle(call: &Call, mut request: OffsetCommitRequest) -> OffsetCommitResponse {
        let mut offsets = Vec::new();
        let topics = std::mem::take(&mut request.topics);
        let asked: Vec<Asked> = topics
            .into_iter()
            .map(|topic| ask(call, topic, &mut offsets))
            .collect();
        let committed = commit(call, request, offsets).await;
        let answer = |known: Result<PartitionId, ErrorCode>| -> ErrorCode {
            match (known, &committed) {
                (Err(code), _) => code,
                (Ok(_), Err(code)) => *code,
                (Ok(partition), Ok(results)) => results
                    .get(&partition)
                    .copied()
                    .unwrap_or(ErrorCode::UnknownServerError),
            }
        };
        let topics = asked.into_iter().map(|topic| OffsetCommitResponseTopic {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions: topic
                .partitions
                .into_iter()
                .map(|(partition_index, known)| OffsetCommitResponsePartition {
                    partition_index,
                    error_code: call.code(&answer(known)),
                })
                .collect(),
        });
        OffsetCommitResponse {
            topics: topics.collect(),
            ..OffsetCommitResponse::default()
        }
    }
}

fn ask(call: &Call, topic: OffsetCommitRequestTopic, offsets: &mut Vec<OffsetToCommit>) -> Asked {
    let named = if call.version >= 10 {
        by_id(topic.topic_id)
    } else {
        Named::Name(&topic.name)
    };
    let found = find(&call.image(), call, named);
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for asked in topic.partitions {
        let known = found
            .as_ref()
            .map_err(|code| *code)
            .and_then(|row| partition(row, asked.partition_index));
        partitions.push((asked.partition_index, known));
        if let Ok(partition) = known {
            offsets.push(OffsetToCommit {
                partition,
                offset: Offset(asked.committed_offset),
                leader_epoch: asked.committed_leader_epoch,
                metadata: asked.committed_metadata.unwrap_or_default(),
            });
        }
    }
    Asked {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions,
    }
}

async fn commit(
    call: &Call,
    request: OffsetCommitRequest,
    offsets: Vec<OffsetToCommit>,
) -> Result<BTreeMap<PartitionId, ErrorCode>, ErrorCode> {
    let group = call.check_group(Action::CommitOffsets, &request.group_id)?;
    if offsets.is_empty() {
        return Ok(BTreeMap::new());
    }
    let commit = CommitOffsets {
        member: MemberRef {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
        },
        generation: request.generation_id_or_member_epoch,
        retention_ms: (request.retention_time_ms >= 0).then_some(request.retention_time_ms),
        offsets,
    };
    let results = call
        .broker()
        .groups()
        .commit_offsets(call.who(), group, commit)
        .await;
    let results = results.map_err(|error| match error {
        // Older clients do not know that a group can be missing.
        GroupError::GroupNotFound if call.version < 9 => ErrorCode::IllegalGeneration,
        error => error.code(),
    })?;
    Ok(results
        .into_iter()
        .map(|(partition, result)| (partition, result.code()))
        .collect())
}
