//! Who sent a request: whom the gate before this service let in, or the owner of the `authorization` header.

use crate::status::denied;
use millstream_access::{AuthError, Principal, RootKeys, authenticate_header, recheck};
use millstream_metadata::{Grant, Image};
use millstream_model::TimestampMs;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

/// The caller of a request.
pub(crate) fn principal<T>(
    image: &Image,
    roots: &RootKeys,
    request: &Request<T>,
) -> Result<Principal, Status> {
    if let Some(who) = request.extensions().get::<Principal>() {
        return match recheck(image, who) {
            Ok(()) => Ok(who.clone()),
            Err(_) => Err(Status::unauthenticated(AuthError::CLIENT_TEXT)),
        };
    }
    let Some(header) = request.metadata().get("authorization") else {
        return Err(Status::unauthenticated(
            "no credentials: send `authorization: Basic <key id:secret>`",
        ));
    };
    let header = header
        .to_str()
        .map_err(|_| Status::unauthenticated(AuthError::CLIENT_TEXT))?;
    authenticate_header(image, roots, header, TimestampMs::now()).map_err(|error| {
        tracing::info!(%error, "a caller was refused");
        Status::unauthenticated(AuthError::CLIENT_TEXT)
    })
}

/// Refuses unless the caller is another node: it presents the cluster key as a bearer token.
pub(crate) fn require_node(roots: &RootKeys, metadata: &MetadataMap) -> Result<(), Status> {
    let header = metadata
        .get("authorization")
        .and_then(|header| header.to_str().ok());
    let key = header
        .and_then(|header| header.split_once(' '))
        .map(|(_, key)| key.trim());
    match key {
        Some(key) if roots.is_cluster_key(key) => Ok(()),
        Some(_) => Err(denied("this needs the cluster key")),
        None => Err(Status::unauthenticated("this needs the cluster key")),
    }
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
