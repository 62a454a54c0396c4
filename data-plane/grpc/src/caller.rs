//! Who calls: whom the gate let in; in process, where there is none, the `authorization` header's owner.

use millstream_access::{AuthError, Principal};
use millstream_broker::Broker;
use millstream_model::TimestampMs;
use millstream_rpc::status::status;
use tonic::{Request, Status};

/// The caller of a call.
pub(crate) fn caller<T>(broker: &Broker, request: &Request<T>) -> Result<Principal, Status> {
    let known = request.extensions().get::<Principal>();
    let header = request.metadata().get("authorization");
    let header = header.map(|value| value.as_encoded_bytes());
    millstream_access::caller(&broker.image(), broker.roots(), known, header, TimestampMs::now()).map_err(
        |error| {
            tracing::info!(%error, "a gRPC caller was refused");
            unauthenticated(&error)
        },
    )
}

/// What a client is told whose key is unknown, or no longer good.
pub(crate) fn unauthenticated(error: &AuthError) -> Status {
    status(error.problem())
}
