//! A row's stored and sent form.
//!
//! ```text
//! key:   table (1 byte)  then what names the row: numbers big-endian, texts with their length
//! value: version (1 byte) then the row as JSON, fields by name
//! ```
//! A field may be added with `#[serde(default)]` under the same version; anything else is a new version.

use crate::row::{Change, Row, RowKey};
use crate::rows::{EnvironmentId, OrganisationId, QuotaScope};
use millstream_model::{GroupId, KeyId, NodeId, TenantId, TopicId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use uuid::Uuid;

/// The version of a row's value that this release writes.
pub const ROW_VERSION: u8 = 1;

/// The newest feature level that this release knows, and the one that it writes at first (log.md 41): nobody writes a
/// newer form before all nodes know it and the level was raised.
pub const FEATURE_LEVEL_MAX: u32 = 1;

/// Bytes that are not a row of this release.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// Written by a newer release (log.md 41).
    #[error(
        "a catalog row has version {found}, this release knows up to {ROW_VERSION}: start a newer release"
    )]
    Version {
        /// The version found.
        found: u8,
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

/// Tables, by the first byte of a key. Never reused.
mod table {
    pub const CLUSTER: u8 = 1;
    pub const ORGANISATION: u8 = 2;
    pub const ENVIRONMENT: u8 = 3;
    pub const VIRTUAL_CLUSTER: u8 = 4;
    pub const KEY: u8 = 5;
    pub const TOPIC: u8 = 6;
    pub const GROUP: u8 = 7;
    pub const NODE: u8 = 8;
    pub const QUOTA: u8 = 9;
    pub const SQL: u8 = 10;
    pub const AUDIT: u8 = 11;
}

/// The first byte of audit events' keys: what a reader of the image skips, and where it ends.
pub const AUDIT_TABLE: u8 = table::AUDIT;

impl RowKey {
    /// Its stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        match self {
            RowKey::Cluster => out.push(table::CLUSTER),
            RowKey::Organisation(id) => tagged(&mut out, table::ORGANISATION, id.0.as_bytes()),
            RowKey::Environment(id) => tagged(&mut out, table::ENVIRONMENT, id.0.as_bytes()),
            RowKey::VirtualCluster(id) => tagged(&mut out, table::VIRTUAL_CLUSTER, &id.0.to_be_bytes()),
            RowKey::Key(id) => tagged(&mut out, table::KEY, id.as_bytes()),
            RowKey::Topic(id) => tagged(&mut out, table::TOPIC, &id.to_bytes()),
            RowKey::Group(id) => tagged(&mut out, table::GROUP, &id.0.to_be_bytes()),
            RowKey::Node(id) => tagged(&mut out, table::NODE, &id.0.to_be_bytes()),
            RowKey::Quota(QuotaScope::Tenant(id)) => {
                tagged(&mut out, table::QUOTA, &[0]);
                out.extend_from_slice(&id.0.to_be_bytes());
            }
            RowKey::Quota(QuotaScope::Key(id)) => {
                tagged(&mut out, table::QUOTA, &[1]);
                out.extend_from_slice(id.as_bytes());
            }
            RowKey::Sql { tenant, kind, name } => {
                tagged(&mut out, table::SQL, &tenant.0.to_be_bytes());
                put_text(&mut out, kind);
                put_text(&mut out, name);
            }
            RowKey::Audit(sequence) => tagged(&mut out, table::AUDIT, &sequence.to_be_bytes()),
        }
        out
    }

    /// From its stored form.
    pub fn decode(bytes: &[u8]) -> Result<RowKey, StoredError> {
        let (&tag, rest) = bytes.split_first().ok_or(StoredError::Key { table: 0 })?;
        let mut reader = KeyReader { table: tag, rest };
        let key = match tag {
            table::CLUSTER => RowKey::Cluster,
            table::ORGANISATION => RowKey::Organisation(OrganisationId(reader.uuid()?)),
            table::ENVIRONMENT => RowKey::Environment(EnvironmentId(reader.uuid()?)),
            table::VIRTUAL_CLUSTER => RowKey::VirtualCluster(reader.tenant()?),
            table::KEY => RowKey::Key(reader.key_id()?),
            table::TOPIC => RowKey::Topic(TopicId(reader.uuid()?)),
            table::GROUP => RowKey::Group(GroupId(u32::from_be_bytes(reader.take()?))),
            table::NODE => RowKey::Node(NodeId(i32::from_be_bytes(reader.take()?))),
            table::QUOTA => match reader.take::<1>()? {
                [0] => RowKey::Quota(QuotaScope::Tenant(reader.tenant()?)),
                [1] => RowKey::Quota(QuotaScope::Key(reader.key_id()?)),
                _ => return Err(StoredError::Key { table: tag }),
            },
            table::SQL => RowKey::Sql {
                tenant: reader.tenant()?,
                kind: reader.text()?,
                name: reader.text()?,
            },
            table::AUDIT => RowKey::Audit(u64::from_be_bytes(reader.take()?)),
            found => return Err(StoredError::Table { found }),
        };
        if reader.rest.is_empty() {
            Ok(key)
        } else {
            Err(StoredError::Key { table: tag })
        }
    }
}

impl Row {
    /// The stored form of its value; the key is [`Row::key`]'s.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Row::Cluster(row) => value(row),
            Row::Organisation(row) => value(row.as_ref()),
            Row::Environment(row) => value(row.as_ref()),
            Row::VirtualCluster(row) => value(row.as_ref()),
            Row::Key(row) => value(row.as_ref()),
            Row::Topic(row) => value(row.as_ref()),
            Row::Group(row) => value(row.as_ref()),
            Row::Node(row) => value(row.as_ref()),
            Row::Quota(row) => value(row.as_ref()),
            Row::Sql(row) => value(row.as_ref()),
            Row::Audit(row) => value(row.as_ref()),
        }
    }

    /// From the stored forms of its key and value. The table is the key's first byte; the rest of the key is in
    /// the value too, and must agree.
    pub fn decode(key: &[u8], bytes: &[u8]) -> Result<Row, StoredError> {
        let table = key.first().copied().unwrap_or_default();
        let row = match table {
            table::CLUSTER => Row::Cluster(read(table, bytes)?),
            table::ORGANISATION => Row::Organisation(Arc::new(read(table, bytes)?)),
            table::ENVIRONMENT => Row::Environment(Arc::new(read(table, bytes)?)),
            table::VIRTUAL_CLUSTER => Row::VirtualCluster(Arc::new(read(table, bytes)?)),
            table::KEY => Row::Key(Arc::new(read(table, bytes)?)),
            table::TOPIC => Row::Topic(Arc::new(read(table, bytes)?)),
            table::GROUP => Row::Group(Arc::new(read(table, bytes)?)),
            table::NODE => Row::Node(Arc::new(read(table, bytes)?)),
            table::QUOTA => Row::Quota(Arc::new(read(table, bytes)?)),
            table::SQL => Row::Sql(Arc::new(read(table, bytes)?)),
            table::AUDIT => Row::Audit(Arc::new(read(table, bytes)?)),
            found => return Err(StoredError::Table { found }),
        };
        if row.key().encode() == key {
            Ok(row)
        } else {
            Err(StoredError::Key { table })
        }
    }
}

impl Change {
    /// Its sent form: the key, and the value unless the row is gone.
    pub fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        match self {
            Change::Put(row) => (row.key().encode(), Some(row.encode())),
            Change::Remove(key) => (key.encode(), None),
        }
    }

    /// Its sent form in one piece: the key with its length, a byte that says whether a value follows, the value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (key, value) = self.encode();
        let length = u16::try_from(key.len()).expect("the catalog bounds names, so keys are short");
        let mut out = Vec::with_capacity(3 + key.len() + value.as_ref().map_or(0, Vec::len));
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&key);
        out.push(u8::from(value.is_some()));
        out.extend_from_slice(value.as_deref().unwrap_or_default());
        out
    }

    /// From its sent form in one piece.
    pub fn from_bytes(bytes: &[u8]) -> Result<Change, StoredError> {
        const MALFORMED: StoredError = StoredError::Key { table: 0 };
        let (length, rest) = bytes.split_first_chunk::<2>().ok_or(MALFORMED)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (key, rest) = rest.split_at_checked(length).ok_or(MALFORMED)?;
        match rest.split_first() {
            Some((0, [])) => Change::decode(key, None),
            Some((1, value)) => Change::decode(key, Some(value)),
            _ => Err(MALFORMED),
        }
    }

    /// From its sent form.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Change, StoredError> {
        match value {
            Some(value) => Row::decode(key, value).map(Change::Put),
            None => RowKey::decode(key).map(Change::Remove),
        }
    }
}

fn value<T: Serialize>(row: &T) -> Vec<u8> {
    let mut out = vec![ROW_VERSION];
    serde_json::to_writer(&mut out, row)
        .expect("rows hold only what JSON can say, and memory takes every write");
    out
}

fn read<T: DeserializeOwned>(table: u8, bytes: &[u8]) -> Result<T, StoredError> {
    let (&version, json) = bytes.split_first().ok_or(StoredError::Empty { table })?;
    if version != ROW_VERSION {
        return Err(StoredError::Version { found: version });
    }
    serde_json::from_slice(json).map_err(|source| StoredError::Value { table, source })
}

fn tagged(out: &mut Vec<u8>, table: u8, rest: &[u8]) {
    out.push(table);
    out.extend_from_slice(rest);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("the catalog bounds names far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

struct KeyReader<'a> {
    table: u8,
    rest: &'a [u8],
}

impl KeyReader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StoredError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(StoredError::Key { table: self.table })?;
        self.rest = rest;
        Ok(*head)
    }

    fn uuid(&mut self) -> Result<Uuid, StoredError> {
        self.take().map(Uuid::from_bytes)
    }

    fn tenant(&mut self) -> Result<TenantId, StoredError> {
        self.take().map(u64::from_be_bytes).map(TenantId)
    }

    fn key_id(&mut self) -> Result<KeyId, StoredError> {
        let bytes = self.take::<{ KeyId::LENGTH }>()?;
        let text = std::str::from_utf8(&bytes).map_err(|_| StoredError::Key { table: self.table })?;
        text.parse().map_err(|_| StoredError::Key { table: self.table })
    }

    fn text(&mut self) -> Result<String, StoredError> {
        let length = u32::from_be_bytes(self.take()?) as usize;
        let bytes = self
            .rest
            .get(..length)
            .ok_or(StoredError::Key { table: self.table })?;
        let text = std::str::from_utf8(bytes)
            .map_err(|_| StoredError::Key { table: self.table })?
            .to_owned();
        self.rest = &self.rest[length..];
        Ok(text)
    }
}
