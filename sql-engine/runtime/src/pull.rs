//! A read of a query's committed table, and what it brings.

use datafusion_common::ScalarValue;
use millstream_operators::Pulled;
use std::ops::Bound;

/// A read of a query's committed table.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// Whose result.
    pub query: String,
    /// These keys (one value per key column), or all. More may come back: the caller filters.
    pub keys: Option<Vec<Vec<ScalarValue>>>,
    /// Windows that start within, ms.
    pub windows: (Bound<i64>, Bound<i64>),
    /// The earliest commit that will do.
    pub commit_min: u64,
}

/// Rows of a table as of one commit: the sink's columns (keys, window bounds, values) and each row's time.
#[derive(Clone, Debug)]
pub struct PulledRows {
    /// The rows, in parts, with what is still to be done to them.
    pub parts: Vec<Pulled>,
    /// The commit that it saw. They are counted from the first that the shard has made.
    pub commit: u64,
}
