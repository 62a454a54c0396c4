//! Quotas of tenants and keys, one set of meters for all doors of the process: who owes waits before it begins more.
//!
//! A meter is a [`TokenBucket`] that lends: what is begun is counted whole, and what it took too much is a debt. A debt
//! is never forgiven. It delays what takes from the same meter, on every connection and at every door, and nothing
//! else: requests that move no bytes wait for the meter of requests only.

use millstream_access::quota::DELAY_MS_MAX;
use millstream_access::{Principal, TokenBucket};
use millstream_metadata::{Image, ImageWatch, Quota, QuotaScope};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
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

/// Scopes that bind a caller.
type Scopes = [(QuotaScope, Option<u64>); 2];

struct Bucket {
    rate: u64,
    bucket: TokenBucket,
}

/// The meters of those who have quotas; nobody else costs anything. Cheap to clone.
#[derive(Clone)]
pub struct Quotas {
    shared: Arc<Shared>,
}

struct Shared {
    images: ImageWatch,
    started: Instant,
    /// There are no more than rows of quotas.
    buckets: Mutex<HashMap<(QuotaScope, Meter), Bucket>>,
    delays: Family<[(&'static str, &'static str); 1], Counter>,
    seconds: Family<[(&'static str, &'static str); 1], Counter<f64, std::sync::atomic::AtomicU64>>,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Quotas {
    /// Meters for the quotas of the catalog.
    pub fn new(images: ImageWatch, registry: &mut Registry) -> Quotas {
        let shared = Shared {
            images,
            started: Instant::now(),
            buckets: Mutex::default(),
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
        self.wait_for(meter, until, |quotas, now_ms, image| {
            quotas.try_take(image, who, meter, now_ms, amount)
        })
        .await
    }

    /// Waits until the caller owes nothing, and answers what the meter has then; none if nothing limits it. What is
    /// moved is taken with [`Quotas::take`] once it is known.
    ///
    /// # Errors
    /// When it still owes at `until`.
    pub async fn left(&self, who: &Principal, meter: Meter, until: Instant) -> Result<Option<u64>, Owes> {
        self.wait_for(meter, until, |quotas, now_ms, image| {
            quotas.try_left(image, who, meter, now_ms)
        })
        .await
    }

    /// Takes what was moved whatever the caller owes; answers how long it owes.
    pub fn take(&self, who: &Principal, meter: Meter, amount: u64) -> Duration {
        let now_ms = self.now_ms();
        let scopes = scopes(&self.shared.images.image(), who, meter);
        let mut buckets = self.shared.buckets.lock();
        told(take_all(&mut buckets, scopes, meter, now_ms, amount))
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
        attempt: impl Fn(&Quotas, u64, &Image) -> Result<R, Duration>,
    ) -> Result<R, Owes> {
        let begun = Instant::now();
        let mut waited = false;
        let outcome = loop {
            let now = Instant::now();
            let image = self.shared.images.image();
            match attempt(self, self.now_ms(), &image) {
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

    fn try_take(
        &self,
        image: &Image,
        who: &Principal,
        meter: Meter,
        now_ms: u64,
        amount: u64,
    ) -> Result<Duration, Duration> {
        let scopes = scopes(image, who, meter);
        if scopes.iter().all(|(_, rate)| rate.is_none()) {
            return Ok(Duration::ZERO);
        }
        // One lock for looking and taking: of many that wait for the end of a debt, one begins.
        let mut buckets = self.shared.buckets.lock();
        match take_all(&mut buckets, scopes, meter, now_ms, 0) {
            0 => Ok(told(take_all(&mut buckets, scopes, meter, now_ms, amount))),
            owed_ms => Err(Duration::from_millis(owed_ms)),
        }
    }

    fn try_left(
        &self,
        image: &Image,
        who: &Principal,
        meter: Meter,
        now_ms: u64,
    ) -> Result<Option<u64>, Duration> {
        let scopes = scopes(image, who, meter);
        let mut buckets = self.shared.buckets.lock();
        let mut left: Option<u64> = None;
        for (scope, rate) in scopes {
            let Some(rate) = rate else { continue };
            let bucket = bucket(&mut buckets, (scope, meter), rate, now_ms);
            match bucket.wait(now_ms) {
                0 => {
                    let has = bucket.left(now_ms);
                    left = Some(left.map_or(has, |left| left.min(has)));
                }
                owed_ms => return Err(Duration::from_millis(owed_ms)),
            }
        }
        Ok(left)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.shared.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn scopes(image: &Image, who: &Principal, meter: Meter) -> Scopes {
    [QuotaScope::Tenant(who.tenant), QuotaScope::Key(who.key)]
        .map(|scope| (scope, meter.rate(&image.quota(scope))))
}

/// Takes from every bucket that binds; the longest wait, ms.
fn take_all(
    buckets: &mut HashMap<(QuotaScope, Meter), Bucket>,
    scopes: Scopes,
    meter: Meter,
    now_ms: u64,
    amount: u64,
) -> u64 {
    let waits = scopes.map(|(scope, rate)| {
        rate.map_or(0, |rate| {
            bucket(buckets, (scope, meter), rate, now_ms).take(now_ms, amount)
        })
    });
    waits.into_iter().max().unwrap_or(0)
}

fn bucket(
    buckets: &mut HashMap<(QuotaScope, Meter), Bucket>,
    key: (QuotaScope, Meter),
    rate: u64,
    now_ms: u64,
) -> &mut TokenBucket {
    let found = buckets.entry(key).or_insert_with(|| Bucket {
        rate,
        bucket: TokenBucket::new(rate, rate, now_ms),
    });
    if found.rate != rate {
        found.rate = rate;
        found.bucket.set_rate(rate, rate, now_ms);
    }
    &mut found.bucket
}

fn told(owed_ms: u64) -> Duration {
    Duration::from_millis(owed_ms).min(THROTTLE_MAX)
}
