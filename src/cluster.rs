//! Which cluster this node belongs to: what the store says, or, while it is down, what the node knew last (log.md 30, 40).

use crate::data_folder::DataFolder;
use crate::ready_file::Doors;
use crate::settings::{Settings, own_store};
use millstream_access::RootKeys;
use millstream_broker::{LifecycleError, OpenStore, journal_in};
use millstream_catalog::{
    CatalogCopy, Identity, IdentityError, Joining, StoreSettings, establish, takes_writes,
};
use millstream_cli::Failure;
use millstream_controller::{self as controller, CopySettings};
use millstream_metadata::{Change, HostPort, Image, NodeRow, Row};
use millstream_server::{StoreKind, Workers};
use millstream_store::StoreMetrics;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The name of a cluster whose operator gave none.
const CLUSTER_NAME: &str = "millstream";

/// Threads for SQL statements, at least: one tenant has half of them at most, so that two leave some to a third.
const STATEMENT_THREADS_MIN: usize = 4;

/// How long a node that knows its cluster waits for the store before it starts without.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// The cluster of this node.
pub struct Cluster {
    pub id: Uuid,
    pub name: String,
    /// The store is down, and this is what the node knows without.
    pub without_store: Option<WithoutStore>,
}

/// What a node starts with while the store is down.
pub struct WithoutStore {
    /// The catalog as of the last copy.
    pub image: Image,
    /// What is to be compared with `cluster.json` as soon as it can be read.
    pub joining: Joining,
    /// Why the store is not used, in a line.
    pub reason: String,
}

/// Where the node's copy of the catalog lies.
fn copy_settings(settings: &Settings, name: &str) -> CopySettings {
    CopySettings::new(copy_path(settings), name.to_owned())
}

/// Where the node keeps its copy of the catalog.
pub fn copy_path(settings: &Settings) -> PathBuf {
    settings.data_dir.join("catalog")
}

/// The cluster that lives in the store; this node belongs to it from now on.
///
/// # Errors
/// When the store cannot be read, or the node does not belong to the cluster.
pub async fn find(
    settings: &Settings,
    store: &OpenStore,
    folder: &mut DataFolder,
    roots: &RootKeys,
) -> Result<Identity, Failure> {
    let joining = joining(settings, folder, roots);
    let identity = belong(store, &joining).await;
    let identity = identity.map_err(|error| without_root_key(error, folder))?;
    folder.join(identity.id)?;
    Ok(identity)
}

/// As [`find`], but a node that has been part of its cluster starts without the store while that is down, or full.
///
/// # Errors
/// As [`find`], and when there is no copy of the catalog to start with.
pub async fn find_or_remember(
    settings: &Settings,
    store: &OpenStore,
    folder: &mut DataFolder,
    roots: &RootKeys,
) -> Result<Cluster, Failure> {
    // Taking groups over is decided by the controller: without the store there is none.
    let (Some(cluster), false) = (folder.cluster(), settings.recover_groups) else {
        return find(settings, store, folder, roots).await.map(with_store);
    };
    let joining = joining(settings, folder, roots);
    let reason = match timeout(STORE_PATIENCE, writable(store, &joining)).await {
        Ok(Ok(identity)) => return Ok(with_store(identity)),
        Ok(Err(error)) if error.store_is_down() => told(error).text().to_owned(),
        Ok(Err(error)) => return Err(without_root_key(error, folder)),
        Err(_) => format!(
            "the object store did not answer within {} s: is it up, and is --store right?",
            STORE_PATIENCE.as_secs()
        ),
    };
    let copy = match CatalogCopy::load(&copy_path(settings)) {
        Ok(Some(copy)) if copy.cluster == cluster => copy,
        Ok(Some(_)) => {
            return Err(Failure::new(format!(
                "{reason}; the local copy of the catalog is another cluster's"
            )));
        }
        Ok(None) => {
            return Err(Failure::new(format!(
                "{reason}; there is no local copy of the catalog to start with"
            )));
        }
        Err(error) => return Err(Failure::new(format!("{reason}; {error}"))),
    };
    Ok(Cluster {
        id: cluster,
        name: copy.name,
        without_store: Some(WithoutStore {
            image: copy.image,
            joining,
            reason,
        }),
    })
}

/// Why a node has no place in the store that it was given.
#[derive(Debug, thiserror::Error)]
enum NoPlace {
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl NoPlace {
    fn store_is_down(&self) -> bool {
        match self {
            NoPlace::Lifecycle(error) => error.store_is_down(),
            NoPlace::Identity(error) => error.store_is_down(),
        }
    }
}

/// The store's cluster, if the store keeps what it is given and the node belongs there.
async fn belong(store: &OpenStore, joining: &Joining) -> Result<Identity, NoPlace> {
    store.refuse_harmful_rules().await?;
    Ok(establish(store.store.as_ref(), &store.prefix, joining).await?)
}

/// As [`belong`], in a store that takes writes: in another one nobody becomes the controller.
async fn writable(store: &OpenStore, joining: &Joining) -> Result<Identity, NoPlace> {
    let identity = belong(store, joining).await?;
    takes_writes(store.store.as_ref(), &store.prefix, &identity).await?;
    Ok(identity)
}

/// Why a node has no place, where the reason may be that it lacks the cluster's root key.
fn without_root_key(error: NoPlace, folder: &DataFolder) -> Failure {
    match (&error, folder.lacks_root_key()) {
        (NoPlace::Identity(IdentityError::RootKey { .. }), Some(path)) => Failure::new(format!(
            "the root key is missing: the store holds a cluster, and {} is not there; put the root key of that cluster \
             there, or name it with --root-key-file",
            path.display()
        )),
        _ => told(error),
    }
}

impl WithoutStore {
    /// Makes the copy tell clients where this process listens, which may have changed since.
    ///
    /// # Errors
    /// When the copy does not know this node.
    pub fn move_to(&mut self, settings: &Settings, kafka: &HostPort, http: &HostPort) -> Result<(), Failure> {
        let journal = journal_in(&settings.data_dir).map_err(told)?;
        let node = journal.and_then(|journal| self.image.node_of(journal).cloned());
        let node = node.ok_or_else(|| {
            Failure::new(format!(
                "{}; the local copy of the catalog does not know this node's journal",
                self.reason
            ))
        })?;
        self.image.apply(&Change::Put(Row::Node(Arc::new(NodeRow {
            kafka: kafka.clone(),
            http: http.clone(),
            ..node.as_ref().clone()
        }))));
        Ok(())
    }
}

fn with_store(identity: Identity) -> Cluster {
    Cluster {
        id: identity.id,
        name: identity.name,
        without_store: None,
    }
}

fn joining(settings: &Settings, folder: &DataFolder, roots: &RootKeys) -> Joining {
    // The default folder store belongs to this node alone: its cluster may be joined without naming it, as after a first
    // start that was cut short. Any other may be somebody's (log.md 40).
    let is_alone = folder.cluster().is_none() && settings.store == own_store(&settings.data_dir);
    Joining {
        known: folder.cluster(),
        name: settings
            .cluster
            .clone()
            .or_else(|| is_alone.then(|| CLUSTER_NAME.to_owned())),
        root_key_checks: roots.check_values(),
        fresh: Uuid::new_v4(),
    }
}

/// Starts the controller, with what is known of the catalog while the store is down.
///
/// # Errors
/// When the copy of the catalog does not know this node.
pub fn controller(
    settings: &Settings,
    (store, requests): (&OpenStore, &StoreMetrics),
    folder: &DataFolder,
    cluster: &Cluster,
    (without_store, addresses): (Option<WithoutStore>, &Addresses),
    stop: &CancellationToken,
) -> Result<controller::Handle, Failure> {
    let mut controller = controller::Settings::new(
        cluster.id,
        folder.node(),
        addresses.http.to_string(),
        catalog_settings(settings, store),
    );
    controller.lease_store = Some(requests.counted("lease", Arc::clone(&store.store)));
    controller.topic_defaults = settings.topic_defaults;
    controller.copy = Some(copy_settings(settings, &cluster.name));
    if let Some(mut known) = without_store {
        known.move_to(settings, &addresses.kafka, &addresses.http())?;
        controller.known = known.image;
        controller.joining = Some(known.joining);
    }
    Ok(controller::run(
        requests.counted("catalog", Arc::clone(&store.store)),
        controller,
        stop.clone(),
    ))
}

/// Where clients reach this process.
pub struct Addresses {
    pub kafka: HostPort,
    pub http: SocketAddr,
    pub admin: SocketAddr,
}

impl Addresses {
    /// As they are told.
    pub fn doors(&self) -> Doors {
        Doors {
            kafka: self.kafka.to_string(),
            http: self.http.to_string(),
            admin: self.admin.to_string(),
        }
    }

    /// The HTTP door, as nodes and clients write it.
    pub fn http(&self) -> HostPort {
        HostPort {
            host: self.http.ip().to_string(),
            port: self.http.port(),
        }
    }
}

/// How the catalog is kept in this store.
pub fn catalog_settings(settings: &Settings, store: &OpenStore) -> StoreSettings {
    StoreSettings::new(store.prefix.clone(), is_directory(settings))
}

/// How the broker of this node runs.
pub fn broker_settings(
    settings: &Settings,
    addresses: &Addresses,
    waits_for_controller: bool,
) -> millstream_broker::Settings {
    let mut broker = millstream_broker::Settings::new(
        settings.data_dir.clone(),
        addresses.kafka.clone(),
        addresses.http(),
    );
    broker.waits_for_controller = waits_for_controller;
    broker.journal.size_bytes = settings.journal_bytes;
    // At least four files fit.
    let file_bytes = u32::try_from(settings.journal_bytes / 8).unwrap_or(u32::MAX);
    broker.journal.file_bytes = broker.journal.file_bytes.min(file_bytes);
    let commit_bytes = usize::try_from(file_bytes / 2).unwrap_or(usize::MAX);
    broker.journal.commit_bytes_max = broker.journal.commit_bytes_max.min(commit_bytes);
    broker.sync_delay = settings.sync_delay;
    broker.recover_groups = settings.recover_groups;
    if let Some(bytes) = settings.flush_bytes {
        broker.flush.bytes = bytes;
        broker.snapshot_bytes = bytes;
    }
    if let Some(ms) = settings.flush_age_ms {
        broker.flush.age_ms = ms.try_into().unwrap_or(broker.flush.age_ms);
        broker.snapshot_interval = Duration::from_millis(ms);
    }
    if let Some(ms) = settings.snapshot_age_ms {
        broker.snapshot_interval = Duration::from_millis(ms);
    }
    broker
}

/// How SQL keeps its state in this store.
pub fn sql_settings(settings: &Settings) -> Result<millstream_server::Settings, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = Workers::apart((2 * threads).max(STATEMENT_THREADS_MIN));
    let mut sql = millstream_server::Settings {
        workers: workers.map_err(|error| Failure::new(format!("threads cannot be started: {error}")))?,
        ..millstream_server::Settings::default()
    };
    sql.shard.state_bytes_max = settings.sql_state_bytes;
    sql.shard.accepts_loss = settings.recover_groups;
    if is_directory(settings) {
        sql.shard.store = StoreKind::Directory;
    }
    Ok(sql)
}

fn is_directory(settings: &Settings) -> bool {
    settings.store.starts_with("file:")
}

/// An error as one line, its causes behind it.
pub fn told(error: impl std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    Failure::new(text.replace('\n', " "))
}
