//! The durable layer: one SlateDB per shard, written only by checkpoints.

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;
use slatedb::config::{
    CompactorOptions, FlushOptions, FlushType, GarbageCollectorDirectoryOptions, GarbageCollectorOptions,
    Settings, WriteOptions,
};
use slatedb::db_cache::moka::{MokaCache, MokaCacheOptions};
use slatedb::{CloseReason, Db, ErrorKind, WriteBatch};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One write of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The whole key.
    pub key: Vec<u8>,
    /// The value it has from now on; `None` removes it.
    pub value: Option<Vec<u8>>,
}

/// Why the durable layer could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ColdError {
    /// Another process has opened this shard since: stop, write nothing more.
    #[error("another process has taken over this shard")]
    Fenced,
    /// The object store failed.
    #[error("the state store is not available: {source}")]
    Unavailable {
        /// What it said.
        #[source]
        source: Arc<slatedb::Error>,
    },
}

impl From<slatedb::Error> for ColdError {
    fn from(error: slatedb::Error) -> Self {
        match error.kind() {
            ErrorKind::Closed(CloseReason::Fenced) => Self::Fenced,
            _ => Self::Unavailable {
                source: Arc::new(error),
            },
        }
    }
}

/// Checkpoints that may wait for compaction, one sorted table each.
const L0_SSTS_MAX: usize = 128;

/// How often the compactor looks for work: a database at rest must cost next to nothing (SlateDB's default is 5 s), one
/// that takes a checkpoint each second must not reach [`L0_SSTS_MAX`].
const COMPACTION_POLL: Duration = Duration::from_secs(30);

/// What the shards' store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// It takes conditional writes of a key that is there.
    #[default]
    Objects,
    /// A local directory, which does not: no boundary files, without which nothing would be collected there.
    Directory,
}

/// Replaced tables and manifests go after ten minutes, looked for every five; there is no WAL to collect.
fn garbage_collection(kind: StoreKind) -> GarbageCollectorOptions {
    let directory = GarbageCollectorDirectoryOptions {
        interval: Some(Duration::from_secs(300)),
        min_age: Duration::from_secs(600),
        dry_run: false,
    };
    GarbageCollectorOptions {
        manifest_options: Some(directory),
        compacted_options: Some(directory),
        compactions_options: Some(directory),
        wal_options: None,
        wal_fence_options: None,
        detach_options: None,
        boundary_files_enabled: kind != StoreKind::Directory,
        ..GarbageCollectorOptions::default()
    }
}

/// The block cache that all open shards of a process share (SlateDB's default is 640 MiB for each database).
#[derive(Clone)]
pub struct ColdCache {
    cache: Arc<MokaCache>,
    next_id: Arc<AtomicU64>,
}

impl ColdCache {
    /// A cache of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let options = MokaCacheOptions {
            max_capacity: bytes,
            ..MokaCacheOptions::default()
        };
        Self {
            cache: Arc::new(MokaCache::new_with_opts(options)),
            next_id: Arc::new(AtomicU64::new(1)),
        }
    }
}

/// A shard's database, open for writing.
pub struct Cold {
    db: Db,
}

impl Cold {
    /// Opens the database at `path`, making it if need be; whoever had it open before is fenced.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        kind: StoreKind,
        path: Path,
        cache: &ColdCache,
    ) -> Result<Self, ColdError> {
        let settings = Settings {
            // State is checkpointed whole; an un-awaited write must not become durable by itself (SQL.md 15).
            flush_interval: None,
            wal_enabled: false,
            // The default of 1 s costs 3.2 requests a second for an idle database (SQL.md 17).
            manifest_poll_interval: Duration::from_secs(60),
            // The compactor tells the writer of its work through the manifest, which the writer reads again when
            // it writes: many small checkpoints must not stall on that.
            l0_max_ssts: L0_SSTS_MAX,
            l0_max_ssts_per_key: L0_SSTS_MAX,
            garbage_collector_options: Some(garbage_collection(kind)),
            compactor_options: Some(CompactorOptions {
                poll_interval: COMPACTION_POLL,
                ..CompactorOptions::default()
            }),
            ..Settings::default()
        };
        let id = cache.next_id.fetch_add(1, Ordering::Relaxed);
        let db = Db::builder(path, store)
            .with_settings(settings)
            .with_db_cache(cache.cache.clone(), id)
            .build()
            .await?;
        Ok(Self { db })
    }

    /// Everything whose key begins with `prefix`, in key order.
    pub async fn scan(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, ColdError> {
        let mut rows = self.db.scan_prefix(prefix, ..).await?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().await? {
            found.push((row.key, row.value));
        }
        Ok(found)
    }

    /// Writes all changes in one batch and waits until it is durable: all of it counts, or none.
    pub async fn checkpoint(&self, changes: Vec<Change>) -> Result<(), ColdError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::new();
        for change in changes {
            match change.value {
                Some(value) => batch.put(change.key, value),
                None => batch.delete(change.key),
            }
        }
        let options = WriteOptions::default();
        self.db.write_with_options(batch, &options).await?;
        self.db
            .flush_with_options(FlushOptions {
                flush_type: FlushType::MemTable,
            })
            .await?;
        Ok(())
    }

    /// Closes it; what was not checkpointed is not written.
    pub async fn close(self) -> Result<(), ColdError> {
        Ok(self.db.close().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::{StoreKind, garbage_collection};

    #[test]
    fn a_directory_is_collected_without_boundary_files() {
        assert!(garbage_collection(StoreKind::Objects).boundary_files_enabled);
        assert!(!garbage_collection(StoreKind::Directory).boundary_files_enabled);
    }
}
