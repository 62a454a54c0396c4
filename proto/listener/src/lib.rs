//! One port for everything that speaks HTTP: HTTP/1.1, h2, h2c with prior knowledge, and gRPC on top of them.
//!
//! In: [`Settings`] and an axum `Router` (tonic's `Routes` turn into one). Out: a [`Handle`] with the bound address;
//! stopping it drains: no new connections, requests under way finish, then connections close.
//!
//! Invariants: connections are bounded ([`millstream_model::limits::CONNECTIONS_MAX`]); a client that connects and
//! says nothing is cut; a bind error says which address and what to do. Not here: what is served.

mod bind;
mod serve;
mod tls;

pub use bind::{BindError, bind};
pub use serve::{Handle, Settings, serve};
pub use tls::{TlsError, TlsSettings, load_tls};
