//! Who sent a request that carries its credentials in a header, whatever the service behind.

use crate::authenticate::recheck;
use crate::error::AuthError;
use crate::header::authenticate_header;
use crate::principal::Principal;
use crate::root::RootKeys;
use millstream_metadata::Image;
use millstream_model::TimestampMs;

/// The caller of a request: `known` if a gate before the service has let somebody in, else the owner of the
/// `authorization` header's value.
///
/// # Errors
/// When it is nobody, or nobody any more. The log is told why; the client is told [`AuthError::client_text`].
pub fn caller(
    image: &Image,
    roots: &RootKeys,
    known: Option<&Principal>,
    header: Option<&[u8]>,
    now: TimestampMs,
) -> Result<Principal, AuthError> {
    match known {
        // The gate's look may be old: the request has waited since.
        Some(who) => recheck(image, who).map(|()| who.clone()),
        None => of_header(image, roots, header, now),
    }
}

/// Whether the `authorization` header's value is the key by which the cluster's nodes know one another.
///
/// # Errors
/// When it is not.
pub fn node(roots: &RootKeys, header: Option<&[u8]>) -> Result<(), NotANode> {
    let header = header.and_then(|header| std::str::from_utf8(header).ok());
    let key = header.and_then(|header| header.split_once(' '));
    match key {
        Some((_, key)) if roots.is_cluster_key(key.trim()) => Ok(()),
        Some(_) => Err(NotANode::Another),
        None => Err(NotANode::Missing),
    }
}

/// The caller is no node of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this needs the cluster key")]
pub enum NotANode {
    /// It has presented nothing.
    Missing,
    /// What it has presented is another key.
    Another,
}

fn of_header(
    image: &Image,
    roots: &RootKeys,
    header: Option<&[u8]>,
    now: TimestampMs,
) -> Result<Principal, AuthError> {
    let header = header.ok_or(AuthError::Missing)?;
    let header = std::str::from_utf8(header).map_err(|_| AuthError::Malformed)?;
    authenticate_header(image, roots, header, now)
}
