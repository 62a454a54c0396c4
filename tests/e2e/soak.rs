//! The soak: at default settings, everything that people do at once and without end. It fails on wrong answers, on
//! loops that stand still, on what is not bounded; over an hour also on growth.
//!
//! `MILLSTREAM_SOAK_SECONDS` says how long (a minute unless set; `./check soak` takes an hour). What is judged from the
//! beginning to the end, growth of memory, files and answer times, is judged from ten minutes on: before that caches
//! fill.

mod kafka;
mod parts;
mod watch;

use crate::harness::{Key, Server, Start, Work};
use crate::tenants::tenant;
use parts::{flights, orders, pushes, records};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use watch::Watch;

/// How long a single answer may take before its loop counts as standing still.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// From here on the end of a run is compared with its beginning.
const GROWTH_FROM: Duration = Duration::from_secs(600);

/// What a median answer may take more in the last quarter than in the first, beside half of it: the machine has other
/// work in one of them.
const SLOWER: Duration = Duration::from_millis(20);

/// How long it runs.
fn length() -> Duration {
    let seconds = std::env::var("MILLSTREAM_SOAK_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|it| it.parse().ok()).unwrap_or(60))
}

/// What one loop did: how often, and how long each answer took.
pub struct Part {
    pub name: &'static str,
    /// Fewer are a failure: it stood still. Far below what a busy machine does in that time.
    least_per_minute: u64,
    done: AtomicU64,
    answers: parking_lot::Mutex<Vec<(Instant, Duration)>>,
}

impl Part {
    fn new(name: &'static str, least_per_minute: u64) -> Arc<Part> {
        Arc::new(Part {
            name,
            least_per_minute,
            done: AtomicU64::new(0),
            answers: parking_lot::Mutex::default(),
        })
    }

    /// Counts one answer that began then.
    pub fn answered(&self, begun: Instant) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.answers.lock().push((begun, begun.elapsed()));
    }

    /// The median answer between two moments.
    fn median(&self, from: Instant, to: Instant) -> Option<Duration> {
        let answers = self.answers.lock();
        let within = answers.iter().filter(|(at, _)| (from..to).contains(at));
        let mut times: Vec<Duration> = within.map(|(_, time)| *time).collect();
        times.sort();
        times.get(times.len() / 2).copied()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_at_once_goes_on() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let operator = server.client();
    let mut keys = Vec::new();
    for name in ["flights", "orders", "often", "records", "group"] {
        keys.push(tenant(&operator, name).await.1);
    }
    let [flying, ordering, often, recording, grouping] = <[Key; 5]>::try_from(keys).unwrap();
    let parts = [
        Part::new("flights", 10),
        Part::new("orders", 20),
        Part::new("orders, committed every 100 ms", 20),
        Part::new("push queries", 10),
        Part::new("records", 60),
        Part::new("a consumer group", 40),
    ];
    let (begun, until) = (Instant::now(), Instant::now() + length());
    let [a, b, c, d, e, f] = parts.each_ref().map(Arc::clone);
    let kafka = server.doors.kafka.clone();
    server
        .client_as(&grouping)
        .admin()
        .create_topic("by-kafka", 1, Default::default())
        .await
        .unwrap();
    let client = |key: &Key| server.client_as(key);
    let loops = [
        tokio::spawn(flights(client(&flying), a, until)),
        tokio::spawn(orders(client(&ordering), b, None, until)),
        tokio::spawn(orders(client(&often), c, Some(100), until)),
        tokio::spawn(pushes(client(&often), d, until)),
        tokio::spawn(records(client(&recording), e, until)),
        tokio::task::spawn_blocking(move || kafka::group(&kafka, &grouping, &f, until)),
    ];
    let mut watch = Watch::new(&work, begun);
    while Instant::now() < until {
        watch.look(&server);
        if loops.iter().any(|it| it.is_finished()) && Instant::now() < until {
            break;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    for ended in loops {
        ended.await.unwrap();
    }
    watch.look(&server);
    judge(&parts, begun, until);
    watch.judge(length() >= GROWTH_FROM);
    assert!(server.stop().success());
}

/// That no loop stood still and, over a long run, none became slower.
fn judge(parts: &[Arc<Part>], begun: Instant, until: Instant) {
    let ran = until - begun;
    for part in parts {
        let done = part.done.load(Ordering::Relaxed);
        let quarter = ran / 4;
        let first = part.median(begun, begun + quarter).unwrap_or_default();
        let last = part.median(until - quarter, until).unwrap_or_default();
        println!(
            "{}: {done} answers, median {first:?} at first, {last:?} at last",
            part.name
        );
        let least = part.least_per_minute * ran.as_secs() / 60;
        assert!(done >= least, "{}: {done} answers in {ran:?}", part.name);
        let slower = first * 3 / 2 + SLOWER;
        assert!(
            ran < GROWTH_FROM || last <= slower,
            "{}: answers took {first:?}, now {last:?}",
            part.name
        );
    }
}
