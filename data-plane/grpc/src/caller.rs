//! Who calls: whom the gate let in; in process, where there is none, the `authorization` header's owner.

use millstream_access::{AuthError, Principal, authenticate_header};
use millstream_broker::Broker;
use millstream_model::TimestampMs;
use tonic::{Code, Request, Status};

/// The caller of a call.
pub(crate) fn caller<T>(broker: &Broker, request: &Request<T>) -> Result<Principal, Status> {
    if let Some(who) = request.extensions().get::<Principal>() {
        return Ok(who.clone());
    }
    let header = request
        .metadata()
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
