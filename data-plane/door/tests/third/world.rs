//! A broker over a temporary folder, a store in memory, the third door in front, and its clients.

use crate::catalog::Catalog;
use crate::door::{Door, PATIENCE};
use millstream_access::{RootKeys, derive_secret};
use millstream_broker::{Broker, Components};
use millstream_door::{LoginSettings, Logins, Places, Quotas, Rooms, RoomsSettings};
use millstream_metadata::{Actor, Command, Commands, CreateTopic, Grant, HostPort, KeyRow};
use millstream_model::TenantId;
use object_store::memory::InMemory;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub struct World {
    pub catalog: Arc<Catalog>,
    /// An administrator of tenant 1.
    pub admin: KeyRow,
    address: SocketAddr,
    roots: Arc<RootKeys>,
    stop: CancellationToken,
    broker: millstream_broker::Handle,
    _folder: TempDir,
}

impl World {
    /// With topic `t` of tenant 1.
    pub async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let here = HostPort {
            host: "127.0.0.1".to_owned(),
            port: 1,
        };
        let mut settings = millstream_broker::Settings::new(folder.path().to_owned(), here.clone(), here);
        settings.journal.size_bytes = 32 * 1024 * 1024;
        settings.journal.file_bytes = 4 * 1024 * 1024;
        settings.journal.commit_bytes_max = 1024 * 1024;
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
        let command = Command::CreateTopic(CreateTopic {
            tenant: TenantId(1),
            name: "t".to_owned(),
            partitions: 1,
            replication: -1,
            config: Default::default(),
            validate_only: false,
        });
        let made = catalog.carry_out(Actor::System, command).await.unwrap();
        broker.image_watch().wait_for_version(made.version).await.unwrap();
        let stop = CancellationToken::new();
        let address = open(broker, Arc::clone(&roots), registry, stop.clone()).await;
        let world = World {
            admin: catalog.key(1, 1, &[Grant::Admin]),
            catalog,
            address,
            roots,
            stop,
            broker: handle,
            _folder: folder,
        };
        world.until_led().await;
        world
    }

    /// The broker learns of its partitions a moment after the image does.
    async fn until_led(&self) {
        let mut client = self.client(&self.admin).await;
        while client.ask("FETCH t 0 0").await != "OK 0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.broker.shutdown().await.unwrap();
    }

    pub fn secret(&self, key: &KeyRow) -> String {
        let secret = derive_secret(&self.roots, key.root_version, &key.id, &key.salt);
        secret.unwrap().expose().to_owned()
    }

    pub async fn connect(&self) -> Client {
        Client(BufReader::new(TcpStream::connect(self.address).await.unwrap()))
    }

    /// Logged in; a place that another one has just left is free a moment later.
    pub async fn client(&self, key: &KeyRow) -> Client {
        let line = format!("LOGIN {} {}", key.id, self.secret(key));
        loop {
            let mut client = self.connect().await;
            match client.ask(&line).await.as_str() {
                "OK " => return client,
                full if full.starts_with("ERR 429") => tokio::time::sleep(Duration::from_millis(10)).await,
                other => panic!("{other}"),
            }
        }
    }
}

async fn open(
    broker: Broker,
    roots: Arc<RootKeys>,
    mut registry: Registry,
    stop: CancellationToken,
) -> SocketAddr {
    let quotas = Quotas::new(broker.image_watch(), &mut registry);
    let settings = LoginSettings {
        refusal_delay: Duration::from_millis(1),
        patience: PATIENCE,
    };
    let logins = Logins::new(settings, broker.image_watch(), roots, quotas.clone());
    tokio::spawn(logins.clone().watch());
    let door = Arc::new(Door {
        broker,
        logins,
        quotas,
        rooms: Rooms::new(RoomsSettings::default(), &mut registry),
        places: Places::new(200, 100),
        stop: stop.clone(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let accept = async {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                tokio::spawn(Arc::clone(&door).serve(stream, peer));
            }
        };
        stop.run_until_cancelled(accept).await;
    });
    address
}

pub struct Client(BufReader<TcpStream>);

impl Client {
    pub async fn ask(&mut self, line: &str) -> String {
        self.0.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        self.0.read_line(&mut answer).await.unwrap();
        answer.trim_end_matches('\n').to_owned()
    }

    /// Waits until the door closes the connection.
    pub async fn end(&mut self) {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
    }
}
