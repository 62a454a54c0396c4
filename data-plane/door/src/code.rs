//! Kafka's word for each kind of problem: the Kafka door sends its number, the gRPC data door its name.

use millstream_kafka_wire::ErrorCode;
use millstream_model::Kind;

/// Kafka's code.
pub fn kafka_code(kind: Kind) -> ErrorCode {
    match kind {
        Kind::Unauthenticated => ErrorCode::SaslAuthenticationFailed,
        Kind::TopicDenied => ErrorCode::TopicAuthorizationFailed,
        Kind::GroupDenied => ErrorCode::GroupAuthorizationFailed,
        Kind::ClusterDenied => ErrorCode::ClusterAuthorizationFailed,
        // Every client tries again after this one; librdkafka gives a message up for THROTTLING_QUOTA_EXCEEDED.
        Kind::Throttled => ErrorCode::NotEnoughReplicas,
        // Kafka closes such a connection without a word, and so does its door here.
        Kind::TooManyConnections => ErrorCode::ThrottlingQuotaExceeded,

        Kind::UnknownTopic => ErrorCode::UnknownTopicOrPartition,
        Kind::UnknownTopicId => ErrorCode::UnknownTopicId,
        Kind::InvalidTopicName => ErrorCode::InvalidTopicException,
        Kind::NotLeader | Kind::Stopping => ErrorCode::NotLeaderOrFollower,
        Kind::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
        Kind::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
        Kind::OffsetOutOfRange => ErrorCode::OffsetOutOfRange,
        Kind::OffsetNotAvailable => ErrorCode::OffsetNotAvailable,

        Kind::BatchTooLarge => ErrorCode::MessageTooLarge,
        Kind::CorruptBatch => ErrorCode::CorruptMessage,
        Kind::InvalidRecord => ErrorCode::InvalidRecord,
        Kind::OldFormat => ErrorCode::UnsupportedForMessageFormat,
        Kind::UnknownCompression => ErrorCode::UnsupportedCompressionType,
        Kind::InvalidTimestamp => ErrorCode::InvalidTimestamp,
        Kind::OutOfOrderSequence => ErrorCode::OutOfOrderSequenceNumber,
        Kind::FencedProducer => ErrorCode::InvalidProducerEpoch,
        // Kafka has no owners of partitions; to its clients it is a newer producer.
        Kind::FencedOwner => ErrorCode::InvalidProducerEpoch,
        Kind::NoOpenTransaction => ErrorCode::InvalidTxnState,
        // Who asks has not heeded FindCoordinator, which says it in words.
        Kind::TransactionsNotServed => ErrorCode::UnsupportedVersion,
        Kind::NoProducerIds => ErrorCode::CoordinatorNotAvailable,

        // Retriable in every client, and nothing was appended.
        Kind::NotEnoughReplicas | Kind::JournalFull => ErrorCode::NotEnoughReplicas,
        Kind::Timeout => ErrorCode::RequestTimedOut,
        // Readers take it for a reason to look for the leader anew, and wait without a word.
        Kind::Storage | Kind::JournalDamaged => ErrorCode::KafkaStorageError,
        // What they tell their users instead: Java's poll throws, librdkafka's returns an error.
        Kind::RecordsDamaged => ErrorCode::CorruptMessage,

        Kind::InvalidGroupName => ErrorCode::InvalidGroupId,
        Kind::NotCoordinator => ErrorCode::NotCoordinator,
        Kind::CoordinatorNotAvailable => ErrorCode::CoordinatorNotAvailable,
        Kind::UnknownMember => ErrorCode::UnknownMemberId,
        Kind::MemberIdRequired => ErrorCode::MemberIdRequired,
        Kind::IllegalGeneration => ErrorCode::IllegalGeneration,
        Kind::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        Kind::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        Kind::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        Kind::FencedInstance => ErrorCode::FencedInstanceId,
        Kind::GroupFull => ErrorCode::GroupMaxSizeReached,
        // Kafka's store refuses the record, and its clients are told UNKNOWN_SERVER_ERROR: some try that again.
        Kind::MemberTooLarge => ErrorCode::InvalidRequest,
        Kind::TooManyGroups | Kind::CapExceeded => ErrorCode::PolicyViolation,
        Kind::OffsetMetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
        Kind::UnknownGroup => ErrorCode::GroupIdNotFound,
        Kind::GroupNotEmpty => ErrorCode::NonEmptyGroup,
        Kind::GroupSubscribed => ErrorCode::GroupSubscribedToTopic,

        Kind::TopicExists => ErrorCode::TopicAlreadyExists,
        Kind::InvalidPartitions => ErrorCode::InvalidPartitions,
        Kind::InvalidReplicationFactor => ErrorCode::InvalidReplicationFactor,
        Kind::InvalidConfig => ErrorCode::InvalidConfig,
        Kind::InvalidRequest => ErrorCode::InvalidRequest,
        Kind::NotFound => ErrorCode::ResourceNotFound,
        Kind::AlreadyExists => ErrorCode::DuplicateResource,
        Kind::VersionConflict => ErrorCode::InvalidUpdateVersion,
        Kind::Fenced => ErrorCode::StaleBrokerEpoch,
        Kind::NotController => ErrorCode::NotController,
        Kind::OutcomeUnknown => ErrorCode::RequestTimedOut,
        Kind::Overloaded => ErrorCode::ThrottlingQuotaExceeded,
    }
}
