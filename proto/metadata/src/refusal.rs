//! Why a command was refused: stable reasons, from which every door makes its own codes.

use millstream_model::{Fault, Retry};

/// Why a command was not carried out. Nothing was changed, except after [`Refusal::Unknown`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A topic of this name is there already.
    #[error("topic '{name}' already exists")]
    TopicExists {
        /// The topic.
        name: String,
    },
    /// No such topic in this tenant.
    #[error("there is no topic '{name}'")]
    UnknownTopic {
        /// The topic, by name or id.
        name: String,
    },
    /// A name that nothing may have.
    #[error("{reason}")]
    InvalidName {
        /// What is wrong with it.
        reason: String,
    },
    /// A number of partitions that cannot be.
    #[error("invalid number of partitions: {reason}")]
    InvalidPartitions {
        /// What is wrong with it.
        reason: String,
    },
    /// A replication factor that cannot be.
    #[error("invalid replication factor: {reason}")]
    InvalidReplicationFactor {
        /// What is wrong with it.
        reason: String,
    },
    /// A config that does not exist, or a value that it cannot have.
    #[error("invalid config: {reason}")]
    InvalidConfig {
        /// Which one, and what is wrong.
        reason: String,
    },
    /// Some other part of the request makes no sense.
    #[error("{reason}")]
    InvalidRequest {
        /// What is wrong.
        reason: String,
    },
    /// A quota would be exceeded.
    #[error("quota exceeded: {reason}")]
    QuotaExceeded {
        /// Which one, and by what.
        reason: String,
    },
    /// No such thing, other than a topic.
    #[error("there is no {kind} '{name}'")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// Its name or id.
        name: String,
    },
    /// Such a thing is there already, other than a topic.
    #[error("{kind} '{name}' already exists")]
    AlreadyExists {
        /// What was to be made.
        kind: &'static str,
        /// Its name or id.
        name: String,
    },
    /// The row has changed since the caller read it.
    #[error("{kind} '{name}' has changed since it was read")]
    VersionConflict {
        /// What was to be changed.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the caller expected.
        expected: u64,
        /// What is there; 0 if nothing.
        found: u64,
    },
    /// The caller may not do that.
    #[error("permission denied: {reason}")]
    PermissionDenied {
        /// What would be needed.
        reason: String,
    },
    /// A node, journal or leader that is not the current one any more (older registration or epoch).
    #[error("fenced: {reason}")]
    Fenced {
        /// By what.
        reason: String,
    },
    /// This process is not the controller (any more); nothing was changed by this command.
    #[error("this node is not the controller")]
    NotController,
    /// The store did not answer clearly: the command may or may not have been carried out.
    #[error("the outcome is unknown: {reason}")]
    Unknown {
        /// The store's words.
        reason: String,
    },
    /// Too many commands are waiting.
    #[error("the controller is overloaded")]
    Overloaded,
}

impl Refusal {
    /// Who is at fault.
    pub fn fault(&self) -> Fault {
        match self {
            Self::TopicExists { .. }
            | Self::UnknownTopic { .. }
            | Self::InvalidName { .. }
            | Self::InvalidPartitions { .. }
            | Self::InvalidReplicationFactor { .. }
            | Self::InvalidConfig { .. }
            | Self::InvalidRequest { .. }
            | Self::QuotaExceeded { .. }
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::VersionConflict { .. }
            | Self::PermissionDenied { .. }
            | Self::Fenced { .. } => Fault::Caller,
            Self::NotController | Self::Unknown { .. } | Self::Overloaded => Fault::Dependency,
        }
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotController | Self::VersionConflict { .. } => Retry::AfterRefresh,
            Self::Unknown { .. } | Self::Overloaded => Retry::Later,
            Self::TopicExists { .. }
            | Self::UnknownTopic { .. }
            | Self::InvalidName { .. }
            | Self::InvalidPartitions { .. }
            | Self::InvalidReplicationFactor { .. }
            | Self::InvalidConfig { .. }
            | Self::InvalidRequest { .. }
            | Self::QuotaExceeded { .. }
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::PermissionDenied { .. }
            | Self::Fenced { .. } => Retry::Never,
        }
    }

    /// The reason's stable name, for clients and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TopicExists { .. } => "TOPIC_EXISTS",
            Self::UnknownTopic { .. } => "UNKNOWN_TOPIC",
            Self::InvalidName { .. } => "INVALID_NAME",
            Self::InvalidPartitions { .. } => "INVALID_PARTITIONS",
            Self::InvalidReplicationFactor { .. } => "INVALID_REPLICATION_FACTOR",
            Self::InvalidConfig { .. } => "INVALID_CONFIG",
            Self::InvalidRequest { .. } => "INVALID_REQUEST",
            Self::QuotaExceeded { .. } => "QUOTA_EXCEEDED",
            Self::NotFound { .. } => "NOT_FOUND",
            Self::AlreadyExists { .. } => "ALREADY_EXISTS",
            Self::VersionConflict { .. } => "VERSION_CONFLICT",
            Self::PermissionDenied { .. } => "PERMISSION_DENIED",
            Self::Fenced { .. } => "FENCED",
            Self::NotController => "NOT_CONTROLLER",
            Self::Unknown { .. } => "OUTCOME_UNKNOWN",
            Self::Overloaded => "OVERLOADED",
        }
    }
}
