//! Fetch: a long poll over partitions. No fetch sessions are given out: every fetch names all it wants (session id 0),
//! as with a Kafka whose session cache is full.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use crate::topics::{by_id, find, partition};
use millstream_access::Named;
use millstream_broker::interface::{self as broker, FetchedPartition, Isolation, OffsetError};
use millstream_door::Allowance;
use millstream_door::fetch::{self, Reading};
use millstream_door::leadership::{leader, leadership};
use millstream_door::quotas::fetch_patience;
use millstream_kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use millstream_kafka_wire::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use millstream_kafka_wire::messages::{FetchRequest, FetchResponse};
use millstream_kafka_wire::{ErrorCode, Records};
use millstream_metadata::TopicRow;
use millstream_model::limits::FETCH_BYTES_MAX;
use millstream_model::{LeaderEpoch, Offset, PartitionId};
use std::sync::Arc;
use std::time::Duration;

/// Why a partition is not read.
enum Unread {
    Failed(ErrorCode),
    Parted(EpochEndOffset),
}

/// What was asked of one topic; its partitions follow those of the topic before.
struct Asked {
    name: String,
    topic_id: uuid::Uuid,
    row: Option<Arc<TopicRow>>,
    partitions: Vec<i32>,
}

/// What became of a partition.
type Done = Result<FetchedPartition, Unread>;

pub(super) struct Fetch;

impl Handler for Fetch {
    type Request = FetchRequest;

    async fn handle(call: &Call, request: FetchRequest) -> FetchResponse {
        // Epoch 0 asks for a new session, -1 for none: both name all they want. Others go on with one.
        if request.session_epoch > 0 {
            // No session was ever given out.
            let error_code = call.code(&ErrorCode::FetchSessionIdNotFound);
            return FetchResponse {
                error_code,
                ..FetchResponse::default()
            };
        }
        let allowance = allowance(call, request.max_wait_ms).await;
        let mut wanted = Vec::new();
        let asked: Vec<Asked> = request
            .topics
            .into_iter()
            .map(|topic| ask(call, topic, &mut wanted))
            .collect();
        let reading = Reading {
            partitions: wanted,
            bytes_min: usize::try_from(request.min_bytes).unwrap_or(0),
            bytes_max: at_most(request.max_bytes),
            wait_max: waits(request.max_wait_ms),
            isolation: match request.isolation_level {
                1 => Isolation::ReadCommitted,
                _ => Isolation::ReadUncommitted,
            },
        };
        let quotas = &call.session.shared.quotas;
        let read = fetch::read(call.broker(), quotas, call.who(), allowance, reading, None).await;
        let mut done = read.partitions.into_iter();
        let mut response = FetchResponse {
            throttle_time_ms: call.throttle(read.owed),
            ..FetchResponse::default()
        };
        for topic in asked {
            let answered = answer(call, topic, &mut done, &mut response.node_endpoints);
            response.responses.push(answered);
        }
        response
    }
}

/// How much the caller may read, after a wait for what it owes as long as its fetch allows.
async fn allowance(call: &Call, max_wait_ms: i32) -> Allowance {
    if let Some(owes) = call.owes {
        return Allowance::Nothing(owes);
    }
    let shared = &call.session.shared;
    let until = fetch_patience(call.received, waits(max_wait_ms), shared.debt_patience);
    shared.quotas.begin_fetch(call.who(), until).await
}

fn waits(max_wait_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(max_wait_ms).unwrap_or(0))
}

fn ask(call: &Call, topic: FetchTopic, wanted: &mut Vec<Result<broker::FetchPartition, Unread>>) -> Asked {
    let named = if call.version >= 13 {
        by_id(topic.topic_id)
    } else {
        Named::Name(&topic.topic)
    };
    let found = find(&call.image(), call, named);
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for asked in topic.partitions {
        partitions.push(asked.partition);
        wanted.push(match &found {
            Ok(row) => of_topic(call, row, &asked),
            Err(code) => Err(Unread::Failed(*code)),
        });
    }
    Asked {
        name: topic.topic,
        topic_id: topic.topic_id,
        row: found.ok(),
        partitions,
    }
}

fn of_topic(call: &Call, topic: &TopicRow, asked: &FetchPartition) -> Result<broker::FetchPartition, Unread> {
    let partition = partition(topic, asked.partition).map_err(Unread::Failed)?;
    match diverging(call, topic, partition, asked).map_err(Unread::Failed)? {
        Some(end) => Err(Unread::Parted(end)),
        None => Ok(of_partition(partition, asked)),
    }
}

fn of_partition(partition: PartitionId, asked: &FetchPartition) -> broker::FetchPartition {
    broker::FetchPartition {
        partition,
        offset: Offset(asked.fetch_offset),
        leader_epoch: (asked.current_leader_epoch >= 0).then_some(LeaderEpoch(asked.current_leader_epoch)),
        bytes_max: at_most(asked.partition_max_bytes),
    }
}

/// How much may be sent. A reader that wants nothing gets a first batch all the same, as from Kafka, else it would
/// never get on.
fn at_most(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0).clamp(1, FETCH_BYTES_MAX)
}

/// Where the reader's log and ours part, if it has read an epoch that ended before its offset (KIP-320, KIP-595). Who
/// has read nothing but the current epoch cannot have parted: its offset alone says so.
fn diverging(
    call: &Call,
    topic: &TopicRow,
    partition: PartitionId,
    asked: &FetchPartition,
) -> Result<Option<EpochEndOffset>, ErrorCode> {
    let read = LeaderEpoch(asked.last_fetched_epoch);
    let current = leadership(&call.image(), topic, partition.index).map(|known| known.epoch);
    if read.0 < 0 || current == Some(read) {
        return Ok(None);
    }
    let end = call
        .broker()
        .offset_for_leader_epoch(call.who(), partition, None, read)
        .map_err(|error| match error {
            // Nobody has ever written in that epoch.
            OffsetError::UnknownEpoch { .. } => ErrorCode::OffsetOutOfRange,
            error => error.code(),
        })?;
    let parted = end.leader_epoch < read || end.end_offset.0 < asked.fetch_offset;
    Ok(parted.then_some(EpochEndOffset {
        epoch: end.leader_epoch.0,
        end_offset: end.end_offset.0,
    }))
}

fn answer(
    call: &Call,
    asked: Asked,
    done: &mut impl Iterator<Item = Done>,
    endpoints: &mut Vec<NodeEndpoint>,
) -> FetchableTopicResponse {
    let mut partitions = Vec::with_capacity(asked.partitions.len());
    for (index, done) in asked.partitions.into_iter().zip(done) {
        let mut data = match done {
            Ok(fetched) => data(call, index, fetched),
            Err(Unread::Failed(code)) => failed(call, index, code),
            Err(Unread::Parted(end)) => PartitionData {
                diverging_epoch: end,
                ..failed(call, index, ErrorCode::None)
            },
        };
        if data.error_code == ErrorCode::NotLeaderOrFollower.number()
            && let Some(row) = &asked.row
            && let Ok(partition) = partition(row, index)
        {
            data.current_leader = point_to_leader(call, row, partition, endpoints);
        }
        partitions.push(data);
    }
    FetchableTopicResponse {
        topic: asked.name,
        topic_id: asked.topic_id,
        partitions,
    }
}

fn data(call: &Call, index: i32, fetched: FetchedPartition) -> PartitionData {
    let aborted = fetched.aborted.map(|aborted| {
        let of = |one: broker::AbortedTransaction| AbortedTransaction {
            producer_id: one.producer.0,
            first_offset: one.first_offset.0,
        };
        aborted.into_iter().map(of).collect()
    });
    PartitionData {
        partition_index: index,
        error_code: call.code(&fetched.error),
        high_watermark: fetched.high_watermark.0,
        last_stable_offset: fetched.last_stable.0,
        log_start_offset: fetched.log_start.0,
        aborted_transactions: aborted,
        preferred_read_replica: -1,
        records: Some(Records::from(fetched.records)),
        ..PartitionData::default()
    }
}

fn failed(call: &Call, index: i32, code: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index: index,
        error_code: call.code(&code),
        // As from Kafka: what was looked at has none, what was not has an empty list.
        aborted_transactions: (code != ErrorCode::OffsetOutOfRange).then(Vec::new),
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        preferred_read_replica: -1,
        records: Some(Records::new()),
        ..PartitionData::default()
    }
}

/// Tells who leads, so that the client need not ask (KIP-951).
fn point_to_leader(
    call: &Call,
    topic: &TopicRow,
    partition: PartitionId,
    endpoints: &mut Vec<NodeEndpoint>,
) -> LeaderIdAndEpoch {
    let Some((leader, epoch)) = leader(&call.image(), topic, partition.index) else {
        return LeaderIdAndEpoch::default();
    };
    if endpoints.iter().all(|endpoint| endpoint.node_id != leader.id.0) {
        endpoints.push(NodeEndpoint {
            node_id: leader.id.0,
            host: leader.kafka.host.clone(),
            port: i32::from(leader.kafka.port),
            rack: None,
        });
    }
    LeaderIdAndEpoch {
        leader_id: leader.id.0,
        leader_epoch: epoch.0,
    }
}
