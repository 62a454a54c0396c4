//! The one map from refusals to gRPC.

use millstream_metadata::Refusal;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The response header that carries a refusal's stable name.
pub const REASON_HEADER: &str = "millstream-reason";

/// A refusal as gRPC says it; its stable name is in [`REASON_HEADER`].
pub fn refused(refusal: &Refusal) -> Status {
    let mut status = Status::new(code(refusal), refusal.to_string());
    status
        .metadata_mut()
        .insert(REASON_HEADER, MetadataValue::from_static(refusal.reason()));
    status
}

fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::TopicExists { .. } | Refusal::AlreadyExists { .. } => Code::AlreadyExists,
        Refusal::UnknownTopic { .. } | Refusal::NotFound { .. } => Code::NotFound,
        Refusal::InvalidName { .. }
        | Refusal::InvalidPartitions { .. }
        | Refusal::InvalidReplicationFactor { .. }
        | Refusal::InvalidConfig { .. }
        | Refusal::InvalidRequest { .. } => Code::InvalidArgument,
        Refusal::QuotaExceeded { .. } => Code::ResourceExhausted,
        Refusal::VersionConflict { .. } => Code::Aborted,
        Refusal::PermissionDenied { .. } => Code::PermissionDenied,
        Refusal::Fenced { .. } => Code::FailedPrecondition,
        Refusal::NotController | Refusal::Overloaded => Code::Unavailable,
        // Not "unavailable", which clients repeat by themselves: it may have been carried out.
        Refusal::Unknown { .. } => Code::Unknown,
    }
}

pub(crate) fn denied(reason: &str) -> Status {
    refused(&Refusal::PermissionDenied {
        reason: reason.to_owned(),
    })
}

pub(crate) fn not_found(kind: &'static str, name: &str) -> Status {
    refused(&Refusal::NotFound {
        kind,
        name: name.to_owned(),
    })
}

pub(crate) fn invalid(reason: impl Into<String>) -> Status {
    refused(&Refusal::InvalidRequest {
        reason: reason.into(),
    })
}

/// A key was made with a root key that this process does not have: a bug of ours.
pub(crate) fn rootless() -> Status {
    Status::internal("bug: a key was made with a root key that is not here")
}
