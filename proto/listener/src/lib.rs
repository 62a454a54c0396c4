//! One port for everything that speaks HTTP: HTTP/1.1, h2, h2c with prior knowledge, and gRPC on top of them.
//!
//! In: [`Settings`] and an axum `Router` (tonic's `Routes` turn into one). Out: a [`Handle`] with the bound address;
//! stopping it drains: no new connections, requests under way finish, then connections close.
//!
//! Invariants: connections are bounded ([`millstream_model::limits::CONNECTIONS_MAX`]); a client that connects and
//! says nothing is cut; a bind error says which address and what to do. Not here: what is served.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bind;
mod pem;
mod serve;
mod tls;
mod validity;

pub use bind::{BindError, bind};
pub use pem::PemError;
pub use serve::{Handle, Settings, serve};
pub use tls::{Certificates, TlsError, TlsSettings};
pub use validity::Validity;
