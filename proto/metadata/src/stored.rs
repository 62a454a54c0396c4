//! A row's stored and sent form.
//!
//! ```text
//! key:   table (1 byte)  then what names the row: numbers big-endian, texts with their length
//! value: version (1 byte) then the row as JSON, fields by name
//! ```
//! The table is the kind's tag. A field may be added with `#[serde(default)]` under the same version; anything else is a
//! new version of the kind.

use crate::kind::Kind;

/// The newest feature level that this release knows, and the one that it writes at first (log.md 41): nobody writes a
/// newer form before all nodes know it and the level was raised.
pub const FEATURE_LEVEL_MAX: u32 = 1;

/// Bytes that are not a row of this release.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// Written by a newer release (log.md 41).
    #[error(
        "a catalog row of table {table} has version {found}, this release knows up to {known}: start a newer release"
    )]
    Version {
        /// The table.
        table: u8,
        /// The version found.
        found: u8,
        /// The one that this release knows.
        known: u8,
    },
    /// A table that this release does not know.
    #[error("the catalog has a table {found} that this release does not know: start a newer release")]
    Table {
        /// The table found.
        found: u8,
    },
    /// The key is cut short or has bytes too many.
    #[error("a catalog row of table {table} has a malformed key")]
    Key {
        /// The table.
        table: u8,
    },
    /// The value does not read.
    #[error("a catalog row of table {table} does not read")]
    Value {
        /// The table.
        table: u8,
        /// Why.
        source: serde_json::Error,
    },
    /// There is no value at all.
    #[error("a catalog row of table {table} is empty")]
    Empty {
        /// The table.
        table: u8,
    },
}

/// The stored form of a row's value.
pub(crate) fn value<R: Kind>(row: &R) -> Vec<u8> {
    let mut out = vec![R::VERSION];
    serde_json::to_writer(&mut out, row)
        .expect("bug: rows hold only what JSON can say, and memory takes every write");
    out
}

/// A row from the stored form of its value.
pub(crate) fn read<R: Kind>(bytes: &[u8]) -> Result<R, StoredError> {
    let table = R::TAG;
    let (&found, json) = bytes.split_first().ok_or(StoredError::Empty { table })?;
    if found != R::VERSION {
        let known = R::VERSION;
        return Err(StoredError::Version { table, found, known });
    }
    serde_json::from_slice(json).map_err(|source| StoredError::Value { table, source })
}
