//! How long to wait before something that failed is tried again: the one back-off of the service.
//!
//! ```text
//! failure   1      2      3      4    …    n       success
//! nominal   first  2·     4·     8·   …    last    first again
//! wait      a random part of the nominal one, between its half and the whole
//! ```
//! Waits double, so that what is overloaded is left alone, up to a last one, so that its return is noticed. The random
//! part keeps those who failed together from coming back together. Pure: the caller brings the random number and does the
//! waiting, so that the simulator may do both.

use std::time::Duration;

/// Between which waits a back-off moves. A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// After the first failure.
    pub first: Duration,
    /// What it doubles up to.
    pub last: Duration,
}

impl Waits {
    /// From the first to the last one.
    pub const fn new(first: Duration, last: Duration) -> Waits {
        Waits { first, last }
    }
}

/// What is remembered of the failures in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    waits: Waits,
    nominal: Duration,
}

impl Backoff {
    /// Nothing has failed yet.
    pub const fn new(waits: Waits) -> Backoff {
        Backoff {
            waits,
            nominal: waits.first,
        }
    }

    /// Between which waits it moves.
    pub fn waits(&self) -> Waits {
        self.waits
    }

    /// It has failed: the wait before it is tried again. `random` is evenly drawn from all numbers.
    pub fn next(&mut self, random: u64) -> Duration {
        let nominal = self.nominal.min(self.waits.last);
        self.nominal = nominal.saturating_mul(2).min(self.waits.last);
        let half = nominal / 2;
        let part = (half.as_nanos().saturating_mul(u128::from(random))) >> u64::BITS;
        let wait = half + Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX));
        assert!(wait <= nominal, "bug: a wait of {wait:?} instead of {nominal:?}");
        wait
    }

    /// It has succeeded: the next failure is the first again.
    pub fn reset(&mut self) {
        self.nominal = self.waits.first;
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, Waits};
    use std::time::Duration;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn waits(first: Duration, last: Duration, random: u64, count: usize) -> Vec<u128> {
        let mut backoff = Backoff::new(Waits::new(first, last));
        (0..count).map(|_| backoff.next(random).as_millis()).collect()
    }

    #[test]
    fn waits_double_up_to_the_last() {
        assert_eq!(waits(ms(100), ms(1_000), 0, 6), [50, 100, 200, 400, 500, 500]);
        // The largest number is the whole wait, but for a nanosecond.
        assert_eq!(
            waits(ms(100), ms(1_000), u64::MAX, 6),
            [99, 199, 399, 799, 999, 999]
        );
    }

    #[test]
    fn a_wait_is_between_half_and_whole_and_chance_decides() {
        let mut backoff = Backoff::new(Waits::new(ms(1_000), ms(1_000)));
        let drawn = [0, 1 << 62, 1 << 63, 3 << 62].map(|random| backoff.next(random));
        assert_eq!(drawn, [ms(500), ms(625), ms(750), ms(875)]);
    }

    #[test]
    fn success_begins_anew() {
        let mut backoff = Backoff::new(Waits::new(ms(100), ms(1_000)));
        let first = backoff.next(7);
        assert!(backoff.next(7) > first);
        backoff.reset();
        assert_eq!(backoff.next(7), first);
    }

    #[test]
    fn extremes_do_no_harm() {
        assert_eq!(waits(ms(0), ms(0), u64::MAX, 3), [0, 0, 0]);
        assert_eq!(
            waits(ms(0), ms(1_000), u64::MAX, 3),
            [0, 0, 0],
            "nothing doubled is nothing"
        );
        // A first wait above the last one is the last one.
        assert_eq!(waits(ms(900), ms(100), 0, 2), [50, 50]);
        let mut backoff = Backoff::new(Waits::new(Duration::MAX, Duration::MAX));
        assert_eq!(backoff.next(0), Duration::MAX / 2);
        assert!(backoff.next(u64::MAX) <= Duration::MAX);
    }
}
