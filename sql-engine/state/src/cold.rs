//! The durable layer: one SlateDB per shard, written only by flushes.

use crate::changelog::RunId;
use crate::commits::Tag;
use crate::layers::Layer;
use crate::store::Corrupt;
use bytes::Bytes;
use millstream_model::{Offset, OwnerEpoch};
use object_store::ObjectStore;
use object_store::path::Path;
use slatedb::config::{
    CloseOptions, CompactionWorkerOptions, CompactorOptions, FlushOptions, FlushType,
    GarbageCollectorDirectoryOptions, GarbageCollectorOptions, Settings, WriteOptions,
};
use slatedb::db_cache::moka::{MokaCache, MokaCacheOptions};
use slatedb::{CloseReason, Db, ErrorKind, WriteBatch};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

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
    /// An object is missing or is not what was written.
    #[error("the stored state is damaged: {source}")]
    Damaged {
        /// What it said; names the object.
        #[source]
        source: Arc<slatedb::Error>,
    },
    /// What is stored does not read.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

impl From<slatedb::Error> for ColdError {
    fn from(error: slatedb::Error) -> Self {
        match error.kind() {
            ErrorKind::Closed(CloseReason::Fenced) => Self::Fenced,
            ErrorKind::Data => Self::Damaged {
                source: Arc::new(error),
            },
            _ => Self::Unavailable {
                source: Arc::new(error),
            },
        }
    }
}

/// Flushes that may wait for compaction, one sorted table each: more than an hour of them.
const L0_SSTS_MAX: usize = 128;

/// How often the compactor and its worker look for work: a database at rest must cost next to nothing (SlateDB's default
/// is 5 s for each), and there are at most two flushes a minute under a trickle (sql.md 17; `cold/requests.rs` counts).
const COMPACTION_POLL: Duration = Duration::from_secs(60);

/// Tables that are compacted together, at least and at most: each time costs some nine writes of its own, whatever their
/// size (sql.md 17; `cold/requests.rs` counts what comes of it). Eight minutes of flushes.
const COMPACTION_SOURCES: (usize, usize) = (16, 32);

/// Where the tag is.
const TAG: &[u8] = b"t\0";

const TAG_VERSION: u8 = 1;

/// What the shards' store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// It takes conditional writes of a key that is there.
    #[default]
    Objects,
    /// A local directory, which does not: no boundary files, without which nothing would be collected there.
    Directory,
}

/// How often the writer looks what became of its tables: the default of 1 s costs 3.2 requests a second for an idle
/// database (sql.md 17).
const MANIFEST_POLL: Duration = Duration::from_secs(60);

fn settings(kind: StoreKind, pace: u32) -> Settings {
    Settings {
        // State is flushed whole; an un-awaited write must not become durable by itself (sql.md 15).
        flush_interval: None,
        wal_enabled: false,
        manifest_poll_interval: MANIFEST_POLL / pace,
        // The compactor tells the writer of its work through the manifest, which the writer reads again when it
        // writes: flushes must not stall on that.
        l0_max_ssts: L0_SSTS_MAX,
        l0_max_ssts_per_key: L0_SSTS_MAX,
        garbage_collector_options: Some(garbage_collection(kind, pace)),
        compactor_options: Some(compaction(pace)),
        ..Settings::default()
    }
}

/// Replaced tables and manifests go after ten minutes, looked for every five; there is no WAL to collect.
fn garbage_collection(kind: StoreKind, pace: u32) -> GarbageCollectorOptions {
    let directory = GarbageCollectorDirectoryOptions {
        interval: Some(Duration::from_secs(300) / pace),
        min_age: Duration::from_secs(600) / pace,
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

/// A shard's database, taken over for writing. It may rest: then nothing is open and nothing is asked of the store, and
/// the next use opens it again.
pub struct Cold {
    store: Arc<dyn ObjectStore>,
    kind: StoreKind,
    path: Path,
    cache: ColdCache,
    pace: u32,
    open: Mutex<Open>,
}

/// What is known while it is open, and while it rests.
struct Open {
    db: Option<Db>,
    /// What it had when it was last seen, and what a flush whose end nobody saw was to give it: another tag is another
    /// owner's.
    tag: Option<Tag>,
    unclear: Option<Tag>,
}

impl Cold {
    /// Opens the database at `path`, making it if need be; whoever had it open before is fenced.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        kind: StoreKind,
        path: Path,
        cache: &ColdCache,
    ) -> Result<Self, ColdError> {
        Self::open_at_pace(store, kind, path, cache, 1).await
    }

    /// With a time that goes so much faster, at least 1.
    pub async fn open_at_pace(
        store: Arc<dyn ObjectStore>,
        kind: StoreKind,
        path: Path,
        cache: &ColdCache,
        pace: u32,
    ) -> Result<Self, ColdError> {
        let cold = Self {
            store,
            kind,
            path,
            cache: cache.clone(),
            pace,
            open: Mutex::new(Open {
                db: None,
                tag: None,
                unclear: None,
            }),
        };
        let db = cold.build().await?;
        let tag = stored_tag(&db).await?;
        *cold.open.lock().await = Open {
            db: Some(db),
            tag,
            unclear: None,
        };
        Ok(cold)
    }

    async fn build(&self) -> Result<Db, ColdError> {
        let id = self.cache.next_id.fetch_add(1, Ordering::Relaxed);
        let db = Db::builder(self.path.clone(), self.store.clone())
            .with_settings(settings(self.kind, self.pace))
            .with_db_cache(self.cache.cache.clone(), id);
        Ok(db.build().await?)
    }

    /// The database, opened again if it rests.
    async fn db(&self) -> Result<Db, ColdError> {
        let mut open = self.open.lock().await;
        if let Some(db) = &open.db {
            return Ok(db.clone());
        }
        let db = self.build().await?;
        let stored = stored_tag(&db).await?;
        if stored != open.tag && stored != open.unclear {
            // Somebody has flushed meanwhile.
            close(&db).await?;
            return Err(ColdError::Fenced);
        }
        open.db = Some(db.clone());
        Ok(db)
    }

    /// Closes what is open until the next use.
    pub async fn rest(&self) -> Result<(), ColdError> {
        let db = self.open.lock().await.db.take();
        match db {
            Some(db) => close(&db).await,
            None => Ok(()),
        }
    }

    /// Everything whose key begins with `prefix`, in key order.
    pub async fn scan(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, ColdError> {
        let mut rows = self.db().await?.scan_prefix(prefix, ..).await?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().await? {
            found.push((row.key, row.value));
        }
        Ok(found)
    }

    /// Up to where it knew the changelog when it was last seen; none in a new one.
    pub async fn tag(&self) -> Option<Tag> {
        self.open.lock().await.tag
    }

    /// Writes all changes and the tag in one batch and waits until it is durable: all of it counts, or none.
    pub async fn flush(&self, changes: &Layer, tag: Tag) -> Result<(), ColdError> {
        let db = self.db().await?;
        self.open.lock().await.unclear = Some(tag);
        let outcome = write(&db, changes, tag).await;
        let mut open = self.open.lock().await;
        match &outcome {
            Ok(()) => (open.tag, open.unclear) = (Some(tag), None),
            // A database that has given up is opened again for the next try.
            Err(error) if !matches!(error, ColdError::Fenced) && db.status().close_reason.is_some() => {
                open.db = None;
            }
            Err(_) => {}
        }
        outcome
    }

    /// Closes it; what was not flushed is in the changelog.
    pub async fn close(&self) -> Result<(), ColdError> {
        self.rest().await
    }
}

async fn write(db: &Db, changes: &Layer, tag: Tag) -> Result<(), ColdError> {
    let mut batch = WriteBatch::new();
    for (key, value) in changes {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        }
    }
    batch.put(TAG, write_tag(tag));
    let options = WriteOptions::default();
    db.write_with_options(batch, &options).await?;
    db.flush_with_options(FlushOptions {
        flush_type: FlushType::MemTable,
    })
    .await?;
    Ok(())
}

async fn close(db: &Db) -> Result<(), ColdError> {
    let options = CloseOptions { flush_type: None };
    Ok(db.close_with_options(options).await?)
}

async fn stored_tag(db: &Db) -> Result<Option<Tag>, ColdError> {
    match db.get(TAG).await? {
        Some(stored) => Ok(Some(read_tag(&stored)?)),
        None => Ok(None),
    }
}

fn compaction(pace: u32) -> CompactorOptions {
    let (min, max) = COMPACTION_SOURCES;
    let option = |name: &str, value: usize| (name.to_owned(), value.to_string());
    CompactorOptions {
        poll_interval: COMPACTION_POLL / pace,
        scheduler_options: [
            option("min_compaction_sources", min),
            option("max_compaction_sources", max),
        ]
        .into(),
        worker: Some(CompactionWorkerOptions {
            compactions_poll_interval: COMPACTION_POLL / pace,
            ..CompactionWorkerOptions::default()
        }),
        ..CompactorOptions::default()
    }
}

fn write_tag(tag: Tag) -> Vec<u8> {
    let mut bytes = vec![TAG_VERSION];
    bytes.extend_from_slice(&tag.end.0.to_be_bytes());
    bytes.extend_from_slice(&tag.last.epoch.0.to_be_bytes());
    bytes.extend_from_slice(&tag.last.number.to_be_bytes());
    bytes
}

fn read_tag(bytes: &[u8]) -> Result<Tag, Corrupt> {
    let corrupt = Corrupt {
        what: "tag of a shard",
    };
    let (Some((TAG_VERSION, body)), 25) = (bytes.split_first().map(|(v, rest)| (*v, rest)), bytes.len())
    else {
        return Err(corrupt);
    };
    let [end, epoch, number] = body.as_chunks::<8>().0 else {
        return Err(corrupt);
    };
    Ok(Tag {
        end: Offset(i64::from_be_bytes(*end)),
        last: RunId {
            epoch: OwnerEpoch(u64::from_be_bytes(*epoch)),
            number: u64::from_be_bytes(*number),
        },
    })
}

#[cfg(test)]
mod requests;

#[cfg(test)]
mod tests {
    use super::{StoreKind, Tag, garbage_collection, read_tag, write_tag};
    use crate::RunId;
    use millstream_model::{Offset, OwnerEpoch};

    #[test]
    fn a_tag_reads_back_and_its_form_is_kept() {
        let tag = Tag {
            end: Offset(258),
            last: RunId {
                epoch: OwnerEpoch(3),
                number: 7,
            },
        };
        let bytes = write_tag(tag);
        let golden = [
            &[1, 0, 0, 0, 0, 0, 0, 1, 2][..],
            &[0, 0, 0, 0, 0, 0, 0, 3],
            &[0, 0, 0, 0, 0, 0, 0, 7],
        ];
        assert_eq!(bytes, golden.concat());
        assert_eq!(read_tag(&bytes), Ok(tag));
        assert!(read_tag(&bytes[..24]).is_err());
        assert!(
            read_tag(&[&[2], &bytes[1..]].concat()).is_err(),
            "of another version"
        );
    }

    #[test]
    fn a_directory_is_collected_without_boundary_files() {
        assert!(garbage_collection(StoreKind::Objects, 1).boundary_files_enabled);
        assert!(!garbage_collection(StoreKind::Directory, 1).boundary_files_enabled);
    }
}
