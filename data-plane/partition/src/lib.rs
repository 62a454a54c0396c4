//! What one partition knows, by applying its group's committed log: offsets, producers, cold segments, retention.
//!
//! In: committed [`Entry`](millstream_model::entry::Entry)s in LSN order. Out: a [`GroupState`] to look things up in
//! and to snapshot, an [`Overlay`] with which a leader decides about batches that are not committed yet, and plans
//! ([`plan_flush`], [`plan_retention`], [`plan_forgetting`], [`plan_lost`]) that a shell carries out by appending further entries.
//!
//! Invariants: [`GroupState::apply`] never fails, and the same entries give the same snapshot bytes; time enters only
//! as an entry's field; an entry that cannot be applied quarantines its partition and no other. Snapshot + tail gives
//! the same state as the whole log.
//!
//! Not here: who may append (`replication`), where entries and segments lie (`journal`, `tier`), tenants' rights
//! (`access`). No clock, no lock, no I/O.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod change;
mod codec;
mod epochs;
mod flush;
mod gap;
mod group;
mod hot;
mod lost;
mod overlay;
mod partition;
mod payload;
mod producers;
mod retention;
mod snapshot;
mod transactions;

pub use change::{AppendFacts, Change, Marker, Opened, ProducerFacts, Replacement};
pub use epochs::EpochHistory;
pub use flush::{FlushPlan, FlushRun, FlushSettings, plan_flush};
pub use gap::Gap;
pub use group::{Applied, Effect, GroupState};
pub use hot::{HotRun, HotRuns};
pub use lost::plan_lost;
pub use overlay::{AppendError, Decision, Overlay};
pub use partition::{PartitionState, Place, Quarantine};
pub use payload::PayloadError;
pub use producers::{ProducerBatch, ProducerState, Producers, SequenceError};
pub use retention::{RetentionSettings, plan_forgetting, plan_retention};
pub use snapshot::SnapshotError;
pub use transactions::{AbortedRange, Transactions};
