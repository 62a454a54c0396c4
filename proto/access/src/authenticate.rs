//! From what a client presented to who it is.

use crate::principal::Principal;
use crate::root::{RootKeys, derive_secret};
use crate::token::{TokenError, verify};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millstream_metadata::{Image, KeyState};
use millstream_model::{KeyId, TimestampMs};

/// Why a caller is not who it says. For the log: clients are told [`AuthError::CLIENT_TEXT`] in every case, or
/// they could ask which keys exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Nothing was presented.
    #[error("no credentials")]
    Missing,
    /// It is not a key or a token at all.
    #[error("malformed credentials")]
    Malformed,
    /// There is no such key.
    #[error("unknown key {key}")]
    Unknown {
        /// What was presented.
        key: KeyId,
    },
    /// The key was revoked.
    #[error("key {key} is revoked")]
    Revoked {
        /// The key.
        key: KeyId,
    },
    /// The secret is wrong.
    #[error("wrong secret for key {key}")]
    WrongSecret {
        /// The key.
        key: KeyId,
    },
    /// The secret was derived from a version of the root key that this process does not have.
    #[error("key {key} needs version {version} of the root key, which this node lacks")]
    RootKeyMissing {
        /// The key.
        key: KeyId,
        /// The version.
        version: u32,
    },
    /// The key's virtual cluster is gone.
    #[error("key {key} belongs to a virtual cluster that does not exist")]
    NoTenant {
        /// The key.
        key: KeyId,
    },
    /// The node has not heard of the controller for so long that the key may have been revoked meanwhile.
    #[error("key {key} may have been revoked: this node has not reached the controller for too long")]
    Stale {
        /// The key.
        key: KeyId,
    },
    /// The token is no good.
    #[error("bad token: {0}")]
    Token(#[from] TokenError),
}

impl AuthError {
    /// What a client is told, whatever the reason.
    pub const CLIENT_TEXT: &'static str =
        "authentication failed: unknown or revoked key, or wrong secret (key id = user, secret = password)";
}

/// The caller that presented this key id and secret.
pub fn authenticate(
    image: &Image,
    roots: &RootKeys,
    key_id: &str,
    secret: &str,
) -> Result<Principal, AuthError> {
    let id: KeyId = key_id.parse().map_err(|_| AuthError::Malformed)?;
    let Some(key) = image.key(&id) else {
        // The same work as for a key that exists, so that time does not tell which do.
        let decoy = derive_secret(roots, roots.current(), &id, &[0; 16]);
        let _ = decoy.is_some_and(|decoy| decoy.matches(secret));
        return Err(AuthError::Unknown { key: id });
    };
    let expected =
        derive_secret(roots, key.root_version, &id, &key.salt).ok_or(AuthError::RootKeyMissing {
            key: id,
            version: key.root_version,
        })?;
    if !expected.matches(secret) {
        return Err(AuthError::WrongSecret { key: id });
    }
    let principal = Principal::of_key(key);
    admit(image, &principal)?;
    Ok(principal)
}

/// Whether a caller may begin: it may go on, and what is known of its key is fresh enough.
pub(crate) fn admit(image: &Image, who: &Principal) -> Result<(), AuthError> {
    recheck(image, who)?;
    // The process itself has no key that could be revoked.
    if image.is_stale() && who.key != KeyId::NONE {
        return Err(AuthError::Stale { key: who.key });
    }
    Ok(())
}

/// Whether a caller that authenticated earlier still may go on: doors ask at every change of the image.
pub fn recheck(image: &Image, who: &Principal) -> Result<(), AuthError> {
    if image.virtual_cluster(who.tenant).is_none() {
        return Err(AuthError::NoTenant { key: who.key });
    }
    if who.key == KeyId::NONE {
        return Ok(());
    }
    let key = image.key(&who.key).ok_or(AuthError::Unknown { key: who.key })?;
    match key.state {
        KeyState::Active => Ok(()),
        KeyState::Revoked { .. } => Err(AuthError::Revoked { key: who.key }),
    }
}

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
