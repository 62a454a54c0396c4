//! What all of a broker's calls and tasks share.

use crate::condition::ConditionWatch;
use crate::endurance::Endurance;
use crate::group::{Group, Services};
use crate::producer_ids::ProducerIds;
use crate::read_memory::ReadMemory;
use crate::settings::Settings;
use crate::standing::Standing;
use millstream_access::{Operation, Principal, Resource, RootKeys, allowed};
use millstream_journal::Space;
use millstream_metadata::{Image, ImageWatch, PartitionRow, TopicRow, TopicState};
use millstream_model::{GroupId, PartitionId};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What all of a broker's calls and tasks share.
pub(crate) struct Shell {
    pub(crate) services: Arc<Services>,
    pub(crate) settings: Settings,
    pub(crate) image: ImageWatch,
    pub(crate) roots: Arc<RootKeys>,
    pub(crate) groups: RwLock<BTreeMap<GroupId, Arc<Group>>>,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) read_memory: ReadMemory,
    pub(crate) space: SpaceWatch,
    pub(crate) conditions: ConditionWatch,
    /// What this node is to the cluster.
    pub(crate) standing: watch::Sender<Standing>,
    /// Nobody is let wait any more: what is there is answered.
    pub(crate) draining: CancellationToken,
    pub(crate) stopping: CancellationToken,
    /// What is still under way is given up: the stop has waited for long enough.
    pub(crate) giving_up: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// Why a partition is not served to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotServed {
    /// There is none for this caller.
    Unknown,
    /// The caller may not.
    Denied,
    /// Not in a group of this node.
    NotHere,
}

/// A partition that is served here.
pub(crate) struct Served {
    pub(crate) group: Arc<Group>,
    pub(crate) topic: Arc<TopicRow>,
    pub(crate) row: PartitionRow,
}

impl Shell {
    /// One that serves nothing yet.
    pub(crate) fn over(
        services: Arc<Services>,
        settings: Settings,
        image: ImageWatch,
        roots: Arc<RootKeys>,
    ) -> Arc<Shell> {
        let read_memory = ReadMemory::new(settings.read_bytes_max);
        Arc::new(Shell {
            space: SpaceWatch::new(services.reader.space(), &settings.journal),
            services,
            settings,
            image,
            roots,
            groups: Default::default(),
            producer_ids: Default::default(),
            read_memory,
            conditions: ConditionWatch::default(),
            standing: watch::Sender::new(Standing::Waiting),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            giving_up: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// The group that holds a partition of the caller's.
    pub(crate) fn find(
        &self,
        image: &Image,
        who: &Principal,
        operation: Operation,
        partition: PartitionId,
    ) -> Result<Served, NotServed> {
        let (topic, row) = image.partition(partition).ok_or(NotServed::Unknown)?;
        if topic.tenant != who.tenant || topic.state != TopicState::Active {
            return Err(NotServed::Unknown);
        }
        if !allowed(who, operation, Resource::Tenant(topic.tenant)) {
            return Err(NotServed::Denied);
        }
        let group = self.group(row.group).ok_or(NotServed::NotHere)?;
        Ok(Served {
            group,
            topic: Arc::clone(topic),
            row: *row,
        })
    }

    /// Background work that talks to the store, which may hang: a stop waits for it for a while only. What it does
    /// counts once it is committed, so that it may end anywhere.
    pub(crate) fn spawn_with_store(&self, work: impl Future<Output = ()> + Send + 'static) {
        let giving_up = self.giving_up.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = giving_up.cancelled() => {}
            }
        });
    }

    /// A group of this node.
    pub(crate) fn group(&self, id: GroupId) -> Option<Arc<Group>> {
        self.groups.read().get(&id).cloned()
    }

    /// All groups of this node.
    pub(crate) fn all_groups(&self) -> Vec<Arc<Group>> {
        self.groups.read().values().cloned().collect()
    }
}

/// How full the journal is, looked at again after every few megabytes rather than for every batch.
pub(crate) struct SpaceWatch {
    seen: parking_lot::Mutex<Space>,
    bytes_since: AtomicU64,
    endurance: parking_lot::Mutex<Endurance>,
    /// Bytes after which it is looked at again.
    look_after_bytes: u64,
}

/// The most bytes after which the journal's space is looked at again.
const LOOK_AFTER_BYTES_MAX: u64 = 2 * 1024 * 1024;

impl SpaceWatch {
    pub(crate) fn new(space: Space, journal: &millstream_journal::Settings) -> SpaceWatch {
        SpaceWatch {
            seen: parking_lot::Mutex::new(space),
            bytes_since: AtomicU64::new(0),
            endurance: Default::default(),
            // A disk that is full says so when the next file is prepared: it must be heard well within that file.
            look_after_bytes: (u64::from(journal.file_bytes) / 8).min(LOOK_AFTER_BYTES_MAX),
        }
    }

    /// How full the journal was of late, after `bytes` more.
    pub(crate) fn after(&self, services: &Services, bytes: usize) -> Space {
        let since = self.bytes_since.fetch_add(bytes as u64, Ordering::Relaxed);
        if since > self.look_after_bytes {
            self.look(services)
        } else {
            *self.seen.lock()
        }
    }

    /// Looks now.
    pub(crate) fn look(&self, services: &Services) -> Space {
        self.bytes_since.store(0, Ordering::Relaxed);
        let space = services.reader.space();
        *self.seen.lock() = space;
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        services.metrics.journal_used_bytes.set(gauge(space.used));
        services.metrics.journal_capacity_bytes.set(gauge(space.capacity));
        services
            .metrics
            .journal_damaged
            .set(i64::from(services.reader.damage().is_some()));
        let mut endurance = self.endurance.lock();
        endurance.observe(services.now_ms(), services.metrics.produced_bytes.get());
        services.metrics.journal_outage_hours.set(endurance.hours(&space));
        drop(endurance);
        let in_flight = services.in_flight.load(Ordering::Relaxed);
        services
            .metrics
            .in_flight_bytes
            .set(i64::try_from(in_flight).unwrap_or(i64::MAX));
        space
    }
}
