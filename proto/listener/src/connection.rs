//! One connection: its place, how long it may be silent, and what the layers above say of it.

use crate::metrics::{Cut, Metrics, Standing};
use crate::places::{Limits, Origin, Places, Shortage, TooMany};
use parking_lot::Mutex;
use std::any::Any;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

/// The caller's organisation has as many connections as one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {most} connections of this organization, and more are not let in")]
pub struct TooManyConnections {
    /// How many one may have.
    pub most: usize,
}

/// How long who may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From accepting to the end of the first request's head.
    pub head: Duration,
    /// Between the requests of a stranger.
    pub idle: Duration,
    /// The life of a connection in the reserve.
    pub reserved: Duration,
}

/// Everybody who is in.
pub(crate) struct Visitors {
    table: Mutex<Table>,
    patience: Patience,
    metrics: Metrics,
}

struct Table {
    places: Places,
    connections: HashMap<u64, Connection>,
}

impl Visitors {
    pub(crate) fn new(limits: Limits, patience: Patience, metrics: Metrics) -> Arc<Visitors> {
        Arc::new(Visitors {
            table: Mutex::new(Table {
                places: Places::new(limits),
                connections: HashMap::new(),
            }),
            patience,
            metrics,
        })
    }

    /// Gives a new connection its place; who has to leave for it is told.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Visit {
        let mut table = self.table.lock();
        let admitted = table.places.admit(Origin::of(address));
        let standing = if admitted.reserved {
            Standing::Reserved
        } else {
            Standing::Silent
        };
        let connection = Connection(Arc::new(Inner {
            id: admitted.id,
            visitors: Arc::clone(self),
            accepted: Instant::now(),
            standing: Mutex::new(standing),
            kept: Mutex::new(None),
            asking: AtomicUsize::new(0),
            last_ms: AtomicU64::new(0),
            answered: Notify::new(),
            cut: OnceLock::new(),
            leaves: Notify::new(),
        }));
        self.metrics.count(standing, 1);
        table.connections.insert(admitted.id, connection.clone());
        if let Some((id, shortage)) = admitted.leaves {
            table.send_away(id, shortage);
        }
        Visit(connection)
    }

    /// Makes a file descriptor free.
    pub(crate) fn make_room(&self) {
        let mut table = self.table.lock();
        if let Some(id) = table.places.make_room() {
            table.send_away(id, Shortage::Descriptors);
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl Table {
    fn send_away(&mut self, id: u64, shortage: Shortage) {
        if let Some(connection) = self.connections.get(&id) {
            connection.cut(Cut::Short(shortage));
        }
    }
}

/// A connection while it is served: gives its place back in the end.
pub(crate) struct Visit(Connection);

impl Visit {
    pub(crate) fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let inner = &self.0.0;
        // A request of it may still be at work.
        inner.kept.lock().take();
        let mut table = inner.visitors.table.lock();
        table.places.leave(inner.id);
        table.connections.remove(&inner.id);
        inner.visitors.metrics.count(*inner.standing.lock(), -1);
    }
}

/// The connection that a request came by: in the extensions of every request of the port. Cheap to clone.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    id: u64,
    visitors: Arc<Visitors>,
    accepted: Instant,
    standing: Mutex<Standing>,
    /// Of the layer that knows its owner. Locked before all else.
    kept: Mutex<Option<Box<dyn Any + Send + Sync>>>,
    /// Requests that are being answered.
    asking: AtomicUsize,
    /// When the last request began or ended, ms after it was accepted.
    last_ms: AtomicU64,
    /// Told when a request has been answered.
    answered: Notify,
    cut: OnceLock<Cut>,
    leaves: Notify,
}

impl Connection {
    /// Its number, never used twice at one port.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Says that a request of it has shown a key of this owner: it is then no stranger, and kept as long as it likes.
    /// What `enter` gives is kept with it; it is asked once.
    ///
    /// # Errors
    /// When the owner has half of the port's places, or `enter` refuses.
    pub fn known<T, E>(&self, owner: u128, enter: impl FnOnce() -> Result<T, E>) -> Result<(), E>
    where
        T: Send + Sync + 'static,
        E: From<TooManyConnections>,
    {
        let mut kept = self.0.kept.lock();
        if kept.is_some() {
            return Ok(());
        }
        let entered = enter()?;
        let mut table = self.0.visitors.table.lock();
        let known = table.places.known(self.0.id, owner);
        if known.map_err(|TooMany { most }| TooManyConnections { most })? {
            self.changes(|_| Standing::Known);
            *kept = Some(Box::new(entered));
        }
        Ok(())
    }

    /// Whether it has shown a key.
    pub(crate) fn is_known(&self) -> bool {
        self.standing() == Standing::Known
    }

    /// Whether only health can be asked.
    pub(crate) fn is_reserved(&self) -> bool {
        self.standing() == Standing::Reserved
    }

    /// A request begins; it has ended when what is returned is dropped.
    pub(crate) fn asks(&self) -> Asking {
        self.changes(|standing| match standing {
            Standing::Silent => Standing::Stranger,
            standing => standing,
        });
        self.0.asking.fetch_add(1, Ordering::AcqRel);
        self.touch();
        Asking(self.clone())
    }

    /// Waits until it has asked nothing for so long.
    pub(crate) async fn rests(&self, pause: Duration) {
        loop {
            let answered = self.0.answered.notified();
            if self.0.asking.load(Ordering::Acquire) > 0 {
                answered.await;
                continue;
            }
            tokio::select! {
                () = sleep(pause) => return,
                () = answered => {}
            }
        }
    }

    /// Waits until it has been silent for too long, or somebody else needs its place.
    pub(crate) async fn overdue(&self) -> Cut {
        loop {
            let next = match self.due(Instant::now()) {
                Ok(next) => next,
                Err(cut) => return cut,
            };
            tokio::select! {
                () = self.0.leaves.notified() => {
                    if let Some(cut) = self.0.cut.get() {
                        return *cut;
                    }
                }
                () = sleep_until(next) => {}
            }
        }
    }

    /// When to look again; or why it must go.
    fn due(&self, now: Instant) -> Result<Instant, Cut> {
        let accepted = self.0.accepted;
        let patience = self.0.visitors.patience;
        let last = accepted + Duration::from_millis(self.0.last_ms.load(Ordering::Acquire));
        // What it is may change meanwhile.
        let look = now + patience.idle;
        let (due, cut) = match self.standing() {
            Standing::Silent => (accepted + patience.head, Cut::Head),
            Standing::Reserved => (accepted + patience.reserved, Cut::Reserved),
            Standing::Stranger if self.0.asking.load(Ordering::Acquire) == 0 => {
                (last + patience.idle, Cut::Idle)
            }
            Standing::Stranger | Standing::Known => return Ok(look),
        };
        if due > now { Ok(due.min(look)) } else { Err(cut) }
    }

    fn standing(&self) -> Standing {
        *self.0.standing.lock()
    }

    fn changes(&self, next: impl FnOnce(Standing) -> Standing) {
        let mut standing = self.0.standing.lock();
        let (before, next) = (*standing, next(*standing));
        if before != next {
            *standing = next;
            self.0.visitors.metrics.count(before, -1);
            self.0.visitors.metrics.count(next, 1);
        }
    }

    fn cut(&self, cut: Cut) {
        if self.0.cut.set(cut).is_ok() {
            self.0.leaves.notify_one();
        }
    }

    fn touch(&self) {
        let passed = self.0.accepted.elapsed().as_millis();
        self.0
            .last_ms
            .store(u64::try_from(passed).unwrap_or(u64::MAX), Ordering::Release);
    }
}

/// A request that is being answered.
pub(crate) struct Asking(Connection);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.touch();
        self.0.0.asking.fetch_sub(1, Ordering::AcqRel);
        self.0.0.answered.notify_one();
    }
}
