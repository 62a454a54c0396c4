//! How long the journal lasts without the object store, at the rate of late: its capacity in hours (log.md 10).

use millstream_journal::Space;

/// The rate of late is that of about so long, ms.
const WINDOW_MS: f64 = 60_000.0;

/// Rates over less time than this say nothing, ms.
const STEP_MS_MIN: u64 = 500;

/// Of the capacity, what is filled before producers are refused.
const USABLE: f64 = 0.95;

/// A year: with hardly any writes there is no end.
const HOURS_MAX: f64 = 8760.0;

const MS_PER_HOUR: f64 = 3_600_000.0;

/// The rate at which bytes come in.
#[derive(Debug, Default)]
pub(crate) struct Endurance {
    seen: Option<(u64, u64)>,
    bytes_per_ms: f64,
}

impl Endurance {
    /// So many bytes have come in all, by a clock that only goes forward.
    pub(crate) fn observe(&mut self, now_ms: u64, bytes: u64) {
        let Some((then_ms, before)) = self.seen else {
            self.seen = Some((now_ms, bytes));
            return;
        };
        let step_ms = now_ms.saturating_sub(then_ms);
        if step_ms < STEP_MS_MIN {
            return;
        }
        self.seen = Some((now_ms, bytes));
        let rate = bytes.saturating_sub(before) as f64 / step_ms as f64;
        let weight = 1.0 - (-(step_ms as f64) / WINDOW_MS).exp();
        self.bytes_per_ms += (rate - self.bytes_per_ms) * weight;
    }

    /// How long the free part of the journal lasts.
    pub(crate) fn hours(&self, space: &Space) -> f64 {
        let free = space.capacity as f64 * USABLE - space.used as f64;
        if free <= 0.0 {
            return 0.0;
        }
        if free < self.bytes_per_ms * HOURS_MAX * MS_PER_HOUR {
            free / self.bytes_per_ms / MS_PER_HOUR
        } else {
            HOURS_MAX
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_journal::Level;

    #[test]
    fn hours_follow_the_rate_and_the_room() {
        let space = |used| Space {
            capacity: 100 << 30,
            used,
            oldest: None,
            level: Level::Normal,
            disk_full: false,
        };
        let mut endurance = Endurance::default();
        assert_eq!(endurance.hours(&space(0)), HOURS_MAX, "nothing is written");
        assert_eq!(endurance.hours(&space(100 << 30)), 0.0, "but there is no room");
        // 1 MiB a second for ten minutes.
        for second in 0..600u64 {
            endurance.observe(second * 1000, second << 20);
        }
        let hours = endurance.hours(&space(0));
        let exact = 95.0 * 1024.0 / 3600.0;
        assert!((hours / exact - 1.0).abs() < 0.01, "{hours} instead of {exact}");
        assert!(endurance.hours(&space(50 << 30)) < hours / 2.0);
        assert_eq!(endurance.hours(&space(96 << 30)), 0.0);
        // An hour's rest.
        endurance.observe(4_200_000, 599 << 20);
        assert!(endurance.hours(&space(0)) > 100.0 * hours);
    }
}
