//! The controller's task: standby, active, and the way between.

use crate::active::Active;
use crate::handle::{Handle, Phase, Request, Update, seeds};
use crate::lease::{self, LEASE_FORMAT, Lease, LeaseWatcher, Verdict};
use crate::sessions::Sessions;
use crate::settings::Settings;
use millstream_catalog::{Batch, Catalog, CatalogError, Lost, StoreSettings};
use millstream_metadata::{Actor, Command, Image, ImagePublisher, ImageWatch, KeyRow, Refusal, Reply};
use millstream_model::JournalId;
use millstream_model::limits::COMMANDS_WAITING_MAX;
use object_store::ObjectStore;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Transactions kept for followers that are a little behind.
const UPDATES_KEPT: usize = 256;

/// Every so many renewals the lease is read first: a controller that was overthrown while idle finds out.
const RENEWALS_PER_READ: u64 = 5;

/// Starts a controller. Its task ends when `shutdown` is cancelled, and closes the catalog ([`Handle::stopped`]).
pub fn run(store: Arc<dyn ObjectStore>, settings: Settings, shutdown: CancellationToken) -> Handle {
    let (publisher, images) = ImageWatch::channel(Image::new());
    let (requests, receiver) = mpsc::channel(COMMANDS_WAITING_MAX);
    let (updates, _) = broadcast::channel(UPDATES_KEPT);
    let (phase_sender, phase) = watch::channel(Phase::Standby);
    let own = BTreeSet::from([settings.journal]);
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
    };
    tokio::spawn(shell.run());
    Handle {
        requests,
        images,
        updates,
        phase,
    }
}

struct Shell {
    store: Arc<dyn ObjectStore>,
    settings: Settings,
    shutdown: CancellationToken,
    requests: mpsc::Receiver<Request>,
    publisher: ImagePublisher,
    updates: broadcast::Sender<Update>,
    phase: watch::Sender<Phase>,
    started: Instant,
    own: BTreeSet<JournalId>,
}

impl Shell {
    async fn run(mut self) {
        let mut mine = Some(self.settings.journal);
        while self.wait_for_turn(mine).await {
            match Catalog::open(Arc::clone(&self.store), &self.settings.catalog).await {
                Ok(catalog) => match self.lead(catalog).await {
                    None => break,
                    Some(Lost::Fenced) => mine = None,
                    Some(Lost::Store { .. }) => mine = Some(self.settings.journal),
                },
                Err(error) => {
                    tracing::error!(%error, "cannot take over as controller yet; tries again");
                    self.pause().await;
                }
            }
        }
        self.phase.send_replace(Phase::Stopped);
    }

    /// Standby: refuses commands until the lease says that nobody decides. False at shutdown.
    async fn wait_for_turn(&mut self, mine: Option<JournalId>) -> bool {
        self.phase.send_replace(Phase::Standby);
        let mut watcher = LeaseWatcher::new(mine, self.settings.lease_stale);
        loop {
            if self.shutdown.is_cancelled() {
                return false;
            }
            match lease::read(
                self.store.as_ref(),
                &self.settings.catalog.prefix,
                self.settings.cluster,
            )
            .await
            {
                Ok(found) => {
                    if watcher.observe(self.now_ms(), found) == Verdict::TakeOver {
                        return true;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "waits for the object store, to see who is the controller")
                }
            }
            self.pause().await;
        }
    }

    /// Refuses commands for one lease interval.
    async fn pause(&mut self) {
        let pause = tokio::time::sleep(self.settings.lease_interval);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                () = self.shutdown.cancelled() => return,
                request = self.requests.recv() => match request {
                    Some(request) => refuse(request),
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
        tracing::info!(term, version, "this node is the controller");
        self.publisher.publish(image);
        let _ = self.updates.send(Update {
            term,
            version,
            changes: None,
        });
        let overthrown = CancellationToken::new();
        let renewing = tokio::spawn(renew(
            Arc::clone(&self.store),
            self.settings.clone(),
            term,
            self.shutdown.clone(),
            overthrown.clone(),
        ));
        self.phase.send_replace(Phase::Active {
            term,
            reader: catalog.reader(),
        });
        let sessions = Sessions::new(self.own.clone(), self.settings.session_timeout, self.now_ms());
        let mut active = Active {
            catalog,
            sessions,
            publisher: &self.publisher,
            updates: &self.updates,
        };
        let mut ticks = interval(self.settings.lease_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let lost = loop {
            let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let outcome = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break None,
                () = overthrown.cancelled() => break Some(Lost::Fenced),
                _ = ticks.tick() => active.tick(now_ms).await,
                request = self.requests.recv() => match request {
                    Some(request) => active.serve(request, &mut self.requests, now_ms).await,
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
        match &lost {
            Some(lost) => {
                renewing.abort();
                tracing::warn!(%lost, term, "this node is no longer the controller");
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

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn refuse(request: Request) {
    match request {
        Request::Command { reply, .. } => {
            let _ = reply.send(Err(Refusal::NotController));
        }
        // Dropped: the caller reads it as "not the controller".
        Request::Unconfirmed { .. } => {}
    }
}

/// Writes the lease until shutdown, when it is released.
async fn renew(
    store: Arc<dyn ObjectStore>,
    settings: Settings,
    term: u64,
    shutdown: CancellationToken,
    overthrown: CancellationToken,
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
        if let Err(error) = lease::write(store.as_ref(), &prefix, &lease).await {
            tracing::warn!(%error, "the lease was not renewed");
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
    let command = Command::ReplaceBootstrapKey { root_version };
    let reply = batch.add(&mut seeds(), &Actor::System, &command)?;
    catalog.commit(batch).await?;
    tokio::time::timeout(Duration::from_secs(20), catalog.close())
        .await
        .ok();
    match reply {
        Reply::Key(key) => Ok(key),
        other => Err(Refusal::Unknown {
            reason: format!("unexpected reply {other:?}"),
        }
        .into()),
    }
}
