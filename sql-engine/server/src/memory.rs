//! A catalog in memory, for tests and for engines that keep nothing.

use crate::catalog::{CatalogError, SqlCatalog, SqlChange, SqlRow, SqlRowKind, SqlRows};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Rows by kind and name.
type Kept = BTreeMap<(SqlRowKind, String), SqlRow>;

/// Rows in memory; outlives the engine that uses it when shared by `Arc`.
#[derive(Debug, Default)]
pub struct MemoryCatalog {
    /// The version and the rows.
    rows: Mutex<(u64, Kept)>,
}

#[async_trait]
impl SqlCatalog for MemoryCatalog {
    async fn load(&self) -> Result<SqlRows, CatalogError> {
        let guard = self.rows.lock();
        Ok(SqlRows {
            version: guard.0,
            rows: guard.1.values().cloned().collect(),
        })
    }

    async fn commit(&self, changes: Vec<SqlChange>) -> Result<u64, CatalogError> {
        let mut guard = self.rows.lock();
        for change in changes {
            match change {
                SqlChange::Put(row) => guard.1.insert((row.kind, row.name.clone()), row),
                SqlChange::Delete { kind, name } => guard.1.remove(&(kind, name)),
            };
        }
        guard.0 += 1;
        Ok(guard.0)
    }
}
