//! How long callers have to wait for what they produced and fetched, by the quotas of their tenant and key.

use millstream_access::{Principal, TokenBucket};
use millstream_metadata::{Image, Quota, QuotaScope};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Meter {
    Produce,
    Fetch,
}

impl Meter {
    fn rate(self, quota: &Quota) -> Option<u64> {
        match self {
            Meter::Produce => quota.produce_bytes_per_second,
            Meter::Fetch => quota.fetch_bytes_per_second,
        }
    }
}

struct Bucket {
    rate: u64,
    bucket: TokenBucket,
}

/// The buckets of those who have quotas; nobody else costs anything.
#[derive(Default)]
pub(crate) struct Quotas {
    buckets: Mutex<HashMap<(QuotaScope, Meter), Bucket>>,
}

impl Quotas {
    /// Takes bytes from the caller's quotas; returns how long it has to wait.
    pub(crate) fn take(
        &self,
        image: &Image,
        who: &Principal,
        meter: Meter,
        now_ms: u64,
        bytes: u64,
    ) -> Duration {
        let scopes = [QuotaScope::Tenant(who.tenant), QuotaScope::Key(who.key)];
        let waits = scopes.map(|scope| match meter.rate(&image.quota(scope)) {
            Some(rate) => self.take_one((scope, meter), rate, now_ms, bytes),
            None => 0,
        });
        Duration::from_millis(waits.into_iter().max().unwrap_or(0))
    }

    fn take_one(&self, key: (QuotaScope, Meter), rate: u64, now_ms: u64, bytes: u64) -> u64 {
        let mut buckets = self.buckets.lock();
        let bucket = buckets.entry(key).or_insert_with(|| Bucket {
            rate,
            bucket: TokenBucket::new(rate, rate, now_ms),
        });
        if bucket.rate != rate {
            bucket.rate = rate;
            bucket.bucket.set_rate(rate, rate, now_ms);
        }
        bucket.bucket.take(now_ms, bytes)
    }
}
