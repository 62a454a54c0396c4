//! Reading record batches, waiting for them when there are none yet.

use bytes::Bytes;
use millstream_model::{Fault, LeaderEpoch, Offset, PartitionId, ProducerId, Retry};
use std::time::Duration;

/// Whether records of open transactions are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark.
    #[default]
    ReadUncommitted,
    /// Up to the last stable offset, with the aborted transactions to leave out.
    ReadCommitted,
}

/// What to read of one partition.
#[derive(Clone, Copy, Debug)]
pub struct FetchPartition {
    /// Which one.
    pub partition: PartitionId,
    /// From where on; inside a batch it returns the whole batch.
    pub offset: Offset,
    /// The leader epoch that the reader believes in, if it says.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Record bytes wanted at most; the first batch of an answer is whole even when it is larger.
    pub bytes_max: usize,
}

/// One fetch over any number of partitions.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// In the order in which they may fill the answer.
    pub partitions: Vec<FetchPartition>,
    /// Answer at once when this many record bytes are there.
    pub bytes_min: usize,
    /// Record bytes wanted at most.
    pub bytes_max: usize,
    /// Otherwise wait this long for them.
    pub wait_max: Duration,
    /// What is seen of transactions.
    pub isolation: Isolation,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// One for each asked, in the same order.
    pub partitions: Vec<FetchedPartition>,
}

/// What was read of one partition.
#[derive(Clone, Debug)]
pub struct FetchedPartition {
    /// Which one.
    pub partition: PartitionId,
    /// Why nothing was read.
    pub error: Option<FetchError>,
    /// One past the last committed offset; -1 with an error.
    pub high_watermark: Offset,
    /// One past the last offset of no open transaction; -1 with an error.
    pub last_stable: Offset,
    /// The first offset; -1 with an error.
    pub log_start: Offset,
    /// The partition's leader epoch; -1 with an error about the partition itself.
    pub leader_epoch: LeaderEpoch,
    /// With [`Isolation::ReadCommitted`], the aborted transactions among the records.
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// Whole record batches in order, to be sent one after the other.
    pub records: Vec<Bytes>,
}

impl FetchedPartition {
    /// An answer that says only what is wrong.
    pub fn failed(partition: PartitionId, error: FetchError) -> FetchedPartition {
        FetchedPartition {
            partition,
            error: Some(error),
            high_watermark: Offset(-1),
            last_stable: Offset(-1),
            log_start: Offset(-1),
            leader_epoch: LeaderEpoch(-1),
            aborted: None,
            records: Vec::new(),
        }
    }

    /// Bytes of its records.
    pub fn bytes(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }
}

/// A transaction whose records a `read_committed` reader leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Who wrote it.
    pub producer: ProducerId,
    /// The offset of its first record here.
    pub first_offset: Offset,
}

/// Why a partition could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No such partition for this caller (Kafka: UNKNOWN_TOPIC_OR_PARTITION).
    #[error("no such topic or partition")]
    UnknownPartition,
    /// The caller's key may not read here (TOPIC_AUTHORIZATION_FAILED).
    #[error("this key may not read the topic")]
    Denied,
    /// Another node leads the partition, or none does yet (NOT_LEADER_OR_FOLLOWER).
    #[error("this node does not lead the partition")]
    NotLeader,
    /// Below the log start or above the log end (OFFSET_OUT_OF_RANGE).
    #[error("offset {offset} is outside of {log_start}..={log_end}")]
    OffsetOutOfRange {
        /// The one asked for.
        offset: Offset,
        /// The first there is.
        log_start: Offset,
        /// One past the last there is.
        log_end: Offset,
    },
    /// The reader's leader epoch is an old one (FENCED_LEADER_EPOCH).
    #[error("the leader epoch is {current}")]
    FencedEpoch {
        /// The current one.
        current: LeaderEpoch,
    },
    /// The reader's leader epoch is newer than ours (UNKNOWN_LEADER_EPOCH).
    #[error("the leader epoch is {current}")]
    UnknownEpoch {
        /// The current one.
        current: LeaderEpoch,
    },
    /// The disk or the partition's state is damaged, or the object store failed (KAFKA_STORAGE_ERROR).
    #[error("the partition's storage failed")]
    Storage,
    /// The records there are damaged or missing where they are stored, or the partition took a damaged entry: no
    /// repetition helps before an operator has looked (CORRUPT_MESSAGE, which Kafka's clients tell their users).
    #[error(
        "the records from offset {offset} on are damaged where they are stored: an operator can put a good copy of the \
         object back (millstream store check names it); who goes on without them reads behind them"
    )]
    Damaged {
        /// The first that cannot be read.
        offset: Offset,
    },
    /// The broker is stopping.
    #[error("the broker is shutting down")]
    ShuttingDown,
}

impl FetchError {
    /// Who is at fault.
    pub fn fault(&self) -> Fault {
        match self {
            Self::UnknownPartition
            | Self::Denied
            | Self::OffsetOutOfRange { .. }
            | Self::FencedEpoch { .. }
            | Self::UnknownEpoch { .. } => Fault::Caller,
            Self::NotLeader | Self::Storage | Self::Damaged { .. } | Self::ShuttingDown => Fault::Dependency,
        }
    }

    /// Whether asking again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Denied | Self::OffsetOutOfRange { .. } | Self::Damaged { .. } => Retry::Never,
            Self::Storage | Self::UnknownEpoch { .. } => Retry::Later,
            Self::UnknownPartition | Self::NotLeader | Self::FencedEpoch { .. } | Self::ShuttingDown => {
                Retry::AfterRefresh
            }
        }
    }
}
