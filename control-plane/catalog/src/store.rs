//! The rows' database: SlateDB on the cluster's object store, set so that it is quiet, bounded and durable
//! (log.md 42).

use millstream_metadata::{AUDIT_TABLE, AuditRow, Change, Image, Row, RowKey, StoredError};
use object_store::ObjectStore;
use object_store::path::Path;
use slatedb::config::{
    CloseOptions, CompactionWorkerOptions, CompactorOptions, FlushOptions, FlushType,
    GarbageCollectorDirectoryOptions, GarbageCollectorOptions, GarbageCollectorScheduleOptions,
};
use slatedb::{Db, DbIterator, Settings, WriteBatch};
use std::sync::Arc;
use std::time::Duration;

/// How the database is kept.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The cluster's folder in the store; the database lies in `catalog` below it.
    pub prefix: Path,
    /// The store is a local directory: no boundary files, which it cannot write.
    pub local: bool,
    /// How often the manifest is looked at; at least 30 s, or an idle cluster costs thousands of requests an hour (log.md 42).
    pub poll_interval: Duration,
    /// Retries of one request to the store beyond its client's own.
    pub retries_max: u32,
    /// The longest that one commit or start may take.
    pub timeout: Duration,
}

impl StoreSettings {
    /// For a cluster in this folder of the store.
    pub fn new(prefix: Path, local: bool) -> StoreSettings {
        StoreSettings {
            prefix,
            local,
            poll_interval: Duration::from_secs(45),
            retries_max: 3,
            timeout: Duration::from_secs(20),
        }
    }
}

/// What is younger is never deleted, whatever a clock says.
const GARBAGE_AGE_MIN: Duration = Duration::from_secs(3600);

/// Rows are few; a memtable need not be large.
const MEMTABLE_BYTES: usize = 4 * 1024 * 1024;

/// Tables that may wait to be merged: merging begins only when a process has lived for a while, and until then nothing
/// must wait for it.
const UNMERGED_TABLES_MAX: usize = 64;

/// Opens the database as its writer: whoever was it before is fenced.
pub(crate) async fn open(
    store: Arc<dyn ObjectStore>,
    settings: &StoreSettings,
) -> Result<Db, slatedb::Error> {
    let path = settings.prefix.clone().join("catalog");
    Db::builder(path, store)
        .with_settings(slate_settings(settings))
        .with_db_cache_disabled()
        .build()
        .await
}

fn slate_settings(settings: &StoreSettings) -> Settings {
    let retries = Some(settings.retries_max);
    let sweep = Some(GarbageCollectorDirectoryOptions {
        interval: Some(GARBAGE_AGE_MIN),
        min_age: GARBAGE_AGE_MIN,
        dry_run: false,
    });
    Settings {
        // Every commit flushes by itself.
        flush_interval: None,
        manifest_poll_interval: settings.poll_interval,
        manifest_update_timeout: settings.timeout,
        l0_sst_size_bytes: MEMTABLE_BYTES,
        l0_max_ssts: UNMERGED_TABLES_MAX,
        l0_max_ssts_per_key: UNMERGED_TABLES_MAX,
        max_unflushed_bytes: 16 * MEMTABLE_BYTES,
        object_store_max_retries: retries,
        compactor_options: Some(CompactorOptions {
            poll_interval: settings.poll_interval,
            manifest_update_timeout: settings.timeout,
            max_concurrent_compactions: 1,
            object_store_max_retries: retries,
            worker: Some(CompactionWorkerOptions {
                max_concurrent_compactions: 1,
                compactions_poll_interval: settings.poll_interval,
                object_store_max_retries: retries,
                ..CompactionWorkerOptions::default()
            }),
            ..CompactorOptions::default()
        }),
        garbage_collector_options: Some(GarbageCollectorOptions {
            manifest_options: sweep,
            wal_options: sweep,
            // A fence that is collected would let a fenced writer write on.
            wal_fence_options: None,
            compacted_options: sweep,
            compactions_options: sweep,
            detach_options: Some(GarbageCollectorScheduleOptions {
                interval: Some(GARBAGE_AGE_MIN),
            }),
            boundary_files_enabled: !settings.local,
            object_store_max_retries: retries,
            ..GarbageCollectorOptions::default()
        }),
        ..Settings::default()
    }
}

/// Why the rows could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the catalog's store failed")]
    Store(#[from] slatedb::Error),
    #[error(transparent)]
    Row(#[from] StoredError),
}

/// Reads every row into an image; audit events stay where they are.
pub(crate) async fn read_image(db: &Db) -> Result<Image, ReadError> {
    let mut image = Image::new();
    let mut rows = db.scan(vec![0]..vec![AUDIT_TABLE]).await?;
    apply_all(&mut rows, &mut image).await?;
    // Tables of a newer release would lie beyond: they must be noticed.
    let mut rows = db.scan(vec![AUDIT_TABLE + 1]..).await?;
    apply_all(&mut rows, &mut image).await?;
    Ok(image)
}

async fn apply_all(rows: &mut DbIterator, image: &mut Image) -> Result<(), ReadError> {
    while let Some(entry) = rows.next().await? {
        image.apply(&Change::Put(Row::decode(&entry.key, &entry.value)?));
    }
    Ok(())
}

/// Reads the latest audit events for which `wanted` holds, oldest first.
pub(crate) async fn read_audit(
    db: &Db,
    limit: usize,
    wanted: impl Fn(&AuditRow) -> bool,
) -> Result<Vec<Arc<AuditRow>>, ReadError> {
    let mut events = std::collections::VecDeque::new();
    let mut rows = db.scan(RowKey::Audit(0).encode()..vec![AUDIT_TABLE + 1]).await?;
    while let Some(entry) = rows.next().await? {
        if let Row::Audit(event) = Row::decode(&entry.key, &entry.value)?
            && wanted(&event)
        {
            events.push_back(event);
            if events.len() > limit {
                events.pop_front();
            }
        }
    }
    Ok(events.into())
}

/// Writes the changes in one transaction, and waits until they are durable.
pub(crate) async fn write(db: &Db, changes: &[Change]) -> Result<(), slatedb::Error> {
    let mut batch = WriteBatch::new();
    for change in changes {
        match change.encode() {
            (key, Some(value)) => batch.put(key, value),
            (key, None) => batch.delete(key),
        }
    }
    let written = db.write(batch).await?;
    db.flush().await?;
    written.await_durable().await
}

/// Transactions that a start would have to read from the log.
pub(crate) fn commits_in_log(db: &Db) -> u64 {
    let status = db.status();
    status
        .durable_seq
        .saturating_sub(status.current_manifest.last_l0_seq())
}

/// Ends the database and its background work, without writing a table.
pub(crate) async fn close(db: Db) -> Result<(), slatedb::Error> {
    db.close_with_options(CloseOptions { flush_type: None }).await
}

/// Moves what is in the log into tables, so that the next start reads little of the log. Nothing depends on it.
pub(crate) async fn settle(db: Db) {
    if let Err(error) = db
        .flush_with_options(FlushOptions {
            flush_type: FlushType::MemTable,
        })
        .await
    {
        tracing::debug!(%error, "the catalog's log was not moved into tables");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// log.md 42, word by word: quiet when idle, bounded when the store is down, never its fences collected.
    #[test]
    fn the_database_is_quiet_bounded_and_keeps_its_fences() {
        for local in [true, false] {
            let settings = slate_settings(&StoreSettings::new(Path::default(), local));
            let compactor = settings.compactor_options.unwrap();
            let worker = compactor.worker.clone().unwrap();
            let polls = [
                settings.manifest_poll_interval,
                compactor.poll_interval,
                worker.compactions_poll_interval,
            ];
            for poll in polls {
                assert!((30..=60).contains(&poll.as_secs()), "{poll:?}");
            }
            let garbage = settings.garbage_collector_options.unwrap();
            let retries = [
                settings.object_store_max_retries,
                compactor.object_store_max_retries,
                worker.object_store_max_retries,
                garbage.object_store_max_retries,
            ];
            for retries in retries {
                assert!(retries.is_some_and(|retries| retries <= 3), "{retries:?}");
            }
            assert!(garbage.wal_fence_options.is_none());
            assert_eq!(garbage.boundary_files_enabled, !local);
            let sweeps = [
                garbage.manifest_options,
                garbage.wal_options,
                garbage.compacted_options,
                garbage.compactions_options,
            ];
            for sweep in sweeps.into_iter().flatten() {
                assert!(sweep.min_age >= Duration::from_secs(3600));
                assert!(
                    sweep
                        .interval
                        .is_none_or(|interval| interval >= Duration::from_secs(3600))
                );
            }
            assert!(settings.flush_interval.is_none(), "an idle writer writes nothing");
        }
    }
}
