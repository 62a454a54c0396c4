//! What SQL asks of a caller whom the gate let in: a key that may manage its virtual cluster.

use http::{Request, Response};
use millstream_access::{Operation, Principal, Resource, allowed};
use millstream_model::TenantId;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Extensions, Status};
use tower::Service;

/// A service for callers who may use SQL. The inner one finds the caller's tenant with [`tenant_of`].
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
}

impl<S> Guarded<S> {
    /// Only keys that may manage their virtual cluster are let in.
    pub fn new(inner: S) -> Guarded<S> {
        Guarded { inner }
    }
}

/// Whether SQL is for the caller.
fn admit(who: Option<&Principal>) -> Result<(), Status> {
    let who = who.ok_or_else(|| Status::unauthenticated("an API key is needed"))?;
    if !allowed(who, Operation::Manage, Resource::Tenant(who.tenant)) {
        return Err(Status::permission_denied(
            "SQL makes topics and queries: it needs a key with the role admin",
        ));
    }
    Ok(())
}

/// The tenant of a call that was let in.
pub fn tenant_of(extensions: &Extensions) -> Option<TenantId> {
    extensions.get::<Principal>().map(|who| who.tenant)
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
