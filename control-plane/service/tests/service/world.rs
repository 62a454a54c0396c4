//! A controller in memory with its API on loopback, and callers of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millstream_access::{Principal, RootKeys, derive_secret, mint};
use millstream_catalog::StoreSettings;
use millstream_controller::{Handle, Settings, run};
use millstream_metadata::{Actor, HostPort, KeyRow, RegisterNode};
use millstream_model::{JournalId, TenantId, TimestampMs};
use millstream_rpc::control as rpc;
use millstream_rpc::control::cluster_client::ClusterClient;
use millstream_rpc::control::keys_client::KeysClient;
use millstream_rpc::control::organizations_client::OrganizationsClient;
use millstream_rpc::control::quotas_client::QuotasClient;
use millstream_rpc::control::sql_catalog_client::SqlCatalogClient;
use millstream_rpc::control::topics_client::TopicsClient;
use millstream_service::{ClusterName, Service, introspection};
use object_store::memory::InMemory;
use object_store::path::Path;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::service::{Interceptor, Routes};
use tonic::transport::{Channel, Server};
use tonic::{Request, Status};
use uuid::Uuid;

/// The service, running.
pub struct World {
    address: SocketAddr,
    controller: Handle,
    roots: Arc<RootKeys>,
    first: Arc<KeyRow>,
    draining: CancellationToken,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

impl World {
    pub async fn start() -> World {
        let roots = Arc::new(RootKeys::from_random([7; 32]));
        let (shutdown, draining) = (CancellationToken::new(), CancellationToken::new());
        let journal = JournalId(Uuid::from_u128(1));
        let catalog = StoreSettings::new(Path::default(), false);
        let settings = Settings::new(Uuid::from_u128(1), journal, "localhost:1".into(), catalog);
        let controller = run(Arc::new(InMemory::new()), settings, shutdown.clone());
        controller.active().await.unwrap();
        let address = HostPort {
            host: "localhost".into(),
            port: 1,
        };
        let register = RegisterNode {
            journal,
            registration_last: None,
            kafka: address.clone(),
            http: address,
            feature_level_max: 1,
            damaged: false,
        };
        controller.submit(Actor::System, register).await.unwrap();
        let first = controller.bootstrap(1).await.unwrap().unwrap();
        let cluster = ClusterName {
            id: "c1".into(),
            name: "test".into(),
        };
        let service = Service::new(controller.clone(), Arc::clone(&roots), cluster, draining.clone());
        let (routes, health) = introspection(service.add_to(Routes::default())).unwrap();
        health.set_serving(true).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = draining.clone();
        let server = tokio::spawn(async move {
            let serving = Server::builder().add_routes(routes);
            let incoming = TcpListenerStream::new(listener);
            serving
                .serve_with_incoming_shutdown(incoming, stopping.cancelled())
                .await
                .unwrap();
        });
        World {
            address,
            controller,
            roots,
            first,
            draining,
            shutdown,
            server,
        }
    }

    pub fn controller(&self) -> &Handle {
        &self.controller
    }

    pub async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    /// A caller with this key.
    pub async fn caller(&self, id: &str, secret: &str) -> Caller {
        let header = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        Caller {
            id: id.to_owned(),
            ..Caller::with_header(self.channel().await, &header)
        }
    }

    /// The holder of the first key.
    pub async fn root(&self) -> Caller {
        let secret = derive_secret(&self.roots, 1, &self.first.id, &self.first.salt).unwrap();
        self.caller(self.first.id.as_str(), secret.expose()).await
    }

    /// What another node of the cluster sends.
    pub fn node_header(&self) -> String {
        format!("Bearer {}", self.roots.cluster_key().expose())
    }

    /// The service itself at work for a tenant, as its SQL engine calls.
    pub async fn service_of(&self, account: &str) -> Caller {
        let tenant = TenantId(account.parse().unwrap());
        let image = self.controller.image();
        let who = Principal::of_tenant(tenant, image.virtual_cluster(tenant).unwrap().organisation);
        let token = mint(&self.roots, &who, TimestampMs::now(), Duration::from_secs(600)).unwrap();
        Caller::with_header(self.channel().await, &format!("Bearer {token}"))
    }

    /// An organisation of its own, its administrator, and its account.
    pub async fn tenant(&self, root: &mut Caller, name: &str) -> (Caller, String) {
        let request = rpc::CreateOrganizationRequest { name: name.into() };
        let organization = root
            .organizations()
            .create_organization(request)
            .await
            .unwrap()
            .into_inner();
        let request = rpc::CreateEnvironmentRequest {
            organization_id: organization.id,
            name: "prod".into(),
        };
        let environment = root
            .organizations()
            .create_environment(request)
            .await
            .unwrap()
            .into_inner();
        let request = rpc::CreateVirtualClusterRequest {
            environment_id: environment.id,
            name: "main".into(),
            auto_create_topics: false,
        };
        let cluster = root
            .organizations()
            .create_virtual_cluster(request)
            .await
            .unwrap()
            .into_inner();
        let request = rpc::CreateKeyRequest {
            account_id: cluster.account_id.clone(),
            name: "owner".into(),
            role: rpc::Role::OrganizationAdmin.into(),
        };
        let made = root.keys().create_key(request).await.unwrap().into_inner();
        (
            self.caller(&made.key.unwrap().id, &made.secret).await,
            cluster.account_id,
        )
    }

    pub fn drain(&self) {
        self.draining.cancel();
    }

    pub async fn stop(self) {
        self.draining.cancel();
        self.shutdown.cancel();
        self.controller.stopped().await;
        // Clients of the test may still hold connections open.
        self.server.abort();
    }
}

/// One who calls with one `authorization` header.
pub struct Caller {
    pub id: String,
    channel: Channel,
    header: Header,
}

#[derive(Clone)]
pub struct Header(MetadataValue<Ascii>);

impl Interceptor for Header {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Door = InterceptedService<Channel, Header>;

impl Caller {
    pub fn with_header(channel: Channel, header: &str) -> Caller {
        Caller {
            id: String::new(),
            channel,
            header: Header(header.parse().unwrap()),
        }
    }

    pub fn organizations(&mut self) -> OrganizationsClient<Door> {
        OrganizationsClient::with_interceptor(self.channel.clone(), self.header.clone())
    }

    pub fn keys(&mut self) -> KeysClient<Door> {
        KeysClient::with_interceptor(self.channel.clone(), self.header.clone())
    }

    pub fn topics(&mut self) -> TopicsClient<Door> {
        TopicsClient::with_interceptor(self.channel.clone(), self.header.clone())
    }

    pub fn quotas(&mut self) -> QuotasClient<Door> {
        QuotasClient::with_interceptor(self.channel.clone(), self.header.clone())
    }

    pub fn sql(&mut self) -> SqlCatalogClient<Door> {
        SqlCatalogClient::with_interceptor(self.channel.clone(), self.header.clone())
    }

    pub fn cluster(&mut self) -> ClusterClient<Door> {
        ClusterClient::with_interceptor(self.channel.clone(), self.header.clone())
    }
}
