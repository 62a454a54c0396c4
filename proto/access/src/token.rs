//! Short-lived tokens: JWTs that this cluster signs and reads itself.
//!
//! SQL acts as the owner of a query with one (sql.md 20). A token is worth no more than the key behind it: when
//! that key is revoked, so is the token.

use crate::authenticate::admit;
use crate::error::{AuthError, TokenError};
use crate::principal::Principal;
use crate::root::RootKeys;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use millstream_metadata::{Grants, Image, OrganisationId};
use millstream_model::{KeyId, TenantId, TimestampMs};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The longest a token may live.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(3600);

/// The longest token that is looked at, bytes.
const TOKEN_BYTES_MAX: usize = 4096;

const ISSUER: &str = "millstream";

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// Key id.
    sub: KeyId,
    tenant: TenantId,
    organisation: OrganisationId,
    grants: Grants,
    /// Seconds since 1970.
    iat: i64,
    exp: i64,
}

/// Makes a token that speaks for `who` until `life` (at most [`TOKEN_LIFE_MAX`]) is over.
pub fn mint(
    roots: &RootKeys,
    who: &Principal,
    now: TimestampMs,
    life: Duration,
) -> Result<String, TokenError> {
    let version = roots.current();
    let key = roots.token_key(version).ok_or(TokenError::Sign)?;
    let issued = now.0.div_euclid(1000);
    let life = i64::try_from(life.min(TOKEN_LIFE_MAX).as_secs()).unwrap_or(0);
    let claims = Claims {
        iss: ISSUER.to_owned(),
        sub: who.key,
        tenant: who.tenant,
        organisation: who.organisation,
        grants: who.grants.as_ref().clone(),
        iat: issued,
        exp: issued.saturating_add(life),
    };
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(version.to_string());
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&key)).map_err(|_| TokenError::Sign)
}

/// Who a token speaks for.
pub fn verify(
    image: &Image,
    roots: &RootKeys,
    token: &str,
    now: TimestampMs,
) -> Result<Principal, AuthError> {
    let claims = read(roots, token)?;
    let now = now.0.div_euclid(1000);
    if now >= claims.exp {
        return Err(TokenError::Expired.into());
    }
    let who = Principal {
        tenant: claims.tenant,
        organisation: claims.organisation,
        key: claims.sub,
        grants: Arc::new(claims.grants),
    };
    admit(image, &who)?;
    Ok(who)
}

fn read(roots: &RootKeys, token: &str) -> Result<Claims, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Invalid);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
    let version: Option<u32> = header.kid.and_then(|kid| kid.parse().ok());
    let key = version
        .and_then(|version| roots.token_key(version))
        .ok_or(TokenError::Invalid)?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss"]);
    // The library asks the system's clock; time is an argument here.
    validation.validate_exp = false;
    let data = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(&key), &validation);
    data.map(|data| data.claims).map_err(|_| TokenError::Invalid)
}
