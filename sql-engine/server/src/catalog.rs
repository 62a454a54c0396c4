//! The seam to the catalog: a tenant's SQL objects are rows of the control plane (sql.md 3, 4).

use async_trait::async_trait;
use std::fmt;

/// What a row describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SqlRowKind {
    /// A stream or a table.
    Source,
    /// A persistent query.
    Query,
    /// The highest number that a query has had: it outlives the query, so that no id names two.
    Counter,
}

impl SqlRowKind {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Query => "query",
            Self::Counter => "counter",
        }
    }

    /// From the stored word.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "source" => Some(Self::Source),
            "query" => Some(Self::Query),
            "counter" => Some(Self::Counter),
            _ => None,
        }
    }
}

impl fmt::Display for SqlRowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row: its body is versioned JSON that only this crate reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlRow {
    /// What it describes.
    pub kind: SqlRowKind,
    /// Its name within the tenant and kind.
    pub name: String,
    /// Its body.
    pub body: String,
    /// Topics whose number of partitions it relies on: the catalog does not let them grow (sql.md 5).
    pub pinned_topics: Vec<String>,
}

/// All rows of a tenant, as of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlRows {
    /// The catalog's version that this view shows.
    pub version: u64,
    /// The rows, in any order.
    pub rows: Vec<SqlRow>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlChange {
    /// Writes a row, new or again.
    Put(SqlRow),
    /// Removes a row; nothing happens if it is not there.
    Delete {
        /// The row's kind.
        kind: SqlRowKind,
        /// The row's name.
        name: String,
    },
}

/// Why the catalog could not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// The service refused: permission or a quota.
    #[error("{reason}")]
    Refused {
        /// Why, for the caller.
        reason: String,
    },
    /// The service cannot be reached or has no controller now.
    #[error("the catalog is not available: {reason}")]
    Unavailable {
        /// What failed.
        reason: String,
    },
}

/// The SQL rows of one tenant. Implemented over `sdk/rust`'s admin API in production and by
/// [`MemoryCatalog`](crate::memory::MemoryCatalog) in process.
#[async_trait]
pub trait SqlCatalog: Send + Sync + 'static {
    /// The rows as of now.
    async fn load(&self) -> Result<SqlRows, CatalogError>;

    /// Makes all changes or none; durable when it returns, with a version that every later [`SqlCatalog::load`]
    /// here has reached.
    async fn commit(&self, changes: Vec<SqlChange>) -> Result<u64, CatalogError>;
}
