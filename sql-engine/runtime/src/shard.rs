//! The owner of a shard: one loop that takes commands, fetches, gives every query a turn, and commits.

mod commands;

use crate::commit::{self, CommitError, Unwritten};
use crate::ends::Ends;
use crate::handle::{PullRequest, PulledRows, ShardError, ShardSettings};
use crate::query::{End, PushEnd, PushItem, QuerySpec, RunningQuery};
use crate::report::{QueryReport, QueryState};
use crate::streams::{StreamFetch, Streams, StreamsError};
use millstream_model::{Offset, PartitionIndex};
use millstream_state::Cold;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};

/// The first wait after something outside failed; it doubles up to the last.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_LAST: Duration = Duration::from_secs(5);

/// The wait when the log has news but no records yet.
const NOTHING_YET: Duration = Duration::from_millis(5);

/// The wait when a push query's client must take rows first.
const CLIENT_FULL: Duration = Duration::from_millis(20);

type Reply<T> = oneshot::Sender<Result<T, ShardError>>;

/// What the owner is asked to do, between two turns.
pub(crate) enum Command {
    Start {
        spec: Box<QuerySpec>,
        reply: Reply<()>,
    },
    Remove {
        id: String,
        reply: Reply<()>,
    },
    Retain {
        ids: Vec<String>,
        reply: Reply<()>,
    },
    Pull {
        request: PullRequest,
        reply: Reply<PulledRows>,
    },
    Report {
        reply: oneshot::Sender<Vec<QueryReport>>,
    },
    Commit {
        reply: Reply<()>,
    },
    Stop {
        reply: Reply<()>,
    },
}

pub(crate) struct Runner {
    settings: ShardSettings,
    streams: Arc<dyn Streams>,
    cold: Cold,
    commands: mpsc::Receiver<Command>,
    queries: Vec<RunningQuery>,
    unwritten: Unwritten,
    ends: Ends,
    news: Arc<Notify>,
    /// When the oldest uncommitted change was made: the commit clock runs from there.
    dirty_since: Option<Instant>,
    commits: u64,
    backoff: Duration,
    /// Nothing is fetched or committed before this moment.
    wait_until: Option<Instant>,
}

/// What a turn of the loop found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Moved,
    /// There is more, but not now.
    Soon(Duration),
    Idle,
}

impl Runner {
    pub(crate) fn new(
        settings: ShardSettings,
        streams: Arc<dyn Streams>,
        cold: Cold,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let news = Arc::new(Notify::new());
        Self {
            ends: Ends::new(streams.clone(), news.clone()),
            settings,
            streams,
            cold,
            commands,
            queries: Vec::new(),
            unwritten: Unwritten::default(),
            news,
            dirty_since: None,
            commits: 0,
            backoff: BACKOFF_FIRST,
            wait_until: None,
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            while let Ok(command) = self.commands.try_recv() {
                if let Some(reply) = self.obey(command).await {
                    self.stop(reply).await;
                    return;
                }
            }
            if self.commands.is_closed() && self.commands.is_empty() {
                let (reply, _) = oneshot::channel();
                self.stop(reply).await;
                return;
            }
            let turn = self.turn().await;
            self.sweep();
            if self.is_commit_due() && matches!(self.commit().await, Err(CommitError::Fenced)) {
                return self.fenced();
            }
            if turn != Turn::Moved
                && let Some(reply) = self.rest(turn).await
            {
                self.stop(reply).await;
                return;
            }
            // A turn never waits for anything when data is at hand: let others of this runtime run.
            tokio::task::yield_now().await;
        }
    }

    /// Waits for a command, news of the log, or the commit clock.
    async fn rest(&mut self, turn: Turn) -> Option<Reply<()>> {
        let now = Instant::now();
        let commit_at = self
            .dirty_since
            .map(|since| since + self.settings.commit_interval);
        let commit_at = commit_at.map(|at| self.wait_until.map_or(at, |until| until.max(at)));
        let soon = match turn {
            Turn::Soon(wait) => Some(now + wait),
            _ => None,
        };
        let retry = self.wait_until.filter(|until| *until > now);
        let wake = [commit_at, soon, retry].into_iter().flatten().min();
        let timer = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = self.commands.recv() => match command {
                Some(command) => self.obey(command).await,
                // All handles are gone: the loop's head stops.
                None => None,
            },
            () = self.news.notified() => None,
            () = timer => None,
        }
    }

    /// Fetches what is wanted and gives every query its turn.
    async fn turn(&mut self) -> Turn {
        self.spread_ends();
        let fetched = match self.wait_until {
            Some(until) if until > Instant::now() => Ok(false),
            _ => self.fetch().await,
        };
        let mut outcome = Turn::Idle;
        match fetched {
            Ok(true) => outcome = Turn::Moved,
            Ok(false) => {}
            Err(wait) => outcome = Turn::Soon(wait),
        }
        let rows_max = self.settings.turn_rows;
        let mut waiting = false;
        for query in &mut self.queries {
            // A panic is a bug of ours; it must not take the tenant's other queries down.
            match catch_unwind(AssertUnwindSafe(|| query.turn(rows_max))) {
                Ok(Ok(0)) => waiting |= query.is_running() && !query.is_idle(),
                Ok(Ok(_)) => outcome = Turn::Moved,
                Ok(Err(error)) => query.park(format!("it cannot go on: {error}")),
                Err(_) => query
                    .park("it failed in a way that it should not; this is a bug of Millstream".to_owned()),
            }
            if query.is_persistent() && query.dirty && self.dirty_since.is_none() {
                self.dirty_since = Some(Instant::now());
            }
        }
        if outcome == Turn::Idle && waiting {
            outcome = Turn::Soon(CLIENT_FULL);
        }
        outcome
    }

    /// Tells every query what is known of its partitions' ends, all as of one moment.
    fn spread_ends(&mut self) {
        let queries = &mut self.queries;
        self.ends.with(|known| {
            for query in queries.iter_mut() {
                let topic = query.topic.clone();
                for input in query.inputs_mut() {
                    if let Some(end) = known.get(&(topic.clone(), input.partition)) {
                        input.end = Some(input.end.map_or(*end, |old| old.max(*end)));
                    }
                }
            }
        });
    }

    /// One fetch for all queries. `Ok(true)`: records came. `Err`: wait a little.
    async fn fetch(&mut self) -> Result<bool, Duration> {
        let mut wanted: Vec<(usize, u32, Offset)> = Vec::new();
        for (index, query) in self.queries.iter().enumerate() {
            wanted.extend(
                query
                    .wants()
                    .into_iter()
                    .map(|(partition, offset)| (index, partition, offset)),
            );
        }
        if wanted.is_empty() {
            return Ok(false);
        }
        let request = |(index, partition, offset): &(usize, u32, Offset)| StreamFetch {
            topic: self.queries[*index].topic.clone(),
            partition: PartitionIndex(*partition),
            offset: *offset,
            bytes_max: self.settings.fetch_bytes,
        };
        let requests: Vec<StreamFetch> = wanted.iter().map(request).collect();
        let answers = match self.streams.fetch(&requests).await {
            Ok(answers) => answers,
            Err(error) => return Err(self.fetch_failed(error).await),
        };
        self.backoff = BACKOFF_FIRST;
        let mut any = false;
        for ((index, partition, offset), answer) in wanted.into_iter().zip(answers) {
            any |= !answer.records.is_empty();
            self.queries[index].accept(partition, offset, answer.records, answer.end);
        }
        if any { Ok(true) } else { Err(NOTHING_YET) }
    }

    async fn fetch_failed(&mut self, error: StreamsError) -> Duration {
        match &error {
            StreamsError::UnknownTopic { topic } => {
                for query in self
                    .queries
                    .iter_mut()
                    .filter(|q| q.topic == *topic && q.is_running())
                {
                    query.park(format!("its topic '{topic}' does not exist any more"));
                }
                Duration::ZERO
            }
            StreamsError::OffsetOutOfRange {
                topic,
                partition,
                offset,
                start,
                end,
            } => {
                // Retention has passed the query by: it goes on with what is there, and says so.
                let to = (*offset).clamp(*start, (*end).max(*start));
                for query in self.queries.iter_mut().filter(|q| q.topic == *topic) {
                    let moved = query.inputs_mut().any(|input| {
                        let here = input.partition == *partition && input.fetched == *offset;
                        if here {
                            input.queue.clear();
                            (input.fetched, input.position) = (to, to);
                        }
                        here
                    });
                    if moved {
                        tracing::warn!(query = %query.id, %topic, %partition, "offset {offset} is gone, going on at {to}");
                    }
                }
                Duration::ZERO
            }
            other => self.back_off(&other.to_string()),
        }
    }

    fn back_off(&mut self, reason: &str) -> Duration {
        tracing::warn!("the shard waits {:?}: {reason}", self.backoff);
        let wait = self.backoff;
        self.wait_until = Some(Instant::now() + wait);
        self.backoff = (wait * 2).min(BACKOFF_LAST);
        wait
    }

    /// Removes push queries that have ended, and watches what is still read.
    fn sweep(&mut self) {
        let before = self.queries.len();
        self.queries
            .retain(|query| query.is_persistent() || !query.finished);
        if self.queries.len() != before {
            self.watch();
        }
    }

    fn watch(&mut self) {
        let running = self.queries.iter().filter(|query| query.is_running());
        let partitions = running
            .flat_map(|query| query.inputs().map(|input| (query.topic.clone(), input.partition)))
            .collect();
        self.ends.watch(partitions);
    }

    fn is_commit_due(&self) -> bool {
        let Some(since) = self.dirty_since else {
            return false;
        };
        if self.wait_until.is_some_and(|until| until > Instant::now()) {
            return false;
        }
        let rows: usize = self.queries.iter().map(|query| query.uncommitted_rows).sum();
        since.elapsed() >= self.settings.commit_interval || rows >= self.settings.commit_rows
    }

    async fn commit(&mut self) -> Result<(), CommitError> {
        let streams = self.streams.clone();
        let written =
            commit::write_results(streams.as_ref(), self.queries.iter_mut(), &mut self.unwritten).await;
        let outcome = match written {
            Ok(failed) => {
                for (id, reason) in failed {
                    if let Some(query) = self.queries.iter_mut().find(|query| query.id == id) {
                        query.park(format!("its results cannot be written: {reason}"));
                    }
                }
                commit::checkpoint(&self.cold, &mut self.queries).await
            }
            Err(error) => Err(error),
        };
        match &outcome {
            Ok(()) => {
                self.dirty_since = None;
                self.commits += 1;
                self.backoff = BACKOFF_FIRST;
            }
            Err(CommitError::Later(reason)) => {
                self.back_off(reason);
            }
            Err(CommitError::Fenced) => {}
        }
        outcome
    }

    async fn stop(mut self, reply: Reply<()>) {
        let outcome = self.commit().await.map_err(of_commit);
        for query in &self.queries {
            if let End::Push { sink, .. } = &query.end {
                let _ = sink.sender.try_send(PushItem::End(PushEnd::Stopped));
            }
        }
        let closed = self.cold.close().await.map_err(ShardError::from);
        let _ = reply.send(outcome.and(closed));
    }

    /// Another process owns the shard: nothing more is written.
    fn fenced(self) {
        tracing::warn!("another process has taken over this shard; its queries stop here");
        for query in &self.queries {
            if let (End::Push { sink, .. }, QueryState::Running) = (&query.end, &query.state) {
                let _ = sink.sender.try_send(PushItem::End(PushEnd::Stopped));
            }
        }
    }
}

fn of_commit(error: CommitError) -> ShardError {
    match error {
        CommitError::Fenced => ShardError::Stopped,
        CommitError::Later(reason) => ShardError::State { reason },
    }
}
