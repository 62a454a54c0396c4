//! The arithmetic of quotas, without a clock.

use super::Meter;
use millstream_access::{Principal, TokenBucket};
use millstream_metadata::{Image, QuotaScope};
use std::collections::HashMap;
use std::time::Duration;

/// Scopes that bind a caller.
type Scopes = [(QuotaScope, Option<u64>); 2];

struct Bucket {
    rate: u64,
    bucket: TokenBucket,
}

/// The meters of those who have quotas. Nobody else costs anything.
#[derive(Default)]
pub struct Meters {
    /// There are no more than rows of quotas.
    buckets: HashMap<(QuotaScope, Meter), Bucket>,
}

impl Meters {
    /// Takes `amount` if the caller owes nothing; how long it owes then. Looking and taking are one step: of many that
    /// wait for the end of a debt, one begins.
    ///
    /// # Errors
    /// How long it owes already; nothing was taken.
    pub fn begin(
        &mut self,
        image: &Image,
        who: &Principal,
        meter: Meter,
        now_ms: u64,
        amount: u64,
    ) -> Result<Duration, Duration> {
        match self.take(image, who, meter, now_ms, 0) {
            Duration::ZERO => Ok(self.take(image, who, meter, now_ms, amount)),
            owed => Err(owed),
        }
    }

    /// What the meter has, if the caller owes nothing; none if nothing limits it.
    ///
    /// # Errors
    /// How long it owes.
    pub fn left(
        &mut self,
        image: &Image,
        who: &Principal,
        meter: Meter,
        now_ms: u64,
    ) -> Result<Option<u64>, Duration> {
        match self.take(image, who, meter, now_ms, 0) {
            Duration::ZERO => {}
            owed => return Err(owed),
        }
        let limited = scopes(image, who, meter)
            .into_iter()
            .filter_map(|(scope, rate)| Some((scope, rate?)));
        Ok(limited
            .map(|(scope, rate)| self.bucket((scope, meter), rate, now_ms).left(now_ms))
            .min())
    }

    /// Takes `amount` whatever the caller owes; how long it owes then.
    pub fn take(
        &mut self,
        image: &Image,
        who: &Principal,
        meter: Meter,
        now_ms: u64,
        amount: u64,
    ) -> Duration {
        let waits = scopes(image, who, meter).map(|(scope, rate)| {
            rate.map_or(0, |rate| {
                self.bucket((scope, meter), rate, now_ms).take(now_ms, amount)
            })
        });
        Duration::from_millis(waits.into_iter().max().unwrap_or(0))
    }

    fn bucket(&mut self, key: (QuotaScope, Meter), rate: u64, now_ms: u64) -> &mut TokenBucket {
        let found = self.buckets.entry(key).or_insert_with(|| Bucket {
            rate,
            bucket: TokenBucket::new(rate, rate, now_ms),
        });
        if found.rate != rate {
            found.rate = rate;
            found.bucket.set_rate(rate, rate, now_ms);
        }
        &mut found.bucket
    }
}

fn scopes(image: &Image, who: &Principal, meter: Meter) -> Scopes {
    [QuotaScope::Tenant(who.tenant), QuotaScope::Key(who.key)]
        .map(|scope| (scope, meter.rate(&image.quota(scope))))
}
