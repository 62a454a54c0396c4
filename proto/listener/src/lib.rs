//! One port for everything that speaks HTTP: HTTP/1.1, h2, h2c with prior knowledge, and gRPC on top of them.
//!
//! In: [`Settings`] and an axum `Router` (tonic's `Routes` turn into one). Out: a [`Handle`] with the bound address;
//! stopping it drains: no new connections, requests under way finish, then connections close. Every request has its
//! [`Connection`] in its extensions: who finds out that a key was shown says so there.
//!
//! Invariants: connections are bounded ([`millstream_model::limits::CONNECTIONS_MAX`]), and what each may hold; a
//! client that connects and says nothing is cut, from accepting on; strangers never keep out who comes (`places`), and
//! health has places of its own; a bind error says which address and what to do. Not here: what is served, and whose
//! a key is.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bind;
mod connection;
mod metrics;
mod pace;
mod pem;
pub mod places;
mod serve;
mod tls;
mod validity;

pub use bind::{BindError, bind};
pub use connection::{Connection, TooManyConnections};
pub use metrics::Metrics;
pub use pem::PemError;
pub use serve::{Handle, Settings, serve};
pub use tls::{Certificates, TlsError, TlsSettings};
pub use validity::Validity;
