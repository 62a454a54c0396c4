//! How many rows a task takes at once: as many as it handles in a small part of a turn, whatever its expressions cost.

use millstream_model::limits::SQL_TURN_MS_MAX;
use std::time::{Duration, Instant};

/// A turn of a task ends when it has taken this long.
pub(crate) const TURN_MAX: Duration = Duration::from_millis(SQL_TURN_MS_MAX);

/// The first rows of a query: nothing is known of its costs yet, and one row may take long.
const FIRST_ROWS: usize = 1;

/// By what a turn is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnClock {
    Real,
    /// Nothing takes any time: a simulated run is the same each time.
    Stopped,
}

impl TurnClock {
    pub(crate) fn since(self, began: Instant) -> Duration {
        match self {
            Self::Real => began.elapsed(),
            Self::Stopped => Duration::ZERO,
        }
    }
}

/// Rows at once, found by trying.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    rows: usize,
    rows_max: usize,
}

impl Pace {
    /// Never more than `rows_max`.
    pub(crate) fn new(rows_max: usize) -> Self {
        Self {
            rows: FIRST_ROWS.min(rows_max).max(1),
            rows_max: rows_max.max(1),
        }
    }

    /// Rows to take next, of at most `wanted`.
    pub(crate) fn rows(&self, wanted: usize) -> usize {
        self.rows.min(wanted)
    }

    /// So many rows took so long.
    pub(crate) fn took(&mut self, rows: usize, time: Duration) {
        if time > TURN_MAX {
            self.rows = (rows / 2).max(1);
        } else if rows >= self.rows && time < TURN_MAX / 4 {
            self.rows = self.rows.saturating_mul(2).min(self.rows_max);
        }
    }

    /// So many rows were too much to be handled at all.
    pub(crate) fn refused(&mut self, rows: usize) {
        self.rows = (rows / 8).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, TURN_MAX};
    use std::time::Duration;

    #[test]
    fn light_rows_are_taken_in_ever_larger_numbers_and_heavy_ones_alone() {
        let mut pace = Pace::new(4096);
        assert_eq!((pace.rows(4096), pace.rows(0)), (1, 0));
        for _ in 0..20 {
            let rows = pace.rows(4096);
            pace.took(rows, Duration::ZERO);
        }
        assert_eq!(pace.rows(usize::MAX), 4096);
        // Fewer rows than it would take say nothing.
        pace.refused(4096);
        assert_eq!(pace.rows(4096), 512);
        pace.took(3, Duration::ZERO);
        assert_eq!(pace.rows(4096), 512);
        for _ in 0..20 {
            let rows = pace.rows(4096);
            pace.took(rows, TURN_MAX * 2);
        }
        assert_eq!(pace.rows(4096), 1);
        assert_eq!(Pace::new(0).rows(9), 1);
    }
}
