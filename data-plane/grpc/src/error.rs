//! The one map from the broker's errors to this door's: Kafka's names, so that every door uses the same words.

use millstream_broker::interface::groups::GroupError;
use millstream_broker::interface::{FetchError, InitProducerError, OffsetError, ProduceError};
use millstream_model::Retry;
use millstream_rpc::data::Error;
use tonic::{Code, Status};

fn error(code: &str, cause: &dyn std::error::Error, retry: Retry) -> Error {
    Error {
        code: code.to_owned(),
        message: cause.to_string(),
        retriable: retry != Retry::Never,
    }
}

pub(crate) fn of_produce(cause: &ProduceError) -> Error {
    let code = match cause {
        ProduceError::UnknownPartition => "UNKNOWN_TOPIC_OR_PARTITION",
        ProduceError::Denied => "TOPIC_AUTHORIZATION_FAILED",
        ProduceError::NotLeader | ProduceError::ShuttingDown => "NOT_LEADER_OR_FOLLOWER",
        ProduceError::TooLarge { .. } => "MESSAGE_TOO_LARGE",
        ProduceError::Corrupt { .. } => "CORRUPT_MESSAGE",
        ProduceError::Invalid { .. } => "INVALID_RECORD",
        ProduceError::OldFormat { .. } => "UNSUPPORTED_FOR_MESSAGE_FORMAT",
        ProduceError::UnknownCompression { .. } => "UNSUPPORTED_COMPRESSION_TYPE",
        ProduceError::InvalidTimestamp { .. } => "INVALID_TIMESTAMP",
        ProduceError::OutOfOrderSequence { .. } => "OUT_OF_ORDER_SEQUENCE_NUMBER",
        ProduceError::FencedProducer { .. } => "INVALID_PRODUCER_EPOCH",
        ProduceError::NotOwner { .. } => "OWNER_FENCED",
        ProduceError::NoTransaction => "INVALID_TXN_STATE",
        ProduceError::NotEnoughReplicas => "NOT_ENOUGH_REPLICAS",
        ProduceError::Timeout => "REQUEST_TIMED_OUT",
        ProduceError::Full => "THROTTLING_QUOTA_EXCEEDED",
        ProduceError::Storage | ProduceError::Damaged => "KAFKA_STORAGE_ERROR",
    };
    error(code, cause, cause.retry())
}

pub(crate) fn of_fetch(cause: &FetchError) -> Error {
    let code = match cause {
        FetchError::UnknownPartition => "UNKNOWN_TOPIC_OR_PARTITION",
        FetchError::Denied => "TOPIC_AUTHORIZATION_FAILED",
        FetchError::NotLeader | FetchError::ShuttingDown => "NOT_LEADER_OR_FOLLOWER",
        FetchError::OffsetOutOfRange { .. } => "OFFSET_OUT_OF_RANGE",
        FetchError::FencedEpoch { .. } => "FENCED_LEADER_EPOCH",
        FetchError::UnknownEpoch { .. } => "UNKNOWN_LEADER_EPOCH",
        FetchError::Storage => "KAFKA_STORAGE_ERROR",
        FetchError::Damaged { .. } => "CORRUPT_MESSAGE",
    };
    error(code, cause, cause.retry())
}

pub(crate) fn of_offset(cause: &OffsetError) -> Error {
    let code = match cause {
        OffsetError::UnknownPartition => "UNKNOWN_TOPIC_OR_PARTITION",
        OffsetError::Denied => "TOPIC_AUTHORIZATION_FAILED",
        OffsetError::NotLeader | OffsetError::ShuttingDown => "NOT_LEADER_OR_FOLLOWER",
        OffsetError::NotAvailable => "OFFSET_NOT_AVAILABLE",
        OffsetError::FencedEpoch { .. } => "FENCED_LEADER_EPOCH",
        OffsetError::UnknownEpoch { .. } => "UNKNOWN_LEADER_EPOCH",
        OffsetError::OutOfRange { .. } => "OFFSET_OUT_OF_RANGE",
        OffsetError::Storage => "KAFKA_STORAGE_ERROR",
        OffsetError::Damaged { .. } => "CORRUPT_MESSAGE",
        OffsetError::Timeout => "REQUEST_TIMED_OUT",
    };
    error(code, cause, cause.retry())
}

pub(crate) fn of_group(cause: &GroupError) -> Error {
    let (code, retriable) = match cause {
        GroupError::NotCoordinator => ("NOT_COORDINATOR", true),
        GroupError::NotAvailable => ("COORDINATOR_NOT_AVAILABLE", true),
        GroupError::UnknownMember => ("UNKNOWN_MEMBER_ID", false),
        GroupError::MemberIdRequired { .. } => ("MEMBER_ID_REQUIRED", false),
        GroupError::IllegalGeneration => ("ILLEGAL_GENERATION", false),
        GroupError::RebalanceInProgress => ("REBALANCE_IN_PROGRESS", true),
        GroupError::InconsistentProtocol => ("INCONSISTENT_GROUP_PROTOCOL", false),
        GroupError::InvalidSessionTimeout { .. } => ("INVALID_SESSION_TIMEOUT", false),
        GroupError::FencedInstance => ("FENCED_INSTANCE_ID", false),
        GroupError::GroupFull | GroupError::TooManyGroups => ("GROUP_MAX_SIZE_REACHED", false),
        GroupError::MetadataTooLarge { .. } => ("OFFSET_METADATA_TOO_LARGE", false),
        GroupError::MemberTooLarge => ("INVALID_REQUEST", false),
        GroupError::GroupNotFound => ("GROUP_ID_NOT_FOUND", false),
        GroupError::NonEmptyGroup => ("NON_EMPTY_GROUP", false),
        GroupError::SubscribedToTopic => ("GROUP_SUBSCRIBED_TO_TOPIC", false),
    };
    Error {
        code: code.to_owned(),
        message: cause.to_string(),
        retriable,
    }
}

/// A group's error that concerns the call as a whole.
pub(crate) fn group_status(cause: &GroupError) -> Status {
    let code = match cause {
        GroupError::NotCoordinator | GroupError::NotAvailable => Code::Unavailable,
        GroupError::GroupNotFound => Code::NotFound,
        GroupError::NonEmptyGroup
        | GroupError::SubscribedToTopic
        | GroupError::RebalanceInProgress
        | GroupError::IllegalGeneration
        | GroupError::UnknownMember
        | GroupError::FencedInstance => Code::FailedPrecondition,
        GroupError::GroupFull | GroupError::TooManyGroups => Code::ResourceExhausted,
        GroupError::MemberIdRequired { .. }
        | GroupError::InconsistentProtocol
        | GroupError::InvalidSessionTimeout { .. }
        | GroupError::MetadataTooLarge { .. }
        | GroupError::MemberTooLarge => Code::InvalidArgument,
    };
    Status::new(code, cause.to_string())
}

pub(crate) fn producer_status(cause: &InitProducerError) -> Status {
    let code = match cause {
        InitProducerError::NoTransactions => Code::Unimplemented,
        InitProducerError::Denied => Code::PermissionDenied,
        InitProducerError::Unavailable => Code::Unavailable,
    };
    Status::new(code, cause.to_string())
}
