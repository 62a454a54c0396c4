//! Fetching for all queries of a shard: one call, and what each partition's failure means to its own readers only.

use super::{BACKOFF, Runner};
use crate::query::{Parking, TopicInput};
use crate::streams::{StreamFetch, StreamsError};
use millstream_columns::RowError;
use millstream_model::{Offset, PartitionIndex, TimestampMs, TopicName, Waits};
use std::time::{Duration, Instant};

/// The wait when the log has news but no records yet.
const NOTHING_YET: Duration = Duration::from_millis(5);

/// A query's place among the shard's, and what it wants of one partition.
struct Wanted {
    query: usize,
    partition: u32,
    offset: Offset,
}

impl Runner {
    /// One fetch for all queries. `Ok(true)`: it brought something. `Err`: wait a little.
    pub(super) async fn fetch(&mut self) -> Result<bool, Duration> {
        let wanted = self.wanted();
        if wanted.is_empty() {
            return Ok(false);
        }
        let request = |wanted: &Wanted| StreamFetch {
            topic: self.core.queries[wanted.query].topic.clone(),
            partition: PartitionIndex(wanted.partition),
            offset: wanted.offset,
            bytes_max: self.settings.fetch_bytes,
        };
        let requests: Vec<StreamFetch> = wanted.iter().map(request).collect();
        let answers = self.streams.fetch(&requests).await;
        let (mut further, mut failed) = (false, Vec::new());
        for (wanted, answer) in wanted.into_iter().zip(answers) {
            let answer = answer.map(|mut answer| {
                let topic = &self.core.queries[wanted.query].topic;
                self.core
                    .pass_over(topic, PartitionIndex(wanted.partition), &mut answer);
                answer
            });
            let query = &mut self.core.queries[wanted.query];
            match answer {
                Ok(answer) => further |= query.accept(wanted.partition, wanted.offset, answer),
                Err(error) => failed.push((wanted, error)),
            }
        }
        let held = failed.len();
        for (wanted, error) in failed {
            self.fetch_failed(&wanted, error).await;
        }
        match further {
            true => Ok(true),
            false if held > 0 => Ok(false),
            false => Err(NOTHING_YET),
        }
    }

    /// What all queries want. An answer is bounded: each fetch begins with another partition, so that none is always
    /// among those for which no room is left.
    fn wanted(&mut self) -> Vec<Wanted> {
        let mut wanted: Vec<Wanted> = Vec::new();
        for (query, running) in self.core.queries.iter().enumerate() {
            if (self.stuck || self.core.is_committing()) && running.is_persistent() {
                continue;
            }
            let all = running.wants().into_iter();
            wanted.extend(all.map(|(partition, offset)| Wanted {
                query,
                partition,
                offset,
            }));
        }
        self.fetches = self.fetches.wrapping_add(1);
        let first = self.fetches % wanted.len().max(1);
        wanted.rotate_left(first);
        wanted
    }

    /// Only those who read the partition wait for it.
    async fn fetch_failed(&mut self, wanted: &Wanted, error: StreamsError) {
        match &error {
            StreamsError::UnknownTopic { topic } => self.topic_is_gone(topic),
            StreamsError::OffsetOutOfRange {
                topic,
                partition,
                offset,
                start,
                end,
            } => {
                if offset > end {
                    // Perhaps it is another topic of the same name.
                    self.check_topics().await;
                }
                self.skip_to(
                    topic,
                    *partition,
                    *offset,
                    (*offset).clamp(*start, (*end).max(*start)),
                );
            }
            StreamsError::Damaged { .. } => self.cannot_pass(wanted, &error),
            other => {
                let query = &mut self.core.queries[wanted.query];
                let (id, topic, partition) = (&query.id, &query.topic, wanted.partition);
                tracing::warn!(query = %id, "{topic}-{partition} cannot be read now: {other}");
                query.hold(partition, wanted.offset, BACKOFF);
            }
        }
    }

    /// The log cannot be read past here. What precedes is processed and committed first, then the query waits, and says
    /// why, until somebody has repaired the log: a fetch follows each commit before anything else is processed.
    fn cannot_pass(&mut self, wanted: &Wanted, error: &StreamsError) {
        let query = &mut self.core.queries[wanted.query];
        let here = |input: &&TopicInput| input.partition.0 == wanted.partition;
        let input = query.inputs().find(here);
        if input.is_some_and(|input| !input.queue.is_empty()) {
            query.hold(
                wanted.partition,
                wanted.offset,
                Waits::new(BACKOFF.first, BACKOFF.first),
            );
            return;
        }
        if query.is_persistent() && query.dirty {
            self.commit_at = Some(Instant::now());
            return;
        }
        query.park(error.to_string(), Parking::AWhile);
        self.watch();
        self.publish();
    }

    /// Retention has passed queries by: they go on with what is there, and say so.
    fn skip_to(&mut self, topic: &TopicName, partition: PartitionIndex, from: Offset, to: Offset) {
        let here = |input: &&mut TopicInput| input.partition == partition && input.fetched == from;
        let readers = self.core.queries.iter_mut();
        for query in readers.filter(|query| query.topic == *topic && !query.frozen) {
            let Some(input) = query.inputs_mut().find(here) else {
                continue;
            };
            input.queue.clear();
            (input.fetched, input.position) = (to, to);
            query.dirty |= query.is_persistent();
            let message =
                format!("partition {partition}: offset {from} is not there any more, going on at {to}");
            query.log(vec![RowError::new(TimestampMs::now(), message)]);
        }
    }
}
