//! What the state of a tenant's queries takes: all of it is in memory, so it has a limit.

use super::Runner;
use crate::query::RunningQuery;
use crate::report::QueryReport;
use std::time::Instant;

impl Runner {
    /// What every query says of itself, and what all take.
    pub(super) fn reports(&self) -> Vec<QueryReport> {
        let total = self.core.queries.iter().map(RunningQuery::held_bytes).sum();
        let report = |query: &RunningQuery| QueryReport {
            tenant_state_bytes: total,
            ..query.report()
        };
        self.core.queries.iter().map(report).collect()
    }

    /// Parks the queries that grew when all together take more than they may; the others go on. One that was parked for
    /// that is tried again when there is room for what it held.
    pub(super) fn keep_within_limit(&mut self) {
        let bytes_max = self.settings.state_bytes_max;
        let mut total = 0;
        let mut grown: Vec<(usize, usize)> = Vec::new();
        for (at, query) in self.core.queries.iter_mut().enumerate() {
            let held = query.held_bytes();
            // One whose commit is under way stands still until that is known; its growth is seen then.
            if query.frozen {
                total += held;
                continue;
            }
            if held > query.held {
                grown.push((held - query.held, at));
            }
            query.held = held;
            total += held;
        }
        // Who grew most goes first: one that only counts on stays.
        grown.sort_unstable();
        let mut parked = false;
        while total > bytes_max
            && let Some((_, at)) = grown.pop()
        {
            let query = &mut self.core.queries[at];
            let held = query.held;
            query.evict(total, bytes_max);
            total -= held;
            parked = true;
        }
        if parked {
            self.watch();
            self.publish();
            return;
        }
        for query in &mut self.core.queries {
            let fits = |held: &mut usize| total.saturating_add(*held) <= bytes_max;
            if let Some(held) = query.evicted.take_if(fits) {
                total += held;
                query.retry.is_due(Instant::now());
            }
        }
    }
}
