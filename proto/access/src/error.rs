//! Why a caller is not who it says.

use millstream_model::KeyId;

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

/// Why a token is no good, or could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of ours, or altered.
    #[error("malformed, or not signed by this cluster")]
    Invalid,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// The library would not sign.
    #[error("cannot sign")]
    Sign,
}
