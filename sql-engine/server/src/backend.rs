//! What the server is built on: one log and one catalog per tenant, and one object store.

use crate::catalog::SqlCatalog;
use crate::workers::Workers;
use async_trait::async_trait;
use millstream_model::TenantId;
use millstream_runtime::{ShardSettings, Streams};
use std::sync::Arc;

/// The server's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How each tenant's shard works.
    pub shard: ShardSettings,
    /// The block cache that all shards of the process share, bytes.
    pub cache_bytes: u64,
    /// Where statements run.
    pub workers: Workers,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shard: ShardSettings::default(),
            cache_bytes: 32 * 1024 * 1024,
            workers: Workers::default(),
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
