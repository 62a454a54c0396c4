//! What a query says of itself: state, offsets, lag, rates, recent errors.

use millstream_model::{Offset, PartitionIndex, TopicName};
use millstream_operators::RowErrors;
use std::time::Duration;

/// Whether a query runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryState {
    /// It runs.
    Running,
    /// It failed and does nothing; the others go on.
    Parked {
        /// Why.
        reason: String,
        /// When it is tried again; `None` when the same would happen again, so that only a start of the service,
        /// perhaps with another version, tries.
        retry_in: Option<Duration>,
    },
}

/// Where a query stands in one partition of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionReport {
    /// The partition.
    pub partition: PartitionIndex,
    /// Everything before this offset has been read and its effect is durable.
    pub committed: Offset,
    /// Everything before this offset has been read.
    pub position: Offset,
    /// The partition's end, as far as known.
    pub end: Offset,
}

impl PartitionReport {
    /// Records that are not committed yet.
    pub fn lag(&self) -> i64 {
        (self.end.0 - self.committed.0).max(0)
    }
}

/// A query, as of now.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryReport {
    /// Its id.
    pub id: String,
    /// Whether it runs.
    pub state: QueryState,
    /// The topic it reads.
    pub topic: TopicName,
    /// Its positions.
    pub partitions: Vec<PartitionReport>,
    /// Records read since it was started.
    pub rows_in: u64,
    /// Records written since it was started.
    pub rows_out: u64,
    /// Records read per second, over the last commits.
    pub rows_per_second: f64,
    /// Rows that came after their window's grace.
    pub late_rows: u64,
    /// Rows that took no part because what they are grouped by is NULL.
    pub keyless_rows: u64,
    /// Rows that failed since it was started.
    pub errors: u64,
    /// The latest of them, by their time.
    pub recent: RowErrors,
    /// Values in its committed state.
    pub state_values: usize,
    /// About how many bytes its state takes in memory once what has changed is committed, with what waits behind
    /// repartitions.
    pub state_bytes: usize,
    /// It is parked because its tenant's state takes too much, and is tried again when there is room for it.
    pub waits_for_room: bool,
    /// About how many bytes the state of all its tenant's queries takes in memory.
    pub tenant_state_bytes: usize,
    /// Records that it found outside the partition that murmur2 gives their key, since it was started: rows of one key
    /// may be apart.
    pub misplaced_keys: u64,
}
