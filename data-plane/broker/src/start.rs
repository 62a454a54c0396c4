//! Starting a broker: what its disk holds, its registration, the groups that the catalog gives it; and stopping it.
//!
//! ```text
//!   local snapshots ─► (the store's, where one is missing) ─► the journal's tail ─► register ─► fsync the number
//!      ─► groups ─► follow the catalog
//! ```
//! While the store is down: local snapshots, the journal's tail, groups, reads; then what is said in `join`.

mod error;

pub use error::StartError;

use crate::broker::Broker;
use crate::condition::Condition;
use crate::damage::DamagedObjects;
use crate::follow::{Follower, Found};
use crate::group::{Disk, Group, Services};
use crate::groups::GroupsHandle;
use crate::join::Joining;
use crate::metrics::Metrics;
use crate::replay::{Replay, go_on};
use crate::replica::{Planted, takes_named_snapshot};
use crate::settings::{Components, Settings};
use crate::shell::Shell;
use crate::snapshot::{self, Snapshot};
use crate::standing::Standing;
use crate::untold::Untold;
use millstream_journal::{
    CommitError, Journal, RealDisk, Recovered, Running, SlowDisk, Writer, WriterSettings,
};
use millstream_metadata::{Commands, GroupPurpose, Image, RecoveredGroup};
use millstream_model::limits::JOURNAL_WAITING_BYTES_MAX;
use millstream_model::{GroupId, NodeId};
use millstream_tier::Tier;
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long a stop waits for background work that is under way.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// How long work that was given up may take to end.
const GIVE_UP_WAIT: Duration = Duration::from_secs(1);

/// Stops the broker.
pub struct Handle {
    shell: Arc<Shell>,
    running: Running,
    recovered: Vec<RecoveredGroup>,
    mended: Vec<String>,
    untold: Untold,
}

/// What the disk holds.
struct OnDisk {
    journal: Journal<Disk>,
    recovered: Recovered,
    found: BTreeMap<GroupId, Found>,
    /// Groups whose log on this disk has a gap.
    broken: BTreeSet<GroupId>,
    /// What became of a journal that was damaged and goes on.
    untold: Untold,
}

impl Broker {
    /// Starts a broker: recovers what its disk holds, registers, serves what the catalog gives it.
    ///
    /// Waits for the controller as long as it takes; cancel-safe until it has registered.
    ///
    /// # Errors
    /// When the disk or the controller refuses.
    pub async fn start(
        settings: Settings,
        components: Components,
        registry: &mut Registry,
    ) -> Result<(Broker, Handle), StartError> {
        let started = Instant::now();
        let metrics = Metrics::register(registry);
        let Components {
            image,
            commands,
            store,
            prefix,
            roots,
        } = components;
        let tier = Tier::new(store, prefix, settings.tier.clone());
        let on_disk = read_disk(&settings, &image.image(), &tier, &metrics).await?;
        let joining = Joining::of(&settings, &on_disk.journal, &on_disk.recovered, &on_disk.found);
        // Before the journal's threads start: until here a start can be given up.
        let registered = match settings.waits_for_controller {
            true => Some(joining.register(commands.as_ref()).await?),
            false => None,
        };
        let journal = on_disk.journal.id();
        let known = image.image().node_of(journal).map(|node| node.id);
        let node = match (&registered, known) {
            (Some(registered), _) => registered.row.id,
            (None, Some(known)) => known,
            (None, None) => return Err(StartError::NeverRegistered),
        };
        let outside = Outside {
            tier,
            commands,
            metrics,
            node,
            started,
        };
        let (services, running) = start_journal(on_disk.journal, outside)?;
        let mut untold = on_disk.untold;
        let mended = untold.lines().to_vec();
        mended.iter().for_each(|line| tracing::warn!("{line}"));
        let shell = Shell::over(services, settings, image, roots);
        let follower = Follower::new(&shell, on_disk.found, on_disk.broken);
        let recovered = shell.begin(joining, registered, follower).await?;
        untold.add(recovered.iter().map(ToString::to_string))?;
        shell
            .services
            .metrics
            .restart_seconds
            .set(started.elapsed().as_secs_f64());
        let broker = Broker {
            groups: GroupsHandle {
                shell: Arc::clone(&shell),
            },
            shell: Arc::clone(&shell),
        };
        tracing::info!(%node, %journal, took = ?started.elapsed(), "the broker serves");
        Ok((
            broker,
            Handle {
                shell,
                running,
                recovered,
                mended,
                untold,
            },
        ))
    }
}

/// What the groups work with beside the journal.
struct Outside {
    tier: Tier,
    commands: Arc<dyn Commands>,
    metrics: Metrics,
    node: NodeId,
    started: Instant,
}

/// Starts the journal's threads.
fn start_journal(
    journal: Journal<Disk>,
    outside: Outside,
) -> Result<(Arc<Services>, Running), std::io::Error> {
    let (id, reader) = (journal.id(), journal.reader());
    let writer_settings = WriterSettings {
        waiting_bytes_max: JOURNAL_WAITING_BYTES_MAX,
        ..WriterSettings::default()
    };
    let (writer, running) = Writer::start(journal, writer_settings)?;
    let services = Services {
        writer,
        reader,
        tier: outside.tier,
        commands: outside.commands,
        damaged: DamagedObjects::new(
            outside.metrics.damaged_objects.clone(),
            outside.metrics.damaged_reads.clone(),
        ),
        metrics: outside.metrics,
        runtime: tokio::runtime::Handle::current(),
        node: outside.node,
        journal: id,
        registration: OnceLock::new(),
        started: outside.started,
        in_flight: AtomicUsize::new(0),
        stopping: AtomicBool::new(false),
        counted_commit: AtomicU64::new(0),
        store_fails_until: AtomicU64::new(0),
    };
    Ok((Arc::new(services), running))
}

impl Handle {
    /// Answers those who wait: fetches with what is there, members of groups with an error after which they look for the
    /// coordinator anew. Everything else goes on until [`Handle::shutdown`].
    pub fn drain(&self) {
        self.shell.draining.cancel();
        for group in self.shell.all_groups() {
            group.with(|core| core.wake_all());
        }
    }

    /// Stops serving, finishes what is under way, keeps a local snapshot of every group, closes the journal.
    ///
    /// # Errors
    /// When the last commits failed.
    pub async fn shutdown(self) -> Result<(), CommitError> {
        let Handle { shell, running, .. } = self;
        shell.services.stopping.store(true, Ordering::Release);
        shell.stopping.cancel();
        let groups = shell.all_groups();
        groups.iter().for_each(|group| group.with(|core| core.wake_all()));
        shell.tasks.close();
        if tokio::time::timeout(STOP_WAIT, shell.tasks.wait()).await.is_err() {
            tracing::warn!(
                "background work did not end in time and is given up; nothing acknowledged depends on it"
            );
            shell.giving_up.cancel();
            let _ = tokio::time::timeout(GIVE_UP_WAIT, shell.tasks.wait()).await;
        }
        for group in &groups {
            if let Err(error) = shell.save_locally(group).await {
                tracing::warn!(group = %group.id, %error, "no local snapshot at the end");
            }
        }
        let closed = tokio::task::spawn_blocking(move || running.close())
            .await
            .unwrap_or(Ok(()));
        // Closing commits what waited; a leadership ends with its process.
        shell.groups.write().clear();
        tracing::info!("the broker has stopped");
        closed
    }

    /// The groups of lost journals that this start took over, and what was lost of each
    /// ([`Settings::recover_groups`]).
    pub fn recovered(&self) -> &[RecoveredGroup] {
        &self.recovered
    }

    /// What became of a damaged journal behind its damage, a line for each thing that does not come back
    /// ([`Settings::recover_groups`]); nothing when it was sound. Also what earlier starts had mended or taken over and
    /// nobody was told of ([`Handle::was_told`]).
    pub fn mended(&self) -> &[String] {
        &self.mended
    }

    /// Somebody has read what was recovered and mended: the next start need not say it again.
    pub fn was_told(&self) {
        self.untold.forget();
    }

    /// What this node is to the cluster.
    pub fn standing(&self) -> Standing {
        *self.shell.standing.borrow()
    }

    /// Brings the gauges that are not set by what happens up to date: before metrics are told, so that they tell the
    /// truth also of a broker in which nothing happens any more.
    pub fn measure(&self) {
        self.condition();
        let groups = self.shell.all_groups();
        let bytes = groups.iter().map(|group| group.read(|core| core.tail.bytes()));
        let bytes = i64::try_from(bytes.sum::<usize>()).unwrap_or(i64::MAX);
        let services = &self.shell.services;
        services.metrics.tail_bytes.set(bytes);
        let is_newer = |group: &&Arc<Group>| group.read(|core| core.replica.unknown().is_some());
        let newer = groups.iter().filter(is_newer).count();
        services
            .metrics
            .newer_groups
            .set(i64::try_from(newer).unwrap_or(i64::MAX));
        let cached = services.tier.cached_bytes();
        let cached = i64::try_from(cached).unwrap_or(i64::MAX);
        services.metrics.cached_bytes.set(cached);
    }

    /// What keeps the broker from serving whole.
    pub fn condition(&self) -> Condition {
        self.shell.condition()
    }

    /// Objects in the store that are known to be damaged or missing: what a reader of theirs met and nobody has been
    /// able to read since.
    pub fn damaged_objects(&self) -> usize {
        self.shell.services.damaged.count()
    }

    /// Whether the broker can serve: its journal is sound.
    pub fn is_healthy(&self) -> bool {
        self.shell.services.reader.damage().is_none()
    }
}

/// Reads the disk: local snapshots, those of the store where the disk has none, the journal.
async fn read_disk(
    settings: &Settings,
    image: &Arc<Image>,
    tier: &Tier,
    metrics: &Metrics,
) -> Result<OnDisk, StartError> {
    let folder = settings.snapshots();
    let loaded = tokio::task::spawn_blocking(move || snapshot::load_all(&folder)).await;
    let (mut snapshots, mut bytes_read) =
        loaded.map_err(|_| StartError::Unexpected("a reading task ended early"))??;
    // A start that does not wait for the controller does not wait for the store either.
    for row in image.groups().filter(|_| settings.waits_for_controller) {
        let Some(stored) = &row.snapshot else { continue };
        let local = snapshots.get(&row.id).map(|local| local.state.applied());
        if !takes_named_snapshot(Planted::default(), local, stored.lsn) {
            continue;
        }
        match snapshot::fetch(tier, row.id, stored).await {
            Ok(snapshot) => {
                bytes_read += stored.length;
                snapshots.insert(row.id, snapshot);
            }
            Err(error) => tracing::error!(group = %row.id, %error, "the store's snapshot cannot be had"),
        }
    }
    let (settings, image) = (settings.clone(), Arc::clone(image));
    let opened = tokio::task::spawn_blocking(move || open(&settings, &image, snapshots)).await;
    let on_disk = opened.map_err(|_| StartError::Unexpected("the recovering task ended early"))??;
    bytes_read += on_disk.recovered.bytes_read;
    metrics
        .restart_bytes_read
        .set(i64::try_from(bytes_read).unwrap_or(i64::MAX));
    metrics
        .restart_records_read
        .set(i64::try_from(on_disk.recovered.records).unwrap_or(i64::MAX));
    tracing::info!(
        bytes = bytes_read, records = on_disk.recovered.records, ending = ?on_disk.recovered.ending, "recovered"
    );
    Ok(on_disk)
}

/// Opens the journal and replays its tail onto the snapshots; blocks.
fn open(
    settings: &Settings,
    image: &Image,
    snapshots: BTreeMap<GroupId, Snapshot>,
) -> Result<OnDisk, StartError> {
    let is_internal = |group: GroupId| {
        image
            .group(group)
            .is_some_and(|row| row.purpose == GroupPurpose::Internal)
    };
    let mut replays: BTreeMap<GroupId, Replay> = snapshots
        .into_iter()
        .map(|(group, snapshot)| {
            // Without a catalog yet, the slots in the snapshot tell an internal group.
            let keep = is_internal(group) || !snapshot.slots.is_empty();
            (group, Replay::of(snapshot, keep))
        })
        .collect();
    let disk = SlowDisk::new(
        RealDisk::open(&settings.data_dir.join("journal"))?,
        settings.sync_delay,
    );
    let (mut journal, mut recovered) =
        Journal::open(Arc::new(disk), settings.journal.clone(), |position, record| {
            let Some(group) = record.group() else { return };
            let replay = replays
                .entry(group)
                .or_insert_with(|| Replay::fresh(group, is_internal(group)));
            replay.keep(position, &record);
            replay.record(record);
        })?;
    let mut untold = Untold::read(&settings.data_dir.join("journal"), recovered.unfinished)?;
    if let Some(damage) = journal.damage().filter(|_| settings.recover_groups) {
        tracing::warn!(%damage, "the journal goes on behind its damage with what is whole there");
        go_on(&mut journal, image, &mut replays, is_internal, &mut untold)?;
        recovered.registration = journal.reader().registration();
    }
    let (mut found, mut broken) = (BTreeMap::new(), BTreeSet::new());
    for (group, replay) in replays {
        match replay.finish(group) {
            Some(whole) => drop(found.insert(group, whole)),
            None => drop(broken.insert(group)),
        }
    }
    Ok(OnDisk {
        journal,
        recovered,
        found,
        broken,
        untold,
    })
}
