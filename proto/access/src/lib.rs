//! Who is calling, may they, what do they see, and how fast: keys, tokens, grants, topics, quota arithmetic. Pure, over
//! the catalog's image.
//!
//! In: what a client presented (key id and secret, or a token), the [`Image`](millstream_metadata::Image), the
//! [`RootKeys`]. Out: a [`Principal`], or an [`AuthError`] of which the client sees only [`AuthError::CLIENT_TEXT`].
//!
//! Invariants: a secret is derived, never stored, never printed (log.md 43); comparisons take constant time; an
//! unknown key costs the same work as a wrong secret. Not here: protocols' ways of carrying keys (the doors),
//! making and revoking keys (`control-plane/catalog`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod authenticate;
pub mod caller;
pub mod error;
pub mod grant;
pub mod header;
pub mod principal;
pub mod quota;
pub mod refused;
pub mod revoked;
pub mod root;
pub mod token;
pub mod topics;

pub use authenticate::{authenticate, recheck};
pub use caller::{NotANode, caller};
pub use error::{AuthError, TokenError};
pub use grant::{Operation, Resource, allowed};
pub use header::authenticate_header;
pub use principal::Principal;
pub use quota::TokenBucket;
pub use revoked::revoked;
pub use root::{RootKeyError, RootKeys, Secret, derive_secret};
pub use token::mint;
pub use topics::{Named, Unfound};
