//! A gate over a small image, a service behind it that notes who came, and bodies that a test sends piece by piece.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::stream::StreamExt;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use millstream_access::{Principal, RootKeys, derive_secret, mint};
use millstream_door::{GateMetrics, GateParts, GateSettings, Keeper, Quotas, Rooms, RoomsSettings};
use millstream_metadata::{
    Change, ClusterRow, EnvironmentId, Grant, Grants, Image, ImagePublisher, ImageWatch, KeyRow, KeyState,
    OrganisationId, Quota, QuotaRow, QuotaScope, Row, VirtualClusterRow,
};
use millstream_model::{KeyId, TenantId, TimestampMs};
use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};
use uuid::Uuid;

pub const TENANT: TenantId = TenantId(123_456_789_012);
pub const MIB: usize = 1024 * 1024;

/// The length of a message that the service answers with an error.
pub const REFUSED: usize = 99;

/// A call that came through: its path, who called, and the body.
pub type Came = (String, Option<Principal>, Bytes);

type Pieces = UnboundedReceiver<Result<Frame<Bytes>, Status>>;

/// The sender's side of a body.
pub struct Upload(UnboundedSender<Result<Frame<Bytes>, Status>>);

impl Upload {
    pub fn send(&self, bytes: &[u8]) {
        let _ = self
            .0
            .unbounded_send(Ok(Frame::data(Bytes::copy_from_slice(bytes))));
    }

    /// Whether nobody will read on.
    pub fn is_dropped(&self) -> bool {
        self.0.is_closed()
    }
}

pub fn upload() -> (Upload, StreamBody<Pieces>) {
    let (sender, pieces) = unbounded();
    (Upload(sender), StreamBody::new(pieces))
}

/// A whole message as gRPC frames it.
pub fn message(length: usize) -> Bytes {
    let mut bytes = BytesMut::from(prefix(length).as_slice());
    bytes.put_bytes(7, length);
    bytes.freeze()
}

/// What announces a message.
pub fn prefix(length: usize) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
    bytes
}

pub struct World {
    pub roots: Arc<RootKeys>,
    pub draining: CancellationToken,
    pub keeper: Keeper,
    pub came: Arc<Mutex<Vec<Came>>>,
    pub quotas: Quotas,
    publisher: ImagePublisher,
    key: KeyRow,
    registry: Registry,
}

impl World {
    pub fn new() -> World {
        World::with(GateSettings::default(), RoomsSettings::default())
    }

    pub fn with(settings: GateSettings, rooms: RoomsSettings) -> World {
        let roots = Arc::new(RootKeys::from_random([9; 32]));
        let key = key(KeyState::Active);
        let (publisher, images): (_, ImageWatch) = ImageWatch::channel(image(&key));
        let (mut registry, draining) = (Registry::default(), CancellationToken::new());
        let rooms = Rooms::new(rooms, &mut registry);
        let quotas = Quotas::new(images.clone(), &mut registry);
        let parts = GateParts {
            quotas: quotas.clone(),
            image: images,
            roots: Arc::clone(&roots),
            rooms,
            draining: draining.clone(),
            metrics: GateMetrics::register(&mut registry),
        };
        let keeper = Keeper::new(settings, parts);
        World {
            roots,
            draining,
            keeper,
            came: Arc::default(),
            quotas,
            publisher,
            key,
            registry,
        }
    }

    /// The header of the tenant's administrator.
    pub fn header(&self) -> String {
        self.header_of(&self.key)
    }

    fn header_of(&self, key: &KeyRow) -> String {
        let secret = derive_secret(&self.roots, 1, &key.id, &key.salt).unwrap();
        let text = format!("{}:{}", key.id, secret.expose());
        format!("Basic {}", STANDARD.encode(text))
    }

    /// The header of an administrator of another virtual cluster, of the same organisation or of another.
    pub fn neighbour(&self, number: u8, organisation: OrganisationId) -> String {
        let mut image = self.publisher.image().as_ref().clone();
        let row = image.virtual_cluster(TENANT).unwrap().as_ref().clone();
        let key = KeyRow {
            id: KeyId::from_random([number; 20]),
            tenant: TenantId(TENANT.0 + u64::from(number)),
            organisation,
            ..self.key.clone()
        };
        image.apply(&Change::Put(Row::VirtualCluster(Arc::new(VirtualClusterRow {
            id: key.tenant,
            organisation,
            ..row
        }))));
        image.apply(&Change::Put(Row::Key(Arc::new(key.clone()))));
        self.publish(image);
        self.header_of(&key)
    }

    /// The header of the service at work for the tenant.
    pub fn service_header(&self) -> String {
        let who = Principal::of_tenant(TENANT, self.key.organisation);
        let token = mint(&self.roots, &who, TimestampMs::now(), Duration::from_secs(600)).unwrap();
        format!("Bearer {token}")
    }

    /// The header of another node.
    pub fn node_header(&self) -> String {
        format!("Bearer {}", self.roots.cluster_key().expose())
    }

    pub fn revoke(&self) {
        let at = TimestampMs::now();
        self.publish(image(&key(KeyState::Revoked { at })));
    }

    pub fn who(&self) -> Principal {
        Principal::of_key(&self.key)
    }

    /// Gives the tenant a quota.
    pub fn limit(&self, quota: Quota) {
        let mut image = self.publisher.image().as_ref().clone();
        image.apply(&Change::Put(Row::Quota(Arc::new(QuotaRow {
            scope: QuotaScope::Tenant(TENANT),
            quota,
        }))));
        self.publish(image);
    }

    fn publish(&self, mut image: Image) {
        let newer = ClusterRow {
            version: image.version() + 1,
            ..image.cluster().clone()
        };
        image.apply(&Change::Put(Row::Cluster(newer.into())));
        self.publisher.publish(image);
    }

    pub fn metrics(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text
    }

    /// What the room holds for tenants.
    pub fn used(&self) -> usize {
        let text = self.metrics();
        let line = text
            .lines()
            .find(|line| line.contains("room_used_bytes{class=\"tenants\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap()
    }

    /// A call whose body is sent by the test. The service answers one message, or goes on for ever at `…/Watch`.
    pub async fn call(&self, path: &str, header: Option<&str>, body: StreamBody<Pieces>) -> Response<Body> {
        let mut request = Request::post(format!("http://x{path}")).header("content-type", "application/grpc");
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let mut gate = self.keeper.guard(self.service());
        let gate = ServiceExt::<Request<StreamBody<Pieces>>>::ready(&mut gate)
            .await
            .unwrap();
        gate.call(request.body(body).unwrap()).await.unwrap()
    }

    pub fn service(
        &self,
    ) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static {
        let came = Arc::clone(&self.came);
        tower::service_fn(move |request: Request<Body>| {
            let came = Arc::clone(&came);
            async move {
                let (parts, body) = request.into_parts();
                let path = parts.uri.path().to_owned();
                let who = parts.extensions.get::<Principal>().cloned();
                let endless = path.contains("Watch") || path.contains("Reflection");
                // Who streams its questions is answered before the last.
                let body = if path.contains("Reflection") {
                    Bytes::new()
                } else {
                    body.collect().await.unwrap().to_bytes()
                };
                let fails = body == message(REFUSED);
                came.lock().push((path.clone(), who, body));
                if fails {
                    return Ok(Status::not_found("there is none").into_http());
                }
                let bytes = if path.ends_with("/Large") { 4 * MIB } else { 1 };
                let first = futures::stream::iter([Ok::<_, Status>(Frame::data(message(bytes)))]);
                Ok(Response::new(if endless {
                    Body::new(StreamBody::new(first.chain(futures::stream::pending())))
                } else {
                    Body::new(StreamBody::new(first))
                }))
            }
        })
    }
}

/// The status of an answer without a message; OK for one with a message.
pub fn refused(response: &Response<Body>) -> (Code, String) {
    match Status::from_header_map(response.headers()) {
        Some(status) => (status.code(), status.message().to_owned()),
        None => (Code::Ok, String::new()),
    }
}

/// The status in the trailers, after all messages.
pub async fn ended(response: Response<Body>) -> (Code, String) {
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&trailers).expect("a status at the end");
    (status.code(), status.message().to_owned())
}

fn key(state: KeyState) -> KeyRow {
    KeyRow {
        id: KeyId::from_random([3; 20]),
        tenant: TENANT,
        organisation: OrganisationId(Uuid::from_u128(1)),
        name: "k".to_owned(),
        grants: Grants::from([Grant::Admin]),
        salt: [3; 16],
        root_version: 1,
        state,
        created: TimestampMs(1),
    }
}

fn image(key: &KeyRow) -> Image {
    let mut image = Image::new();
    image.apply(&Change::Put(Row::VirtualCluster(Arc::new(VirtualClusterRow {
        id: TENANT,
        organisation: key.organisation,
        environment: EnvironmentId(Uuid::from_u128(2)),
        name: "v".to_owned(),
        auto_create_topics: true,
        topic_defaults: Default::default(),
        leader_epoch_floor: 0,
        sql_version: 0,
        created: TimestampMs(1),
    }))));
    image.apply(&Change::Put(Row::Key(Arc::new(key.clone()))));
    image
}
