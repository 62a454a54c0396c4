//! Why a call does not get through, and what its caller is told.

use crate::quotas::{NotConnected, Owes};
use millstream_access::AuthError;
use std::time::Duration;
use tonic::{Code, Status};

/// What a caller is told when the server stops.
const STOPPING: &str = "the server is stopping; connect again";

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Nobody knows the caller, or not any more.
    #[error("{}", AuthError::CLIENT_TEXT)]
    Unauthenticated,
    /// Nothing was presented.
    #[error("{}", AuthError::Missing.client_text())]
    NoCredentials,
    /// Only the service itself may.
    #[error("this is for the service itself: SQL statements are what clients write")]
    NotTheService,
    /// Only other nodes may, and the caller has not said that it is one.
    #[error("this needs the cluster key")]
    NoClusterKey,
    /// Only other nodes may, and the caller is none.
    #[error("this needs the cluster key")]
    NotANode,
    /// Calls without a key are few at once.
    #[error("there are too many streams without a key at once; try again, or send one")]
    TooManyStrangers,
    /// A stranger's call has an end.
    #[error("a stream without a key ends after {0:?}; call again, or send one")]
    StrangersTime(Duration),
    /// The caller has as many connections as it may have.
    #[error(transparent)]
    TooManyConnections(#[from] NotConnected),
    /// The caller's quota of requests is used up.
    #[error(transparent)]
    Owes(#[from] Owes),
    /// The message is larger than the method takes.
    #[error("a request of {method} has at most {most} bytes, this one has {found} or more")]
    TooLarge {
        /// The method, as the client knows it.
        method: String,
        /// Its limit.
        most: usize,
        /// What was announced or sent.
        found: usize,
    },
    /// The body does not come.
    #[error(
        "the request's body did not come: 64 KiB or its rest in every {patience:?}, all of it in {most:?}"
    )]
    Stalled {
        /// How long it may bring next to nothing.
        patience: Duration,
        /// How long it may take.
        most: Duration,
    },
    /// Others need the memory.
    #[error("the server has no memory for this request now; send fewer at once, or try again")]
    NoRoom,
    /// The client takes nothing of its answer.
    #[error("nothing of the answer was taken for {0:?}")]
    NotTaken(Duration),
    /// The client broke off.
    #[error("the request's body broke off")]
    BrokenOff,
    /// The server stops.
    #[error("{STOPPING}")]
    Stopping,
}

impl Refusal {
    /// For the client.
    pub(crate) fn status(&self) -> Status {
        let code = match self {
            Refusal::Unauthenticated | Refusal::NoCredentials | Refusal::NoClusterKey => {
                Code::Unauthenticated
            }
            Refusal::NotTheService | Refusal::NotANode => Code::PermissionDenied,
            Refusal::TooManyStrangers
            | Refusal::TooManyConnections(_)
            | Refusal::Owes(_)
            | Refusal::TooLarge { .. } => Code::ResourceExhausted,
            Refusal::Stalled { .. } | Refusal::NotTaken(_) => Code::DeadlineExceeded,
            Refusal::BrokenOff => Code::Cancelled,
            // To be tried again, which clients do by themselves.
            Refusal::NoRoom | Refusal::Stopping | Refusal::StrangersTime(_) => Code::Unavailable,
        };
        Status::new(code, self.to_string())
    }

    /// For metrics.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Refusal::Unauthenticated | Refusal::NoCredentials | Refusal::NoClusterKey => "unauthenticated",
            Refusal::NotTheService | Refusal::NotANode => "denied",
            Refusal::TooManyStrangers | Refusal::StrangersTime(_) => "strangers",
            Refusal::TooManyConnections(_) => "connections",
            Refusal::Owes(_) => "owes",
            Refusal::TooLarge { .. } => "too_large",
            Refusal::Stalled { .. } => "stalled",
            Refusal::NotTaken(_) => "not_taken",
            Refusal::NoRoom => "no_room",
            Refusal::BrokenOff => "broken_off",
            Refusal::Stopping => "stopping",
        }
    }
}
