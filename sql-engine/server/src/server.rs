//! All tenants of a process: engines opened on demand, queries resumed on start.

use crate::answer::{AnswerStream, Request, StatementError};
use crate::backend::{Backends, Settings};
use crate::engine::Engine;
use crate::metrics::Metrics;
use futures::StreamExt;
use millstream_model::{Backoff, TenantId, Waits};
use millstream_state::ColdCache;
use object_store::ObjectStore;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};

/// The waits between two starts of a tenant that fail: they double up to the last, for as long as it takes.
const RESUME: Waits = Waits::new(Duration::from_secs(1), Duration::from_secs(30));

/// Tenants that start at a time.
const RESUMING: usize = 8;

struct Shared {
    settings: Settings,
    store: Arc<dyn ObjectStore>,
    backends: Arc<dyn Backends>,
    cache: ColdCache,
    metrics: Metrics,
    engines: Mutex<HashMap<TenantId, Arc<OnceCell<Engine>>>>,
    /// Nothing is opened any more.
    stopping: AtomicBool,
}

/// The SQL server of a process. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

impl Server {
    /// State goes to `store` under `sql/`; topics and rows come from `backends`. Nothing runs yet.
    pub fn new(
        settings: Settings,
        store: Arc<dyn ObjectStore>,
        backends: Arc<dyn Backends>,
        metrics: Metrics,
    ) -> Self {
        let cache = ColdCache::new(settings.cache_bytes);
        Self {
            shared: Arc::new(Shared {
                settings,
                store,
                backends,
                cache,
                metrics,
                engines: Mutex::default(),
                stopping: AtomicBool::new(false),
            }),
        }
    }

    /// Starts the queries of every tenant that has any. A tenant that cannot be started is tried again until it can;
    /// the others do not wait for it.
    pub async fn resume(&self) -> Result<(), StatementError> {
        let tenants = self
            .shared
            .backends
            .tenants()
            .await
            .map_err(StatementError::unavailable)?;
        let mut waiting = tenants;
        let mut backoff = Backoff::new(RESUME);
        loop {
            let open =
                |tenant: TenantId| async move { self.try_to_open(tenant).await.err().map(|()| tenant) };
            let left = futures::stream::iter(waiting)
                .map(open)
                .buffer_unordered(RESUMING);
            waiting = left.filter_map(std::future::ready).collect().await;
            if waiting.is_empty() || self.shared.stopping.load(Ordering::Acquire) {
                return Ok(());
            }
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
    }

    async fn try_to_open(&self, tenant: TenantId) -> Result<(), ()> {
        match self.engine(tenant).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%tenant, "the tenant's queries do not start yet: {error}");
                Err(())
            }
        }
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
            if shared.stopping.load(Ordering::Acquire) {
                return Err(StatementError::unavailable("the service is stopping"));
            }
            let (settings, store, cache) = (
                shared.settings.clone(),
                shared.store.clone(),
                shared.cache.clone(),
            );
            Engine::open(tenant, settings, backend, store, cache, shared.metrics.clone()).await
        };
        cell.get_or_try_init(open).await.cloned()
    }

    /// Runs a script for a tenant.
    pub async fn execute(&self, tenant: TenantId, request: Request) -> Result<AnswerStream, StatementError> {
        Ok(self.engine(tenant).await?.execute(request))
    }

    /// Commits and stops all queries of all tenants.
    pub async fn shutdown(&self) {
        self.shared.stopping.store(true, Ordering::Release);
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
