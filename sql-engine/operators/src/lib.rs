//! Two-step streaming operators over Arrow batches and keyed state.
//!
//! In: the nodes of one sub-topology and, batch by batch, rows with their times and changes ([`Batch`]). Out:
//! batches for the sub-topology's end, row errors, counters; and what a checkpoint must keep.
//!
//! ```text
//!   needs(&batch) ─▶ keys it will touch      process(batch, needs) ─▶ rows out      no clock, no I/O, no async
//! ```
//!
//! Invariants: the same input in any split into batches gives the same output; state is touched only under declared
//! keys; a row that fails is reported once and takes no part; an update is two neighbours (before, after) in one batch.
//! Not here: reading and writing topics, commits, merging inputs by time (`runtime`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aggregate;
mod batch;
mod datum;
mod key;
mod latest;
mod pipeline;
mod stateless;

pub use batch::{Batch, RowChange, RowErrors};
pub use key::KeyCodec;
pub use millstream_state::{Corrupt, StateKey, Stored};
pub use pipeline::{Pipeline, PullRows, Pulled, StoreChange};
