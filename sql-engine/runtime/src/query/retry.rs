//! When a parked query is tried again: after waits that double up to a last one, for as long as it takes.

use std::time::{Duration, Instant};

/// Whether what stopped a query may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parking {
    /// A topic or the store may come back, a quota may be raised.
    ForAWhile,
    /// The same would happen again: its plan, its stored state or one of its rows is at fault.
    ForGood,
}

/// The waits between two tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryWaits {
    /// The first.
    pub first: Duration,
    /// What it doubles up to.
    pub last: Duration,
}

impl RetryWaits {
    /// The wait before a try, counted from 0.
    fn before(self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.last)
    }
}

/// What a query remembers of its tries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    waits: RetryWaits,
    attempts: u32,
    at: Option<Instant>,
}

impl Retry {
    pub(crate) fn new(waits: RetryWaits) -> Self {
        Self {
            waits,
            attempts: 0,
            at: None,
        }
    }

    /// It was parked, for the first time or once more.
    pub(crate) fn parked(&mut self, parking: Parking, now: Instant) {
        self.at = match parking {
            Parking::ForGood => None,
            Parking::ForAWhile => {
                let wait = self.waits.before(self.attempts);
                self.attempts = self.attempts.saturating_add(1);
                now.checked_add(wait)
            }
        };
    }

    /// It is tried now.
    pub(crate) fn tried(&mut self) {
        self.at = None;
    }

    /// What it was parked for has passed.
    pub(crate) fn is_due(&mut self, now: Instant) {
        self.at = Some(now);
    }

    /// It has committed: the next fault is a new one.
    pub(crate) fn recovered(&mut self) {
        self.attempts = 0;
    }

    /// When it is tried, if it is parked for a while.
    pub(crate) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// How long until then.
    pub(crate) fn next_in(&self, now: Instant) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::{Parking, Retry, RetryWaits};
    use std::time::{Duration, Instant};

    const WAITS: RetryWaits = RetryWaits {
        first: Duration::from_secs(1),
        last: Duration::from_secs(60),
    };

    #[test]
    fn waits_double_up_to_the_last() {
        let seconds = |attempt| WAITS.before(attempt).as_secs();
        assert_eq!(
            [0, 1, 2, 5, 6, 31, 32, u32::MAX].map(seconds),
            [1, 2, 4, 32, 60, 60, 60, 60]
        );
    }

    #[test]
    fn only_what_may_pass_is_tried_again_and_a_commit_ends_the_story() {
        let now = Instant::now();
        let mut retry = Retry::new(WAITS);
        assert_eq!(retry.next_in(now), None);
        let next = |retry: &mut Retry, parking| {
            retry.parked(parking, now);
            retry.next_in(now).map(|wait| wait.as_secs())
        };
        assert_eq!(next(&mut retry, Parking::ForAWhile), Some(1));
        assert_eq!(next(&mut retry, Parking::ForAWhile), Some(2));
        assert_eq!(next(&mut retry, Parking::ForGood), None);
        assert_eq!(next(&mut retry, Parking::ForAWhile), Some(4));
        retry.tried();
        assert_eq!(retry.next_in(now), None);
        retry.recovered();
        assert_eq!(next(&mut retry, Parking::ForAWhile), Some(1));
    }
}
