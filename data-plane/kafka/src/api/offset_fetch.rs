//! OffsetFetch: what a group has committed; from version 8 on for several groups at once.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use crate::topics::{by_id, find, partition};
use millstream_access::Named;
use millstream_broker::interface::groups::CommittedOffset;
use millstream_door::Action;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use millstream_kafka_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use millstream_kafka_wire::messages::{OffsetFetchRequest, OffsetFetchResponse};
use millstream_model::PartitionId;
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct OffsetFetch;

impl Handler for OffsetFetch {
    type Request = OffsetFetchRequest;

    async fn handle(call: &Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
        if call.version >= 8 {
            // Each is told once, however often it was named: else a small request had a huge answer.
            let mut seen = BTreeSet::new();
            let mut groups = Vec::new();
            for group in request.groups {
                if seen.insert(group.group_id.clone()) {
                    groups.push(one(call, group));
                }
            }
            return OffsetFetchResponse {
                groups,
                ..OffsetFetchResponse::default()
            };
        }
        let topics = request.topics.map(|topics| {
            let of =
                |topic: millstream_kafka_wire::messages::offset_fetch_request::OffsetFetchRequestTopic| {
                    OffsetFetchRequestTopics {
                        name: topic.name,
                        partition_indexes: topic.partition_indexes,
                        ..OffsetFetchRequestTopics::default()
                    }
                };
            topics.into_iter().map(of).collect()
        });
        let group = OffsetFetchRequestGroup {
            group_id: request.group_id,
            topics,
            ..OffsetFetchRequestGroup::default()
        };
        let answered = one(call, group);
        OffsetFetchResponse {
            error_code: answered.error_code,
            topics: answered.topics.into_iter().map(old_style).collect(),
            ..OffsetFetchResponse::default()
        }
    }
}

fn old_style(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic
        .partitions
        .into_iter()
        .map(|one| OffsetFetchResponsePartition {
            partition_index: one.partition_index,
            committed_offset: one.committed_offset,
            committed_leader_epoch: one.committed_leader_epoch,
            metadata: one.metadata,
            error_code: one.error_code,
        });
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: partitions.collect(),
    }
}

fn one(call: &Call, asked: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let (code, topics) = match fetch(call, &asked) {
        Ok(committed) => {
            let topics = match asked.topics {
                None => all(call, &committed),
                Some(topics) => {
                    let mut seen = BTreeSet::new();
                    let topics = topics.into_iter();
                    topics
                        .map(|topic| some(call, topic, &committed, &mut seen))
                        .collect()
                }
            };
            (ErrorCode::None, topics)
        }
        Err(code) => {
            // Before version 2 there is no error for the whole: every partition says it.
            let topics = asked.topics.unwrap_or_default().into_iter();
            (code, topics.map(|topic| refused(call, topic, code)).collect())
        }
    };
    OffsetFetchResponseGroup {
        group_id: asked.group_id,
        topics,
        error_code: call.code(&code),
    }
}

fn fetch(
    call: &Call,
    asked: &OffsetFetchRequestGroup,
) -> Result<BTreeMap<PartitionId, CommittedOffset>, ErrorCode> {
    let group = call.check_group(Action::FetchOffsets, &asked.group_id)?;
    let committed = call.broker().groups().fetch_offsets(call.who(), &group, None);
    Ok(committed.map_err(|error| error.code())?.into_iter().collect())
}

/// Everything that the group has committed, as far as its topics still exist.
fn all(call: &Call, committed: &BTreeMap<PartitionId, CommittedOffset>) -> Vec<OffsetFetchResponseTopics> {
    let image = call.image();
    let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
    for (partition, offset) in committed {
        let Ok(row) = find(&image, call, by_id(partition.topic.0)) else {
            continue;
        };
        if topics.last().is_none_or(|last| last.topic_id != row.id.0) {
            topics.push(OffsetFetchResponseTopics {
                name: row.name.as_str().to_owned(),
                topic_id: row.id.0,
                partitions: Vec::new(),
            });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(found(
                i32::try_from(partition.index.0).unwrap_or(i32::MAX),
                Some(offset),
            ));
        }
    }
    topics
}

/// What was asked of one topic, each partition once (metadata is a thousand times as long as what asks for it). A partition without an offset, also one that does not exist, has offset -1.
fn some(
    call: &Call,
    topic: OffsetFetchRequestTopics,
    committed: &BTreeMap<PartitionId, CommittedOffset>,
    seen: &mut BTreeSet<PartitionId>,
) -> OffsetFetchResponseTopics {
    let is_by_id = call.version >= 10;
    let named = if is_by_id {
        by_id(topic.topic_id)
    } else {
        Named::Name(&topic.name)
    };
    let row = find(&call.image(), call, named);
    let mut partitions = Vec::new();
    for index in topic.partition_indexes {
        partitions.push(match &row {
            Err(code) if is_by_id => OffsetFetchResponsePartitions {
                error_code: call.code(code),
                ..found(index, None)
            },
            Err(_) => found(index, None),
            Ok(row) => match partition(row, index) {
                Ok(partition) if !seen.insert(partition) => continue,
                Ok(partition) => found(index, committed.get(&partition)),
                Err(_) => found(index, None),
            },
        });
    }
    OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions,
    }
}

fn refused(call: &Call, topic: OffsetFetchRequestTopics, code: ErrorCode) -> OffsetFetchResponseTopics {
    if call.version >= 2 {
        return OffsetFetchResponseTopics {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions: Vec::new(),
        };
    }
    let answer = |index| OffsetFetchResponsePartitions {
        error_code: code.number(),
        ..found(index, None)
    };
    let partitions = topic.partition_indexes.into_iter().map(answer).collect();
    OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions,
    }
}

fn found(partition_index: i32, offset: Option<&CommittedOffset>) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: offset.map_or(-1, |offset| offset.offset.0),
        committed_leader_epoch: offset.map_or(-1, |offset| offset.leader_epoch),
        metadata: Some(offset.map(|offset| offset.metadata.clone()).unwrap_or_default()),
        error_code: 0,
    }
}
