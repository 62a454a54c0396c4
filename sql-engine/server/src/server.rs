//! All tenants of a process: engines opened on demand, queries resumed on start.

use crate::answer::{AnswerStream, Request, StatementError};
use crate::backend::{Backends, Settings};
use crate::engine::Engine;
use futures::StreamExt;
use millstream_model::TenantId;
use millstream_state::ColdCache;
use object_store::ObjectStore;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};

/// How often a start that fails is tried again.
const RESUME_TRIES: u32 = 30;
const RESUME_PAUSE: Duration = Duration::from_secs(1);

struct Shared {
    settings: Settings,
    store: Arc<dyn ObjectStore>,
    backends: Arc<dyn Backends>,
    cache: ColdCache,
    engines: Mutex<HashMap<TenantId, Arc<OnceCell<Engine>>>>,
}

/// The SQL server of a process. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

impl Server {
    /// State goes to `store` under `sql/`; topics and rows come from `backends`. Nothing runs yet.
    pub fn new(settings: Settings, store: Arc<dyn ObjectStore>, backends: Arc<dyn Backends>) -> Self {
        let cache = ColdCache::new(settings.cache_bytes);
        Self {
            shared: Arc::new(Shared {
                settings,
                store,
                backends,
                cache,
                engines: Mutex::default(),
            }),
        }
    }

    /// Starts the queries of every tenant that has any. A tenant that cannot be started is tried again for a while,
    /// then with its next request; the others do not wait for it.
    pub async fn resume(&self) -> Result<(), StatementError> {
        let tenants = self
            .shared
            .backends
            .tenants()
            .await
            .map_err(StatementError::unavailable)?;
        let open = |tenant: TenantId| async move {
            for attempt in 1..=RESUME_TRIES {
                match self.engine(tenant).await {
                    Ok(_) => return,
                    Err(error) => {
                        tracing::warn!(%tenant, attempt, "the tenant's queries do not start: {error}")
                    }
                }
                tokio::time::sleep(RESUME_PAUSE).await;
            }
        };
        futures::stream::iter(tenants)
            .map(open)
            .buffer_unordered(8)
            .collect::<()>()
            .await;
        Ok(())
    }

    /// The tenant's engine, opened if it is not yet.
    pub async fn engine(&self, tenant: TenantId) -> Result<Engine, StatementError> {
        let cell = self
            .shared
            .engines
            .lock()
            .await
            .entry(tenant)
            .or_default()
            .clone();
        let shared = &self.shared;
        let open = || async {
            let backend = shared
                .backends
                .open(tenant)
                .await
                .map_err(StatementError::unavailable)?;
            let (settings, store, cache) = (
                shared.settings.clone(),
                shared.store.clone(),
                shared.cache.clone(),
            );
            Engine::open(tenant, settings, backend, store, cache).await
        };
        cell.get_or_try_init(open).await.cloned()
    }

    /// Runs a script for a tenant.
    pub async fn execute(&self, tenant: TenantId, request: Request) -> Result<AnswerStream, StatementError> {
        Ok(self.engine(tenant).await?.execute(request))
    }

    /// Commits and stops all queries of all tenants.
    pub async fn shutdown(&self) {
        let engines: Vec<_> = self.shared.engines.lock().await.drain().collect();
        for (tenant, cell) in engines {
            if let Some(engine) = cell.get()
                && let Err(error) = engine.stop().await
            {
                tracing::warn!(%tenant, "the last commit failed, its rows will be read again: {error}");
            }
        }
    }
}
