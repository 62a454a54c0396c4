//! From what a client presented to who it is.

use crate::error::AuthError;
use crate::principal::Principal;
use crate::root::{RootKeys, derive_secret};
use millstream_metadata::{Image, KeyState};
use millstream_model::KeyId;

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
