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
use std::time::Duration;
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
        let credentials = token_provider(who, Arc::clone(&self.roots), TimestampMs::now);
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

/// A token of `who`, made anew before it ends: by the clock by which doors judge it, which may be set while it is used.
fn token_provider(
    who: Principal,
    roots: Arc<RootKeys>,
    clock: impl Fn() -> TimestampMs + Send + Sync + 'static,
) -> Credentials {
    let current: Mutex<Option<(TimestampMs, String)>> = Mutex::new(None);
    Credentials::token(move || {
        let mut current = current.lock();
        let now = clock();
        if let Some((_, token)) = current.as_ref().filter(|(made, _)| is_used(*made, now)) {
            return token.clone();
        }
        match mint(&roots, &who, now, TOKEN_LIFE) {
            Ok(token) => {
                *current = Some((now, token.clone()));
                token
            }
            Err(error) => {
                tracing::error!(%error, "no token could be made for a tenant's SQL");
                String::new()
            }
        }
    })
}

/// Whether a token that was made then is shown now. One that was made later was made before the clock was set back.
fn is_used(made: TimestampMs, now: TimestampMs) -> bool {
    let age_ms = u64::try_from(now.0.saturating_sub(made.0));
    age_ms.is_ok_and(|age_ms| u128::from(age_ms) < TOKEN_USE.as_millis())
}

#[cfg(test)]
mod tests {
    use super::{TOKEN_LIFE, TOKEN_USE, token_provider};
    use millstream_access::token::verify;
    use millstream_access::{AuthError, Principal, RootKeys, TokenError};
    use millstream_metadata::{Image, OrganisationId};
    use millstream_model::{TenantId, TimestampMs};
    use millstream_rust::Credentials;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// Virtual machines and laptops that are resumed, and machines whose clock is set, skip more than a token's life.
    #[test]
    fn a_token_is_alive_wherever_the_clock_goes() {
        let roots = Arc::new(RootKeys::from_random([7; 32]));
        let who = Principal::of_tenant(TenantId(1), OrganisationId(uuid::Uuid::from_u128(1)));
        let now = Arc::new(AtomicI64::new(1_700_000_000_000));
        let clock = Arc::clone(&now);
        let shown = token_provider(who, Arc::clone(&roots), move || {
            TimestampMs(clock.load(Ordering::Relaxed))
        });
        let Credentials::Token(shown) = shown else {
            panic!("SQL shows a token");
        };
        let (life, used) = (TOKEN_LIFE.as_millis() as i64, TOKEN_USE.as_millis() as i64);
        let mut last = shown();
        for (step_ms, is_kept) in [
            (0, true),
            (used - 1, true),
            (1, false),
            (2 * life, false),
            (-5 * life, false),
            (4 * life, false),
        ] {
            let now = TimestampMs(now.fetch_add(step_ms, Ordering::Relaxed) + step_ms);
            let token = shown();
            let judged = verify(&Image::default(), &roots, &token, now);
            assert!(
                !matches!(judged, Err(AuthError::Token(TokenError::Expired))),
                "{step_ms}: {judged:?}"
            );
            assert_eq!(token == last, is_kept, "{step_ms}");
            last = token;
        }
    }
}
