//! What refuses a caller or its command, as doors tell it.

use crate::error::AuthError;
use millstream_metadata::Refusal;
use millstream_model::{Kind, Problem, Retry};

/// What the catalog's refusal of a command is.
pub fn kind_of(refusal: &Refusal) -> Kind {
    match refusal {
        Refusal::TopicExists { .. } => Kind::TopicExists,
        Refusal::UnknownTopic { .. } => Kind::UnknownTopic,
        Refusal::InvalidName { .. } => Kind::InvalidTopicName,
        Refusal::InvalidPartitions { .. } => Kind::InvalidPartitions,
        Refusal::InvalidReplicationFactor { .. } => Kind::InvalidReplicationFactor,
        Refusal::InvalidConfig { .. } => Kind::InvalidConfig,
        Refusal::InvalidRequest { .. } => Kind::InvalidRequest,
        Refusal::QuotaExceeded { .. } => Kind::CapExceeded,
        Refusal::NotFound { .. } => Kind::NotFound,
        Refusal::AlreadyExists { .. } => Kind::AlreadyExists,
        Refusal::VersionConflict { .. } => Kind::VersionConflict,
        // Whose word matters: the commands that data doors pass on are about topics; gRPC has one code for all.
        Refusal::PermissionDenied { .. } => Kind::TopicDenied,
        Refusal::Fenced { .. } => Kind::Fenced,
        Refusal::NotController => Kind::NotController,
        Refusal::Unknown { .. } => Kind::OutcomeUnknown,
        Refusal::Overloaded => Kind::Overloaded,
    }
}

/// The catalog's refusal of a command, for a door.
pub fn problem_of(refusal: &Refusal) -> Problem {
    Problem {
        kind: kind_of(refusal),
        retry: refusal.retry(),
        text: refusal.to_string(),
    }
}

impl AuthError {
    /// What the client is told: nothing that says which keys there are.
    pub fn client_text(&self) -> &'static str {
        match self {
            AuthError::Missing => "no credentials: send `authorization: Basic <key id:secret>`",
            _ => AuthError::CLIENT_TEXT,
        }
    }

    /// It, for a door.
    pub fn problem(&self) -> Problem {
        Problem {
            kind: Kind::Unauthenticated,
            retry: Retry::Never,
            text: self.client_text().to_owned(),
        }
    }
}
