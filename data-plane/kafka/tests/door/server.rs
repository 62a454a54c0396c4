//! A broker over a temporary folder, a store in memory, and the door in front.

use crate::catalog::Catalog;
use crate::client::Client;
use millstream_access::{RootKeys, derive_secret};
use millstream_broker::{Broker, Components};
use millstream_door::{Quotas, Rooms, RoomsSettings};
use millstream_kafka::{Settings, bind};
use millstream_metadata::{Grant, HostPort, KeyRow};
use object_store::memory::InMemory;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub struct Server {
    pub catalog: Arc<Catalog>,
    pub address: SocketAddr,
    /// An administrator of tenant 1.
    pub admin: KeyRow,
    roots: Arc<RootKeys>,
    registry: Registry,
    door: millstream_kafka::Handle,
    broker: millstream_broker::Handle,
    _folder: TempDir,
}

impl Server {
    pub async fn start() -> Server {
        Server::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Server {
        Server::start_over(|_| {}, change).await
    }

    /// With another broker behind the door.
    pub async fn start_over(
        change_broker: impl FnOnce(&mut millstream_broker::Settings),
        change: impl FnOnce(&mut Settings),
    ) -> Server {
        Server::open(change_broker, change, RoomsSettings::default()).await
    }

    /// With so much room for requests.
    pub async fn start_with_rooms(rooms: RoomsSettings) -> Server {
        Server::open(|_| {}, |_| {}, rooms).await
    }

    async fn open(
        change_broker: impl FnOnce(&mut millstream_broker::Settings),
        change: impl FnOnce(&mut Settings),
        rooms: RoomsSettings,
    ) -> Server {
        let mut settings = Settings::new("127.0.0.1:0".parse().unwrap());
        settings.refusal_delay = Duration::from_millis(1);
        change(&mut settings);
        let bound = bind(settings).unwrap();
        let address = bound.address();
        let folder = tempfile::tempdir().unwrap();
        let kafka = HostPort {
            host: address.ip().to_string(),
            port: address.port(),
        };
        let mut settings = millstream_broker::Settings::new(folder.path().to_owned(), kafka.clone(), kafka);
        settings.journal.size_bytes = 32 * 1024 * 1024;
        settings.journal.file_bytes = 4 * 1024 * 1024;
        settings.journal.commit_bytes_max = 1024 * 1024;
        settings.groups.initial_rebalance_delay_ms = 50;
        change_broker(&mut settings);
        let (catalog, roots) = (Catalog::new(), Arc::new(RootKeys::from_random([7; 32])));
        let components = Components {
            image: catalog.watch.clone(),
            commands: Arc::clone(&catalog) as _,
            store: Arc::new(InMemory::new()),
            prefix: object_store::path::Path::default(),
            roots: Arc::clone(&roots),
        };
        let mut registry = Registry::default();
        let (broker, handle) = Broker::start(settings, components, &mut registry).await.unwrap();
        let rooms = Rooms::new(rooms, &mut registry);
        let quotas = Quotas::new(broker.image_watch(), &mut registry);
        let stop = CancellationToken::new();
        let door = bound.serve(broker, rooms, quotas, &mut registry, stop);
        let admin = catalog.key(1, 1, &[Grant::Admin]);
        Server {
            catalog,
            address,
            admin,
            roots,
            registry,
            door,
            broker: handle,
            _folder: folder,
        }
    }

    pub async fn stop(self) {
        self.door.shutdown().await;
        self.broker.shutdown().await.unwrap();
    }

    pub fn secret(&self, key: &KeyRow) -> String {
        derive_secret(&self.roots, key.root_version, &key.id, &key.salt)
            .unwrap()
            .expose()
            .to_owned()
    }

    /// A connection that nobody has logged in on.
    pub async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// A connection of the administrator of tenant 1.
    pub async fn client(&self) -> Client {
        self.client_of(&self.admin).await
    }

    pub async fn client_of(&self, key: &KeyRow) -> Client {
        self.logged_in(self.connect().await, key).await
    }

    /// An administrator on a connection of the caller's making.
    pub async fn client_on(&self, stream: tokio::net::TcpStream) -> Client {
        self.logged_in(Client::on(stream), &self.admin).await
    }

    async fn logged_in(&self, mut client: Client, key: &KeyRow) -> Client {
        let response = client.login(key.id.as_str(), &self.secret(key)).await;
        assert_eq!(response.error_code, 0, "{:?}", response.error_message);
        client
    }

    /// Waits until a number of `/metrics` is as wished.
    pub async fn until_metric(&self, line: &str, wished: impl Fn(f64) -> bool) {
        for _ in 0..1000 {
            if wished(self.metric(line)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{line} stays {}", self.metric(line));
    }

    /// What a counter says, or zero.
    pub fn metric(&self, line: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let found = text.lines().find(|one| one.starts_with(line));
        found
            .and_then(|one| one.rsplit(' ').next())
            .and_then(|value| value.parse().ok())
            .unwrap_or(0.0)
    }
}
