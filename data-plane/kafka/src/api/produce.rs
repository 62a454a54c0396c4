//! Produce: batches get their places in the order of the requests; the answer waits until they are durable.

use super::find_coordinator::NO_TRANSACTIONS;
use crate::connection::{Answer, End, Finish, Finished};
use crate::error::Code;
use crate::session::Call;
use crate::topics::{by_id, find, partition};
use futures::future::BoxFuture;
use millstream_access::Named;
use millstream_broker::interface::{Acks, PendingProduce, Produce, ProduceError, Produced};
use millstream_door::leadership::leader;
use millstream_door::{Action, Owes, Shrinking, produce};
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::batch::{BatchHeader, Compression};
use millstream_kafka_wire::frame::RequestFrame;
use millstream_kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_kafka_wire::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use millstream_kafka_wire::messages::{ProduceRequest, ProduceResponse};
use millstream_metadata::{Image, TopicRow};
use millstream_model::limits::SILENT_DEBT_WAIT_MS_MAX;
use millstream_model::{Offset, OwnerEpoch, PartitionId};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// The longest that a producer may make us wait.
const TIMEOUT_MS_MAX: i32 = 300_000;

/// The shortest: a producer's timeout is for other replicas, the leader's own disk is given its time in any case.
const TIMEOUT_MS_MIN: i32 = 1_000;

/// From this version on producers may send zstd (KIP-110).
const ZSTD_FROM: i16 = 7;

/// The first version that is served; the older ones are only advertised, for librdkafka looks for them.
const SERVED_FROM: i16 = 3;

/// Why a batch is not taken.
struct Refused {
    code: ErrorCode,
    text: String,
    /// The records that it is refused for, if it is for some of them.
    records: Vec<BatchIndexAndErrorMessage>,
}

impl Refused {
    fn new(code: ErrorCode, text: impl Into<String>) -> Refused {
        Refused {
            code,
            text: text.into(),
            records: Vec::new(),
        }
    }
}

impl From<ProduceError> for Refused {
    fn from(error: ProduceError) -> Refused {
        let records = error.refused_records().iter();
        let records = records.map(|record| BatchIndexAndErrorMessage {
            batch_index: record.index,
            batch_index_error_message: Some(record.reason.clone()),
        });
        Refused {
            records: records.collect(),
            ..Refused::new(error.code(), error.to_string())
        }
    }
}

/// A topic of the request; its partitions' batches follow those of the topic before.
struct Topic {
    name: String,
    topic_id: uuid::Uuid,
    row: Option<Arc<TopicRow>>,
    partitions: Vec<i32>,
}

/// What becomes of a batch.
type Begun = Result<PendingProduce, Refused>;

pub(super) fn run(mut call: Call, request: RequestFrame) -> BoxFuture<'static, Result<Answer, End>> {
    Box::pin(async move {
        let message: ProduceRequest = super::unfolded(&mut call, &request).await?;
        let silent = message.acks == 0;
        let session = Arc::clone(&call.session);
        let patience = match silent {
            // Nobody waits for an answer, so nobody gives it up; a refusal would lose the records.
            true => Duration::from_millis(SILENT_DEBT_WAIT_MS_MAX),
            false => session.patience(call.api),
        };
        let until = Shrinking::new(call.received + patience);
        let mut begin: BoxFuture<'static, Finish> =
            Box::pin(paid_and_begun(call, request, message, until.clone()));
        // Who owes nothing is begun here; who does, or stands behind one who does, steps aside.
        if session.unbegun.is_empty()
            && let Poll::Ready(finish) = futures::poll!(&mut begin)
        {
            return Ok(Answer::Later(finish));
        }
        let patience = (!silent).then_some(until);
        Ok(Answer::Owing { begin, patience })
    })
}

/// Waits for the caller's debts, and begins or refuses the produce. Returns its answer, or what that will be.
async fn paid_and_begun(
    mut call: Call,
    request: RequestFrame,
    message: ProduceRequest,
    until: Shrinking,
) -> Finish {
    let silent = message.acks == 0;
    if let Err(owes) = pay(&call, &message, &until).await {
        call.refuse(owes);
    }
    // Produces of a connection come here one after the other, and no await is in here: batches get their places in
    // the order of the requests.
    let (topics, begun) = begin(&call, message);
    if silent {
        // Nothing is waited for: the places are known, and who asks next on this connection may ask for them.
        let finished = finish_silently(&call, topics, begun).await;
        return Box::pin(std::future::ready(finished));
    }
    Box::pin(async move {
        let mut response = ProduceResponse::default();
        let mut begun = begun.into_iter();
        for topic in topics {
            let finished = finish(&call, topic, &mut begun, &mut response.node_endpoints).await;
            response.responses.push(finished);
        }
        response.throttle_time_ms = call.throttle(Duration::ZERO);
        Ok(Finished {
            frame: Some(request.answer(&response)?),
            throttle: call.muted(),
        })
    })
}

/// Nobody reads an answer: a closed connection is how such a producer learns that it must look for the leader anew, as
/// with Kafka.
async fn finish_silently(call: &Call, topics: Vec<Topic>, begun: Vec<Begun>) -> Result<Finished, End> {
    let mut begun = begun.into_iter();
    let mut failed = None;
    for topic in topics {
        let row = topic.row.clone();
        let finished = finish(call, topic, &mut begun, &mut Vec::new()).await;
        for one in finished.partition_responses {
            if one.error_code != 0 {
                failed = failed.or(Some(one.error_message.unwrap_or_default()));
            } else if let Some(row) = &row
                && let Ok(partition) = partition(row, one.index)
            {
                call.session.silent.sent(partition, Offset(one.base_offset));
            }
        }
    }
    match failed {
        Some(reason) => Err(End::SilentProduce(reason)),
        None => Ok(Finished {
            frame: None,
            throttle: call.muted(),
        }),
    }
}

/// Waits until the caller owes nothing, neither requests nor bytes, and counts this request and its batches.
///
/// # Errors
/// Who owes for longer than an answer may take is refused, and tries again: the debt stays.
async fn pay(call: &Call, message: &ProduceRequest, until: &Shrinking) -> Result<(), Owes> {
    let partitions = message.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let records = partitions.filter_map(|partition| partition.records.as_ref());
    let bytes: u64 = records.map(|records| records.len() as u64).sum();
    let quotas = &call.session.shared.quotas;
    let owed = quotas.begin_action(Action::Produce, call.who(), until).await?;
    call.throttle(owed);
    let owed = quotas.begin_produce(call.who(), bytes, until).await?;
    call.throttle(owed);
    Ok(())
}

/// Gives every batch its place, or says why not.
fn begin(call: &Call, message: ProduceRequest) -> (Vec<Topic>, Vec<Begun>) {
    let acks = match message.acks {
        0 => Ok(Acks::None),
        1 => Ok(Acks::Leader),
        -1 => Ok(Acks::All),
        _ => Err((
            ErrorCode::InvalidRequiredAcks,
            "acks must be 0, 1 or -1".to_owned(),
        )),
    };
    let acks = if let Some(owes) = call.owes {
        Err((owes.code(), owes.to_string()))
    } else if call.version < SERVED_FROM {
        Err((
            ErrorCode::UnsupportedVersion,
            format!("Produce is served from version {SERVED_FROM} on"),
        ))
    } else if message.transactional_id.is_some() {
        Err((ErrorCode::InvalidTxnState, NO_TRANSACTIONS.to_owned()))
    } else {
        acks
    };
    let timeout = Duration::from_millis(
        u64::try_from(message.timeout_ms.clamp(TIMEOUT_MS_MIN, TIMEOUT_MS_MAX)).unwrap_or(0),
    );
    let image = call.image();
    let mut asked = Vec::new();
    let topics: Vec<Topic> = message
        .topic_data
        .into_iter()
        .map(|topic| ask_topic(call, &image, topic, &acks, timeout, &mut asked))
        .collect();
    let begun = produce::begin(call.broker(), call.who(), asked, Refused::from);
    (topics, begun)
}

fn ask_topic(
    call: &Call,
    image: &Image,
    topic: TopicProduceData,
    acks: &Result<Acks, (ErrorCode, String)>,
    timeout: Duration,
    asked: &mut Vec<Result<Produce, Refused>>,
) -> Topic {
    let named = if call.version >= 13 {
        by_id(topic.topic_id)
    } else {
        Named::Name(&topic.name)
    };
    let found = find(image, call, named);
    let partitions = topic
        .partition_data
        .into_iter()
        .map(|data| {
            let index = data.index;
            asked.push(match (acks, &found) {
                (Err((code, text)), _) => Err(Refused::new(*code, text.clone())),
                (Ok(_), Err(code)) => Err(Refused::new(*code, "there is no such topic")),
                (Ok(acks), Ok(row)) => {
                    let asked = ask(call, row, data, *acks, timeout);
                    asked.map_err(|(code, text)| Refused::new(code, text))
                }
            });
            index
        })
        .collect();
    Topic {
        name: topic.name,
        topic_id: topic.topic_id,
        row: found.ok(),
        partitions,
    }
}

fn ask(
    call: &Call,
    topic: &TopicRow,
    data: PartitionProduceData,
    acks: Acks,
    timeout: Duration,
) -> Result<Produce, (ErrorCode, String)> {
    let partition =
        partition(topic, data.index).map_err(|code| (code, "there is no such partition".to_owned()))?;
    let Some(records) = data.records.filter(|records| !records.is_empty()) else {
        let text = "a produce needs exactly one record batch".to_owned();
        return Err((ErrorCode::InvalidRecord, text));
    };
    let batch = records.into_bytes();
    if call.version < ZSTD_FROM && codec(&batch) == Some(Compression::Zstd) {
        let text = format!("zstd needs Produce version {ZSTD_FROM}");
        return Err((ErrorCode::UnsupportedCompressionType, text));
    }
    Ok(Produce {
        partition,
        batch,
        owner_epoch: OwnerEpoch(0),
        acks,
        timeout,
    })
}

/// The codec that a batch names, if it is long enough to name one.
fn codec(batch: &[u8]) -> Option<Compression> {
    BatchHeader::read(batch).ok()?.attributes.compression()
}

async fn finish(
    call: &Call,
    topic: Topic,
    begun: &mut impl Iterator<Item = Begun>,
    endpoints: &mut Vec<NodeEndpoint>,
) -> TopicProduceResponse {
    let mut partition_responses = Vec::with_capacity(topic.partitions.len());
    for (index, begun) in topic.partitions.into_iter().zip(begun) {
        let result = match begun {
            Err(refused) => Err(refused),
            Ok(pending) => pending.await.map_err(Refused::from),
        };
        let mut response = match result {
            Ok(produced) => durable(call, index, &produced),
            Err(refused) => PartitionProduceResponse {
                index,
                error_code: call.code(&refused.code),
                base_offset: -1,
                log_append_time_ms: -1,
                log_start_offset: -1,
                record_errors: refused.records,
                error_message: Some(refused.text),
                ..PartitionProduceResponse::default()
            },
        };
        if response.error_code == ErrorCode::NotLeaderOrFollower.number()
            && let Some(row) = &topic.row
            && let Ok(partition) = partition(row, index)
        {
            response.current_leader = point_to_leader(call, row, partition, endpoints);
        }
        partition_responses.push(response);
    }
    TopicProduceResponse {
        name: topic.name,
        topic_id: topic.topic_id,
        partition_responses,
    }
}

fn durable(call: &Call, index: i32, produced: &Produced) -> PartitionProduceResponse {
    call.mute(produced.throttle);
    PartitionProduceResponse {
        index,
        base_offset: produced.base_offset.0,
        log_append_time_ms: produced.log_append_time.map_or(-1, |time| time.0),
        log_start_offset: produced.log_start.0,
        ..PartitionProduceResponse::default()
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
