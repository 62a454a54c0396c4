//! Keyed state in three layers, and the commit protocol that moves it from one to the next.
//!
//! ```text
//!   operator ──▶ overlay   changed since the last commit; dropped when the task fails
//!                   │ fold, when the commit's run is durable in the changelog
//!   pull query ──▶ hot      committed values; what queries of clients see
//!                   │ flush (one SlateDB batch: changed absolute values and the tag), every 30 s or 16 MiB
//!                  cold     SlateDB on the object store; read whole when a shard opens (all state is hot for now)
//! ```
//!
//! In: [`Store`]s that operators change, and the [`StateWrite`]s of a commit. Out: the same values after any crash.
//!
//! Invariants: only committed values are in hot or cold; a commit counts whole or not at all; the changelog is trimmed
//! only to what cold has durably ([`Commits`], which also names who may write: the owner's epoch).
//! Not here: what the values mean (`operators`), when to commit and who executes what the machine says (`runtime`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod changelog;
mod cold;
mod commits;
mod layers;
mod store;
mod write;

pub use changelog::{Changed, PlantedReplay, Replay, ReplayError, RunId, WholeRun, cut};
pub use cold::{Cold, ColdCache, ColdError, StoreKind};
pub use commits::{CommitInput, CommitOutput, Commits, Planted, StopReason, Tag};
pub use layers::{Layer, Layers};
pub use store::{Corrupt, Presence, StateKey, Store, Stored};
pub use write::StateWrite;
