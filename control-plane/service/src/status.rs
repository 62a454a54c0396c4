//! Refusals as gRPC says them: by the table that every door uses, with their stable names beside.

use millstream_access::refused::problem_of;
use millstream_metadata::Refusal;
use millstream_rpc::status::status;
use tonic::Status;
use tonic::metadata::MetadataValue;

/// The response header that carries a refusal's stable name.
pub const REASON_HEADER: &str = "millstream-reason";

/// A refusal as gRPC says it; its stable name is in [`REASON_HEADER`].
pub fn refused(refusal: &Refusal) -> Status {
    let mut status = status(problem_of(refusal));
    status
        .metadata_mut()
        .insert(REASON_HEADER, MetadataValue::from_static(refusal.reason()));
    status
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
