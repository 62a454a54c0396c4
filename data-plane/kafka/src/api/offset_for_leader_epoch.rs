//! OffsetForLeaderEpoch: where an epoch ends, so that a reader finds out that it read what was truncated.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use crate::topics::{find, partition};
use millstream_access::Named;
use millstream_broker::interface::{EpochEnd, OffsetError};
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use millstream_kafka_wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use millstream_kafka_wire::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use millstream_metadata::TopicRow;
use millstream_model::{LeaderEpoch, Offset};
use std::sync::Arc;

pub(super) struct OffsetForLeaderEpoch;

impl Handler for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;

    async fn handle(call: &Call, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let found = find(&call.image(), call, Named::Name(&topic.topic));
            let partitions = topic
                .partitions
                .iter()
                .map(|asked| one(call, &found, asked))
                .collect();
            topics.push(OffsetForLeaderTopicResult {
                topic: topic.topic,
                partitions,
            });
        }
        OffsetForLeaderEpochResponse {
            topics,
            ..OffsetForLeaderEpochResponse::default()
        }
    }
}

fn one(
    call: &Call,
    topic: &Result<Arc<TopicRow>, ErrorCode>,
    asked: &OffsetForLeaderPartition,
) -> EpochEndOffset {
    let found = end(call, topic, asked);
    let (leader_epoch, end_offset) = found
        .as_ref()
        .map_or((-1, -1), |end| (end.leader_epoch.0, end.end_offset.0));
    EpochEndOffset {
        error_code: call.code(&found),
        partition: asked.partition,
        leader_epoch,
        end_offset,
    }
}

fn end(
    call: &Call,
    topic: &Result<Arc<TopicRow>, ErrorCode>,
    asked: &OffsetForLeaderPartition,
) -> Result<EpochEnd, ErrorCode> {
    let topic = topic.as_ref().map_err(|code| *code)?;
    let partition = partition(topic, asked.partition)?;
    let undefined = EpochEnd {
        leader_epoch: LeaderEpoch(-1),
        end_offset: Offset(-1),
    };
    if asked.leader_epoch < 0 {
        return Ok(undefined);
    }
    let current = (asked.current_leader_epoch >= 0).then_some(LeaderEpoch(asked.current_leader_epoch));
    let end = call.broker().offset_for_leader_epoch(
        call.who(),
        partition,
        current,
        LeaderEpoch(asked.leader_epoch),
    );
    match end {
        // The caller's own epoch was checked, so it is the one asked for that is yet to come.
        Err(OffsetError::UnknownEpoch { current: now }) if current.is_none_or(|current| current <= now) => {
            Ok(undefined)
        }
        end => end.map_err(|error| error.code()),
    }
}
