//! What SQL asks of a caller whom the gate let in: a key that may manage its virtual cluster, or read its SQL.

use http::{Request, Response};
use millstream_access::{Operation, Principal, Resource, allowed};
use millstream_server::{Access, Caller};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Extensions, Status};
use tower::Service;

/// A service for callers who may use SQL. The inner one finds the caller with [`sql_caller`].
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
}

impl<S> Guarded<S> {
    /// Only keys that may ask in SQL are let in; which statements each may run, [`sql_caller`] tells.
    pub fn new(inner: S) -> Guarded<S> {
        Guarded { inner }
    }
}

/// Whether SQL is for the caller.
fn admit(who: Option<&Principal>) -> Result<(), Status> {
    let who = who.ok_or_else(|| Status::unauthenticated("an API key is needed"))?;
    match access(who) {
        Some(_) => Ok(()),
        None => Err(Status::permission_denied(
            "SQL needs a key with the role admin, or sql-reader to read only",
        )),
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
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match admit(request.extensions().get()) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
        }
    }
}
