//! Requests per second, by the quotas of tenant and key.

use millstream_access::{Principal, TokenBucket};
use millstream_metadata::{Image, QuotaScope};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Buckets of those who have such a quota; there are no more than rows of quotas.
#[derive(Debug)]
pub(crate) struct RequestQuotas {
    started: Instant,
    buckets: Mutex<HashMap<QuotaScope, (u64, TokenBucket)>>,
}

impl RequestQuotas {
    pub(crate) fn new() -> RequestQuotas {
        RequestQuotas {
            started: Instant::now(),
            buckets: Mutex::new(HashMap::new()),
        }
    }

    /// Counts a request; returns how long the caller has to wait before the next one.
    pub(crate) fn take(&self, image: &Image, who: &Principal) -> Duration {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut wait_ms = 0;
        for scope in [QuotaScope::Tenant(who.tenant), QuotaScope::Key(who.key)] {
            let Some(rate) = image.quota(scope).requests_per_second else {
                continue;
            };
            let mut buckets = self.buckets.lock();
            let (known, bucket) = buckets
                .entry(scope)
                .or_insert_with(|| (rate, TokenBucket::new(rate, rate, now_ms)));
            if *known != rate {
                *known = rate;
                bucket.set_rate(rate, rate, now_ms);
            }
            wait_ms = wait_ms.max(bucket.take(now_ms, 1));
        }
        Duration::from_millis(wait_ms)
    }
}
