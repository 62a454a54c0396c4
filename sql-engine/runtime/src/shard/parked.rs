//! Queries that cannot go on: noticing that their topic is gone, and trying them again.

use super::Runner;
use super::enter::{Life, parking};
use crate::checkpoint;
use crate::error::ShardError;
use crate::query::{Parking, RunningQuery};
use futures::StreamExt;
use millstream_model::TopicName;
use millstream_state::StateWrite;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long the other queries wait while one is tried again, or its topic asked for.
const TRY_MAX: Duration = Duration::from_secs(2);

/// How many topics are looked at at once.
const LOOKS_AT_ONCE: usize = 16;

impl Runner {
    /// The log hung up, or is watched from now on. A topic that is gone ends the watch of all: its queries are parked, so that the others hear of
    /// theirs again.
    pub(super) async fn check_topics(&mut self) {
        let running = self.core.queries.iter().filter(|query| query.is_running());
        let topics: BTreeSet<TopicName> = running.map(|query| query.topic.clone()).collect();
        let streams = &self.streams;
        let look = |name: TopicName| async move {
            let found = timeout(TRY_MAX, streams.topic(&name)).await;
            (name, found)
        };
        let looks = futures::stream::iter(topics.into_iter().map(look));
        let found: Vec<_> = looks.buffer_unordered(LOOKS_AT_ONCE).collect().await;
        for (name, found) in found {
            let Ok(Ok(found)) = found else {
                continue;
            };
            let Some(found) = found else {
                self.topic_is_gone(&name);
                continue;
            };
            let is_another = |query: &RunningQuery| query.topic_id.is_some_and(|id| id != found.id);
            self.park_readers(
                &name,
                is_another,
                &format!("its topic '{name}' was deleted and made again"),
            );
        }
    }

    pub(super) fn topic_is_gone(&mut self, name: &TopicName) {
        self.park_readers(
            name,
            |_| true,
            &format!("its topic '{name}' does not exist any more"),
        );
    }

    fn park_readers(&mut self, name: &TopicName, which: impl Fn(&RunningQuery) -> bool, reason: &str) {
        let mut parked = false;
        let readers = self.core.queries.iter_mut().filter(|query| query.topic == *name);
        for query in readers.filter(|query| query.is_running() && which(query)) {
            query.park(reason.to_owned(), Parking::AWhile);
            parked = true;
        }
        if parked {
            self.ends.forget(name);
            self.watch();
            self.publish();
        }
    }

    /// Tries those whose time has come.
    pub(super) async fn retry_parked(&mut self) {
        let now = Instant::now();
        let due = |query: &RunningQuery| query.retry.at().is_some_and(|at| at <= now);
        let due: Vec<usize> = (0..self.core.queries.len())
            .filter(|at| due(&self.core.queries[*at]))
            .collect();
        for at in due {
            self.retry(at).await;
        }
    }

    /// Makes a parked query anew from its checkpoint; it takes the old one's place if it can run.
    async fn retry(&mut self, at: usize) {
        self.core.queries[at].retry.tried();
        let Some(spec) = self.core.queries[at].spec.clone() else {
            return;
        };
        self.meters.metrics.retries.inc();
        let built = RunningQuery::build(spec.as_ref().clone(), &self.settings, &self.meters.metrics);
        let outcome = match built {
            Err(error) => Err(ShardError::Query {
                reason: error.to_string(),
            }),
            Ok(mut query) => match timeout(TRY_MAX, self.bring(&mut query, &spec.start, Life::Tried)).await {
                Ok(Ok(())) => Ok(query),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(ShardError::Busy),
            },
        };
        match outcome {
            Ok(mut query) => {
                tracing::info!(query = %query.id, "query goes on");
                query.take_over(&mut self.core.queries[at]);
                if query.outgrew {
                    self.core.forget([StateWrite {
                        key: checkpoint::room_key(&query.id),
                        value: None,
                    }]);
                }
                self.core.queries[at] = query;
                self.admit(&spec.id);
                self.watch();
            }
            Err(error) => self.core.queries[at].park(error.to_string(), parking(&error)),
        }
        self.publish();
    }
}
