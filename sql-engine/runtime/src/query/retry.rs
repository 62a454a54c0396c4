//! When a parked query is tried again: after waits that grow up to a last one, for as long as it takes.

use millstream_model::{Backoff, Waits};
use std::time::{Duration, Instant};

/// Whether what stopped a query may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parking {
    /// A topic or the store may come back, a quota may be raised.
    AWhile,
    /// Its tenant's state would take too much: others may leave, and say when.
    UntilRoom,
    /// The same would happen again: its plan, its stored state or one of its rows is at fault.
    Forever,
}

/// What a query remembers of its tries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    backoff: Backoff,
    at: Option<Instant>,
    /// Not before this moment, when what it waits for has passed.
    not_before: Option<Instant>,
}

impl Retry {
    pub(crate) fn new(waits: Waits) -> Self {
        Self {
            backoff: Backoff::new(waits),
            at: None,
            not_before: None,
        }
    }

    /// It was parked, for the first time or once more.
    pub(crate) fn parked(&mut self, parking: Parking, now: Instant, random: u64) {
        (self.at, self.not_before) = match parking {
            Parking::Forever => (None, None),
            Parking::AWhile => (now.checked_add(self.backoff.next(random)), None),
            Parking::UntilRoom => (None, now.checked_add(self.backoff.next(random))),
        };
    }

    /// It is tried now.
    pub(crate) fn tried(&mut self) {
        self.at = None;
    }

    /// What it was parked for has passed: it is tried now, if it has waited as long as it must.
    pub(crate) fn is_due(&mut self, now: Instant) {
        self.at = Some(self.not_before.map_or(now, |at| at.max(now)));
    }

    /// It waits for room since the shard's last life: others come in first.
    pub(crate) fn come_last(&mut self, now: Instant) {
        self.not_before = now.checked_add(self.backoff.waits().last);
    }

    /// It has committed: the next fault is a new one.
    pub(crate) fn recovered(&mut self) {
        self.backoff.reset();
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
    use super::{Parking, Retry};
    use crate::settings::ShardSettings;
    use millstream_model::Waits;
    use std::time::{Duration, Instant};

    #[test]
    fn only_what_may_pass_is_tried_again_and_a_commit_ends_the_story() {
        let now = Instant::now();
        let mut retry = Retry::new(Waits::new(Duration::from_secs(2), Duration::from_secs(60)));
        assert_eq!(retry.next_in(now), None);
        let next = |retry: &mut Retry, parking| {
            retry.parked(parking, now, 0);
            retry.next_in(now).map(|wait| wait.as_secs())
        };
        assert_eq!(next(&mut retry, Parking::AWhile), Some(1));
        assert_eq!(next(&mut retry, Parking::AWhile), Some(2));
        assert_eq!(next(&mut retry, Parking::Forever), None);
        assert_eq!(next(&mut retry, Parking::AWhile), Some(4));
        retry.tried();
        assert_eq!(retry.next_in(now), None);
        retry.recovered();
        assert_eq!(next(&mut retry, Parking::AWhile), Some(1));
        // Who waits for room is tried when there is some, and not at once again and again.
        assert_eq!(next(&mut retry, Parking::UntilRoom), None);
        retry.is_due(now);
        assert_eq!(retry.next_in(now), Some(Duration::from_secs(2)));
        retry.is_due(now + Duration::from_secs(9));
        assert_eq!(retry.next_in(now), Some(Duration::from_secs(9)));
    }

    /// README: "is tried again within 1 s, 2 s, 4 s, at last within a minute".
    #[test]
    fn what_may_pass_is_tried_again_as_readme_says() {
        let readme = include_str!("../../../../README.md")
            .split_whitespace()
            .collect::<Vec<_>>();
        let said = "is tried again within 1 s, 2 s, 4 s, at last within a minute";
        assert!(readme.join(" ").contains(said));
        let (now, mut retry) = (Instant::now(), Retry::new(ShardSettings::default().retry));
        for most_s in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            // The largest number that can be drawn is the longest wait.
            retry.parked(Parking::AWhile, now, u64::MAX);
            let wait = retry.next_in(now).unwrap();
            let most = Duration::from_secs(most_s);
            assert!(wait <= most && wait > most / 2, "{wait:?} of {most:?}");
        }
    }
}
