//! The few kinds of failure that a caller can tell apart, each saying whether to try again.

use std::error::Error as _;
use tonic::{Code, Status};

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The key is unknown, revoked or its secret is wrong.
    #[error("not authenticated: {0}; check the key id and secret")]
    Unauthenticated(String),
    /// The key may not do this.
    #[error("not permitted: {0}")]
    PermissionDenied(String),
    /// The request is wrong; the same request fails again.
    #[error("{0}")]
    Invalid(String),
    /// What was named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// What was to be made exists already.
    #[error("{0}")]
    AlreadyExists(String),
    /// A quota or limit is exhausted.
    #[error("{0}")]
    Exhausted(String),
    /// The service answered that it cannot do this now; trying again may help.
    #[error("the service is not available: {0}")]
    Unavailable(String),
    /// Nobody answered, or the connection ended before the answer; trying again may help.
    #[error("the service cannot be reached: {0}")]
    Unreachable(String),
    /// The call took longer than it may.
    #[error("the service did not answer in time: {0}")]
    Timeout(String),
    /// One partition refused.
    #[error("{topic}-{partition}: {message} ({code})")]
    Partition {
        /// Its topic.
        topic: String,
        /// Its index.
        partition: u32,
        /// Kafka's name for the error.
        code: String,
        /// For a person.
        message: String,
        /// Whether the same request may succeed later.
        retriable: bool,
    },
    /// A statement failed.
    #[error("{}", sql_text(message, *line, *column, excerpt))]
    Sql {
        /// Stable, machine-readable.
        code: String,
        /// For a person.
        message: String,
        /// 1-based; 0 when the error has no place in the text.
        line: u32,
        /// 1-based.
        column: u32,
        /// The line with a caret.
        excerpt: String,
        /// Whether the same statement may succeed later.
        retriable: bool,
    },
    /// The service answered something that this client cannot read.
    #[error("the service answered something unreadable: {0}")]
    Protocol(String),
    /// The producer or consumer was closed, or failed for good before.
    #[error("closed: {0}")]
    Closed(String),
}

/// The message with its place; an excerpt that repeats the message stands alone.
fn sql_text(message: &str, line: u32, column: u32, excerpt: &str) -> String {
    match (line, excerpt) {
        (_, excerpt) if excerpt.contains(message) => excerpt.to_owned(),
        (0, _) => message.to_owned(),
        (_, "") => format!("{message} (line {line}, column {column})"),
        (_, excerpt) => format!("{message} (line {line}, column {column})\n{excerpt}"),
    }
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Unavailable(_) | Error::Unreachable(_) | Error::Timeout(_) => true,
            Error::Partition { retriable, .. } | Error::Sql { retriable, .. } => *retriable,
            Error::Unauthenticated(_)
            | Error::PermissionDenied(_)
            | Error::Invalid(_)
            | Error::NotFound(_)
            | Error::AlreadyExists(_)
            | Error::Exhausted(_)
            | Error::Protocol(_)
            | Error::Closed(_) => false,
        }
    }

    /// Whether a batch was refused for a record in it: it is too large, or such records are not taken here. The others
    /// of its batch can be written.
    pub fn refuses_records(&self) -> bool {
        matches!(self, Error::Partition { code, .. }
            if matches!(code.as_str(), "MESSAGE_TOO_LARGE" | "INVALID_RECORD" | "INVALID_TIMESTAMP"))
    }

    /// A partition's error as the service sent it.
    pub(crate) fn partition(
        partition: Option<&millstream_rpc::data::Partition>,
        error: &millstream_rpc::data::Error,
    ) -> Error {
        Error::Partition {
            topic: partition.map(|it| it.topic.clone()).unwrap_or_default(),
            partition: partition.map(|it| it.index).unwrap_or_default(),
            code: error.code.clone(),
            message: error.message.clone(),
            retriable: error.retriable,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let message = match status.message() {
            "" => status.code().description().to_owned(),
            text => text.to_owned(),
        };
        match status.code() {
            Code::Unauthenticated => Error::Unauthenticated(message),
            Code::PermissionDenied => Error::PermissionDenied(message),
            Code::NotFound => Error::NotFound(message),
            Code::AlreadyExists => Error::AlreadyExists(message),
            Code::ResourceExhausted => Error::Exhausted(message),
            Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange | Code::Unimplemented => {
                Error::Invalid(message)
            }
            Code::DeadlineExceeded => Error::Timeout(message),
            // What a service sends has no cause here: one that failed on the way does.
            _ if status.source().is_some() => Error::Unreachable(message),
            Code::Unavailable | Code::Aborted | Code::Cancelled => Error::Unavailable(message),
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => {
                Error::Unavailable(format!("{message} ({:?})", status.code()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Error;
    use tonic::Status;

    #[test]
    fn what_the_service_answers_is_told_from_what_failed_on_the_way() {
        let answered = Error::from(Status::unavailable("this node is not the controller"));
        assert!(matches!(answered, Error::Unavailable(_)), "{answered:?}");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let failed = Error::from(Status::from_error(Box::new(refused)));
        assert!(matches!(failed, Error::Unreachable(_)), "{failed:?}");
        assert!(answered.is_retriable() && failed.is_retriable());
    }
}
