//! The one map from what the broker, the coordinator and the catalog refuse to Kafka's error codes.

use millstream_broker::interface::groups::GroupError;
use millstream_broker::interface::{FetchError, InitProducerError, OffsetError, ProduceError};
use millstream_kafka_wire::ErrorCode;
use millstream_metadata::Refusal;

/// An error that has a code in Kafka.
pub(crate) trait Code {
    /// Its code.
    fn code(&self) -> ErrorCode;
}

impl Code for ErrorCode {
    fn code(&self) -> ErrorCode {
        *self
    }
}

impl<T, E: Code> Code for Result<T, E> {
    fn code(&self) -> ErrorCode {
        self.as_ref().map_or_else(Code::code, |_| ErrorCode::None)
    }
}

impl<E: Code> Code for Option<E> {
    fn code(&self) -> ErrorCode {
        self.as_ref().map_or(ErrorCode::None, Code::code)
    }
}

impl Code for ProduceError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
            Self::Denied => ErrorCode::TopicAuthorizationFailed,
            Self::NotLeader | Self::ShuttingDown => ErrorCode::NotLeaderOrFollower,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::Corrupt { .. } => ErrorCode::CorruptMessage,
            Self::Invalid { .. } => ErrorCode::InvalidRecord,
            Self::OldFormat { .. } => ErrorCode::UnsupportedForMessageFormat,
            Self::UnknownCompression { .. } => ErrorCode::UnsupportedCompressionType,
            Self::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::FencedProducer { .. } => ErrorCode::InvalidProducerEpoch,
            Self::NotOwner { .. } => ErrorCode::InvalidProducerEpoch,
            Self::NoTransaction => ErrorCode::InvalidTxnState,
            Self::NotEnoughReplicas => ErrorCode::NotEnoughReplicas,
            Self::Timeout => ErrorCode::RequestTimedOut,
            // Retriable in every client, and nothing was appended.
            Self::Full => ErrorCode::NotEnoughReplicas,
            Self::Storage | Self::Damaged => ErrorCode::KafkaStorageError,
        }
    }
}

impl Code for FetchError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
            Self::Denied => ErrorCode::TopicAuthorizationFailed,
            Self::NotLeader | Self::ShuttingDown => ErrorCode::NotLeaderOrFollower,
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::FencedEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            Self::UnknownEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
            // Clients take it for a reason to look for the leader anew, and wait without a word.
            Self::Storage => ErrorCode::KafkaStorageError,
            // What they tell their users instead: Java's poll throws, librdkafka's returns an error.
            Self::Damaged { .. } => ErrorCode::CorruptMessage,
        }
    }
}

impl Code for OffsetError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
            Self::Denied => ErrorCode::TopicAuthorizationFailed,
            Self::NotLeader | Self::ShuttingDown => ErrorCode::NotLeaderOrFollower,
            Self::NotAvailable => ErrorCode::OffsetNotAvailable,
            Self::FencedEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            Self::UnknownEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
            Self::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Storage => ErrorCode::KafkaStorageError,
            Self::Damaged { .. } => ErrorCode::CorruptMessage,
            Self::Timeout => ErrorCode::RequestTimedOut,
        }
    }
}

impl Code for InitProducerError {
    fn code(&self) -> ErrorCode {
        match self {
            // Both are what makes clients give up instead of asking for ever.
            Self::NoTransactions => ErrorCode::TransactionalIdAuthorizationFailed,
            Self::Denied => ErrorCode::ClusterAuthorizationFailed,
            Self::Unavailable => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

impl Code for GroupError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotCoordinator => ErrorCode::NotCoordinator,
            Self::NotAvailable => ErrorCode::CoordinatorNotAvailable,
            Self::UnknownMember => ErrorCode::UnknownMemberId,
            Self::MemberIdRequired { .. } => ErrorCode::MemberIdRequired,
            Self::IllegalGeneration => ErrorCode::IllegalGeneration,
            Self::RebalanceInProgress => ErrorCode::RebalanceInProgress,
            Self::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
            Self::InvalidSessionTimeout { .. } => ErrorCode::InvalidSessionTimeout,
            Self::FencedInstance => ErrorCode::FencedInstanceId,
            Self::GroupFull | Self::MemberTooLarge => ErrorCode::GroupMaxSizeReached,
            Self::TooManyGroups => ErrorCode::PolicyViolation,
            Self::MetadataTooLarge { .. } => ErrorCode::OffsetMetadataTooLarge,
            Self::GroupNotFound => ErrorCode::GroupIdNotFound,
            Self::NonEmptyGroup => ErrorCode::NonEmptyGroup,
            Self::SubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        }
    }
}

impl Code for Refusal {
    fn code(&self) -> ErrorCode {
        match self {
            Self::TopicExists { .. } => ErrorCode::TopicAlreadyExists,
            Self::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::InvalidName { .. } => ErrorCode::InvalidTopicException,
            Self::InvalidPartitions { .. } => ErrorCode::InvalidPartitions,
            Self::InvalidReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
            Self::InvalidConfig { .. } => ErrorCode::InvalidConfig,
            Self::InvalidRequest { .. } => ErrorCode::InvalidRequest,
            Self::QuotaExceeded { .. } => ErrorCode::PolicyViolation,
            Self::NotFound { .. } => ErrorCode::ResourceNotFound,
            Self::AlreadyExists { .. } => ErrorCode::DuplicateResource,
            Self::VersionConflict { .. } => ErrorCode::InvalidUpdateVersion,
            Self::PermissionDenied { .. } => ErrorCode::TopicAuthorizationFailed,
            Self::Fenced { .. } => ErrorCode::StaleBrokerEpoch,
            Self::NotController => ErrorCode::NotController,
            Self::Unknown { .. } => ErrorCode::RequestTimedOut,
            Self::Overloaded => ErrorCode::ThrottlingQuotaExceeded,
        }
    }
}
