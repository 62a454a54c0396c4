//! Who sent a request: whom the gate before this service let in, or the owner of the `authorization` header.

use crate::status::denied;
use millstream_access::caller::{NotANode, caller, node};
use millstream_access::{Principal, RootKeys};
use millstream_metadata::{Grant, Image};
use millstream_model::TimestampMs;
use millstream_rpc::status::status;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

/// The caller of a request.
pub(crate) fn principal<T>(
    image: &Image,
    roots: &RootKeys,
    request: &Request<T>,
) -> Result<Principal, Status> {
    let known = request.extensions().get::<Principal>();
    caller(
        image,
        roots,
        known,
        header(request.metadata()),
        TimestampMs::now(),
    )
    .map_err(|error| {
        tracing::info!(%error, "a caller was refused");
        status(error.problem())
    })
}

/// Refuses unless the caller is another node: it presents the cluster key as a bearer token.
pub(crate) fn require_node(roots: &RootKeys, metadata: &MetadataMap) -> Result<(), Status> {
    node(roots, header(metadata)).map_err(|error| match error {
        NotANode::Another => denied(&error.to_string()),
        NotANode::Missing => Status::unauthenticated(error.to_string()),
    })
}

fn header(metadata: &MetadataMap) -> Option<&[u8]> {
    metadata
        .get("authorization")
        .map(|value| value.as_encoded_bytes())
}

/// Whether the caller is in charge of the cluster.
pub(crate) fn is_operator(who: &Principal) -> bool {
    who.grants.contains(&Grant::Operator)
}

/// Whether the caller is in charge of its organisation.
pub(crate) fn is_organization_admin(who: &Principal) -> bool {
    who.grants.contains(&Grant::Organisation) || is_operator(who)
}

/// Whether the caller is in charge of its virtual cluster.
pub(crate) fn is_admin(who: &Principal) -> bool {
    who.grants.contains(&Grant::Admin) || is_organization_admin(who)
}
