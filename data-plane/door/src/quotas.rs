//! Quotas of tenants and keys, one set of meters for all doors of the process: who owes waits before it begins more.
//!
//! A meter is a [token bucket](millstream_access::TokenBucket) that lends: what is begun is counted whole, and what it took too much is a debt. A debt
//! is never forgiven. It delays what takes from the same meter, on every connection and at every door, and nothing
//! else: requests that move no bytes wait for the meter of requests only.

mod calls;
mod connected;
mod meters;

pub use calls::{Allowance, fetch_patience, patience};
pub use connected::{Connected, NotConnected, TooManyConnected};
pub use meters::Meters;

use connected::Counts;
use millstream_access::Principal;
use millstream_access::quota::DELAY_MS_MAX;
use millstream_metadata::{Image, ImageWatch, Quota};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long who owes is told to wait at most at once; what it owes beyond that it goes on owing.
pub const THROTTLE_MAX: Duration = Duration::from_millis(DELAY_MS_MAX);

/// How long a wait sleeps at most before it looks again: a quota may have been raised.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meter {
    /// Bytes produced.
    Produce,
    /// Bytes fetched.
    Fetch,
    /// Requests.
    Requests,
}

impl Meter {
    /// For counters.
    pub fn name(self) -> &'static str {
        match self {
            Meter::Produce => "produce_bytes",
            Meter::Fetch => "fetch_bytes",
            Meter::Requests => "requests",
        }
    }

    fn rate(self, quota: &Quota) -> Option<u64> {
        match self {
            Meter::Produce => quota.produce_bytes_per_second,
            Meter::Fetch => quota.fetch_bytes_per_second,
            Meter::Requests => quota.requests_per_second,
        }
    }
}

/// The caller still owes so much when its patience ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the quota of {} is used up: the debt is paid in {} ms", .meter.name(), .wait.as_millis())]
pub struct Owes {
    /// On which meter.
    pub meter: Meter,
    /// How long it has to wait, [`THROTTLE_MAX`] at most at once.
    pub wait: Duration,
}

/// The meters as tasks use them. Cheap to clone.
#[derive(Clone)]
pub struct Quotas {
    shared: Arc<Shared>,
}

struct Shared {
    connected: Arc<Counts>,
    images: ImageWatch,
    started: Instant,
    meters: Mutex<Meters>,
    delays: Family<[(&'static str, &'static str); 1], Counter>,
    seconds: Family<[(&'static str, &'static str); 1], Counter<f64, std::sync::atomic::AtomicU64>>,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Quotas {
    /// Meters for the quotas of the catalog.
    pub fn new(images: ImageWatch, registry: &mut Registry) -> Quotas {
        let shared = Shared {
            connected: Arc::default(),
            images,
            started: Instant::now(),
            meters: Mutex::default(),
            delays: Family::default(),
            seconds: Family::default(),
            refused: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("quota");
        registry.register(
            "delays",
            "Requests that waited because their caller owed on this meter",
            shared.delays.clone(),
        );
        registry.register(
            "delay_seconds",
            "How long they waited, together",
            shared.seconds.clone(),
        );
        registry.register(
            "refused",
            "Requests that were refused because their caller owed for longer than they could wait",
            shared.refused.clone(),
        );
        Quotas {
            shared: Arc::new(shared),
        }
    }

    /// Begins what takes `amount` from the meter: waits until the caller owes nothing, and takes it then. Answers how
    /// long the caller owes after that, which is what it is told to wait.
    ///
    /// # Errors
    /// When it still owes at `until`. Nothing was taken.
    pub async fn begin(
        &self,
        who: &Principal,
        meter: Meter,
        amount: u64,
        until: Instant,
    ) -> Result<Duration, Owes> {
        let begun = self.wait_for(meter, until, |meters, image, now_ms| {
            meters.begin(image, who, meter, now_ms, amount)
        });
        Ok(begun.await?.min(THROTTLE_MAX))
    }

    /// Waits until the caller owes nothing, and answers what the meter has then; none if nothing limits it. What is
    /// moved is taken with [`Quotas::take`] once it is known.
    ///
    /// # Errors
    /// When it still owes at `until`.
    pub async fn left(&self, who: &Principal, meter: Meter, until: Instant) -> Result<Option<u64>, Owes> {
        self.wait_for(meter, until, |meters, image, now_ms| {
            meters.left(image, who, meter, now_ms)
        })
        .await
    }

    /// Takes what was moved whatever the caller owes; answers how long it owes.
    pub fn take(&self, who: &Principal, meter: Meter, amount: u64) -> Duration {
        let image = self.shared.images.image();
        let mut meters = self.shared.meters.lock();
        meters
            .take(&image, who, meter, self.now_ms(), amount)
            .min(THROTTLE_MAX)
    }

    /// How long the caller owes.
    pub fn owed(&self, who: &Principal, meter: Meter) -> Duration {
        self.take(who, meter, 0)
    }

    /// Counts a request that was refused for what its caller owes.
    pub fn refused(&self, meter: Meter) {
        self.shared
            .refused
            .get_or_create(&[("meter", meter.name())])
            .inc();
    }

    async fn wait_for<R>(
        &self,
        meter: Meter,
        until: Instant,
        attempt: impl Fn(&mut Meters, &Image, u64) -> Result<R, Duration>,
    ) -> Result<R, Owes> {
        let begun = Instant::now();
        let mut waited = false;
        let outcome = loop {
            let now = Instant::now();
            let tried = {
                let image = self.shared.images.image();
                attempt(&mut self.shared.meters.lock(), &image, self.now_ms())
            };
            match tried {
                Ok(done) => break Ok(done),
                Err(owed) if now >= until => {
                    let wait = owed.min(THROTTLE_MAX);
                    break Err(Owes { meter, wait });
                }
                Err(owed) => {
                    waited = true;
                    let wake = now + owed.min(LOOK_INTERVAL);
                    tokio::time::sleep_until(wake.min(until)).await;
                }
            }
        };
        if waited {
            let label = [("meter", meter.name())];
            self.shared.delays.get_or_create(&label).inc();
            let seconds = self.shared.seconds.get_or_create(&label);
            seconds.inc_by(begun.elapsed().as_secs_f64());
        }
        outcome
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.shared.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
