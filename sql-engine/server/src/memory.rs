//! A catalog in memory, for tests and for engines that keep nothing.

use crate::catalog::{CatalogError, SqlCatalog, SqlChange, SqlRow, SqlRowKind, SqlRows};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Bodies by kind and name.
type Bodies = BTreeMap<(SqlRowKind, String), String>;

/// Rows in memory; outlives the engine that uses it when shared by `Arc`.
#[derive(Debug, Default)]
pub struct MemoryCatalog {
    /// The version and the rows.
    rows: Mutex<(u64, Bodies)>,
}

#[async_trait]
impl SqlCatalog for MemoryCatalog {
    async fn load(&self) -> Result<SqlRows, CatalogError> {
        let guard = self.rows.lock();
        let row = |((kind, name), body): (&(SqlRowKind, String), &String)| SqlRow {
            kind: *kind,
            name: name.clone(),
            body: body.clone(),
        };
        Ok(SqlRows {
            version: guard.0,
            rows: guard.1.iter().map(row).collect(),
        })
    }

    async fn commit(&self, changes: Vec<SqlChange>) -> Result<u64, CatalogError> {
        let mut guard = self.rows.lock();
        for change in changes {
            match change {
                SqlChange::Put(row) => guard.1.insert((row.kind, row.name), row.body),
                SqlChange::Delete { kind, name } => guard.1.remove(&(kind, name)),
            };
        }
        guard.0 += 1;
        Ok(guard.0)
    }
}
