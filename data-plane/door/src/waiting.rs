//! The rooms for requests as tasks use them: take what arrives, wait, be told to go, give back by dropping.

use crate::room::{ConnectionId, Event, FrameId, Overstay, Owner, Room, RoomSettings, Taken};
use millstream_model::limits::{
    KAFKA_REQUESTS_BYTES_MAX, LOGIN_REQUESTS_BYTES_MAX, ROOM_PATIENCE_MS, ROOM_PROGRESS_BYTES,
};
use millstream_turns::Turns;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often those who wait look for others who have overstayed.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What sets the numbers of the HTTP port's connections apart from ours.
const HTTP_CONNECTION: u64 = 1 << 63;

/// A wait that the log tells of.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// The least time between two lines of the log about waiting.
const LINE_INTERVAL_MS: u64 = 10_000;

/// A request had to go so that others get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overstayed {
    /// It brought nothing while others waited.
    #[error("a request that began to arrive brought less than {} KiB in {} s while others waited for room", ROOM_PROGRESS_BYTES / 1024, ROOM_PATIENCE_MS / 1000)]
    Silent,
    /// It needs more than there is.
    #[error("the request needs more memory than there is for all requests")]
    TooLarge,
    /// It held room and could not get the rest.
    #[error("requests that had half arrived filled the room; this one held most of it")]
    Blocking,
}

impl From<Overstay> for Overstayed {
    fn from(why: Overstay) -> Overstayed {
        match why {
            Overstay::Silent => Overstayed::Silent,
            Overstay::Blocking => Overstayed::Blocking,
        }
    }
}

/// How large the rooms are.
#[derive(Clone, Copy, Debug)]
pub struct RoomsSettings {
    /// For requests of those who have logged in.
    pub tenants_bytes_max: usize,
    /// For requests of those who have not.
    pub logins_bytes_max: usize,
    /// How long a request may bring nothing while others wait.
    pub patience: Duration,
}

impl Default for RoomsSettings {
    fn default() -> RoomsSettings {
        RoomsSettings {
            tenants_bytes_max: KAFKA_REQUESTS_BYTES_MAX,
            logins_bytes_max: LOGIN_REQUESTS_BYTES_MAX,
            patience: Duration::from_millis(ROOM_PATIENCE_MS),
        }
    }
}

/// All room for requests of this process: one for tenants, one for logins. Cheap to clone; every door uses the same.
#[derive(Clone)]
pub struct Rooms {
    tenants: Arc<Shell>,
    logins: Arc<Shell>,
    connections: Arc<AtomicU64>,
    turns: Turns<Owner>,
}

/// A connection that may take room.
#[derive(Clone)]
pub struct Connection {
    shell: Arc<Shell>,
    owner: Owner,
    id: ConnectionId,
}

/// What a request holds; given back when it is dropped.
pub struct Share {
    shell: Arc<Shell>,
    id: FrameId,
    owner: Owner,
    signal: Option<Arc<Notify>>,
    held: usize,
}

/// One room, its lock and its counters.
struct Shell {
    class: &'static str,
    settings: RoomSettings,
    started: Instant,
    state: Mutex<State>,
    metrics: Metrics,
    line_ms: AtomicU64,
}

struct State {
    room: Room,
    signals: HashMap<FrameId, Arc<Notify>>,
    ended: HashMap<FrameId, Overstay>,
}

type Class = [(&'static str, &'static str); 1];

#[derive(Clone, Default)]
struct Families {
    used: Family<Class, Gauge>,
    size: Family<Class, Gauge>,
    waiting: Family<Class, Gauge>,
    waits: Family<Class, Counter>,
    ended: Family<[(&'static str, &'static str); 2], Counter>,
}

struct Metrics {
    used: Gauge,
    waiting: Gauge,
    waits: Counter,
    ended: Family<[(&'static str, &'static str); 2], Counter>,
    seconds: Histogram,
}

impl Families {
    fn register(registry: &mut Registry) -> Families {
        let families = Families::default();
        let registry = registry.sub_registry_with_prefix("requests");
        registry.register(
            "room_used_bytes",
            "Memory held by requests that are not answered yet, by who sent them",
            families.used.clone(),
        );
        registry.register(
            "room_size_bytes",
            "All the memory that there is for them",
            families.size.clone(),
        );
        registry.register(
            "room_waiting",
            "Requests that wait for room now",
            families.waiting.clone(),
        );
        registry.register(
            "room_waits",
            "Requests that had to wait for room",
            families.waits.clone(),
        );
        registry.register(
            "room_ended",
            "Requests that were ended half-way so that others got room, and why",
            families.ended.clone(),
        );
        families
    }

    fn of(&self, class: &'static str, size: usize, seconds: &Histogram) -> Metrics {
        let label = [("class", class)];
        self.size.get_or_create(&label).set(signed(size));
        Metrics {
            used: self.used.get_or_create(&label).clone(),
            waiting: self.waiting.get_or_create(&label).clone(),
            waits: self.waits.get_or_create(&label).clone(),
            ended: self.ended.clone(),
            seconds: seconds.clone(),
        }
    }
}

impl Rooms {
    /// Empty rooms, counted in the registry.
    pub fn new(settings: RoomsSettings, registry: &mut Registry) -> Rooms {
        let families = Families::register(registry);
        let seconds = Histogram::new(exponential_buckets(0.001, 4.0, 10));
        registry.register(
            "requests_room_wait_seconds",
            "How long requests waited for room",
            seconds.clone(),
        );
        let shell = |class, bytes_max| {
            let settings = RoomSettings {
                bytes_max,
                patience_ms: u64::try_from(settings.patience.as_millis()).unwrap_or(u64::MAX),
                progress_bytes: ROOM_PROGRESS_BYTES,
            };
            Arc::new(Shell {
                class,
                settings,
                started: Instant::now(),
                state: Mutex::new(State {
                    room: Room::new(settings),
                    signals: HashMap::new(),
                    ended: HashMap::new(),
                }),
                metrics: families.of(class, bytes_max, &seconds),
                line_ms: AtomicU64::new(0),
            })
        };
        Rooms {
            tenants: shell("tenants", settings.tenants_bytes_max),
            logins: shell("logins", settings.logins_bytes_max),
            connections: Arc::default(),
            turns: Turns::default(),
        }
    }

    /// A connection of a tenant, or of an address that nobody has logged in from. It has a share of its own, so make
    /// one for each connection and not for each request, where connections are known.
    pub fn connection(&self, owner: Owner) -> Connection {
        let shell = match owner {
            Owner::Tenant(_) => &self.tenants,
            Owner::Address(_) => &self.logins,
        };
        Connection {
            shell: Arc::clone(shell),
            owner,
            id: ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// The same for a connection of the HTTP port, which numbers its own.
    pub fn connection_of_http(&self, owner: Owner, number: u64) -> Connection {
        Connection {
            id: ConnectionId(number | HTTP_CONNECTION),
            ..self.connection(owner)
        }
    }

    /// How the processor is shared out between those who have room.
    pub fn turns(&self) -> &Turns<Owner> {
        &self.turns
    }

    /// The largest request that has room at all: more than that would wait for ever.
    pub fn largest_request(&self) -> usize {
        self.tenants.settings.bytes_max
    }

    /// Requests that wait for room now, of tenants and of logins.
    pub fn waiting(&self) -> usize {
        self.tenants.state.lock().room.waiting() + self.logins.state.lock().room.waiting()
    }
}

impl Connection {
    /// A request begins to arrive. What has arrived already is taken with [`Share::take`].
    pub fn begin(&self) -> Share {
        let id = self
            .shell
            .with(|now_ms, room| room.begin(now_ms, self.owner, self.id));
        Share {
            shell: Arc::clone(&self.shell),
            id,
            owner: self.owner,
            signal: None,
            held: 0,
        }
    }
}

impl Share {
    /// Takes so many bytes more, for what is about to be read; waits until there is room.
    ///
    /// # Errors
    /// When the request must go.
    pub async fn take(&mut self, bytes: usize) -> Result<(), Overstayed> {
        if bytes == 0 {
            return Ok(());
        }
        if self.held + bytes > self.shell.settings.bytes_max {
            return Err(Overstayed::TooLarge);
        }
        let taken = self.shell.with(|now_ms, room| {
            let taken = room.take(now_ms, self.id, bytes);
            (taken == Taken::Waits).then_some(now_ms)
        });
        if taken.is_some() {
            self.wait(bytes).await?;
        }
        self.held += bytes;
        Ok(())
    }

    /// Takes so many bytes more if nobody waits and there is room for them.
    pub fn take_at_once(&mut self, bytes: usize) -> bool {
        let taken = self
            .shell
            .with(|now_ms, room| room.take_at_once(now_ms, self.id, bytes));
        self.held += if taken { bytes } else { 0 };
        taken
    }

    /// So many bytes have come: the sender is not silent.
    pub fn arrived(&self, bytes: usize) {
        self.shell
            .with(|now_ms, room| room.arrived(now_ms, self.id, bytes));
    }

    /// The request is whole: it takes no more, and nothing more is asked of its sender.
    pub fn complete(&self) {
        self.shell.with(|now_ms, room| room.complete(now_ms, self.id));
    }

    /// Answers when the request must go, which may be never: to be asked beside every read of it.
    pub async fn overstayed(&mut self) -> Overstayed {
        let signal = self.signal();
        loop {
            if let Some(why) = self.ended() {
                return why;
            }
            signal.notified().await;
        }
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.held
    }

    async fn wait(&mut self, bytes: usize) -> Result<(), Overstayed> {
        let signal = self.signal();
        let begun = Instant::now();
        self.shell.metrics.waits.inc();
        let mut told = false;
        loop {
            if let Some(why) = self.ended() {
                return Err(why);
            }
            if self.shell.state.lock().room.held(self.id) >= self.held + bytes {
                self.shell.metrics.seconds.observe(begun.elapsed().as_secs_f64());
                return Ok(());
            }
            if tokio::time::timeout(LOOK_INTERVAL, signal.notified())
                .await
                .is_err()
            {
                self.shell.with(|now_ms, room| room.expire(now_ms));
                if !told && begun.elapsed() >= LONG_WAIT {
                    told = true;
                    self.shell.tell(self.owner);
                }
            }
        }
    }

    fn ended(&self) -> Option<Overstayed> {
        let why = self.shell.state.lock().ended.get(&self.id).copied();
        why.map(Overstayed::from)
    }

    /// What is notified when something becomes of this request.
    fn signal(&mut self) -> Arc<Notify> {
        let (shell, id) = (&self.shell, self.id);
        let signal = self.signal.get_or_insert_with(|| {
            let signal = Arc::new(Notify::new());
            shell.state.lock().signals.insert(id, Arc::clone(&signal));
            signal
        });
        Arc::clone(signal)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.shell.state.lock();
        state.room.end(self.shell.now_ms(), self.id);
        state.signals.remove(&self.id);
        state.ended.remove(&self.id);
        self.shell.publish(&mut state);
    }
}

impl Shell {
    /// Does something to the room, and tells those whom it concerns.
    fn with<R>(&self, act: impl FnOnce(u64, &mut Room) -> R) -> R {
        let mut state = self.state.lock();
        let result = act(self.now_ms(), &mut state.room);
        self.publish(&mut state);
        result
    }

    fn publish(&self, state: &mut State) {
        for event in state.room.events() {
            let id = match event {
                Event::Granted(id) => id,
                Event::Overstayed(id, why) => {
                    state.ended.insert(id, why);
                    let reason = match why {
                        Overstay::Silent => "silent",
                        Overstay::Blocking => "blocking",
                    };
                    let labels = [("class", self.class), ("reason", reason)];
                    self.metrics.ended.get_or_create(&labels).inc();
                    id
                }
            };
            if let Some(signal) = state.signals.get(&id) {
                signal.notify_one();
            }
        }
        self.metrics.used.set(signed(state.room.used()));
        self.metrics.waiting.set(signed(state.room.waiting()));
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Tells the log that somebody waits, now and then.
    fn tell(&self, who: Owner) {
        let now_ms = self.now_ms();
        let before = self.line_ms.load(Ordering::Relaxed);
        if before != 0 && now_ms.saturating_sub(before) < LINE_INTERVAL_MS {
            return;
        }
        let taken =
            self.line_ms
                .compare_exchange(before, now_ms.max(1), Ordering::Relaxed, Ordering::Relaxed);
        if taken.is_err() {
            return;
        }
        let (used, waiting, largest) = {
            let state = self.state.lock();
            (state.room.used(), state.room.waiting(), state.room.largest())
        };
        let (holder, held) = largest.map_or((String::new(), 0), |(owner, held)| (owner.to_string(), held));
        tracing::warn!(
            class = self.class, %who, waiting, used, size = self.settings.bytes_max, largest_holder = %holder,
            held, "requests wait for room: the memory for requests that are not answered yet is used up"
        );
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
