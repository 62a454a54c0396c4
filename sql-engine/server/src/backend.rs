//! What the server is built on: one log and one catalog per tenant, and one object store.

use crate::catalog::SqlCatalog;
use async_trait::async_trait;
use millstream_model::TenantId;
use millstream_runtime::Streams;
use std::sync::Arc;
use std::time::Duration;

/// The server's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// State is checkpointed this long after the first change since the last one.
    pub checkpoint_interval: Duration,
    /// … or after this many input rows, whichever comes first.
    pub checkpoint_rows: usize,
    /// Bytes fetched from one partition at a time.
    pub fetch_bytes: usize,
    /// Results of a query are coalesced by key between commits; off means that every change is written.
    pub coalesce: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            checkpoint_interval: Duration::from_secs(1),
            checkpoint_rows: 200_000,
            fetch_bytes: 1024 * 1024,
            coalesce: true,
        }
    }
}

/// The log and the catalog of one tenant.
#[derive(Clone)]
pub struct Backend {
    /// Its topics.
    pub streams: Arc<dyn Streams>,
    /// Its SQL rows.
    pub catalog: Arc<dyn SqlCatalog>,
}

/// A tenant cannot be served now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the tenant cannot be served now: {reason}")]
pub struct BackendError {
    /// What failed.
    pub reason: String,
}

/// Opens tenants. `src/` implements it over in-process or remote `sdk/rust` clients.
#[async_trait]
pub trait Backends: Send + Sync + 'static {
    /// The log and catalog of a tenant, acting as the service on its behalf.
    async fn open(&self, tenant: TenantId) -> Result<Backend, BackendError>;

    /// The tenants that have SQL rows: their queries resume when the server starts.
    async fn tenants(&self) -> Result<Vec<TenantId>, BackendError>;
}
