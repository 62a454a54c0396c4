//! The whole service in one process: planes started in the order in which they need one another, stopped in reverse.
//!
//! ```text
//!   folder, root key ─► ports bound, health ─► store, cluster.json ─► controller ─► broker ─► doors ─► SQL ─► ready
//! ```

use crate::announce::{self, announce};
use crate::backends::TenantBackends;
use crate::calls::Calls;
use crate::certificate;
use crate::cluster::{self, Addresses, Cluster, catalog_settings, sql_settings, told};
use crate::data_folder::{self, DataFolder};
use crate::door;
use crate::early::Early;
use crate::gauges;
use crate::guard::{Guarded, sql_caller};
use crate::health::Health;
use crate::http;
use crate::ready_file::{self, ShownKey};
use crate::settings::Settings;
use crate::signals::{Hangup, Hangups, Signals};
use crate::waiting;
use millstream_access::{RootKeys, derive_secret};
use millstream_broker::{Broker, Components, OpenStore, open_store};
use millstream_cli::Failure;
use millstream_controller as controller;
use millstream_door::{GateMetrics, GateParts, GateSettings, Keeper, Quotas, Rooms, RoomsSettings};
use millstream_grpc::DataDoor;
use millstream_kafka::Bound;
use millstream_listener::{Certificates, bind};
use millstream_metadata::{Actor, KeyRow, ReplaceBootstrapKey};
use millstream_service::{ClusterName, Service, introspection, methods};
use millstream_store::StoreMetrics;
use object_store::ObjectStore;
use object_store::prefix::PrefixStore;
use prometheus_client::registry::Registry;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
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
    /// The doors, as clients and operators reach them.
    pub doors: ready_file::Doors,
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
    admin_door: millstream_listener::Handle,
    certificates: Option<Arc<Certificates>>,
    sql: Option<millstream_server::Server>,
    broker: Arc<millstream_broker::Handle>,
    _folder: DataFolder,
}

/// `millstream start`: serves until SIGINT or SIGTERM; SIGHUP has the certificate read again.
///
/// # Errors
/// One line that says what to do.
pub async fn serve(settings: Settings) -> Result<(), Failure> {
    let mut signals = Signals::listen(Hangup::Reloads)?;
    let hangups = Hangups::listen()?;
    let ready_file = settings.ready_file.clone();
    let running = tokio::select! {
        started = start(settings) => started?,
        // Nothing was acknowledged yet, so there is nothing to wait for.
        () = signals.received() => return Ok(()),
    };
    // Before anything is printed: it may be the only place of the first secret.
    if let Some(path) = &ready_file {
        ready_file::write(path, &running.doors, running.key.as_ref()).map_err(|failure| {
            let lost = match running.key {
                Some(_) => "; nobody was shown the first key: millstream admin-key makes another",
                None => "",
            };
            Failure::new(format!("{}{lost}", failure.text()))
        })?;
    }
    let without_store = running.without_store.as_deref();
    announce(
        &running.doors,
        without_store,
        running.key.as_ref(),
        ready_file.as_deref(),
    );
    let certificates = running.certificates.clone();
    tokio::spawn(certificate::watch(
        certificates,
        hangups,
        running.draining.clone(),
    ));
    let given_up = tokio::select! {
        () = signals.received() => None,
        reason = running.controller.given_up() => Some(reason),
    };
    let stopped = running.stop(&mut signals).await;
    given_up.map_or(stopped, |reason| Err(Failure::new(reason)))
}

/// Starts everything.
///
/// # Errors
/// One line that says what to do.
pub async fn start(settings: Settings) -> Result<Running, Failure> {
    data_folder::keep_to_owner();
    let mut folder = DataFolder::open(&settings.data_dir)?;
    settings
        .ready_file
        .as_deref()
        .map(ready_file::clear)
        .transpose()?;
    let store = open_store(&settings.store, folder.store_before()).map_err(told)?;
    data_folder::tighten_store(&settings.store);
    let roots = Arc::new(folder.root_keys(&settings)?);
    let certificates = door::certificates(&settings)?;
    let kafka = door::bind_kafka(&settings, certificates.as_deref()).await?;
    let kafka_address = door::advertised(settings.kafka_advertise.as_deref(), kafka.address())?;
    let http = bind(&settings.http_listen, "--http-listen").await.map_err(told)?;
    let admin = bind(&settings.admin_listen, "--admin-listen")
        .await
        .map_err(told)?;
    let addresses = Addresses {
        kafka: kafka_address,
        http: http.local_addr()?,
        admin: admin.local_addr()?,
    };
    door::warn_of_strangers(
        kafka.address(),
        addresses.http,
        addresses.admin,
        certificates.is_some(),
    );
    let early_settings = door::early_settings(certificates.as_deref());
    let http = Early::answer(http, early_settings)?;
    let admin = Early::answer(admin, Default::default())?;
    let mut registry = gauges::registry();
    let requests = StoreMetrics::register(registry.sub_registry_with_prefix(gauges::PREFIX));
    let mut cluster = cluster::find_or_remember(&settings, &store, &mut folder, &roots).await?;
    let without_store = cluster.without_store.take();
    let reason = without_store.as_ref().map(|it| it.reason.clone());

    let stop = CancellationToken::new();
    let controller = cluster::controller(
        &settings,
        (&store, &requests),
        &folder,
        &cluster,
        (without_store, &addresses),
        &stop,
    )?;
    if reason.is_none() {
        waiting::active(&controller).await?;
    }

    let parts = Parts {
        settings,
        roots,
        store,
        requests,
        cluster,
        addresses,
        reason,
        controller,
        stop,
    };
    let doors = Doors {
        kafka,
        http,
        admin,
        certificates,
    };
    parts.open(folder, doors, registry).await
}

/// Makes a new administrator's key in a folder that no process uses.
///
/// # Errors
/// When the service runs, or its catalog cannot be opened.
pub async fn replace_admin_key(settings: &Settings) -> Result<(), Failure> {
    data_folder::keep_to_owner();
    let mut folder = DataFolder::open_existing(&settings.data_dir)?;
    let roots = folder.root_keys(settings)?;
    let store = open_store(&settings.store, folder.store_before()).map_err(told)?;
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

/// Says what `--recover-groups` found, and what it found in an earlier start that ended before it was told.
fn tell_losses(recovers: bool, broker: &millstream_broker::Handle) {
    let (recovered, mended) = (broker.recovered(), broker.mended());
    if (recovers || !mended.is_empty()) && announce::recovered(recovered, mended) {
        broker.was_told();
    }
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
    /// What counts the requests to it.
    requests: StoreMetrics,
    cluster: Cluster,
    addresses: Addresses,
    /// Why the store is not used yet.
    reason: Option<String>,
    controller: controller::Handle,
    stop: CancellationToken,
}

/// Ports that are ours, with nobody let in yet; health is answered already.
struct Doors {
    kafka: Bound,
    http: Early,
    admin: Early,
    certificates: Option<Arc<Certificates>>,
}

impl Parts {
    /// Starts the broker and opens every door.
    async fn open(self, folder: DataFolder, doors: Doors, mut all: Registry) -> Result<Running, Failure> {
        let registry = all.sub_registry_with_prefix(gauges::PREFIX);
        let Doors {
            kafka,
            http,
            admin,
            certificates,
        } = doors;
        gauges::register(registry, self.controller.lease(), certificates.clone());
        let calls = Calls::register(registry, methods().map_err(told)?);
        let (broker, broker_handle) = self.broker(registry).await?;
        tell_losses(self.settings.recover_groups, &broker_handle);
        let broker_handle = Arc::new(broker_handle);

        let draining = CancellationToken::new();
        // One of each for all doors: what a client takes at one is missing at the others.
        let rooms = Rooms::new(RoomsSettings::default(), registry);
        let quotas = Quotas::new(broker.image_watch(), registry);
        let kafka_door = kafka.serve(
            broker.clone(),
            rooms.clone(),
            quotas.clone(),
            registry,
            draining.clone(),
        );
        let (services, sql) = self.services(&broker, quotas.clone(), registry, &draining)?;
        let (services, grpc_health) = introspection(services).map_err(told)?;
        let services = Routes::from(services.into_axum_router().fallback(http::unknown));
        let gate = self.gate(&broker, (rooms.clone(), quotas), registry, &draining);
        let health = Health::new(
            self.controller.clone(),
            &broker_handle,
            certificates.clone(),
            rooms,
        );
        let router = http::public(health.clone())
            .fallback_service(gate.guard(services))
            .layer(calls);
        let http_settings = door::http_settings(certificates.as_deref(), registry);
        let http_door = millstream_listener::serve(http.end(), router, http_settings)?;
        let admin_router = http::admin(health.clone(), all);
        let admin_door = millstream_listener::serve(admin.end(), admin_router, Default::default())?;

        let key = self.first_key().await?;
        health.set_serving();
        grpc_health.set_serving(health.last().is_ready()).await;
        tokio::spawn(health.clone().follow(grpc_health.clone(), draining.clone()));
        Ok(Running {
            doors: self.addresses.doors(),
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
            admin_door,
            certificates,
            sql,
            broker: broker_handle,
            _folder: folder,
        })
    }

    /// The first administrator's key, on a first start that has reached the store. Last of all: a start that fails must
    /// not leave a key behind that nobody was shown.
    async fn first_key(&self) -> Result<Option<ShownKey>, Failure> {
        if self.reason.is_some() {
            return Ok(None);
        }
        let first = self.controller.bootstrap(self.roots.current()).await;
        let key = first
            .map_err(told)?
            .map(|row| shown(&self.roots, &row))
            .transpose()?;
        self.keep_a_copy().await;
        Ok(key)
    }

    /// Every gRPC service, and SQL, which uses the others in process: the same services, authentication and quotas as
    /// over the wire.
    fn services(
        &self,
        broker: &Broker,
        quotas: Quotas,
        registry: &mut Registry,
        draining: &CancellationToken,
    ) -> Result<(Routes, Option<millstream_server::Server>), Failure> {
        let metrics = millstream_grpc::Metrics::register(registry);
        let data = DataDoor::new(broker.clone(), quotas, metrics, draining.clone());
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
        let inner = service.add_to(Routes::new(data.into_service()));
        let sql_metrics = millstream_server::Metrics::register(registry);
        if !self.settings.sql {
            return Ok((inner, None));
        }
        let sql = self.sql(inner.clone(), broker.clone(), sql_metrics)?;
        let door = millstream_server::SqlDoor::service(sql.clone(), Arc::new(sql_caller));
        Ok((inner.add_service(Guarded::new(door)), Some(sql)))
    }

    /// Who stands before every gRPC service.
    fn gate(
        &self,
        broker: &Broker,
        (rooms, quotas): (Rooms, Quotas),
        registry: &mut Registry,
        draining: &CancellationToken,
    ) -> Keeper {
        let parts = GateParts {
            image: broker.image_watch(),
            roots: Arc::clone(&self.roots),
            rooms,
            quotas,
            draining: draining.clone(),
            metrics: GateMetrics::register(registry),
        };
        Keeper::new(GateSettings::default(), parts)
    }

    async fn broker(&self, registry: &mut Registry) -> Result<(Broker, millstream_broker::Handle), Failure> {
        let settings = cluster::broker_settings(&self.settings, &self.addresses, self.reason.is_none());
        let components = Components {
            image: self.controller.image_watch(),
            commands: Arc::new(self.controller.clone()),
            store: self.requests.counted("tier", Arc::clone(&self.store.store)),
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
    ) -> Result<millstream_server::Server, Failure> {
        let backends = TenantBackends::new(routes, self.controller.image_watch(), Arc::clone(&self.roots));
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(
            self.requests.counted("sql", Arc::clone(&self.store.store)),
            self.store.prefix.clone(),
        ));
        let settings = sql_settings(&self.settings)?;
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
        Ok(server)
    }
}

impl Running {
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
        self.health.set_draining();
        self.draining.cancel();
        self.grpc_health.set_serving(false).await;
        // Who is parked is answered while its connection is still there.
        self.broker.drain();
        if let Some(sql) = self.sql {
            sql.shutdown().await;
        }
        tokio::join!(self.kafka_door.shutdown(), self.http_door.stop());
        let broker = Arc::into_inner(self.broker)
            .ok_or_else(|| Failure::new("the broker is still in use while stopping"))?;
        broker.shutdown().await.map_err(told)?;
        self.stop.cancel();
        self.controller.stopped().await;
        self.admin_door.stop().await;
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
                let replace = ReplaceBootstrapKey {
                    root_version: self.roots.current(),
                };
                let committed = self
                    .controller
                    .submit(Actor::System, replace)
                    .await
                    .map_err(told)?;
                shown(&self.roots, &committed.reply)
            }
        }
    }
}
