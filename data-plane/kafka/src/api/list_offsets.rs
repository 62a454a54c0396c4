//! ListOffsets: first, last, by time.

use super::Handler;
use crate::session::Call;
use crate::topics::{find, partition};
use millstream_access::Named;
use millstream_broker::interface::{FoundOffset, Isolation, ListOffset};
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::list_offsets_request::ListOffsetsPartition;
use millstream_kafka_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use millstream_kafka_wire::messages::{ListOffsetsRequest, ListOffsetsResponse};
use millstream_model::{LeaderEpoch, PartitionId, TimestampMs};
use std::collections::{BTreeMap, BTreeSet};

/// Kafka's question for the first offset that is not in the object store yet (KIP-1023).
const EARLIEST_PENDING_UPLOAD: i64 = -6;

pub(super) struct ListOffsets;

impl Handler for ListOffsets {
    type Request = ListOffsetsRequest;

    async fn handle(call: &Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let isolation = if request.isolation_level == 1 {
            Isolation::ReadCommitted
        } else {
            Isolation::ReadUncommitted
        };
        call.session.silent.seen(call.broker(), call.who()).await;
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let found = find(&call.image(), call, Named::Name(&topic.name));
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            let mut seen = BTreeSet::new();
            let twice: BTreeSet<i32> = topic
                .partitions
                .iter()
                .map(|asked| asked.partition_index)
                .filter(|index| !seen.insert(*index))
                .collect();
            // One answer to each, whatever of it was asked.
            let once =
                BTreeMap::from_iter(topic.partitions.into_iter().map(|one| (one.partition_index, one)));
            for asked in once.into_values() {
                let known = found
                    .as_ref()
                    .map_err(|code| *code)
                    .and_then(|row| partition(row, asked.partition_index));
                partitions.push(match known {
                    _ if twice.contains(&asked.partition_index) => {
                        failed(call, &asked, ErrorCode::InvalidRequest)
                    }
                    Ok(partition) => one(call, partition, &asked, isolation).await,
                    Err(code) => failed(call, &asked, code),
                });
            }
            topics.push(ListOffsetsTopicResponse {
                name: topic.name,
                partitions,
            });
        }
        ListOffsetsResponse {
            topics,
            ..ListOffsetsResponse::default()
        }
    }
}

async fn one(
    call: &Call,
    partition: PartitionId,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
) -> ListOffsetsPartitionResponse {
    let Some(what) = what(call.version, asked.timestamp) else {
        return failed(call, asked, ErrorCode::UnsupportedVersion);
    };
    let epoch = (asked.current_leader_epoch >= 0).then_some(LeaderEpoch(asked.current_leader_epoch));
    let found = call
        .broker()
        .list_offset(call.who(), partition, epoch, what, isolation)
        .await;
    let found = found.map(|found| match asked.timestamp {
        EARLIEST_PENDING_UPLOAD if found.offset.0 >= 0 => FoundOffset {
            offset: found.offset.plus(1),
            ..found
        },
        _ => found,
    });
    match found {
        Err(error) => failed(call, asked, crate::error::Code::code(&error)),
        Ok(found) if call.version == 0 => ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            old_style_offsets: old_style(asked, found),
            ..ListOffsetsPartitionResponse::default()
        },
        Ok(found) => ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            timestamp: found.timestamp.0,
            offset: found.offset.0,
            leader_epoch: found.leader_epoch.0,
            ..ListOffsetsPartitionResponse::default()
        },
    }
}

/// Version 0 wants a list of at most so many offsets: the one there is, if it is wanted and there.
fn old_style(asked: &ListOffsetsPartition, found: FoundOffset) -> Vec<i64> {
    if asked.max_num_offsets > 0 && found.offset.0 >= 0 {
        vec![found.offset.0]
    } else {
        Vec::new()
    }
}

/// What a timestamp means: negative ones are questions of their own, each known from some version on.
fn what(version: i16, timestamp: i64) -> Option<ListOffset> {
    Some(match timestamp {
        -1 => ListOffset::Latest,
        -2 => ListOffset::Earliest,
        -3 if version >= 7 => ListOffset::MaxTimestamp,
        -4 if version >= 8 => ListOffset::EarliestLocal,
        -5 if version >= 9 => ListOffset::LatestTiered,
        // The first that is yet to be uploaded lies behind the last that was.
        EARLIEST_PENDING_UPLOAD if version >= 11 => ListOffset::LatestTiered,
        0.. => ListOffset::AtOrAfter(TimestampMs(timestamp)),
        _ => return None,
    })
}

fn failed(call: &Call, asked: &ListOffsetsPartition, code: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: call.code(&code),
        timestamp: -1,
        offset: -1,
        leader_epoch: -1,
        ..ListOffsetsPartitionResponse::default()
    }
}
