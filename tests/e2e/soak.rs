//! The soak: at default settings, everything that people do at once and without end. It fails on wrong answers, on
//! loops that stand still, on what is not bounded; over an hour also on growth.
//!
//! `MILLSTREAM_SOAK_SECONDS` says how long (a minute unless set; `./check soak` takes an hour). What is judged from the
//! beginning to the end, growth of memory, files and answer times, is judged from ten minutes on: before that caches
//! fill.

mod judge;
mod kafka;
mod parts;
mod watch;

use crate::harness::{Key, Server, Start, Work};
use crate::tenants::tenant;
use judge::{Answer, Wanted};
use parts::{flights, orders, pushes, records};
use std::sync::Arc;
use std::time::{Duration, Instant};
use watch::Watch;

/// How long a single answer may take before its loop counts as standing still.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long it runs.
fn length() -> Duration {
    let seconds = std::env::var("MILLSTREAM_SOAK_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|it| it.parse().ok()).unwrap_or(60))
}

/// What one loop did.
pub struct Part {
    wanted: Wanted,
    begun: Instant,
    answers: parking_lot::Mutex<Vec<Answer>>,
}

impl Part {
    fn new(begun: Instant, name: &'static str, least_per_minute: u64, median_max: Duration) -> Arc<Part> {
        Arc::new(Part {
            wanted: Wanted {
                name,
                least_per_minute,
                median_max,
            },
            begun,
            answers: parking_lot::Mutex::default(),
        })
    }

    /// Counts one answer that began then.
    pub fn answered(&self, begun: Instant) {
        self.answers.lock().push(Answer {
            at: begun - self.begun,
            took: begun.elapsed(),
        });
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
    let (begun, until) = (Instant::now(), Instant::now() + length());
    // Medians: some ten times those of two cores with four times as much other work, but for what waits for a commit.
    let part = |name, least, ms| Part::new(begun, name, least, Duration::from_millis(ms));
    let parts = [
        part("flights", 10, 500),
        part("orders", 20, 2_500),
        part("orders, committed every 100 ms", 20, 1_000),
        part("push queries", 10, 500),
        part("records", 60, 500),
        part("a consumer group", 40, 500),
    ];
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
    assert_all_went_on(&parts, length());
    watch.judge();
    assert!(server.stop().success());
}

/// That no loop stood still, and none was slow or became slower.
fn assert_all_went_on(parts: &[Arc<Part>], ran: Duration) {
    let mut wrong = Vec::new();
    for part in parts {
        let seen = part.answers.lock();
        let quarter = ran / 4;
        println!(
            "{}: {} answers, median {:?} in all, {:?} at first, {:?} at last",
            part.wanted.name,
            seen.len(),
            judge::median(&seen, Duration::ZERO, ran),
            judge::median(&seen, Duration::ZERO, quarter),
            judge::median(&seen, ran - quarter, ran),
        );
        wrong.extend(judge::answers(&part.wanted, &seen, ran));
    }
    assert_eq!(wrong, [""; 0]);
}
