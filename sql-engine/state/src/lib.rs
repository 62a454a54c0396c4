//! Keyed state in three layers and its checkpoints.
//!
//! ```text
//!   operator ──▶ overlay   changed since the last checkpoint; dropped when the task fails
//!                   │ fold
//!   pull query ──▶ hot      committed values; what queries of clients see
//!                   │ checkpoint (one SlateDB batch: changed absolute values and the tags), awaited before it counts
//!                  cold     SlateDB on the object store; read whole when a shard opens (all state is hot for now)
//! ```
//!
//! In: [`Store`]s that operators change, and [`Change`]s of a checkpoint. Out: the same values after any crash.
//!
//! Invariants: only committed values are in hot or cold; a checkpoint is durable whole or not at all; opening a
//! shard's database as writer fences whoever had it before ([`ColdError::Fenced`]).
//! Not here: what the values mean (`operators`), when to checkpoint (`runtime`).

mod cold;
mod store;

pub use cold::{Change, Cold, ColdCache, ColdError, StoreKind};
pub use store::{Corrupt, Presence, StateKey, Store, Stored};
