//! The Kafka door: Kafka's protocol over TCP or TLS, one table of APIs, one file per API, over the broker's interface.
//!
//! In: [`Settings`] and a running [`Broker`](millstream_broker::Broker). Out: a bound address ([`Bound`]), then a
//! [`Handle`] that drains and stops the door.
//!
//! ```text
//!  socket ─▶ frames ─▶ login (SASL/PLAIN) ─▶ reader ─▶ executor ─▶ writer ─▶ socket
//!            length      key id + secret       reads      one at a    answers in the
//!            checked                           ahead      time, in    order of the
//!            first                                        order       requests
//! ```
//! A produce is given its place in the log when its turn comes and answered when it is durable; meanwhile its
//! successors are handled. Everything else is finished before the next request is begun, as in Kafka.
//!
//! Invariants: no length is believed before it was checked, and nothing large is allocated before a client has
//! authenticated; answers leave in the order of requests; record bytes are never copied on their way out; what a
//! connection may hold in memory is bounded (`model::limits`); one bad frame ends its own connection only; a revoked
//! key's connections are closed. Not here: what a request does (`broker`, `coordinator`), bytes (`kafka-wire`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api;
mod connection;
mod door;
mod error;
mod metrics;
mod session;
mod settings;
mod silent;
mod topics;
mod unbegun;

pub use door::{BindError, Bound, Handle, bind};
pub use settings::Settings;
