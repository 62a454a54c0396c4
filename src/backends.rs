//! The tenants as the SQL engine reaches them: the doors of this process, as the tenant itself.
//!
//! SQL acts with a token that lives for minutes (sql.md 20) over the same services that clients use: same messages,
//! authentication and quotas, no socket (sql.md 19).

use async_trait::async_trait;
use millstream_access::{Principal, RootKeys, mint};
use millstream_metadata::ImageWatch;
use millstream_model::{TenantId, TimestampMs};
use millstream_rust::{Client, Credentials};
use millstream_server::remote::{RemoteCatalog, RemoteStreams};
use millstream_server::{Backend, BackendError, Backends};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::service::Routes;

/// A token's life, and how long it is used before a new one is made.
const TOKEN_LIFE: Duration = Duration::from_secs(600);
const TOKEN_USE: Duration = Duration::from_secs(300);

/// Opens tenants over this process's own services.
pub struct TenantBackends {
    routes: Routes,
    images: ImageWatch,
    roots: Arc<RootKeys>,
}

impl TenantBackends {
    pub fn new(routes: Routes, images: ImageWatch, roots: Arc<RootKeys>) -> TenantBackends {
        TenantBackends {
            routes,
            images,
            roots,
        }
    }
}

#[async_trait]
impl Backends for TenantBackends {
    async fn open(&self, tenant: TenantId) -> Result<Backend, BackendError> {
        let row = self.images.image().virtual_cluster(tenant).cloned();
        let row = row.ok_or_else(|| BackendError {
            reason: "there is no such virtual cluster".into(),
        })?;
        let who = Principal::of_tenant(tenant, row.organisation);
        let credentials = token_provider(who, Arc::clone(&self.roots));
        let client = Client::over(self.routes.clone(), credentials);
        Ok(Backend {
            streams: Arc::new(RemoteStreams::new(client.clone())),
            catalog: Arc::new(RemoteCatalog::new(client)),
        })
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, BackendError> {
        Ok(self.images.image().sql_tenants().collect())
    }
}

/// A token of `who`, made anew before it ends.
fn token_provider(who: Principal, roots: Arc<RootKeys>) -> Credentials {
    let current: Mutex<Option<(Instant, String)>> = Mutex::new(None);
    Credentials::token(move || {
        let mut current = current.lock();
        if let Some((made, token)) = current.as_ref().filter(|(made, _)| made.elapsed() < TOKEN_USE) {
            debug_assert!(made.elapsed() < TOKEN_LIFE, "bug: a token in use is alive");
            return token.clone();
        }
        match mint(&roots, &who, TimestampMs::now(), TOKEN_LIFE) {
            Ok(token) => {
                *current = Some((Instant::now(), token.clone()));
                token
            }
            Err(error) => {
                tracing::error!(%error, "no token could be made for a tenant's SQL");
                String::new()
            }
        }
    })
}
