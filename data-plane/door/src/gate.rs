//! The gate before every gRPC service: who calls, how much they may send, and when their answers end.
//!
//! A call goes through in this order, and nothing of its body is read before the fourth step:
//!
//! ```text
//!   rule of the method ─► caller, from the headers ─► its debts of requests ─► body, within limit, budget and time
//!     ─► service ─► answer
//! ```
//!
//! A request of one message is read whole here, so that what it holds is counted as it arrives, and the service never
//! waits for a client. The caller's [`Principal`] goes to the service in the request's extensions. A streamed answer
//! ends when the caller's key does, and when the server stops, each with a status that says so.

mod answer;
mod body;
mod caller;
mod metrics;
mod refusal;
mod rule;
mod sending;

pub use metrics::{Counted, GateMetrics};
pub use rule::{Access, Answers, Asked, Rule, rule_of};

use crate::{Connection as RoomOf, Meter, Owner, Quotas, Rooms};
use answer::Ends;
use body::Reader;
use bytes::Bytes;
use caller::Caller;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body::Body as HttpBody;
use http_body_util::Limited;
use millstream_access::{RootKeys, recheck};
use millstream_listener::Connection;
use millstream_metadata::ImageWatch;
use millstream_model::limits::{
    DEBT_WAIT_MS_MAX, GRPC_ANSWER_PATIENCE_MS, GRPC_BODY_MS_MAX, GRPC_BODY_PATIENCE_MS,
    STRANGERS_CALL_MS_MAX, STRANGERS_CALLS_MAX,
};
use refusal::Refusal;
use sending::Sending;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{BoxError, Service};

/// How the gate behaves.
#[derive(Clone, Copy, Debug)]
pub struct GateSettings {
    /// How long a body may bring next to nothing.
    pub body_patience: Duration,
    /// How long a body may take at all.
    pub body_time: Duration,
    /// How long a client may take nothing of a large answer.
    pub answer_patience: Duration,
    /// Streams of nobody in particular (watching health, reflection) at once.
    pub strangers: usize,
    /// How long such a stream may last.
    pub stranger_time: Duration,
}

impl Default for GateSettings {
    fn default() -> Self {
        GateSettings {
            body_patience: Duration::from_millis(GRPC_BODY_PATIENCE_MS),
            body_time: Duration::from_millis(GRPC_BODY_MS_MAX),
            answer_patience: Duration::from_millis(GRPC_ANSWER_PATIENCE_MS),
            strangers: STRANGERS_CALLS_MAX,
            stranger_time: Duration::from_millis(STRANGERS_CALL_MS_MAX),
        }
    }
}

/// What the gate works with.
pub struct GateParts {
    /// The catalog's images: which keys there are.
    pub image: ImageWatch,
    /// What secrets are derived from.
    pub roots: Arc<RootKeys>,
    /// Room for bodies, that of all doors.
    pub rooms: Rooms,
    /// Quotas of requests, those of all doors.
    pub quotas: Quotas,
    /// When it is cancelled, streamed answers and unfinished bodies end.
    pub draining: CancellationToken,
    /// What is counted.
    pub metrics: GateMetrics,
}

/// What makes gates: one for all services of a port.
#[derive(Clone)]
pub struct Keeper(Arc<Shared>);

struct Shared {
    settings: GateSettings,
    parts: GateParts,
    strangers: Arc<Semaphore>,
}

impl Keeper {
    /// A keeper with nobody at the gate.
    pub fn new(settings: GateSettings, parts: GateParts) -> Keeper {
        Keeper(Arc::new(Shared {
            strangers: Arc::new(Semaphore::new(settings.strangers)),
            settings,
            parts,
        }))
    }

    /// Services behind the gate: the routes of a whole port, or one.
    pub fn guard<S>(&self, services: S) -> Gate<S> {
        Gate {
            services,
            shared: Arc::clone(&self.0),
        }
    }
}

/// Services behind the gate.
#[derive(Clone)]
pub struct Gate<S> {
    services: S,
    shared: Arc<Shared>,
}

impl<S, B> Service<Request<B>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.services.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone that is ready is the one that is called.
        let next = self.services.clone();
        let services = std::mem::replace(&mut self.services, next);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let passed = shared.pass(request, services).await;
            Ok(passed.unwrap_or_else(|refusal| {
                shared.parts.metrics.refused(&refusal);
                refusal.status().into_http()
            }))
        })
    }
}

impl Shared {
    async fn pass<S, B>(&self, request: Request<B>, mut services: S) -> Result<Response<Body>, Refusal>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError> + Send,
    {
        let (mut parts, body) = request.into_parts();
        if !is_grpc(&parts.headers) {
            // Nobody here reads it; what is asked may not even be a service.
            let Ok(answer) = services.call(Request::from_parts(parts, Body::empty())).await;
            return Ok(answer);
        }
        let rule = rule_of(parts.uri.path());
        let connection = parts.extensions.get::<Connection>().cloned();
        let caller = self.caller(&parts.headers, &rule)?;
        if let (Some(connection), Caller::Known(who)) = (&connection, &caller) {
            self.parts.quotas.connect_over(connection, who)?;
        }
        if let (true, Caller::Known(who)) = (rule.counted, &caller) {
            let patience = Instant::now() + Duration::from_millis(DEBT_WAIT_MS_MAX);
            let counted = self.parts.quotas.begin(who, Meter::Requests, 1, patience).await;
            counted.inspect_err(|owes| self.parts.quotas.refused(owes.meter))?;
        }
        let room = self.room(&caller, connection.as_ref());
        let (body, held) = match rule.request {
            Asked::Message { bytes_max } => {
                let share = room.as_ref().map(RoomOf::begin);
                let reader = Reader::new(self, parts.uri.path(), bytes_max, share);
                reader.read(body).await?
            }
            Asked::Stream { bytes_max } => (Body::new(Limited::new(body, bytes_max)), None),
        };
        if let Caller::Known(who) = &caller {
            // Reading may have taken its time.
            recheck(&self.parts.image.image(), who).map_err(|_| Refusal::Unauthenticated)?;
            parts.extensions.insert(who.clone());
        }
        let answering = self.parts.metrics.answering();
        let answering_call = services.call(Request::from_parts(parts, body));
        let Ok(answer) = match &caller {
            Caller::Known(who) => {
                let turn = self.parts.rooms.turns().of(Owner::Tenant(who.tenant));
                turn.run(answering_call).await
            }
            _ => answering_call.await,
        };
        drop(held);
        if answer.body().is_end_stream() {
            // A status and nothing else is in the headers: as such it must end, or gRPC's own clients lose it.
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let patience = self.settings.answer_patience;
        let mut sending = Sending::new(body, room, patience, self.parts.metrics.clone());
        let body = match rule.answers {
            Answers::Message => {
                sending.begin().await;
                sending.into_body()
            }
            Answers::Stream => Ends::new(self, caller, answering).apply(sending.into_body()),
        };
        Ok(Response::from_parts(parts, body))
    }
}

impl Shared {
    /// Room for a tenant's requests and answers. Nodes, and strangers with their few bytes, take none.
    fn room(&self, caller: &Caller, connection: Option<&Connection>) -> Option<RoomOf> {
        let Caller::Known(who) = caller else {
            return None;
        };
        let owner = Owner::Tenant(who.tenant);
        Some(match connection {
            Some(connection) => self.parts.rooms.connection_of_http(owner, connection.id()),
            None => self.parts.rooms.connection(owner),
        })
    }
}

fn is_grpc(headers: &http::HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}
