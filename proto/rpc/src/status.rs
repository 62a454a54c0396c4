//! The one map from what went wrong to gRPC's status codes.

use millstream_model::{Kind, Problem};
use tonic::{Code, Status};

/// The status of a call that failed as a whole.
pub fn status(problem: Problem) -> Status {
    Status::new(code(problem.kind), problem.text)
}

/// gRPC's code.
pub fn code(kind: Kind) -> Code {
    match kind {
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::TopicDenied | Kind::GroupDenied | Kind::ClusterDenied => Code::PermissionDenied,
        Kind::UnknownTopic | Kind::UnknownTopicId | Kind::UnknownGroup | Kind::NotFound => Code::NotFound,
        Kind::TopicExists | Kind::AlreadyExists => Code::AlreadyExists,
        Kind::InvalidTopicName
        | Kind::BatchTooLarge
        | Kind::CorruptBatch
        | Kind::InvalidRecord
        | Kind::OldFormat
        | Kind::UnknownCompression
        | Kind::InvalidTimestamp
        | Kind::InvalidGroupName
        | Kind::MemberIdRequired
        | Kind::InconsistentProtocol
        | Kind::InvalidSessionTimeout
        | Kind::MemberTooLarge
        | Kind::OffsetMetadataTooLarge
        | Kind::InvalidPartitions
        | Kind::InvalidReplicationFactor
        | Kind::InvalidConfig
        | Kind::InvalidRequest => Code::InvalidArgument,
        Kind::OffsetOutOfRange => Code::OutOfRange,
        Kind::Throttled
        | Kind::TooManyConnections
        | Kind::GroupFull
        | Kind::TooManyGroups
        | Kind::CapExceeded => Code::ResourceExhausted,
        Kind::FencedLeaderEpoch
        | Kind::OutOfOrderSequence
        | Kind::FencedProducer
        | Kind::FencedOwner
        | Kind::NoOpenTransaction
        | Kind::UnknownMember
        | Kind::IllegalGeneration
        | Kind::RebalanceInProgress
        | Kind::FencedInstance
        | Kind::GroupNotEmpty
        | Kind::GroupSubscribed
        | Kind::Fenced => Code::FailedPrecondition,
        Kind::VersionConflict => Code::Aborted,
        Kind::TransactionsNotServed => Code::Unimplemented,
        Kind::Timeout => Code::DeadlineExceeded,
        Kind::JournalDamaged | Kind::RecordsDamaged => Code::DataLoss,
        // Clients repeat it by themselves: nothing was done.
        Kind::NotLeader
        | Kind::Stopping
        | Kind::UnknownLeaderEpoch
        | Kind::OffsetNotAvailable
        | Kind::NoProducerIds
        | Kind::NotEnoughReplicas
        | Kind::JournalFull
        | Kind::Storage
        | Kind::NotCoordinator
        | Kind::CoordinatorNotAvailable
        | Kind::NotController
        | Kind::Overloaded => Code::Unavailable,
        // Not "unavailable": it may have been carried out.
        Kind::OutcomeUnknown => Code::Unknown,
    }
}
