//! Appending one record batch to one partition.

use bytes::Bytes;
use millstream_model::{
    Fault, Offset, OwnerEpoch, PartitionId, ProducerEpoch, ProducerId, Retry, TimestampMs,
};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The durability that a producer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// No answer is awaited (Kafka's `acks=0`).
    None,
    /// On the leader's disk, fsynced (`acks=1`).
    Leader,
    /// On every in-sync replica's disk, fsynced (`acks=all`).
    All,
}

/// One batch for one partition.
#[derive(Clone, Debug)]
pub struct Produce {
    /// Where to append.
    pub partition: PartitionId,
    /// Exactly one Kafka v2 record batch as the producer sent it; the broker validates and stamps it.
    pub batch: Bytes,
    /// In whose name, where one owner alone may write; 0 for everybody else.
    pub owner_epoch: OwnerEpoch,
    /// When to answer.
    pub acks: Acks,
    /// How long to wait for that durability.
    pub timeout: Duration,
}

/// A batch that is as durable as was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The offset of the batch's first record.
    pub base_offset: Offset,
    /// Set when the topic stamps records with the broker's time.
    pub log_append_time: Option<TimestampMs>,
    /// The partition's first offset.
    pub log_start: Offset,
    /// How long the journal's back-pressure wants it to wait before it sends more.
    pub throttle: Duration,
}

/// A record for which its batch was refused (Kafka's `record_errors`, KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Which of the batch, from 0.
    pub index: i32,
    /// What is wrong with it, in words.
    pub reason: String,
}

/// Why a batch was not appended, or is not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// No such partition for this caller (Kafka: UNKNOWN_TOPIC_OR_PARTITION).
    #[error("no such topic or partition")]
    UnknownPartition,
    /// The caller's key may not write here (TOPIC_AUTHORIZATION_FAILED).
    #[error("this key may not write to the topic")]
    Denied,
    /// Another node leads the partition, or none does yet (NOT_LEADER_OR_FOLLOWER).
    #[error("this node does not lead the partition")]
    NotLeader,
    /// Another owner has taken the partition over (INVALID_PRODUCER_EPOCH).
    #[error("another owner has taken the partition over: its epoch is {current}")]
    NotOwner {
        /// The present owner's epoch; 0 when the partition has no owner.
        current: OwnerEpoch,
    },
    /// Larger than the topic or the service allows (MESSAGE_TOO_LARGE).
    #[error("the batch has {length} bytes, at most {max} are allowed")]
    TooLarge {
        /// Its bytes.
        length: usize,
        /// The most allowed.
        max: usize,
    },
    /// Its checksum or lengths are wrong (CORRUPT_MESSAGE).
    #[error("the batch is corrupt: {reason}")]
    Corrupt {
        /// What is wrong.
        reason: String,
    },
    /// Well-formed, but not something a producer may send (INVALID_RECORD).
    #[error("the batch is invalid: {reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
        /// The record that is, where it is one.
        record: Option<RefusedRecord>,
    },
    /// An old message format (UNSUPPORTED_FOR_MESSAGE_FORMAT).
    #[error("message format {magic} is not supported, only record batches of version 2 are")]
    OldFormat {
        /// The magic byte found.
        magic: i8,
    },
    /// A compression that nobody knows (UNSUPPORTED_COMPRESSION_TYPE).
    #[error("compression {codec} is not supported")]
    UnknownCompression {
        /// Its number.
        codec: u8,
    },
    /// Timestamps too far from the broker's clock (INVALID_TIMESTAMP).
    #[error(
        "{count} of the batch's records have a timestamp that the topic does not allow{}",
        first_of(records)
    )]
    InvalidTimestamp {
        /// How many.
        count: usize,
        /// The first of them, as many as an answer names.
        records: Vec<RefusedRecord>,
    },
    /// An idempotent producer's batch that leaves a gap (OUT_OF_ORDER_SEQUENCE_NUMBER).
    #[error("producer {producer} sent sequence {found}, expected {expected}")]
    OutOfOrderSequence {
        /// Who sent it.
        producer: ProducerId,
        /// The sequence that would have fitted.
        expected: i32,
        /// The one found.
        found: i32,
    },
    /// A newer incarnation of the producer has written (INVALID_PRODUCER_EPOCH).
    #[error("producer {producer} sent epoch {found}, the current one is {current}")]
    FencedProducer {
        /// Who sent it.
        producer: ProducerId,
        /// The epoch found.
        found: ProducerEpoch,
        /// The newest one.
        current: ProducerEpoch,
    },
    /// The batch belongs to a transaction that is not open (INVALID_TXN_STATE).
    #[error("transactions are not open on this partition")]
    NoTransaction,
    /// Too few in-sync replicas; nothing was appended (NOT_ENOUGH_REPLICAS).
    #[error("the partition has too few in-sync replicas")]
    NotEnoughReplicas,
    /// Not as durable as asked within the time; it may become so (REQUEST_TIMED_OUT).
    #[error("the batch was not durable in time; it may yet become so")]
    Timeout,
    /// The journal is nearly full: nothing was appended, later there will be room (retriable).
    #[error("the journal is full until older data has reached the object store")]
    Full,
    /// The partition's state is damaged (KAFKA_STORAGE_ERROR).
    #[error("the partition's storage failed")]
    Storage,
    /// The journal is damaged and holds the only replica: an operator has to decide (KAFKA_STORAGE_ERROR).
    #[error(
        "the service's journal is damaged: it serves what precedes the damage and takes nothing until an operator has \
         decided (millstream start --recover-groups)"
    )]
    Damaged,
    /// The broker is stopping (NOT_LEADER_OR_FOLLOWER, or a closed connection).
    #[error("the broker is shutting down")]
    ShuttingDown,
}

/// The first one as the end of a sentence, for doors that have no place for the others.
fn first_of(records: &[RefusedRecord]) -> String {
    records
        .first()
        .map(|first| format!(": record {}: {}", first.index, first.reason))
        .unwrap_or_default()
}

impl ProduceError {
    /// Who is at fault.
    pub fn fault(&self) -> Fault {
        match self {
            Self::UnknownPartition
            | Self::Denied
            | Self::TooLarge { .. }
            | Self::Corrupt { .. }
            | Self::Invalid { .. }
            | Self::OldFormat { .. }
            | Self::UnknownCompression { .. }
            | Self::InvalidTimestamp { .. }
            | Self::OutOfOrderSequence { .. }
            | Self::FencedProducer { .. }
            | Self::NotOwner { .. }
            | Self::NoTransaction => Fault::Caller,
            Self::NotLeader
            | Self::NotEnoughReplicas
            | Self::Timeout
            | Self::Full
            | Self::Storage
            | Self::Damaged
            | Self::ShuttingDown => Fault::Dependency,
        }
    }

    /// The records for which the batch was refused, if it was for some of them.
    pub fn refused_records(&self) -> &[RefusedRecord] {
        match self {
            Self::InvalidTimestamp { records, .. } => records,
            Self::Invalid { record, .. } => record.as_slice(),
            _ => &[],
        }
    }

    /// Whether the same batch may be sent again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Denied
            | Self::TooLarge { .. }
            | Self::Invalid { .. }
            | Self::OldFormat { .. }
            | Self::UnknownCompression { .. }
            | Self::InvalidTimestamp { .. }
            | Self::OutOfOrderSequence { .. }
            | Self::FencedProducer { .. }
            | Self::NotOwner { .. }
            | Self::NoTransaction
            // Nothing changes before the service is started anew: who waits would wait in vain.
            | Self::Damaged => Retry::Never,
            Self::UnknownPartition | Self::NotLeader | Self::Storage | Self::ShuttingDown => {
                Retry::AfterRefresh
            }
            Self::Corrupt { .. } | Self::NotEnoughReplicas | Self::Timeout | Self::Full => Retry::Later,
        }
    }
}

/// A batch whose place in the log is decided and whose durability is awaited.
///
/// Dropping it does not take the batch back.
#[derive(Debug)]
pub struct PendingProduce(pub(crate) Waiting);

/// What a [`PendingProduce`] waits for.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Nothing: the answer is known.
    Ready(Option<Result<Produced, ProduceError>>),
    /// The replica's acknowledgement, at most until the deadline.
    Ticket {
        acknowledged: oneshot::Receiver<Result<Produced, ProduceError>>,
        deadline: Instant,
        /// Made when the first look finds no answer: most answers are there in time.
        timer: Option<Pin<Box<tokio::time::Sleep>>>,
        throttle: Duration,
    },
}

impl Waiting {
    pub(crate) fn ticket(
        acknowledged: oneshot::Receiver<Result<Produced, ProduceError>>,
        timeout: Duration,
        throttle: Duration,
    ) -> Waiting {
        Waiting::Ticket {
            acknowledged,
            deadline: Instant::now() + timeout,
            timer: None,
            throttle,
        }
    }
}

impl Future for PendingProduce {
    type Output = Result<Produced, ProduceError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Waiting::Ready(answer) => Poll::Ready(answer.take().unwrap_or(Err(ProduceError::ShuttingDown))),
            Waiting::Ticket {
                acknowledged,
                deadline,
                timer,
                throttle,
            } => {
                if let Poll::Ready(answer) = Pin::new(acknowledged).poll(context) {
                    // The sender is dropped unanswered only when the replica goes away.
                    let answer = answer.unwrap_or(Err(ProduceError::ShuttingDown));
                    let throttle = *throttle;
                    return Poll::Ready(answer.map(|produced| Produced { throttle, ..produced }));
                }
                let deadline = *deadline;
                let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                timer.as_mut().poll(context).map(|()| Err(ProduceError::Timeout))
            }
        }
    }
}
