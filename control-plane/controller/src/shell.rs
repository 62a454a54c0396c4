//! The controller's task: standby, active, and the way between.

use crate::active::Active;
use crate::copy::Copier;
use crate::handle::{Asked, Handle, Phase, Update, seeds};
use crate::lease::{self, LEASE_FORMAT, Lease, LeaseError, LeaseSeen, LeaseWatcher, Verdict};
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::trust::{Seen, Trust};
use millstream_catalog::{Batch, Catalog, CatalogError, Lost, StoreSettings, establish};
use millstream_metadata::{Actor, ImagePublisher, ImageWatch, KeyRow, Refusal, ReplaceBootstrapKey};
use millstream_model::limits::COMMANDS_WAITING_MAX;
use millstream_model::{JournalId, NodeId};
use object_store::ObjectStore;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Transactions kept for followers that are a little behind.
const UPDATES_KEPT: usize = 256;

/// Every so many renewals the lease is read first: a controller that was overthrown while idle finds out.
const RENEWALS_PER_READ: u64 = 5;

/// What an operator is told of a process whose data folder was copied.
const TWIN: &str = "another process uses a copy of this data folder and has taken its place in the cluster: only one of \
                    them may run, and what this one took since then may be nowhere else";

/// The longest that reading `cluster.json` may take.
const JOIN_MAX: Duration = Duration::from_secs(10);

/// The store is left alone for so long even while commands wait for it.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Starts a controller. Its task ends when `shutdown` is cancelled, and closes the catalog ([`Handle::stopped`]).
pub fn run(store: Arc<dyn ObjectStore>, mut settings: Settings, shutdown: CancellationToken) -> Handle {
    let known = std::mem::take(&mut settings.known);
    let (copied_sender, copied) = watch::channel(known.version());
    let (urgent, urgent_receiver) = watch::channel(0);
    let (publisher, images) = ImageWatch::channel(known);
    let (requests, receiver) = mpsc::channel(COMMANDS_WAITING_MAX);
    let (updates, _) = broadcast::channel(UPDATES_KEPT);
    let (phase_sender, phase) = watch::channel(Phase::Standby);
    let (lease_sender, lease) = watch::channel(LeaseSeen::default());
    let (heard_sender, heard) = watch::channel(None);
    let own = BTreeSet::from([settings.journal]);
    match settings.copy.clone() {
        Some(copy) => {
            let copier = Copier {
                settings: copy,
                cluster: settings.cluster,
                images: images.clone(),
                urgent: urgent_receiver,
                copied: copied_sender,
                shutdown: shutdown.clone(),
            };
            tokio::spawn(copier.run());
        }
        // Without a copy there is none that could be behind.
        None => drop(copied_sender.send_replace(u64::MAX)),
    }
    let shell = Shell {
        store,
        own,
        settings,
        shutdown,
        requests: receiver,
        publisher,
        updates: updates.clone(),
        phase: phase_sender,
        started: Instant::now(),
        copied: copied.clone(),
        urgent: urgent.clone(),
        trust: Trust::new(0),
        held_term: None,
        lease: Arc::new(lease_sender),
        heard: heard_sender,
    };
    tokio::spawn(shell.run());
    Handle {
        requests,
        images,
        updates,
        phase,
        copied,
        urgent,
        lease,
        heard,
    }
}

struct Shell {
    store: Arc<dyn ObjectStore>,
    settings: Settings,
    shutdown: CancellationToken,
    requests: mpsc::Receiver<Asked>,
    publisher: ImagePublisher,
    updates: broadcast::Sender<Update>,
    phase: watch::Sender<Phase>,
    started: Instant,
    own: BTreeSet<JournalId>,
    copied: watch::Receiver<u64>,
    urgent: watch::Sender<u64>,
    trust: Trust,
    /// The last term in which this process decided.
    held_term: Option<u64>,
    /// What is known of the lease.
    lease: Arc<watch::Sender<LeaseSeen>>,
    /// Whom this process has heard since it decides; none while it does not.
    heard: watch::Sender<Option<BTreeSet<NodeId>>>,
}

impl Shell {
    async fn run(mut self) {
        let mut mine = Some(self.settings.journal);
        if !self.join().await {
            self.phase.send_replace(Phase::Stopped);
            return;
        }
        while self.wait_for_turn(mine).await {
            match Catalog::open(Arc::clone(&self.store), &self.settings.catalog).await {
                Ok(catalog) => match self.lead(catalog).await {
                    None => break,
                    Some(Lost::Fenced) => mine = None,
                    Some(Lost::Store { .. }) => mine = Some(self.settings.journal),
                },
                // Rows of a newer release: whoever cannot read them must not decide (log.md 41).
                Err(CatalogError::Row(error)) => {
                    self.give_up(error.to_string()).await;
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot take over as controller yet; tries again");
                    self.doubt(Seen::Nobody);
                    self.pause().await;
                }
            }
        }
        self.phase.send_replace(Phase::Stopped);
    }

    /// A start that could not read `cluster.json` does so now: nothing else of the store is looked at before. False at
    /// shutdown.
    async fn join(&mut self) -> bool {
        let Some(joining) = self.settings.joining.take() else {
            return true;
        };
        let (store, prefix) = (Arc::clone(&self.store), self.settings.catalog.prefix.clone());
        while !self.shutdown.is_cancelled() {
            let establishing = timeout(JOIN_MAX, establish(store.as_ref(), &prefix, &joining));
            let found = tokio::select! {
                found = establishing => found,
                () = self.shutdown.cancelled() => return false,
            };
            match found {
                Ok(Ok(_)) => return true,
                Ok(Err(error)) => tracing::warn!(%error, "waits for the object store"),
                Err(_) => tracing::warn!("waits for the object store: it does not answer"),
            }
            self.doubt(Seen::Nobody);
            self.pause().await;
        }
        false
    }

    /// Takes in what was seen of a controller; who is not trusted any more lets nobody new in.
    fn doubt(&mut self, seen: Seen) {
        let now_ms = self.now_ms();
        if self.trust.observe(now_ms, seen) && !self.publisher.image().is_stale() {
            tracing::error!(
                "no controller was reached for too long: keys may have been revoked meanwhile, and nobody new is let in"
            );
            self.publisher.publish(self.publisher.image().as_stale());
        }
    }

    /// Standby: refuses commands until the lease says that nobody decides. False at shutdown.
    async fn wait_for_turn(&mut self, mine: Option<JournalId>) -> bool {
        self.phase.send_replace(Phase::Standby);
        let mut watcher = LeaseWatcher::new(mine, self.settings.lease_stale);
        let mut counter = None;
        loop {
            if self.shutdown.is_cancelled() {
                return false;
            }
            let (store, prefix) = (self.lease_store(), &self.settings.catalog.prefix);
            let read = tokio::select! {
                read = lease::read(store.as_ref(), prefix, self.settings.cluster) => read,
                () = self.shutdown.cancelled() => return false,
            };
            let found = read.as_ref().ok().and_then(|found| found.clone());
            let verdict = match read {
                Ok(Some(lease)) if self.is_twins(&lease) => watcher.observe_twin(self.now_ms(), lease),
                Ok(found) => watcher.observe(self.now_ms(), found),
                Err(LeaseError::Malformed { what, writing }) => {
                    tracing::warn!(%what, "the lease does not read; it counts for as long as somebody writes it");
                    watcher.observe_unreadable(self.now_ms(), writing)
                }
                Err(error) => {
                    tracing::warn!(%error, "waits for the object store, to see who is the controller");
                    self.doubt(Seen::Nobody);
                    self.pause().await;
                    continue;
                }
            };
            match verdict {
                Verdict::TakeOver => {
                    self.lease.send_modify(|seen| seen.waiting_since = None);
                    return true;
                }
                Verdict::GiveUp => {
                    self.give_up(TWIN.to_owned()).await;
                    return false;
                }
                Verdict::Wait => {
                    self.tell_holder(found.as_ref(), counter);
                    self.doubt(Seen::Another);
                }
            }
            counter = found.map(|lease| lease.counter);
            self.pause().await;
        }
    }

    /// Says at once for whom this process waits, and how long at most once that one is gone.
    fn tell_holder(&self, found: Option<&Lease>, counter_before: Option<u64>) {
        let Some(lease) = found else { return };
        let mut is_news = false;
        self.lease
            .send_modify(|seen| is_news = seen.found(lease, counter_before, Instant::now()));
        if is_news {
            tracing::warn!(
                controller = lease.address, term = lease.term, takes_over_after = ?self.settings.lease_stale,
                "another process is the controller: waits until it stops or has not renewed its lease for so long"
            );
        }
    }

    /// Whether another process with this one's journal decides: one that has copied the data folder, for this one holds
    /// the folder locked.
    fn is_twins(&self, lease: &Lease) -> bool {
        self.held_term.is_some_and(|term| {
            lease.journal == self.settings.journal && lease.term > term && !lease.released
        })
    }

    /// This process has no place in the cluster any more: says so, and refuses commands until shutdown.
    async fn give_up(&mut self, reason: String) {
        tracing::error!(%reason, "this process cannot go on");
        self.phase.send_replace(Phase::GivenUp(reason));
        while !self.shutdown.is_cancelled() {
            self.doubt(Seen::Nobody);
            self.pause().await;
        }
    }

    /// Refuses commands for one lease interval; who is refused ends the wait, but for [`PAUSE_MIN`].
    async fn pause(&mut self) {
        let begun = Instant::now();
        let pause = tokio::time::sleep(self.settings.lease_interval);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                () = self.shutdown.cancelled() => return,
                request = self.requests.recv() => match request {
                    Some(request) => {
                        refuse(request);
                        let soonest = begun + PAUSE_MIN;
                        if soonest < pause.deadline() {
                            pause.as_mut().reset(soonest);
                        }
                    }
                    None => {
                        self.shutdown.cancelled().await;
                        return;
                    }
                },
            }
        }
    }

    /// Active until the writer is lost, or (none) shut down.
    async fn lead(&mut self, catalog: Catalog) -> Option<Lost> {
        let image = catalog.image().clone();
        let (term, version) = (image.term(), image.version());
        self.held_term = Some(term);
        tracing::info!(term, version, "this node is the controller");
        self.heard.send_replace(Some(BTreeSet::new()));
        self.publisher.publish(image);
        let _ = self.updates.send(Update {
            term,
            version,
            changes: None,
        });
        let overthrown = CancellationToken::new();
        let renewed_ms = Arc::new(AtomicU64::new(self.now_ms()));
        self.doubt(Seen::Reached);
        self.lease.send_replace(LeaseSeen::held(
            term,
            &self.settings.address,
            self.settings.lease_stale,
        ));
        let renewing = tokio::spawn(renew(
            self.lease_store(),
            self.settings.clone(),
            term,
            self.shutdown.clone(),
            overthrown.clone(),
            (self.started, Arc::clone(&renewed_ms)),
            Arc::clone(&self.lease),
        ));
        let reader = catalog.reader();
        let sessions = Sessions::new(self.own.clone(), self.settings.session_timeout, self.now_ms());
        let mut active = Active {
            catalog,
            sessions,
            publisher: &self.publisher,
            updates: &self.updates,
            copied: &self.copied,
            urgent: &self.urgent,
            heard: &self.heard,
        };
        let mut failed = active
            .set_topic_defaults(self.settings.topic_defaults)
            .await
            .err();
        self.phase.send_replace(Phase::Active { term, reader });
        let stale_ms = u64::try_from(self.settings.lease_stale.as_millis()).unwrap_or(u64::MAX);
        let mut ticks = interval(self.settings.lease_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let started = self.started;
        let lost = loop {
            if failed.is_some() {
                break failed.take();
            }
            let outcome = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break None,
                () = overthrown.cancelled() => break Some(Lost::Fenced),
                _ = ticks.tick() => {
                    let now_ms = milliseconds_since(started);
                    let silent_ms = now_ms.saturating_sub(renewed_ms.load(Ordering::Relaxed));
                    let reached = silent_ms < stale_ms;
                    let seen = if reached { Seen::Reached } else { Seen::Nobody };
                    active.believe(self.trust.observe(now_ms, seen));
                    active.tick(now_ms).await
                }
                request = self.requests.recv() => match request {
                    Some(request) => {
                        active.serve(request, &mut self.requests, milliseconds_since(started)).await
                    }
                    // Every handle is gone; the lease is still worth renewing until shutdown.
                    None => {
                        self.shutdown.cancelled().await;
                        Ok(())
                    }
                },
            };
            if let Err(lost) = outcome {
                break Some(lost);
            }
        };
        let own = active.sessions.own().clone();
        // Nobody is to be told that this process decides from here on.
        self.phase.send_replace(Phase::Standby);
        self.heard.send_replace(None);
        self.lease.send_modify(|seen| seen.is_held = false);
        match &lost {
            Some(lost) => {
                renewing.abort();
                tracing::warn!(%lost, term, "this node is no longer the controller");
                // Its background work ends by and by; nobody waits for it.
                tokio::spawn(active.catalog.close());
            }
            None => {
                let ((), released) = tokio::join!(active.catalog.close(), renewing);
                if released.is_err() {
                    tracing::debug!("the lease was not released");
                }
            }
        }
        self.own = own;
        lost
    }

    fn lease_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(self.settings.lease_store.as_ref().unwrap_or(&self.store))
    }

    fn now_ms(&self) -> u64 {
        milliseconds_since(self.started)
    }
}

fn milliseconds_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn refuse(request: Asked) {
    match request {
        Asked::Command { reply, .. } => {
            let _ = reply.send(Err(Refusal::NotController));
        }
        // Dropped: the caller reads it as "not the controller".
        Asked::Unconfirmed { .. } => {}
    }
}

/// Writes the lease until shutdown, when it is released.
async fn renew(
    store: Arc<dyn ObjectStore>,
    settings: Settings,
    term: u64,
    shutdown: CancellationToken,
    overthrown: CancellationToken,
    (started, renewed_ms): (Instant, Arc<AtomicU64>),
    seen: Arc<watch::Sender<LeaseSeen>>,
) {
    let prefix = settings.catalog.prefix.clone();
    let mut lease = Lease {
        format: LEASE_FORMAT,
        cluster: settings.cluster,
        term,
        counter: 0,
        journal: settings.journal,
        address: settings.address.clone(),
        released: false,
    };
    while !shutdown.is_cancelled() {
        if lease.counter.is_multiple_of(RENEWALS_PER_READ)
            && let Ok(Some(found)) = lease::read(store.as_ref(), &prefix, settings.cluster).await
            && found.term > term
        {
            overthrown.cancel();
            return;
        }
        lease.counter += 1;
        // As old as its beginning: an overthrow may have come right behind.
        let (begun, begun_ms) = (Instant::now(), milliseconds_since(started));
        match lease::write(store.as_ref(), &prefix, &lease).await {
            Ok(()) => {
                renewed_ms.store(begun_ms, Ordering::Relaxed);
                seen.send_modify(|seen| seen.renewed = Some(begun));
            }
            Err(error) => tracing::warn!(%error, "the lease was not renewed"),
        }
        tokio::select! {
            () = tokio::time::sleep(settings.lease_interval) => {}
            () = shutdown.cancelled() => {}
        }
    }
    lease.counter += 1;
    lease.released = true;
    if let Err(error) = lease::write(store.as_ref(), &prefix, &lease).await {
        tracing::info!(%error, "the lease was not released");
    }
}

/// Why a lost key was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceKeyError {
    /// The catalog could not be opened.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// There is nothing to make a key for: the service was never started.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The outcome is unknown.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Makes another operator's key, for who lost theirs. For the service's own binary, which holds the data folder
/// locked: a controller elsewhere is fenced, and takes over again by itself.
pub async fn replace_bootstrap_key(
    store: Arc<dyn ObjectStore>,
    settings: &StoreSettings,
    root_version: u32,
) -> Result<Arc<KeyRow>, ReplaceKeyError> {
    let mut catalog = Catalog::open(store, settings).await?;
    let mut batch = Batch::new(catalog.image());
    let replace = ReplaceBootstrapKey { root_version };
    let key = batch.submit(&mut seeds(), &Actor::System, replace)?;
    catalog.commit(batch).await?;
    tokio::time::timeout(Duration::from_secs(20), catalog.close())
        .await
        .ok();
    Ok(key)
}
