//! How long the steps of a quiet tenant's day take: alone, and beside others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Under attack a step may take so many times what it takes alone, …
const TIMES: u32 = 10;

/// … and so much more at the median: the attack itself runs on the same machine …
const MORE: Duration = Duration::from_millis(200);

/// … and at worst: so do other processes.
const MORE_AT_WORST: Duration = Duration::from_secs(2);

/// How long each step took, each time.
#[derive(Default)]
pub struct Times(BTreeMap<&'static str, Vec<Duration>>);

impl Times {
    /// A step that began then has ended.
    pub fn took(&mut self, step: &'static str, begun: Instant) {
        self.0.entry(step).or_default().push(begun.elapsed());
    }

    /// Takes over what another has measured.
    pub fn extend(&mut self, others: Times) {
        for (step, times) in others.0 {
            self.0.entry(step).or_default().extend(times);
        }
    }

    fn median_and_worst(&self, step: &str) -> (Duration, Duration) {
        let mut times = self.0.get(step).cloned().unwrap_or_default();
        times.sort();
        let median = times.get(times.len() / 2).copied();
        (
            median.unwrap_or_default(),
            times.last().copied().unwrap_or_default(),
        )
    }

    /// That every step keeps the time that it takes alone: its median beside that median, its worst beside that worst.
    pub fn assert_kept(&self, alone: &Times) {
        assert!(!self.0.is_empty(), "something was measured");
        let mut late = Vec::new();
        for (step, times) in &self.0 {
            let (median, worst) = self.median_and_worst(step);
            let (median_alone, worst_alone) = alone.median_and_worst(step);
            let line = format!(
                "{step}: {median:?} and {worst:?} at worst of {}, alone {median_alone:?} and {worst_alone:?}",
                times.len()
            );
            println!("{line}");
            if median > median_alone * TIMES + MORE || worst > worst_alone * TIMES + MORE_AT_WORST {
                late.push(line);
            }
        }
        assert!(late.is_empty(), "{}", late.join("\n"));
    }
}
