//! What can be set about a broker, and what it is given to work with.

use crate::replica::TieringSettings;
use millstream_access::RootKeys;
use millstream_metadata::{Commands, HostPort, ImageWatch};
use millstream_model::Waits;
use millstream_model::limits::{READ_BYTES_MAX, TAIL_CACHE_BYTES};
use millstream_partition::FlushSettings;
use object_store::ObjectStore;
use object_store::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What can be set about a broker.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder that holds `journal/` and `snapshots/`.
    pub data_dir: PathBuf,
    /// Where Kafka clients reach this node.
    pub kafka: HostPort,
    /// Where gRPC and HTTP clients reach it.
    pub http: HostPort,
    /// The journal.
    pub journal: millstream_journal::Settings,
    /// Added to every fdatasync, to measure as on a slower disk; zero otherwise.
    pub sync_delay: Duration,
    /// The object store's calls and cache.
    pub tier: millstream_tier::Settings,
    /// When a group's hot data goes to the object store.
    pub flush: FlushSettings,
    /// How often flushes are considered without being asked.
    pub flush_interval: Duration,
    /// A snapshot is taken after this many bytes of log.
    pub snapshot_bytes: u64,
    /// … or this many entries.
    pub snapshot_entries: u64,
    /// … or this long after the last one, when anything has changed.
    pub snapshot_interval: Duration,
    /// How often retention is looked at.
    pub retention_interval: Duration,
    /// How often the controller hears from this node.
    pub heartbeat_interval: Duration,
    /// The newest batches kept in memory per group, bytes.
    pub tail_bytes: usize,
    /// Produced bytes on their way to the disk in all; more is refused for the moment.
    pub in_flight_bytes_max: usize,
    /// Fetched bytes that are not sent yet in all; when they are this many, fetches get less.
    pub read_bytes_max: usize,
    /// The operator's decision that the journals which no living node has are lost, and what a damage took from this
    /// one: their groups are taken over from their last snapshots, this one goes on with what is whole (log.md 5, 17).
    pub recover_groups: bool,
    /// How long nodes that may be dead are waited for then: more than a session.
    pub recover_wait: Duration,
    /// Whether a start waits until the controller has registered it. Without, it serves reads from the disk meanwhile:
    /// for a start while the object store is down (log.md 30).
    pub waits_for_controller: bool,
    /// Consumer groups.
    pub groups: millstream_coordinator::Settings,
    /// How long background work that failed rests, at first and at most. Who is refused for want of room ends it.
    pub backoff: Waits,
}

impl Settings {
    /// Where local snapshots lie.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.data_dir.join("snapshots")
    }

    /// When a group's background work is due.
    pub(crate) fn tiering(&self) -> TieringSettings {
        TieringSettings {
            flush: self.flush,
            snapshot_bytes: self.snapshot_bytes,
            snapshot_entries: self.snapshot_entries,
            snapshot_interval_ms: u64::try_from(self.snapshot_interval.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The usual settings over a folder.
    pub fn new(data_dir: PathBuf, kafka: HostPort, http: HostPort) -> Settings {
        Settings {
            data_dir,
            kafka,
            http,
            journal: millstream_journal::Settings::default(),
            sync_delay: Duration::ZERO,
            tier: millstream_tier::Settings::default(),
            flush: FlushSettings {
                // Half of the tail: what is flushed is still in memory.
                bytes: TAIL_CACHE_BYTES as u64 / 2,
                age_ms: 60_000,
                object_bytes_max: 128 * 1024 * 1024,
            },
            flush_interval: Duration::from_secs(1),
            snapshot_bytes: 256 * 1024 * 1024,
            snapshot_entries: 50_000,
            snapshot_interval: Duration::from_secs(60),
            retention_interval: Duration::from_secs(30),
            heartbeat_interval: Duration::from_secs(2),
            tail_bytes: TAIL_CACHE_BYTES,
            in_flight_bytes_max: 128 * 1024 * 1024,
            read_bytes_max: READ_BYTES_MAX,
            recover_groups: false,
            recover_wait: Duration::from_secs(20),
            waits_for_controller: true,
            groups: millstream_coordinator::Settings::default(),
            backoff: Waits::new(Duration::from_millis(500), Duration::from_secs(30)),
        }
    }
}

/// What a broker is given to work with.
pub struct Components {
    /// The catalog, as it changes.
    pub image: ImageWatch,
    /// The control plane's command path.
    pub commands: Arc<dyn Commands>,
    /// The cluster's object store.
    pub store: Arc<dyn ObjectStore>,
    /// The cluster's place in it.
    pub prefix: Path,
    /// The root keys.
    pub roots: Arc<RootKeys>,
}
