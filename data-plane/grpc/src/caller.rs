//! Who calls: the `authorization` header of every call, against the newest image.

use millstream_access::{AuthError, Principal, authenticate_header};
use millstream_broker::Broker;
use millstream_model::TimestampMs;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

/// The caller of a call with these headers.
pub(crate) fn caller(broker: &Broker, headers: &MetadataMap) -> Result<Principal, Status> {
    let header = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .ok_or(AuthError::Missing);
    let found = header
        .and_then(|header| authenticate_header(&broker.image(), broker.roots(), header, TimestampMs::now()));
    found.map_err(|error| {
        tracing::info!(%error, "a gRPC caller was refused");
        Status::new(Code::Unauthenticated, AuthError::CLIENT_TEXT)
    })
}
