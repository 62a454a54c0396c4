//! The whole service in one process: planes started in the order in which they need one another, stopped in reverse.
//!
//! ```text
//!   folder, root key ─► ports bound ─► store, cluster.json ─► controller ─► broker ─► doors ─► SQL ─► ready
//! ```

use crate::backends::TenantBackends;
use crate::cluster::{self, Addresses, Cluster, catalog_settings, sql_settings, told};
use crate::data_folder::DataFolder;
use crate::door;
use crate::guard::{Guarded, tenant_of};
use crate::http::{self, Health};
use crate::ready_file::{self, ShownKey};
use crate::settings::Settings;
use millstream_access::{RootKeys, derive_secret};
use millstream_broker::{Broker, Components, JournalSettings, OpenStore, open_store};
use millstream_cli::Failure;
use millstream_controller as controller;
use millstream_grpc::DataDoor;
use millstream_kafka::Bound;
use millstream_listener::bind;
use millstream_metadata::{Actor, Command, Commands, KeyRow, Reply};
use millstream_service::{ClusterName, Service, introspection};
use object_store::ObjectStore;
use object_store::prefix::PrefixStore;
use prometheus_client::registry::Registry;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// How long a stop may take before the process ends anyway.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a start waits for the first copy of the catalog.
const COPY_PATIENCE: Duration = Duration::from_secs(5);

/// A service that answers at every door.
pub struct Running {
    /// Why it serves reads only, for now.
    pub without_store: Option<String>,
    /// The Kafka door, as clients reach it.
    pub kafka: String,
    /// The HTTP door.
    pub http: String,
    /// The first key, on the first start.
    pub key: Option<ShownKey>,
    roots: Arc<RootKeys>,
    controller: controller::Handle,
    stop: CancellationToken,
    draining: CancellationToken,
    health: Health,
    grpc_health: millstream_service::Health,
    kafka_door: millstream_kafka::Handle,
    http_door: millstream_listener::Handle,
    sql: Option<millstream_server::Server>,
    broker: Arc<millstream_broker::Handle>,
    _folder: DataFolder,
}

/// `millstream start`: serves until SIGINT or SIGTERM.
///
/// # Errors
/// One line that says what to do.
pub async fn serve(settings: Settings) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let ready_file = settings.ready_file.clone();
    let running = tokio::select! {
        started = start(settings) => started?,
        // Nothing was acknowledged yet, so there is nothing to wait for.
        () = signals.received() => return Ok(()),
    };
    running.announce();
    if let Some(path) = &ready_file {
        ready_file::write(path, &running.kafka, &running.http, running.key.as_ref())?;
    }
    let given_up = tokio::select! {
        () = signals.received() => None,
        reason = running.controller.given_up() => Some(reason),
    };
    let stopped = running.stop(&mut signals).await;
    given_up.map_or(stopped, |reason| Err(Failure::new(reason)))
}

/// SIGINT and SIGTERM, listened for from the moment that it is made: a stop right after "ready" is a clean one.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub fn listen() -> Result<Signals, Failure> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for either.
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Starts everything.
///
/// # Errors
/// One line that says what to do.
pub async fn start(settings: Settings) -> Result<Running, Failure> {
    let mut folder = DataFolder::open(&settings.data_dir)?;
    settings
        .ready_file
        .as_deref()
        .map(ready_file::clear)
        .transpose()?;
    let store = open_store(&settings.store).map_err(told)?;
    let roots = Arc::new(folder.root_keys(&settings)?);
    let kafka = door::bind_kafka(&settings).await?;
    let kafka_address = door::advertised(settings.kafka_advertise.as_deref(), kafka.address())?;
    let http = bind(&settings.http_listen, "--http-listen").await.map_err(told)?;
    let http_settings = door::http_settings(&settings)?;
    let mut cluster = cluster::find_or_remember(&settings, &store, &mut folder, &roots).await?;
    let addresses = Addresses {
        kafka: kafka_address,
        http: http.local_addr()?,
    };
    let without_store = cluster.without_store.take();
    let reason = without_store.as_ref().map(|it| it.reason.clone());

    let stop = CancellationToken::new();
    let controller = cluster::controller(
        &settings,
        &store,
        &folder,
        &cluster,
        (without_store, &addresses),
        &stop,
    )?;
    if reason.is_none() {
        controller.active().await.map_err(told)?;
    }

    let parts = Parts {
        settings,
        roots,
        store,
        cluster,
        addresses,
        reason,
        controller,
        stop,
    };
    let doors = Doors {
        kafka,
        http,
        http_settings,
    };
    parts.open(folder, doors).await
}

/// Makes a new administrator's key in a folder that no process uses.
///
/// # Errors
/// When the service runs, or its catalog cannot be opened.
pub async fn replace_admin_key(settings: &Settings) -> Result<(), Failure> {
    let mut folder = DataFolder::open_existing(&settings.data_dir)?;
    let roots = folder.root_keys(settings)?;
    let store = open_store(&settings.store).map_err(told)?;
    cluster::find(settings, &store, &mut folder, &roots).await?;
    let catalog = catalog_settings(settings, &store);
    let row = controller::replace_bootstrap_key(store.store, &catalog, roots.current())
        .await
        .map_err(told)?;
    let key = shown(&roots, &row)?;
    Ok(writeln!(
        std::io::stdout(),
        "key    {}\nsecret {}",
        key.id,
        key.secret
    )?)
}

fn shown(roots: &RootKeys, row: &KeyRow) -> Result<ShownKey, Failure> {
    let secret = derive_secret(roots, row.root_version, &row.id, &row.salt)
        .ok_or_else(|| Failure::new("the root key lacks the version that the new key's secret needs"))?;
    Ok(ShownKey {
        id: row.id.to_string(),
        secret: secret.expose().to_owned(),
    })
}

/// What stands when the controller is active, or the store is known to be down.
struct Parts {
    settings: Settings,
    roots: Arc<RootKeys>,
    store: OpenStore,
    cluster: Cluster,
    addresses: Addresses,
    /// Why the store is not used yet.
    reason: Option<String>,
    controller: controller::Handle,
    stop: CancellationToken,
}

/// Ports that are ours, with nobody let in yet.
struct Doors {
    kafka: Bound,
    http: TcpListener,
    http_settings: millstream_listener::Settings,
}

impl Parts {
    /// Starts the broker and opens every door.
    async fn open(self, folder: DataFolder, doors: Doors) -> Result<Running, Failure> {
        let mut registry = Registry::with_prefix("millstream");
        let Doors {
            kafka,
            http,
            http_settings,
        } = doors;
        let (broker, broker_handle) = self.broker(&mut registry).await?;
        for group in broker_handle.recovered() {
            // What was lost must be seen, also where nobody reads standard output.
            tracing::warn!("{group}");
            let _ = writeln!(std::io::stdout(), "{group}");
        }
        for line in broker_handle.mended() {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        let broker_handle = Arc::new(broker_handle);

        let draining = CancellationToken::new();
        let kafka_door = kafka.serve(broker.clone(), &mut registry, draining.clone());

        let data = DataDoor::new(broker.clone(), millstream_grpc::Metrics::register(&mut registry));
        let name = ClusterName {
            id: self.cluster.id.to_string(),
            name: self.cluster.name.clone(),
        };
        let service = Service::new(
            self.controller.clone(),
            Arc::clone(&self.roots),
            name,
            draining.clone(),
        );
        // What SQL uses in process: the same services, authentication and quotas as over the wire.
        let inner = service.add_to(Routes::new(data.into_service()));
        let sql_metrics = millstream_server::Metrics::register(&mut registry);
        let sql = self
            .settings
            .sql
            .then(|| self.sql(inner.clone(), broker.clone(), sql_metrics));
        let outer = match &sql {
            Some(sql) => inner.add_service(Guarded::new(
                millstream_server::SqlDoor::service(sql.clone(), Arc::new(tenant_of)),
                broker.clone(),
            )),
            None => inner,
        };
        let (outer, grpc_health) = introspection(outer).map_err(told)?;
        let health = Health::new(registry, self.controller.clone(), &broker_handle);
        let router = outer
            .into_axum_router()
            .merge(http::routes(health.clone()))
            .fallback(http::unknown);
        let http_door = millstream_listener::serve(http, router, http_settings)?;

        let mut key = None;
        if self.reason.is_none() {
            // Last: a start that fails must not leave a key behind that nobody was shown.
            let first = self.controller.bootstrap(self.roots.current()).await;
            key = first
                .map_err(told)?
                .map(|row| shown(&self.roots, &row))
                .transpose()?;
            self.keep_a_copy().await;
            grpc_health.set_serving(true).await;
        } else {
            tokio::spawn(serve_when_joined(broker, grpc_health.clone(), draining.clone()));
        }
        health.set_ready(true);
        Ok(Running {
            kafka: self.addresses.kafka.to_string(),
            http: self.addresses.http.to_string(),
            key,
            without_store: self.reason,
            roots: self.roots,
            controller: self.controller,
            stop: self.stop,
            draining,
            health,
            grpc_health,
            kafka_door,
            http_door,
            sql,
            broker: broker_handle,
            _folder: folder,
        })
    }

    async fn broker(&self, registry: &mut Registry) -> Result<(Broker, millstream_broker::Handle), Failure> {
        let mut settings = millstream_broker::Settings::new(
            self.settings.data_dir.clone(),
            self.addresses.kafka.clone(),
            self.addresses.http(),
        );
        settings.waits_for_controller = self.reason.is_none();
        settings.journal = JournalSettings {
            size_bytes: self.settings.journal_bytes,
            ..settings.journal
        };
        // At least four files fit.
        let file_bytes = u32::try_from(self.settings.journal_bytes / 8).unwrap_or(u32::MAX);
        settings.journal.file_bytes = settings.journal.file_bytes.min(file_bytes);
        settings.journal.commit_bytes_max = settings
            .journal
            .commit_bytes_max
            .min(usize::try_from(file_bytes / 2).unwrap_or(usize::MAX));
        settings.sync_delay = self.settings.sync_delay;
        settings.recover_groups = self.settings.recover_groups;
        if let Some(bytes) = self.settings.flush_bytes {
            settings.flush.bytes = bytes;
            settings.snapshot_bytes = bytes;
        }
        if let Some(ms) = self.settings.flush_age_ms {
            settings.flush.age_ms = ms.try_into().unwrap_or(settings.flush.age_ms);
            settings.snapshot_interval = Duration::from_millis(ms);
        }
        if let Some(ms) = self.settings.snapshot_age_ms {
            settings.snapshot_interval = Duration::from_millis(ms);
        }
        let components = Components {
            image: self.controller.image_watch(),
            commands: Arc::new(self.controller.clone()),
            store: Arc::clone(&self.store.store),
            prefix: self.store.prefix.clone(),
            roots: Arc::clone(&self.roots),
        };
        Broker::start(settings, components, registry).await.map_err(told)
    }

    /// What a restart begins with while the store is down should be there from the first moment on.
    async fn keep_a_copy(&self) {
        let version = self.controller.image().version();
        let copied = tokio::time::timeout(COPY_PATIENCE, self.controller.copy(version)).await;
        if copied.is_err() {
            tracing::warn!("there is no local copy of the catalog yet: a restart needs the object store");
        }
    }

    /// The SQL server over this process's own services; its queries resume by themselves.
    fn sql(
        &self,
        routes: Routes,
        broker: Broker,
        metrics: millstream_server::Metrics,
    ) -> millstream_server::Server {
        let backends = TenantBackends::new(routes, self.controller.image_watch(), Arc::clone(&self.roots));
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(
            Arc::clone(&self.store.store),
            self.store.prefix.clone(),
        ));
        let settings = sql_settings(&self.settings);
        let server = millstream_server::Server::new(settings, store, Arc::new(backends), metrics);
        let resuming = server.clone();
        tokio::spawn(async move {
            if !broker.joined().await {
                return;
            }
            if let Err(error) = resuming.resume().await {
                tracing::error!(%error, "the continuous queries could not be resumed");
            }
        });
        server
    }
}

/// Tells gRPC's health service that everything is served, once it is.
async fn serve_when_joined(broker: Broker, health: millstream_service::Health, draining: CancellationToken) {
    tokio::select! {
        joined = broker.joined() => if joined {
            health.set_serving(true).await;
        },
        () = draining.cancelled() => {}
    }
}

impl Running {
    /// Prints the address of each door and, once, the first key.
    fn announce(&self) {
        let mut text = format!("Kafka     {}\ngRPC/HTTP {}\n", self.kafka, self.http);
        if let Some(reason) = &self.without_store {
            text.push_str(&format!(
                "\nServes reads from this disk only until the object store is back: {reason}\n"
            ));
        }
        if let Some(key) = &self.key {
            text.push_str(&format!(
                "\nThe first administrator's key, shown once (millstream admin-key makes another):\n  key    {}\n  secret {}\n",
                key.id, key.secret
            ));
        }
        let mut out = std::io::stdout().lock();
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            tracing::warn!(%error, "nobody reads standard output: addresses and key were not printed");
        }
    }

    /// Drains and stops, doors first; another signal ends the wait.
    ///
    /// # Errors
    /// When the last commits failed, or it was not waited for.
    pub async fn stop(self, signals: &mut Signals) -> Result<(), Failure> {
        let early = |what: &str| {
            Err(Failure::new(format!(
                "{what}; everything acknowledged is on disk"
            )))
        };
        tokio::select! {
            stopped = tokio::time::timeout(STOP_TIMEOUT, self.stop_in_order()) => {
                stopped.unwrap_or_else(|_| early("stopping took too long"))
            }
            () = signals.received() => early("stopped before everything was drained"),
        }
    }

    async fn stop_in_order(self) -> Result<(), Failure> {
        tracing::info!("draining");
        self.health.set_ready(false);
        self.grpc_health.set_serving(false).await;
        self.draining.cancel();
        if let Some(sql) = self.sql {
            sql.shutdown().await;
        }
        tokio::join!(self.kafka_door.shutdown(), self.http_door.stop());
        let broker = Arc::into_inner(self.broker)
            .ok_or_else(|| Failure::new("the broker is still in use while stopping"))?;
        broker.shutdown().await.map_err(told)?;
        self.stop.cancel();
        self.controller.stopped().await;
        Ok(())
    }

    /// An administrator's key for the demo: the first one, or one made for it.
    ///
    /// # Errors
    /// When the controller refuses.
    pub async fn operator_key(&self) -> Result<ShownKey, Failure> {
        match &self.key {
            Some(key) => Ok(key.clone()),
            None => {
                let command = Command::ReplaceBootstrapKey {
                    root_version: self.roots.current(),
                };
                let committed = self
                    .controller
                    .submit(Actor::System, command)
                    .await
                    .map_err(told)?;
                match committed.reply {
                    Reply::Key(row) => shown(&self.roots, &row),
                    _ => Err(Failure::new("the controller answered without a key")),
                }
            }
        }
    }
}
