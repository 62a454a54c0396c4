//! Starting a broker: what its disk holds, its registration, the groups that the catalog gives it; and stopping it.
//!
//! ```text
//!   local snapshots ─► (the store's, where one is missing) ─► the journal's tail ─► register ─► fsync the number
//!      ─► groups ─► follow the catalog
//! ```

use crate::broker::Broker;
use crate::follow::{Following, Found};
use crate::group::{Disk, Services};
use crate::groups::GroupsHandle;
use crate::metrics::Metrics;
use crate::read_memory::ReadMemory;
use crate::recover;
use crate::replica::{Recovery, RecoveryError};
use crate::settings::{Components, Settings};
use crate::shell::{Shell, SpaceWatch};
use crate::snapshot::{self, Snapshot};
use millstream_journal::{
    CommitError, Journal, LockError, OpenError, RealDisk, Record, Recovered, Running, SlowDisk, SubmitError,
    Writer, WriterSettings,
};
use millstream_metadata::{
    Actor, Command, Commands, GroupPurpose, Image, NodeRow, RecoveredGroup, Refusal, RegisterNode, Reply,
};
use millstream_model::{GroupId, JournalId, Registration, Retry};
use millstream_partition::GroupState;
use millstream_tier::Tier;
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The newest feature level that this release knows (LOG.md 41).
const FEATURE_LEVEL_MAX: u32 = 1;

/// How long a controller that cannot be reached is left alone before the next attempt to register.
const REGISTER_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long a stop waits for background work that is under way.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// How long work that was given up may take to end.
const GIVE_UP_WAIT: Duration = Duration::from_secs(1);

/// Bytes that may wait for the journal in all: the groups' own bounds end earlier.
const JOURNAL_WAITING_BYTES: usize = 1024 * 1024 * 1024;

/// A broker that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal's folder cannot be used.
    #[error(transparent)]
    Folder(#[from] LockError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The folder of local snapshots cannot be read, or a thread cannot be started.
    #[error("cannot read the data folder: {0}")]
    Io(#[from] std::io::Error),
    /// The controller refuses this node for good.
    #[error("the controller refuses this node: {0}")]
    Refused(#[from] Refusal),
    /// The damaged journal cannot go on.
    #[error("the journal cannot go on behind its damage: {0}")]
    Damaged(#[from] CommitError),
    /// The number of this start cannot be kept.
    #[error("the journal cannot keep this start's registration: {0}")]
    Register(#[from] SubmitError),
    /// A bug.
    #[error("{0}")]
    Unexpected(&'static str),
}

/// Stops the broker.
pub struct Handle {
    shell: Arc<Shell>,
    running: Running,
    recovered: Vec<RecoveredGroup>,
}

/// What the disk holds.
struct OnDisk {
    journal: Journal<Disk>,
    recovered: Recovered,
    found: BTreeMap<GroupId, Found>,
    /// Groups whose log on this disk has a gap.
    broken: BTreeSet<GroupId>,
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
        let node = register(&settings, commands.as_ref(), &on_disk).await?;
        let reader = on_disk.journal.reader();
        let journal = on_disk.journal.id();
        let writer_settings = WriterSettings {
            waiting_bytes_max: JOURNAL_WAITING_BYTES,
            ..WriterSettings::default()
        };
        let (writer, running) = Writer::start(on_disk.journal, writer_settings)?;
        if keep_registration(&writer, node.row.registration).await? == Kept::OnDisk {
            confirm(commands.as_ref(), &node.row).await?;
        }
        for (group, found) in &on_disk.found {
            recover::skip_to(&reader, &writer, *group, found.recovery.base()).await?;
        }
        let _ = image.wait_for_version(node.version).await;
        let mut recovered = Vec::new();
        if settings.recover_groups {
            let (groups, version) = recover::take_over(&settings, commands.as_ref(), journal).await?;
            let _ = image.wait_for_version(version).await;
            recovered = groups;
        }
        let services = Arc::new(Services {
            writer,
            reader,
            tier,
            commands,
            metrics,
            runtime: tokio::runtime::Handle::current(),
            node: node.row.id,
            journal,
            registration: node.row.registration,
            started,
            in_flight: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            counted_commit: AtomicU64::new(0),
        });
        let read_memory = ReadMemory::new(settings.read_bytes_max);
        let shell = Arc::new(Shell {
            space: SpaceWatch::new(services.reader.space(), &settings.journal),
            services,
            settings,
            image,
            roots,
            groups: Default::default(),
            quotas: Default::default(),
            producer_ids: Default::default(),
            read_memory,
            stopping: CancellationToken::new(),
            giving_up: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let mut following = Following::new(on_disk.found, on_disk.broken);
        shell.reconcile(&shell.image.image(), &mut following);
        shell.tasks.spawn(Arc::clone(&shell).follow(following));
        shell.tasks.spawn(Arc::clone(&shell).heartbeat());
        shell.tasks.spawn(Arc::clone(&shell).retain());
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
        tracing::info!(node = %node.row.id, %journal, took = ?started.elapsed(), "the broker serves");
        Ok((
            broker,
            Handle {
                shell,
                running,
                recovered,
            },
        ))
    }
}

impl Handle {
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
            if group.read(|core| core.unsaved.entries) > 0
                && let Err(error) = shell.save_locally(group).await
            {
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
    for row in image.groups() {
        let Some(stored) = &row.snapshot else { continue };
        if snapshots
            .get(&row.id)
            .is_some_and(|local| local.state.applied() >= stored.lsn)
        {
            continue;
        }
        match tier.get_snapshot(&stored.object).await {
            Ok(bytes) => match snapshot::decode(&bytes) {
                Ok(snapshot) => {
                    bytes_read += bytes.len() as u64;
                    snapshots.insert(row.id, snapshot);
                }
                Err(error) => tracing::error!(group = %row.id, %error, "the store's snapshot cannot be read"),
            },
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
            // Without a catalog yet, the records in the snapshot tell an internal group.
            let keep = is_internal(group) || !snapshot.records.is_empty();
            let recovery = Recovery::new(snapshot.state.clone(), keep);
            (
                group,
                Replay {
                    recovery: Some(recovery),
                    snapshot: Some(snapshot),
                    error: None,
                },
            )
        })
        .collect();
    let disk = SlowDisk::new(
        RealDisk::open(&settings.data_dir.join("journal"))?,
        settings.sync_delay,
    );
    let (mut journal, recovered) = Journal::open(Arc::new(disk), settings.journal.clone(), |_, record| {
        let Some(group) = record.group() else { return };
        let fresh = || Recovery::new(GroupState::new(group), is_internal(group));
        let replay = replays.entry(group).or_insert_with(|| Replay {
            recovery: Some(fresh()),
            snapshot: None,
            error: None,
        });
        replay.record(record);
    })?;
    if let Some(damage) = journal.damage().filter(|_| settings.recover_groups) {
        tracing::warn!(%damage, lost = ?damage.lost, "the journal goes on with what precedes its damage");
        journal.accept_loss()?;
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
    })
}

/// One group's part of the journal.
struct Replay {
    recovery: Option<Recovery>,
    snapshot: Option<Snapshot>,
    error: Option<RecoveryError>,
}

impl Replay {
    fn record(&mut self, record: Record) {
        if self.error.is_some() {
            return;
        }
        if let Some(recovery) = &mut self.recovery {
            self.error = recovery.record(record).err();
        }
    }

    /// `None` when the group cannot be served from what is here.
    fn finish(self, group: GroupId) -> Option<Found> {
        let finished = match (self.error, self.recovery?) {
            (Some(error), _) => Err(error),
            (None, recovery) => recovery.finish(),
        };
        match finished {
            Ok(recovery) => Some(Found {
                recovery,
                snapshot: self.snapshot,
            }),
            Err(error) => {
                tracing::error!(%group, %error, "a group cannot be restored from this disk and is not served; an operator must look");
                None
            }
        }
    }
}

/// A registration that the controller gave.
struct Registered {
    row: Arc<NodeRow>,
    version: u64,
}

/// Registers this start, trying again while the controller is away.
async fn register(
    settings: &Settings,
    commands: &dyn Commands,
    on_disk: &OnDisk,
) -> Result<Registered, StartError> {
    let journal: JournalId = on_disk.journal.id();
    loop {
        let command = Command::RegisterNode(RegisterNode {
            journal,
            registration_last: on_disk.recovered.registration,
            kafka: settings.kafka.clone(),
            http: settings.http.clone(),
            feature_level_max: FEATURE_LEVEL_MAX,
            damaged: on_disk.journal.damage().is_some(),
        });
        match commands.submit(Actor::System, command).await {
            Ok(committed) => match committed.reply {
                Reply::Node(row) => {
                    return Ok(Registered {
                        row,
                        version: committed.version,
                    });
                }
                _ => {
                    return Err(StartError::Unexpected(
                        "the controller's answer to a registration is none",
                    ));
                }
            },
            Err(refusal) if refusal.retry() == Retry::Never => return Err(refusal.into()),
            Err(refusal) => {
                tracing::warn!(%refusal, "cannot register yet");
                tokio::time::sleep(REGISTER_AGAIN_AFTER).await;
            }
        }
    }
}

/// Where the number of this start is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    OnDisk,
    /// The journal is damaged.
    Nowhere,
}

/// The number must be on disk before anything is served (LOG.md 13). A damaged journal keeps nothing; it serves what
/// precedes the damage.
async fn keep_registration(writer: &Writer, registration: Registration) -> Result<Kept, StartError> {
    match writer.register(registration).await {
        Err(SubmitError::Commit(CommitError::Damaged(damage))) => {
            tracing::error!(
                %damage,
                "the journal is damaged: it serves what precedes the damage and takes nothing; to go on from the last \
                 snapshots instead, move the folder 'journal' away and start with --recover-groups"
            );
            Ok(Kept::Nowhere)
        }
        other => Ok(other.map(|()| Kept::OnDisk)?),
    }
}

/// Tells the controller that the number is on disk: from here on an older one proves a rollback. Nothing may be served
/// before the controller knows, or a journal that is rolled back to before this start would pass.
async fn confirm(commands: &dyn Commands, node: &NodeRow) -> Result<(), StartError> {
    loop {
        let command = Command::ConfirmRegistration {
            journal: node.journal,
            registration: node.registration,
        };
        match commands.submit(Actor::Node(node.id), command).await {
            Ok(_) => return Ok(()),
            Err(refusal) if refusal.retry() == Retry::Never => return Err(refusal.into()),
            Err(refusal) => {
                tracing::warn!(%refusal, "cannot confirm the registration yet");
                tokio::time::sleep(REGISTER_AGAIN_AFTER).await;
            }
        }
    }
}
