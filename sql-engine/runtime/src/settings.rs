//! How a shard works, and what it counts.

use crate::metrics::{Metrics, Place};
use millstream_model::Waits;
use millstream_model::limits::TENANT_SQL_STATE_BYTES_DEFAULT;
use millstream_state::StoreKind;
use std::time::Duration;

/// What a shard counts, and where its queries are shown.
#[derive(Debug)]
pub struct Meters {
    /// The process's counters.
    pub metrics: Metrics,
    /// This shard's place among them.
    pub place: Place,
}

/// How a shard works.
#[derive(Clone, Debug)]
pub struct ShardSettings {
    /// A commit follows the first change this much later.
    pub commit_interval: Duration,
    /// … or after this many input rows.
    pub commit_rows: usize,
    /// Bytes asked of one partition at a time.
    pub fetch_bytes: usize,
    /// Rows that a task processes in one turn.
    pub turn_rows: usize,
    /// A table's changes are coalesced by key between commits.
    pub coalesce: bool,
    /// When a parked query is tried again.
    pub retry: Waits,
    /// Where its state is kept.
    pub store: StoreKind,
    /// What the state of all its queries may take in memory, bytes.
    pub state_bytes_max: usize,
    /// An operator goes on without what a damaged changelog has lost.
    pub accepts_loss: bool,
    /// How much faster time goes for flushes, for what the database does by itself and for its rest: 1 outside tests.
    pub pace: u32,
}

impl Default for ShardSettings {
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_secs(1),
            commit_rows: 200_000,
            fetch_bytes: 1024 * 1024,
            turn_rows: 4096,
            coalesce: true,
            retry: Waits::new(Duration::from_secs(1), Duration::from_secs(60)),
            store: StoreKind::default(),
            state_bytes_max: TENANT_SQL_STATE_BYTES_DEFAULT,
            accepts_loss: false,
            pace: 1,
        }
    }
}
