//! What the state of a tenant's queries takes: all of it is in memory, so it has a limit.
//!
//! The limit counts what is committed once what has changed is, so that a changed value counts once. What is in memory
//! beside that until the commit, the overlays, has a budget of its own: beyond it the shard commits early, and its
//! persistent queries wait for that (sql.md 15). Together they bound the memory.

use super::Runner;
use crate::checkpoint;
use crate::query::RunningQuery;
use crate::report::QueryReport;
use millstream_model::limits::{SQL_OVERLAY_BYTES_MAX, SQL_OVERLAY_PART};
use millstream_state::StateWrite;
use std::time::Instant;

impl Runner {
    /// What every query says of itself, and what all take.
    pub(super) fn reports(&self) -> Vec<QueryReport> {
        let total = self.settled_bytes();
        let report = |query: &RunningQuery| QueryReport {
            tenant_state_bytes: total,
            ..query.report()
        };
        self.core.queries.iter().map(report).collect()
    }

    fn settled_bytes(&self) -> usize {
        self.core.queries.iter().map(RunningQuery::settled_bytes).sum()
    }

    fn overlay_bytes_max(&self) -> usize {
        SQL_OVERLAY_BYTES_MAX.min(self.settings.state_bytes_max / SQL_OVERLAY_PART)
    }

    /// Whether what a commit would fold has outgrown its budget.
    pub(super) fn is_overlay_full(&self) -> bool {
        let folds = |query: &&RunningQuery| query.is_persistent() && query.dirty;
        let queries = self.core.queries.iter().filter(folds);
        queries.map(RunningQuery::overlay_bytes).sum::<usize>() > self.overlay_bytes_max()
    }

    /// Parks the queries that grew when all together take more than they may; the others go on. One that was parked for
    /// that is tried again when there is room for what it would take.
    pub(super) fn keep_within_limit(&mut self) {
        self.fold_push_queries();
        let bytes_max = self.settings.state_bytes_max;
        let mut total = 0;
        let mut grown: Vec<(usize, usize)> = Vec::new();
        for (at, query) in self.core.queries.iter_mut().enumerate() {
            let settled = query.settled_bytes();
            total += settled;
            // One whose commit is under way stands still until that is known; its growth is seen then.
            if query.frozen {
                continue;
            }
            if settled > query.counted {
                grown.push((settled - query.counted, at));
            }
            query.counted = settled;
        }
        // Who grew most goes first: one that only counts on stays.
        grown.sort_unstable();
        let mut parked = false;
        while total > bytes_max
            && let Some((_, at)) = grown.pop()
        {
            total -= self.evict(at, total);
            parked = true;
        }
        if parked {
            self.watch();
            self.publish();
            return;
        }
        for query in &mut self.core.queries {
            let fits = |wanted: &mut usize| total.saturating_add(*wanted) <= bytes_max;
            if let Some(wanted) = query.evicted.take_if(fits) {
                total += wanted;
                query.retry.is_due(Instant::now());
            }
        }
    }

    /// A query has come in with the state that it had. Where that does not fit any more, those leave that had outgrown
    /// the limit before: one that has not grown is not parked in their place.
    pub(super) fn admit(&mut self, id: &str) {
        let Some(at) = self.core.queries.iter().position(|query| query.id == id) else {
            return;
        };
        let query = &mut self.core.queries[at];
        query.counted = query.settled_bytes();
        let mut leave = vec![at];
        if !query.outgrew {
            let outgrew =
                |(_, query): &(usize, &RunningQuery)| query.outgrew && query.is_running() && !query.frozen;
            let others = self.core.queries.iter().enumerate().filter(outgrew);
            leave.extend(others.map(|(at, _)| at));
        }
        let mut total = self.settled_bytes();
        while total > self.settings.state_bytes_max
            && let Some(at) = leave.pop()
        {
            if self.core.queries[at].is_running() {
                total -= self.evict(at, total);
            }
        }
    }

    /// Parks one and gives up what it holds; says how much that was. It is noted beside the next commit: a restart must
    /// not find room for it that others have taken since, and those take it by commits.
    fn evict(&mut self, at: usize, total: usize) -> usize {
        let query = &mut self.core.queries[at];
        let wanted = query.settled_bytes();
        query.evict(total, self.settings.state_bytes_max);
        if query.is_persistent() {
            let note = StateWrite {
                key: checkpoint::room_key(&query.id),
                value: Some(checkpoint::room_value(wanted)),
            };
            self.core.forget([note]);
        }
        wanted
    }

    /// What a push query has changed is never committed. It needs not be in memory twice.
    fn fold_push_queries(&mut self) {
        let overlays = self.core.queries.iter().map(RunningQuery::overlay_bytes);
        if overlays.sum::<usize>() <= self.overlay_bytes_max() {
            return;
        }
        for query in self
            .core
            .queries
            .iter_mut()
            .filter(|query| !query.is_persistent())
        {
            query.fold_state();
        }
    }
}
