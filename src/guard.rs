//! Lets callers into a service that knows no keys: authenticates each call, and ends its answer when the key does.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use millstream_access::{AuthError, Operation, Principal, Resource, allowed, authenticate_header, revoked};
use millstream_broker::Broker;
use millstream_metadata::ImageWatch;
use millstream_model::TimestampMs;
use millstream_server::{Access, Caller};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Extensions, Status};
use tower::Service;

/// A service behind authentication. The inner one finds the caller with [`sql_caller`].
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    broker: Broker,
}

impl<S> Guarded<S> {
    /// Only keys that may ask in SQL are let in; which statements each may run, [`sql_caller`] tells.
    pub fn new(inner: S, broker: Broker) -> Guarded<S> {
        Guarded { inner, broker }
    }

    fn caller(&self, headers: &HeaderMap) -> Result<Principal, Status> {
        let header = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .ok_or(AuthError::Missing);
        let found = header.and_then(|header| {
            authenticate_header(
                &self.broker.image(),
                self.broker.roots(),
                header,
                TimestampMs::now(),
            )
        });
        let who = found.map_err(|error| {
            tracing::info!(%error, "a caller of SQL was refused");
            Status::unauthenticated(AuthError::CLIENT_TEXT)
        })?;
        match access(&who) {
            Some(_) => Ok(who),
            None => Err(Status::permission_denied(
                "SQL needs a key with the role admin, or sql-reader to read only",
            )),
        }
    }
}

/// What a caller may do in SQL.
fn access(who: &Principal) -> Option<Access> {
    let may = |operation| allowed(who, operation, Resource::Tenant(who.tenant));
    if may(Operation::Manage) {
        Some(Access::Manage)
    } else if may(Operation::SqlRead) {
        Some(Access::Read)
    } else {
        None
    }
}

/// The caller of a call that was let in, as SQL sees it.
pub fn sql_caller(extensions: &Extensions) -> Option<Caller> {
    let who = extensions.get::<Principal>()?;
    Some(Caller {
        tenant: who.tenant,
        access: access(who)?,
    })
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let who = match self.caller(request.headers()) {
            Ok(who) => who,
            Err(status) => return Box::pin(std::future::ready(Ok(status.into_http()))),
        };
        request.extensions_mut().insert(who.clone());
        let (answer, image) = (self.inner.call(request), self.broker.image_watch());
        Box::pin(async move { Ok(answer.await?.map(|body| until_revoked(body, image, who))) })
    }
}

/// The body, cut with a status of its own when the caller's key ends. An answer of headers alone stays one: clients on
/// gRPC's C core look for an error's status in the first frame, or else say only "Stream removed".
fn until_revoked(body: Body, image: ImageWatch, who: Principal) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let ended = Box::pin(async move { revoked(image, &who).await });
    let frames = futures::stream::unfold(
        (body, ended, false),
        |(mut body, mut revoked, ended)| async move {
            if ended {
                return None;
            }
            tokio::select! {
                _ = revoked.as_mut() => Some((Ok(Frame::trailers(unauthenticated())), (body, revoked, true))),
                frame = body.frame() => frame.map(|frame| (frame, (body, revoked, false))),
            }
        },
    );
    Body::new(StreamBody::new(frames))
}

fn unauthenticated() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let status = Status::unauthenticated(AuthError::CLIENT_TEXT);
    if status.add_header(&mut trailers).is_err() {
        trailers.insert("grpc-status", HeaderValue::from_static("16"));
    }
    trailers
}
