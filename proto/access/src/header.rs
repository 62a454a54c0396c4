//! From an `authorization` header to who sent it.

use crate::authenticate::authenticate;
use crate::error::AuthError;
use crate::principal::Principal;
use crate::root::RootKeys;
use crate::token::verify;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millstream_metadata::Image;
use millstream_model::TimestampMs;

/// The caller that sent this `authorization` header: `Basic <base64 of key id:secret>` or `Bearer <token>`. A
/// bearer may also be `key id:secret` itself, for clients that know no other way.
pub fn authenticate_header(
    image: &Image,
    roots: &RootKeys,
    header: &str,
    now: TimestampMs,
) -> Result<Principal, AuthError> {
    let (scheme, rest) = header.trim().split_once(' ').ok_or(AuthError::Malformed)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("basic") {
        let bytes = STANDARD.decode(rest).map_err(|_| AuthError::Malformed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| AuthError::Malformed)?;
        let (id, secret) = text.split_once(':').ok_or(AuthError::Malformed)?;
        authenticate(image, roots, id, secret)
    } else if scheme.eq_ignore_ascii_case("bearer") {
        match rest.split_once(':') {
            Some((id, secret)) => authenticate(image, roots, id, secret),
            None => verify(image, roots, rest, now),
        }
    } else {
        Err(AuthError::Malformed)
    }
}
