//! What the SQL engine keeps in the catalog.

#[cfg(test)]
use crate::kind::Draw;
use crate::kind::{Kind, StoredKey, Table, put_text, take_text};
use millstream_model::{KeyId, TenantId, TimestampMs};
use rpds::RedBlackTreeMapSync as Map;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Something that the SQL engine keeps in the catalog: a source, a query, a shard. The control plane does not
/// read the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is, in the SQL engine's words.
    pub kind: String,
    /// Its name, unique in (tenant, kind).
    pub name: String,
    /// The statement that made it.
    pub text: String,
    /// What the engine resolved, in its own versioned form.
    pub body: String,
    /// Topics whose number of partitions it relies on: they do not grow while it is there.
    pub pinned_topics: Vec<String>,
    /// The catalog version that last wrote it.
    pub version: u64,
    /// The key that wrote it last.
    pub owner: KeyId,
    /// When it was first written.
    pub created: TimestampMs,
    /// When it was written last.
    pub updated: TimestampMs,
}

/// What names a SQL row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SqlKey {
    /// Whose.
    pub tenant: TenantId,
    /// What it is.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Kind for SqlRow {
    const TAG: u8 = 10;
    const VERSION: u8 = 1;
    type Key = SqlKey;
    type Table = SqlRows;

    fn key(&self) -> SqlKey {
        SqlKey {
            tenant: self.tenant,
            kind: self.kind.clone(),
            name: self.name.clone(),
        }
    }

    #[cfg(test)]
    fn sample(draw: &Draw) -> SqlRow {
        SqlRow {
            tenant: draw.tenant(),
            kind: "query".to_owned(),
            name: draw.text.clone(),
            text: draw.text.clone(),
            body: draw.text.clone(),
            pinned_topics: vec![draw.text.clone()],
            version: draw.number,
            owner: draw.key(),
            created: draw.time(),
            updated: draw.time(),
        }
    }
}

impl StoredKey for SqlKey {
    fn put(&self, out: &mut Vec<u8>) {
        self.tenant.put(out);
        put_text(out, &self.kind);
        put_text(out, &self.name);
    }

    fn take(bytes: &mut &[u8]) -> Option<SqlKey> {
        Some(SqlKey {
            tenant: StoredKey::take(bytes)?,
            kind: take_text(bytes)?,
            name: take_text(bytes)?,
        })
    }
}

/// The SQL rows of an image, tenant by tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SqlRows(Map<TenantId, Map<(String, String), Arc<SqlRow>>>);

impl SqlRows {
    /// A row.
    pub(crate) fn get(&self, tenant: TenantId, kind: &str, name: &str) -> Option<&Arc<SqlRow>> {
        self.0.get(&tenant)?.get(&(kind.to_owned(), name.to_owned()))
    }

    /// A tenant's rows, by kind and name.
    pub(crate) fn of(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<SqlRow>> {
        self.0.get(&tenant).into_iter().flat_map(|rows| rows.values())
    }

    /// The tenants that have rows.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = TenantId> + '_ {
        self.0.keys().copied()
    }
}

impl Table<SqlRow> for SqlRows {
    fn put(&mut self, row: &Arc<SqlRow>) {
        let mut rows = self.0.get(&row.tenant).cloned().unwrap_or_default();
        rows.insert_mut((row.kind.clone(), row.name.clone()), Arc::clone(row));
        self.0.insert_mut(row.tenant, rows);
    }

    fn remove(&mut self, key: &SqlKey) {
        let Some(mut rows) = self.0.get(&key.tenant).cloned() else {
            return;
        };
        rows.remove_mut(&(key.kind.clone(), key.name.clone()));
        if rows.is_empty() {
            self.0.remove_mut(&key.tenant);
        } else {
            self.0.insert_mut(key.tenant, rows);
        }
    }

    fn rows(&self) -> impl Iterator<Item = Arc<SqlRow>> {
        self.0.values().flat_map(|rows| rows.values()).cloned()
    }
}
