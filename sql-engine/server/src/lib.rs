//! Sessions, statements, pull and push queries over the runtime; the SQL gRPC service.
//!
//! ```text
//!   SqlDoor (gRPC) ─▶ Server ─▶ Engine (one per tenant) ─┬▶ parser, planner    check the whole script, then run it
//!                                                        ├▶ SqlCatalog         rows of streams, tables, queries
//!                                                        ├▶ Streams            topics, INSERT, PRINT, bounded reads
//!                                                        └▶ Shard (runtime)    queries, pull, push
//! ```
//!
//! In: scripts and session properties of a tenant. Out: a stream of answers: schemas, Arrow batches, sentences, or
//! one error with line and column.
//!
//! Invariants: a script with a mistake anywhere changes nothing; what a statement did is in the catalog before it is
//! said; queries resume by themselves when an engine opens; a pull query sees committed values of one commit.
//! Not here: who the caller is (a layer before [`SqlDoor`]), what a plan computes (`operators`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod answer;
pub mod backend;
pub mod catalog;
mod engine;
mod grpc;
pub mod memory;
mod metrics;
pub mod remote;
mod rows;
mod server;
mod workers;

pub use answer::{
    Access, Answer, AnswerStream, Caller, Request, RowsKind, StatementError, StatementErrorKind,
};
pub use backend::{Backend, BackendError, Backends, Settings};
pub use catalog::{CatalogError, SqlCatalog, SqlChange, SqlRow, SqlRowKind, SqlRows};
pub use engine::Engine;
pub use grpc::{CallerOf, SqlDoor};
pub use memory::MemoryCatalog;
pub use metrics::Metrics;
pub use millstream_runtime::{QueryReport, QueryState, ShardSettings, Streams, StreamsError};
pub use millstream_state::{ColdCache, StoreKind};
pub use server::Server;
pub use workers::Workers;
