//! Fetch: a long poll over partitions. No fetch sessions are given out: every fetch names all it wants (session id 0),
//! as with a Kafka whose session cache is full.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use crate::topics::{Named, find, leadership, partition};
use millstream_broker::interface::{self as broker, FetchedPartition, Isolation, OffsetError};
use millstream_door::Meter;
use millstream_kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use millstream_kafka_wire::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use millstream_kafka_wire::messages::{FetchRequest, FetchResponse};
use millstream_kafka_wire::{ErrorCode, Records};
use millstream_metadata::TopicRow;
use millstream_model::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MS_MAX};
use millstream_model::{LeaderEpoch, Offset};
use std::sync::Arc;
use std::time::Duration;

/// How long who owes is held at least: it may ask again at once, whatever it is told.
const HELD_MIN: Duration = Duration::from_millis(500);

/// Why a partition is not read.
enum Unread {
    Failed(ErrorCode),
    Parted(EpochEndOffset),
}

/// What was asked of one topic: which partitions the broker reads, or why not.
struct Asked {
    name: String,
    topic_id: uuid::Uuid,
    row: Option<Arc<TopicRow>>,
    partitions: Vec<(i32, Result<(), Unread>)>,
}

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
        let failed = asked
            .iter()
            .flat_map(|topic| &topic.partitions)
            .any(|(_, result)| result.is_err());
        // An error is told at once, as Kafka does; who may read nothing has waited already.
        let wait_ms = if failed || allowance == Some(0) {
            0
        } else {
            request.max_wait_ms.clamp(0, FETCH_WAIT_MS_MAX)
        };
        let isolation = if request.isolation_level == 1 {
            Isolation::ReadCommitted
        } else {
            Isolation::ReadUncommitted
        };
        let fetch = broker::Fetch {
            partitions: wanted,
            bytes_min: usize::try_from(request.min_bytes).unwrap_or(0),
            bytes_max: allowance.unwrap_or(usize::MAX).min(at_most(request.max_bytes)),
            wait_max: Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)),
            isolation,
        };
        let fetched = call.broker().fetch(call.who(), fetch).await;
        let bytes: usize = fetched.partitions.iter().map(FetchedPartition::bytes).sum();
        let owed = call
            .session
            .shared
            .quotas
            .take(call.who(), Meter::Fetch, bytes as u64);
        let mut read = fetched.partitions.into_iter();
        let mut response = FetchResponse {
            throttle_time_ms: call.throttle(owed),
            ..FetchResponse::default()
        };
        for topic in asked {
            let answered = answer(call, topic, &mut read, &mut response.node_endpoints);
            response.responses.push(answered);
        }
        response
    }
}

/// How many bytes the caller's quota has left: one batch at least (which 1 stands for), and nothing while it owes, after
/// a wait as long as its fetch allows. None: nothing limits it.
async fn allowance(call: &Call, max_wait_ms: i32) -> Option<usize> {
    if call.owes.is_some() {
        return Some(0);
    }
    let wait = Duration::from_millis(u64::try_from(max_wait_ms).unwrap_or(0));
    let until = call.received + wait.max(HELD_MIN).min(call.session.shared.debt_patience);
    let quotas = &call.session.shared.quotas;
    match quotas.left(call.who(), Meter::Fetch, until).await {
        Ok(left) => left.map(|left| usize::try_from(left).unwrap_or(usize::MAX).max(1)),
        Err(owes) => {
            quotas.refused(owes.meter);
            call.throttle(owes.wait);
            Some(0)
        }
    }
}

fn ask(call: &Call, topic: FetchTopic, wanted: &mut Vec<broker::FetchPartition>) -> Asked {
    let named = if call.version >= 13 {
        Named::Id(topic.topic_id)
    } else {
        Named::Name(&topic.topic)
    };
    let found = find(&call.image(), call, named);
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for asked in topic.partitions {
        let known = found.as_ref().map_err(|code| *code).and_then(|row| {
            let partition = partition(row, asked.partition)?;
            Ok((partition, diverging(call, row, partition, &asked)?))
        });
        partitions.push((
            asked.partition,
            match known {
                Err(code) => Err(Unread::Failed(code)),
                Ok((_, Some(end))) => Err(Unread::Parted(end)),
                Ok((partition, None)) => {
                    wanted.push(of_partition(partition, &asked));
                    Ok(())
                }
            },
        ));
    }
    Asked {
        name: topic.topic,
        topic_id: topic.topic_id,
        row: found.ok(),
        partitions,
    }
}

fn of_partition(partition: millstream_model::PartitionId, asked: &FetchPartition) -> broker::FetchPartition {
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
    partition: millstream_model::PartitionId,
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
    read: &mut impl Iterator<Item = FetchedPartition>,
    endpoints: &mut Vec<NodeEndpoint>,
) -> FetchableTopicResponse {
    let mut partitions = Vec::with_capacity(asked.partitions.len());
    for (index, known) in asked.partitions {
        let mut data = match (known, &asked.row) {
            (Ok(()), _) => match read.next() {
                Some(fetched) => data(call, index, fetched),
                None => failed(call, index, ErrorCode::UnknownServerError),
            },
            (Err(Unread::Failed(code)), _) => failed(call, index, code),
            (Err(Unread::Parted(end)), _) => PartitionData {
                diverging_epoch: end,
                ..failed(call, index, ErrorCode::None)
            },
        };
        if data.error_code == ErrorCode::NotLeaderOrFollower.number()
            && let Some(row) = &asked.row
        {
            point_to_leader(call, row, &mut data, endpoints);
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
    data: &mut PartitionData,
    endpoints: &mut Vec<NodeEndpoint>,
) {
    let Ok(index) = u32::try_from(data.partition_index) else {
        return;
    };
    let Some(known) = leadership(&call.image(), topic, millstream_model::PartitionIndex(index)) else {
        return;
    };
    let Some(leader) = known.leader else { return };
    data.current_leader = LeaderIdAndEpoch {
        leader_id: leader.id.0,
        leader_epoch: known.epoch.0,
    };
    if endpoints.iter().all(|endpoint| endpoint.node_id != leader.id.0) {
        endpoints.push(NodeEndpoint {
            node_id: leader.id.0,
            host: leader.kafka.host.clone(),
            port: i32::from(leader.kafka.port),
            rack: None,
        });
    }
}
