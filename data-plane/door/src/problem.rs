//! The one table from what the broker, the catalog and this crate refuse to what doors tell of it.
//!
//! A door makes its wire code from the [`Kind`] alone; a new variant of an error is missed by the compiler here, and a
//! new kind in each door's table.

use crate::permissions::Denied;
use crate::quotas::{NotConnected, Owes, TooManyConnected};
use millstream_access::refused::kind_of;
use millstream_access::{AuthError, Unfound};
use millstream_broker::interface::groups::GroupError;
use millstream_broker::interface::{FetchError, InitProducerError, OffsetError, ProduceError};
use millstream_metadata::Refusal;
use millstream_model::{Kind, Problem, Retry};

/// An error that a door answers.
pub trait Refused: std::fmt::Display {
    /// What went wrong.
    fn kind(&self) -> Kind;

    /// Whether the same may be asked again.
    fn retry(&self) -> Retry;

    /// It, as doors tell it.
    fn problem(&self) -> Problem {
        Problem {
            kind: self.kind(),
            retry: self.retry(),
            text: self.to_string(),
        }
    }
}

impl Refused for ProduceError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownPartition => Kind::UnknownTopic,
            Self::Denied => Kind::TopicDenied,
            Self::NotLeader => Kind::NotLeader,
            Self::NotOwner { .. } => Kind::FencedOwner,
            Self::TooLarge { .. } => Kind::BatchTooLarge,
            Self::Corrupt { .. } => Kind::CorruptBatch,
            Self::Invalid { .. } => Kind::InvalidRecord,
            Self::OldFormat { .. } => Kind::OldFormat,
            Self::UnknownCompression { .. } => Kind::UnknownCompression,
            Self::InvalidTimestamp { .. } => Kind::InvalidTimestamp,
            Self::OutOfOrderSequence { .. } => Kind::OutOfOrderSequence,
            Self::FencedProducer { .. } => Kind::FencedProducer,
            Self::NoTransaction => Kind::NoOpenTransaction,
            Self::NotEnoughReplicas => Kind::NotEnoughReplicas,
            Self::Timeout => Kind::Timeout,
            Self::Full => Kind::JournalFull,
            Self::Storage => Kind::Storage,
            Self::Damaged => Kind::JournalDamaged,
            Self::ShuttingDown => Kind::Stopping,
        }
    }

    fn retry(&self) -> Retry {
        ProduceError::retry(self)
    }
}

impl Refused for FetchError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownPartition => Kind::UnknownTopic,
            Self::Denied => Kind::TopicDenied,
            Self::NotLeader => Kind::NotLeader,
            Self::OffsetOutOfRange { .. } => Kind::OffsetOutOfRange,
            Self::FencedEpoch { .. } => Kind::FencedLeaderEpoch,
            Self::UnknownEpoch { .. } => Kind::UnknownLeaderEpoch,
            Self::Storage => Kind::Storage,
            Self::Damaged { .. } => Kind::RecordsDamaged,
            Self::ShuttingDown => Kind::Stopping,
        }
    }

    fn retry(&self) -> Retry {
        FetchError::retry(self)
    }
}

impl Refused for OffsetError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownPartition => Kind::UnknownTopic,
            Self::Denied => Kind::TopicDenied,
            Self::NotLeader => Kind::NotLeader,
            Self::NotAvailable => Kind::OffsetNotAvailable,
            Self::FencedEpoch { .. } => Kind::FencedLeaderEpoch,
            Self::UnknownEpoch { .. } => Kind::UnknownLeaderEpoch,
            Self::OutOfRange { .. } => Kind::OffsetOutOfRange,
            Self::Storage => Kind::Storage,
            Self::Damaged { .. } => Kind::RecordsDamaged,
            Self::Timeout => Kind::Timeout,
            Self::ShuttingDown => Kind::Stopping,
        }
    }

    fn retry(&self) -> Retry {
        OffsetError::retry(self)
    }
}

impl Refused for InitProducerError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoTransactions => Kind::TransactionsNotServed,
            Self::Denied => Kind::ClusterDenied,
            Self::Unavailable => Kind::NoProducerIds,
        }
    }

    fn retry(&self) -> Retry {
        InitProducerError::retry(self)
    }
}

impl Refused for GroupError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotCoordinator => Kind::NotCoordinator,
            Self::NotAvailable => Kind::CoordinatorNotAvailable,
            Self::UnknownMember => Kind::UnknownMember,
            Self::MemberIdRequired { .. } => Kind::MemberIdRequired,
            Self::IllegalGeneration => Kind::IllegalGeneration,
            Self::RebalanceInProgress => Kind::RebalanceInProgress,
            Self::InconsistentProtocol => Kind::InconsistentProtocol,
            Self::InvalidSessionTimeout { .. } => Kind::InvalidSessionTimeout,
            Self::FencedInstance => Kind::FencedInstance,
            Self::GroupFull => Kind::GroupFull,
            Self::TooManyGroups => Kind::TooManyGroups,
            Self::MetadataTooLarge { .. } => Kind::OffsetMetadataTooLarge,
            Self::MemberTooLarge => Kind::MemberTooLarge,
            Self::GroupNotFound => Kind::UnknownGroup,
            Self::NonEmptyGroup => Kind::GroupNotEmpty,
            Self::SubscribedToTopic => Kind::GroupSubscribed,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            // What refreshes here is the member itself, by joining anew: the same request never succeeds.
            Self::UnknownMember | Self::MemberIdRequired { .. } | Self::IllegalGeneration => Retry::Never,
            error => GroupError::retry(error),
        }
    }
}

impl Refused for Refusal {
    fn kind(&self) -> Kind {
        kind_of(self)
    }

    fn retry(&self) -> Retry {
        Refusal::retry(self)
    }
}

impl Refused for Unfound {
    fn kind(&self) -> Kind {
        Unfound::kind(self)
    }

    fn retry(&self) -> Retry {
        self.problem().retry
    }
}

impl Refused for AuthError {
    fn kind(&self) -> Kind {
        Kind::Unauthenticated
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn problem(&self) -> Problem {
        // Not the error's own text, which says which keys there are.
        AuthError::problem(self)
    }
}

impl Refused for Denied {
    fn kind(&self) -> Kind {
        Denied::kind(*self)
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }
}

impl Refused for Owes {
    fn kind(&self) -> Kind {
        Kind::Throttled
    }

    fn retry(&self) -> Retry {
        Retry::Later
    }
}

impl Refused for NotConnected {
    fn kind(&self) -> Kind {
        Kind::TooManyConnections
    }

    fn retry(&self) -> Retry {
        Retry::Later
    }
}

impl Refused for TooManyConnected {
    fn kind(&self) -> Kind {
        Kind::TooManyConnections
    }

    fn retry(&self) -> Retry {
        Retry::Later
    }
}
