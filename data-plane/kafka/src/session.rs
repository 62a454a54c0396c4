//! What a request's handler knows: who calls, over which connection, in which version.

use crate::error::Code;
use crate::metrics::Metrics;
use crate::quota::RequestQuotas;
use millstream_access::{Operation, Principal, Resource, allowed};
use millstream_broker::Broker;
use millstream_broker::interface::groups::Client;
use millstream_kafka_wire::{ApiKey, ErrorCode};
use millstream_metadata::{Actor, Command, Committed, Image, Refusal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long an admin request waits until this node knows what it changed.
const IMAGE_WAIT: Duration = Duration::from_secs(10);

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) metrics: Metrics,
    pub(crate) quotas: RequestQuotas,
}

/// One authenticated connection.
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) who: Principal,
    pub(crate) peer: SocketAddr,
    /// Whether the log says already that this connection asked for transactions.
    pub(crate) asked_for_transactions: AtomicBool,
}

/// One request of it.
pub(crate) struct Call {
    pub(crate) session: Arc<Session>,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) client_id: Option<String>,
    throttle_ms: AtomicU64,
}

impl Call {
    pub(crate) fn new(session: Arc<Session>, api: ApiKey, version: i16, client_id: Option<String>) -> Call {
        Call {
            session,
            api,
            version,
            client_id,
            throttle_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.session.shared.broker
    }

    pub(crate) fn who(&self) -> &Principal {
        &self.session.who
    }

    pub(crate) fn image(&self) -> Arc<Image> {
        self.broker().image()
    }

    /// Whether the caller may do that in its virtual cluster.
    pub(crate) fn may(&self, operation: Operation) -> bool {
        allowed(self.who(), operation, Resource::Tenant(self.who().tenant))
    }

    /// An error's code for the answer, counted.
    pub(crate) fn code(&self, error: &impl Code) -> i16 {
        let code = error.code();
        if !code.is_none() {
            self.session.shared.metrics.error(self.api, code);
        }
        code.number()
    }

    /// Says in the log that a transactional producer was refused: once for each connection, however often it asks.
    pub(crate) fn log_transactional_producer(&self) {
        if self.session.asked_for_transactions.swap(true, Ordering::Relaxed) {
            return;
        }
        let (peer, who) = (self.session.peer, self.who());
        let client = self.client_id.as_deref().unwrap_or_default();
        tracing::warn!(
            %peer, key = %who.key, tenant = %who.tenant, client,
            "refused a transactional producer: transactions are not served"
        );
    }

    /// Who calls, as a group's members are described.
    pub(crate) fn client(&self) -> Client {
        let host = format!("/{}", self.session.peer.ip().to_canonical());
        Client {
            id: self.client_id.clone().unwrap_or_default(),
            host,
        }
    }

    /// The connection is muted for this long once the answer is sent. Returns it as answers say it, ms.
    pub(crate) fn throttle(&self, wait: Duration) -> i32 {
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let ms = self.throttle_ms.fetch_max(ms, Ordering::Relaxed).max(ms);
        i32::try_from(ms).unwrap_or(i32::MAX)
    }

    pub(crate) fn throttled(&self) -> Duration {
        Duration::from_millis(self.throttle_ms.load(Ordering::Relaxed))
    }

    /// Puts a command to the control plane and waits until this node's image shows it, so that the caller's next
    /// request does too.
    pub(crate) async fn submit(&self, command: Command) -> Result<Committed, Refusal> {
        self.submit_as(self.who().actor(), command).await
    }

    /// The same in another name.
    pub(crate) async fn submit_as(&self, actor: Actor, command: Command) -> Result<Committed, Refusal> {
        let committed = self.broker().commands().submit(actor, command).await?;
        let watch = self.broker().image_watch();
        // What is committed stays so, also when this node learns of it late.
        let _ = tokio::time::timeout(IMAGE_WAIT, watch.wait_for_version(committed.version)).await;
        Ok(committed)
    }

    /// Refuses group requests of callers who may not consume.
    pub(crate) fn check_group(&self, group: &str) -> Result<millstream_model::ConsumerGroupName, ErrorCode> {
        if !self.may(Operation::Consume) {
            return Err(ErrorCode::GroupAuthorizationFailed);
        }
        group.parse().map_err(|_| ErrorCode::InvalidGroupId)
    }
}
