//! Why a shard could not do as asked.

use crate::streams::StreamsError;
use millstream_state::{ColdError, StopReason};

/// Why a shard could not do as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ShardError {
    /// No query of that id runs here.
    #[error("query {id} does not run")]
    UnknownQuery {
        /// The id.
        id: String,
    },
    /// The query cannot be started or answered.
    #[error("{reason}")]
    Query {
        /// Why.
        reason: String,
    },
    /// The log failed.
    #[error(transparent)]
    Streams(#[from] StreamsError),
    /// The state store failed.
    #[error("the state store is not available: {reason}")]
    State {
        /// Why.
        reason: String,
    },
    /// Something of what was committed is gone.
    #[error("the state of this virtual cluster's queries cannot be told any more: {reason}")]
    Damaged {
        /// What is missing.
        reason: StopReason,
    },
    /// What is in the state store is missing or not what was written. The log tells operators what, tenants learn no
    /// names of objects.
    #[error("the stored state is damaged; the operator's log says where")]
    StateDamaged,
    /// A query that does not run holds no table to answer from.
    #[error("query {id} is parked: {reason}")]
    Parked {
        /// Its id.
        id: String,
        /// Why it is parked.
        reason: String,
    },
    /// A pull asked for a commit that is still to come.
    #[error("the commit that 'pull.commit.min' asks for is still to come; try again")]
    Behind,
    /// The shard is at a commit that does not end: its log or its store hangs.
    #[error("the tenant's queries do not answer: their log or state store takes too long; try again")]
    Busy,
    /// Another process owns the shard now, or this one is stopping.
    #[error("this process does not run the tenant's queries any more")]
    Stopped,
}

impl From<ColdError> for ShardError {
    fn from(error: ColdError) -> Self {
        match error {
            ColdError::Fenced => Self::Stopped,
            ColdError::Unavailable { source } => {
                tracing::warn!("the object store under the state of queries fails: {source}");
                Self::State {
                    reason: "its object store fails".to_owned(),
                }
            }
            damaged @ (ColdError::Damaged { .. } | ColdError::Corrupt(_)) => {
                tracing::error!("what the state of queries needs is damaged or missing: {damaged}");
                Self::StateDamaged
            }
        }
    }
}
