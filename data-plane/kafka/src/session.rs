//! What a request's handler knows: who calls, over which connection, in which version.

use crate::error::Code;
use crate::metrics::Metrics;
use crate::silent::Silent;
use crate::unbegun::Unbegun;
use millstream_access::{Operation, Principal, Resource, allowed};
use millstream_broker::Broker;
use millstream_broker::interface::groups::{Client, GroupError};
use millstream_door::quotas::patience;
use millstream_door::{Action, Connection, Logins, Overstayed, Owes, Quotas, Share, Turn};
use millstream_kafka_wire::frame::RequestFrame;
use millstream_kafka_wire::{ApiKey, ErrorCode};
use millstream_metadata::{Actor, Image, Refusal, Request};
use millstream_model::ConsumerGroupName;
use millstream_model::limits::{GROUP_BYTES_MAX, GROUP_MEMBER_BYTES_MAX, GROUP_TEXT_BYTES_MAX};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long an admin request waits until this node knows what it changed.
const IMAGE_WAIT: Duration = Duration::from_secs(10);

/// Decoded lists that need no room of their own: a connection's read buffer takes as much.
const UNFOLDED_FREE_BYTES: usize = 64 * 1024;

/// An answer that needs no room of its own.
const ANSWER_FREE_BYTES: usize = 4 * 1024;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) metrics: Metrics,
    pub(crate) quotas: Quotas,
    pub(crate) logins: Logins,
    /// How long a request may wait for its caller's debts.
    pub(crate) debt_patience: Duration,
}

/// One authenticated connection.
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) who: Principal,
    pub(crate) peer: SocketAddr,
    /// Its produces that wait for their caller's debts.
    pub(crate) unbegun: Unbegun,
    /// What it has produced without wanting an answer.
    pub(crate) silent: Silent,
    /// Whether the log says already that this connection asked for transactions.
    asked_for_transactions: AtomicBool,
    /// The same of data of members that is too large.
    brought_too_much: AtomicBool,
    /// As the room for requests knows it.
    connection: Connection,
    /// Its tenant's part of the processor.
    pub(crate) turn: Turn,
}

impl Session {
    pub(crate) fn new(
        shared: Arc<Shared>,
        who: Principal,
        peer: SocketAddr,
        connection: Connection,
        turn: Turn,
    ) -> Session {
        Session {
            shared,
            who,
            peer,
            unbegun: Unbegun::default(),
            silent: Silent::default(),
            asked_for_transactions: AtomicBool::new(false),
            brought_too_much: AtomicBool::new(false),
            connection,
            turn,
        }
    }

    /// Room for an answer until it is sent, as for the request before: many connections whose clients take nothing
    /// must not fill the memory. Small ones are a connection's own cost; records that were read have theirs.
    pub(crate) async fn room_for_answer(
        &self,
        api: ApiKey,
        bytes: usize,
    ) -> Result<Option<Share>, Overstayed> {
        if bytes <= ANSWER_FREE_BYTES || api == ApiKey::Fetch {
            return Ok(None);
        }
        let mut share = self.connection.begin();
        share.take(bytes).await?;
        share.complete();
        Ok(Some(share))
    }

    /// How long a request may wait for debts, from when it was received: no member of a group is thrown out for it, nor
    /// for what stands before its request.
    pub(crate) fn patience(&self, api: ApiKey) -> Duration {
        let action = match api {
            // It steps aside meanwhile.
            ApiKey::Produce => Action::Produce,
            // A fetch does not, and what is behind it waits for it. Whatever else it is, a member may have to wait for it.
            _ => Action::UseGroup,
        };
        patience(action).min(self.shared.debt_patience)
    }

    /// Counts a produce that wanted no answer.
    pub(crate) fn produced_silently(&self, received: std::time::Instant) {
        let metrics = &self.shared.metrics;
        metrics.answered(ApiKey::Produce, received.elapsed());
    }
}

/// One request of it.
pub(crate) struct Call {
    pub(crate) session: Arc<Session>,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) client_id: Option<String>,
    /// When its frame began to arrive.
    pub(crate) received: Instant,
    /// What the caller still owed when its patience ended; what moves bytes is not begun then.
    pub(crate) owes: Option<Owes>,
    /// Its share of the memory for requests: given back once it is handled.
    share: Share,
    throttle_ms: AtomicU64,
    muted_ms: AtomicU64,
}

impl Call {
    /// A request of the session, as its frame says.
    pub(crate) fn new(
        session: Arc<Session>,
        request: &RequestFrame,
        received: Instant,
        share: Share,
    ) -> Call {
        Call {
            session,
            api: request.key,
            version: request.version,
            client_id: request.client_id.clone(),
            received,
            owes: None,
            share,
            throttle_ms: AtomicU64::new(0),
            muted_ms: AtomicU64::new(0),
        }
    }

    /// Waits until the caller owes no requests, and counts this one. What moves no bytes goes on after its patience,
    /// and the debt stays. A produce waits where it waits for bytes.
    pub(crate) async fn begin(&mut self) {
        let quotas = &self.session.shared.quotas;
        let until = self.received + self.session.patience(self.api);
        let begun = match self.api {
            ApiKey::Produce => return,
            ApiKey::Fetch => quotas.begin_action(Action::Fetch, self.who(), until).await,
            _ => Ok(quotas.begin_call(self.who(), until).await),
        };
        match begun {
            Ok(owed) => {
                self.throttle(owed);
            }
            Err(owes) => self.refuse(owes),
        }
    }

    /// The caller owes too much for this request to be begun.
    pub(crate) fn refuse(&mut self, owes: Owes) {
        self.throttle(owes.wait);
        self.owes = Some(owes);
    }

    /// Takes room for so many bytes of decoded lists, if there is some at once.
    pub(crate) fn unfold_at_once(&mut self, bytes: usize) -> bool {
        bytes <= UNFOLDED_FREE_BYTES || self.share.take_at_once(bytes)
    }

    /// Waits for that room.
    pub(crate) async fn unfold(&mut self, bytes: usize) -> Result<(), Overstayed> {
        self.share.take(bytes).await?;
        self.share.complete();
        Ok(())
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

    /// Says in the log that a member brought more than a group takes, for no answer of a group has a text: once for each
    /// connection, however often it tries again.
    pub(crate) fn log_too_large(&self, group: &ConsumerGroupName, error: &GroupError) {
        let too_large = *error == GroupError::MemberTooLarge;
        if !too_large || self.session.brought_too_much.swap(true, Ordering::Relaxed) {
            return;
        }
        let (peer, who) = (self.session.peer, self.who());
        let client = self.client_id.as_deref().unwrap_or_default();
        let (of_one, of_all) = (GROUP_MEMBER_BYTES_MAX, GROUP_BYTES_MAX);
        tracing::warn!(
            %peer, key = %who.key, tenant = %who.tenant, client, %group, api = self.api.name(),
            "refused a group's member: what a member says of itself may have {of_one} bytes, what is said of all members, \
             assignments included, {of_all}, a name in it {GROUP_TEXT_BYTES_MAX}"
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

    /// The caller should wait this long before it asks for more of the same. Returns it as answers say it, ms.
    pub(crate) fn throttle(&self, wait: Duration) -> i32 {
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let ms = self.throttle_ms.fetch_max(ms, Ordering::Relaxed).max(ms);
        i32::try_from(ms).unwrap_or(i32::MAX)
    }

    /// The connection is muted for this long once the answer is sent, whatever comes next on it: the service is late,
    /// not the caller in debt.
    pub(crate) fn mute(&self, wait: Duration) {
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.muted_ms.fetch_max(ms, Ordering::Relaxed);
        self.throttle(wait);
    }

    pub(crate) fn muted(&self) -> Duration {
        Duration::from_millis(self.muted_ms.load(Ordering::Relaxed))
    }

    /// Puts a command to the control plane and waits until this node's image shows it, so that the caller's next
    /// request does too.
    pub(crate) async fn submit<R: Request>(&self, request: R) -> Result<R::Reply, Refusal> {
        self.submit_as(self.who().actor(), request).await
    }

    /// The same in another name.
    pub(crate) async fn submit_as<R: Request>(&self, actor: Actor, request: R) -> Result<R::Reply, Refusal> {
        let committed = self.broker().commands().submit(actor, request).await?;
        let watch = self.broker().image_watch();
        // What is committed stays so, also when this node learns of it late.
        let _ = tokio::time::timeout(IMAGE_WAIT, watch.wait_for_version(committed.version)).await;
        Ok(committed.reply)
    }

    /// The group of this name, if the caller may do that to groups.
    pub(crate) fn check_group(&self, action: Action, group: &str) -> Result<ConsumerGroupName, ErrorCode> {
        action.permit(self.who()).map_err(|denied| denied.code())?;
        group.parse().map_err(|_| ErrorCode::InvalidGroupId)
    }
}
