//! Asking for offsets and moving a partition's start.

use millstream_model::{Fault, LeaderEpoch, Offset, Retry, TimestampMs};

/// Which offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOffset {
    /// The first there is.
    Earliest,
    /// One past the last that the reader may see.
    Latest,
    /// Of the record with the largest timestamp.
    MaxTimestamp,
    /// Of the first record at or after this time.
    AtOrAfter(TimestampMs),
    /// The first on the local disk.
    EarliestLocal,
    /// The last in the object store.
    LatestTiered,
}

/// The offset asked for; `offset` is -1 when no record fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset, or -1.
    pub offset: Offset,
    /// The record's timestamp, -1 where none is meant.
    pub timestamp: TimestampMs,
    /// The leader epoch in which it was written, -1 when unknown.
    pub leader_epoch: LeaderEpoch,
}

/// Where a leader epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch at or below the one asked for.
    pub leader_epoch: LeaderEpoch,
    /// One past its last offset.
    pub end_offset: Offset,
}

/// Why an offset was not told or moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OffsetError {
    /// No such partition for this caller (Kafka: UNKNOWN_TOPIC_OR_PARTITION).
    #[error("no such topic or partition")]
    UnknownPartition,
    /// The caller's key may not do this (TOPIC_AUTHORIZATION_FAILED).
    #[error("this key may not do this with the topic")]
    Denied,
    /// Another node leads the partition, or none does yet (NOT_LEADER_OR_FOLLOWER).
    #[error("this node does not lead the partition")]
    NotLeader,
    /// The new leader does not know yet what is committed (OFFSET_NOT_AVAILABLE).
    #[error("the end of the log is not known yet")]
    NotAvailable,
    /// The caller's leader epoch is an old one (FENCED_LEADER_EPOCH).
    #[error("the leader epoch is {current}")]
    FencedEpoch {
        /// The current one.
        current: LeaderEpoch,
    },
    /// The caller's leader epoch is newer than ours (UNKNOWN_LEADER_EPOCH).
    #[error("the leader epoch is {current}")]
    UnknownEpoch {
        /// The current one.
        current: LeaderEpoch,
    },
    /// A trim above the high watermark (OFFSET_OUT_OF_RANGE).
    #[error("offset {offset} is above the high watermark {high_watermark}")]
    OutOfRange {
        /// The one asked for.
        offset: Offset,
        /// The most possible.
        high_watermark: Offset,
    },
    /// The disk or the partition's state is damaged, or the object store failed (KAFKA_STORAGE_ERROR).
    #[error("the partition's storage failed")]
    Storage,
    /// The records that it takes to answer are damaged or missing where they are stored (CORRUPT_MESSAGE).
    #[error(
        "the records from offset {offset} on are damaged where they are stored: an operator can put a good copy of the \
         object back (millstream store check names it); who goes on without them reads behind them"
    )]
    Damaged {
        /// The first that cannot be read.
        offset: Offset,
    },
    /// The trim was not durable in time; it may yet become so (REQUEST_TIMED_OUT).
    #[error("not done in time")]
    Timeout,
    /// The broker is stopping.
    #[error("the broker is shutting down")]
    ShuttingDown,
}

impl OffsetError {
    /// Who is at fault.
    pub fn fault(&self) -> Fault {
        match self {
            Self::UnknownPartition
            | Self::Denied
            | Self::FencedEpoch { .. }
            | Self::UnknownEpoch { .. }
            | Self::OutOfRange { .. } => Fault::Caller,
            Self::NotLeader
            | Self::NotAvailable
            | Self::Storage
            | Self::Damaged { .. }
            | Self::Timeout
            | Self::ShuttingDown => Fault::Dependency,
        }
    }

    /// Whether asking again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Denied | Self::OutOfRange { .. } | Self::Damaged { .. } => Retry::Never,
            Self::NotAvailable | Self::Storage | Self::Timeout | Self::UnknownEpoch { .. } => Retry::Later,
            Self::UnknownPartition | Self::NotLeader | Self::FencedEpoch { .. } | Self::ShuttingDown => {
                Retry::AfterRefresh
            }
        }
    }
}
