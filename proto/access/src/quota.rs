//! Quota arithmetic: how long a caller must wait for what it has taken.

/// A token bucket that lends: what is asked for is always given, and the debt is the delay, as in Kafka's quotas.
///
/// A debt is never forgiven, however large: who could outwait it would take what it wants. Levels are counted in
/// thousandths, so that whole numbers suffice and no rounding can be gathered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    rate_per_second: u64,
    capacity: u64,
    /// In thousandths of a unit; negative = debt.
    level: i128,
    filled_ms: u64,
}

/// The longest delay that a caller is told at once, ms: clients take longer ones for a dead service. What it owes
/// beyond that it goes on owing.
pub const DELAY_MS_MAX: u64 = 30_000;

impl TokenBucket {
    /// A full bucket that fills at `rate_per_second` and holds `burst` (at least one second's worth).
    pub fn new(rate_per_second: u64, burst: u64, now_ms: u64) -> TokenBucket {
        let capacity = burst.max(rate_per_second).max(1);
        TokenBucket {
            rate_per_second: rate_per_second.max(1),
            capacity,
            level: i128::from(capacity) * 1000,
            filled_ms: now_ms,
        }
    }

    /// Takes `amount`, and says how many ms the caller must wait before its next request. A clock that goes back
    /// fills nothing.
    pub fn take(&mut self, now_ms: u64, amount: u64) -> u64 {
        self.fill(now_ms);
        self.level = self.level.saturating_sub(i128::from(amount) * 1000);
        self.delay()
    }

    /// What can be taken now without owing anything.
    pub fn left(&mut self, now_ms: u64) -> u64 {
        self.fill(now_ms);
        u64::try_from(self.level / 1000).unwrap_or(0)
    }

    /// How many ms a caller must wait now, without taking anything.
    pub fn wait(&mut self, now_ms: u64) -> u64 {
        self.fill(now_ms);
        self.delay()
    }

    /// Changes the rate; what was taken stays taken.
    pub fn set_rate(&mut self, rate_per_second: u64, burst: u64, now_ms: u64) {
        self.fill(now_ms);
        self.rate_per_second = rate_per_second.max(1);
        self.capacity = burst.max(rate_per_second).max(1);
        self.level = self.level.min(i128::from(self.capacity) * 1000);
    }

    fn fill(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = self.filled_ms.max(now_ms);
        let full = i128::from(self.capacity) * 1000;
        self.level = (self.level + i128::from(passed) * i128::from(self.rate_per_second)).min(full);
    }

    fn delay(&self) -> u64 {
        if self.level >= 0 {
            return 0;
        }
        let rate = i128::from(self.rate_per_second);
        let delay = (-self.level + rate - 1) / rate;
        u64::try_from(delay).unwrap_or(u64::MAX)
    }
}
