//! The Rust client of Millstream: produce, fetch, watch, administer and query, over gRPC.
//!
//! In: an address and an API key, or any tower service that speaks gRPC (the broker's own routes, when roles share a
//! process: same messages, authentication and quotas, no socket). Out: [`Client`], and from it a [`Producer`],
//! a [`Consumer`], watch streams, [`Admin`] and [`sql`](Client::sql).
//!
//! ```no_run
//! # async fn example() -> Result<(), millstream_rust::Error> {
//! use millstream_rust::{Client, Credentials, ProducerSettings, Record};
//!
//! let client = Client::connect("http://127.0.0.1:8080", Credentials::key("KEY ID", "SECRET"))?;
//! let producer = client.producer(ProducerSettings::default());
//! let delivered = producer.send("flights", Record::new().key("UA").value("{\"dep_delay\": 2}")).await?;
//! println!("partition {} offset {}", delivered.partition, delivered.offset);
//! # Ok(())
//! # }
//! ```
//!
//! Invariants: an idempotent producer never reorders or doubles records of a partition; buffers are bounded; every
//! retry is bounded in time. Not here: the messages themselves (`millstream-rpc`), record batches (`kafka-wire`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admin;
mod client;
mod consume;
mod data;
mod error;
mod owned;
mod produce;
mod record;
mod sql;
mod transport;
mod watch;

pub use admin::Admin;
pub use client::Client;
pub use consume::{Consumer, ConsumerSettings, Start};
pub use data::{FetchedPartition, Position};
pub use error::Error;
pub use owned::Owned;
pub use produce::{Acks, Compression, Delivered, Producer, ProducerSettings};
pub use record::{ConsumedRecord, Header, Record};
pub use sql::{SqlAnswer, SqlStream};
pub use transport::{Credentials, Transport, TransportError};
pub use watch::{WatchStream, Watermark};

pub use millstream_rpc as rpc;
