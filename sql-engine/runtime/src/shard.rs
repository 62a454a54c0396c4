//! The owner of a shard: one loop that takes commands, fetches, gives every query a turn, and commits.

mod commands;
mod commit;
mod enter;
mod fetch;
mod open;
mod parked;
mod room;

use crate::ends::Ends;
use crate::error::ShardError;
use crate::planted::PlantedCore;
use crate::processing_log::ProcessingLog;
use crate::pull::{PullRequest, PulledRows};
use crate::query::{End, Parking, PushEnd, PushItem, QuerySpec, RunningQuery};
use crate::report::QueryReport;
use crate::settings::{Meters, ShardSettings};
use crate::shard_core::ShardCore;
use crate::streams::{StreamWriter, Streams};
use commit::{CommitError, Happened};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use millstream_model::{Backoff, Waits};
pub(crate) use open::StateStore;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};

/// The first wait after something outside failed; it doubles up to the last.
const BACKOFF: Waits = Waits::new(Duration::from_millis(50), Duration::from_secs(5));

/// The wait when a push query's client must take rows first.
const CLIENT_FULL: Duration = Duration::from_millis(20);

/// What the queries have counted is shown this often at most while there is work, and after each commit.
const PUBLISH_AFTER: Duration = Duration::from_secs(1);

type Reply<T> = oneshot::Sender<Result<T, ShardError>>;

/// What the owner is asked to do, between two turns.
pub(crate) enum Command {
    Start {
        spec: Box<QuerySpec>,
        reply: Reply<()>,
    },
    Resume {
        spec: Box<QuerySpec>,
        reply: Reply<()>,
    },
    Remove {
        id: String,
        reply: Reply<()>,
    },
    Leave {
        id: String,
        reply: oneshot::Sender<()>,
    },
    RemoveAllBut {
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
    StopIfIdle {
        /// Set before the reply: whoever asked may have stopped waiting.
        idle: Arc<AtomicBool>,
        reply: Reply<bool>,
    },
}

/// Who is told that the shard has stopped.
enum Ending {
    Stop(Reply<()>),
    Idle(Arc<AtomicBool>, Reply<bool>),
    /// All handles are gone.
    Alone,
}

pub(crate) struct Runner {
    settings: ShardSettings,
    streams: Arc<dyn Streams>,
    state: StateStore,
    commands: mpsc::Receiver<Command>,
    /// Commands that came while a commit was waited for.
    deferred: VecDeque<Command>,
    core: ShardCore,
    writer: Option<Arc<dyn StreamWriter>>,
    /// Away while it is written.
    log: Option<ProcessingLog>,
    /// What is under way: the next step of a commit, a flush, a trim.
    under_way: FuturesUnordered<BoxFuture<'static, Happened>>,
    /// What became of the last commit, until somebody asks.
    outcome: Option<Result<(), CommitError>>,
    /// When the commit that is under way began.
    commit_began: Instant,
    /// Another process owns the shard.
    fenced: bool,
    /// The database is open and was last used then.
    quiet_since: Option<Instant>,
    born: Instant,
    ends: Ends,
    news: Arc<Notify>,
    /// When what is uncommitted must be committed.
    commit_at: Option<Instant>,
    /// The last commit failed: persistent queries read nothing more until one succeeds.
    stuck: bool,
    /// Counts fetches: each begins with another partition.
    fetches: usize,
    backoff: Backoff,
    /// Nothing is fetched or committed before this moment.
    wait_until: Option<Instant>,
    meters: Meters,
    published: Instant,
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
        state: StateStore,
        commands: mpsc::Receiver<Command>,
        meters: Meters,
    ) -> Self {
        let news = Arc::new(Notify::new());
        Self {
            ends: Ends::new(streams.clone(), news.clone()),
            settings,
            streams,
            state,
            commands,
            deferred: VecDeque::new(),
            core: ShardCore::new(PlantedCore::default()),
            writer: None,
            log: Some(ProcessingLog::new()),
            under_way: FuturesUnordered::new(),
            outcome: None,
            commit_began: Instant::now(),
            fenced: false,
            quiet_since: None,
            born: Instant::now(),
            news,
            commit_at: None,
            stuck: false,
            fetches: 0,
            backoff: Backoff::new(BACKOFF),
            wait_until: None,
            meters,
            published: Instant::now(),
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            while let Some(command) = self.next_command() {
                if let Some(ending) = self.obey(command).await {
                    return self.stop(ending).await;
                }
            }
            if self.commands.is_closed() && self.commands.is_empty() {
                return self.stop(Ending::Alone).await;
            }
            let turn = self.turn().await;
            self.sweep();
            if self.is_commit_due() {
                self.begin_commit();
            }
            self.tick();
            self.take_what_happened();
            if self.fenced {
                return self.end_fenced();
            }
            if turn != Turn::Moved
                && let Some(ending) = self.rest(turn).await
            {
                return self.stop(ending).await;
            }
            // A turn never waits for anything when data is at hand: let others of this runtime run.
            tokio::task::yield_now().await;
        }
    }

    fn next_command(&mut self) -> Option<Command> {
        self.deferred
            .pop_front()
            .or_else(|| self.commands.try_recv().ok())
    }

    /// Waits for a command, news of the log, what is under way, the commit clock, or the next try of a parked query.
    async fn rest(&mut self, turn: Turn) -> Option<Ending> {
        let now = Instant::now();
        if now.saturating_duration_since(self.published) >= PUBLISH_AFTER {
            self.publish();
        }
        let commit_at = self
            .commit_at
            .filter(|_| !self.core.is_committing())
            .map(|at| self.wait_until.map_or(at, |until| until.max(at)));
        let soon = match turn {
            Turn::Soon(wait) => Some(now + wait),
            _ => None,
        };
        let backoff = self.wait_until.filter(|until| *until > now);
        let retry = self
            .core
            .queries
            .iter()
            .filter_map(|query| query.retry.at())
            .min();
        let retry = retry.filter(|_| !self.core.is_committing());
        let (flush, database) = (self.flush_at(), self.rest_at());
        let wake = [commit_at, soon, backoff, retry, flush, database]
            .into_iter()
            .flatten()
            .min();
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
            Some(happened) = self.under_way.next(), if !self.under_way.is_empty() => {
                self.happened(happened);
                None
            }
            () = self.news.notified() => None,
            () = timer => None,
        }
    }

    /// Fetches what is wanted and gives every query its turn.
    async fn turn(&mut self) -> Turn {
        if self.ends.was_troubled() {
            self.check_topics().await;
        }
        if !self.core.is_committing() {
            self.retry_parked().await;
        }
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
        let full = self.is_overlay_full();
        if full {
            self.commit_at.get_or_insert_with(Instant::now);
        }
        let stands = full || self.core.is_committing();
        for query in &mut self.core.queries {
            if stands && query.is_persistent() {
                continue;
            }
            // A panic is a bug of ours; it must not take the tenant's other queries down.
            match catch_unwind(AssertUnwindSafe(|| query.turn(rows_max))) {
                Ok(Ok(0)) => waiting |= query.is_running() && !query.is_idle(),
                Ok(Ok(_)) => outcome = Turn::Moved,
                Ok(Err(error)) => query.park(format!("it cannot go on: {error}"), Parking::Forever),
                Err(_) => {
                    let reason = "bug: it failed in a way that it should not";
                    query.park(reason.to_owned(), Parking::Forever);
                }
            }
            if query.is_persistent() && query.dirty {
                let interval = query.options.commit_interval;
                let at = Instant::now() + interval.unwrap_or(self.settings.commit_interval);
                self.commit_at = Some(self.commit_at.map_or(at, |earlier| earlier.min(at)));
            }
        }
        self.keep_within_limit();
        if outcome == Turn::Idle && waiting {
            outcome = Turn::Soon(CLIENT_FULL);
        }
        outcome
    }

    /// Tells every query what is known of its partitions' ends, all as of one moment.
    fn spread_ends(&mut self) {
        let queries = &mut self.core.queries;
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

    fn back_off(&mut self, reason: &str) {
        let wait = self.backoff.next(rand::random());
        tracing::warn!("the shard waits {wait:?}: {reason}");
        self.wait_until = Some(Instant::now() + wait);
    }

    /// Removes push queries that have ended, and watches what is still read.
    fn sweep(&mut self) {
        let before = self.core.queries.len();
        self.core
            .queries
            .retain(|query| query.is_persistent() || !query.finished);
        if self.core.queries.len() != before {
            self.watch();
        }
    }

    fn watch(&mut self) {
        let running = self.core.queries.iter().filter(|query| query.is_running());
        let partitions = running
            .flat_map(|query| query.inputs().map(|input| (query.topic.clone(), input.partition)))
            .collect();
        self.ends.watch(partitions);
    }

    /// Shows what the queries have counted.
    fn publish(&mut self) {
        self.published = Instant::now();
        self.meters
            .place
            .show(self.core.queries.iter().map(RunningQuery::view).collect());
    }

    async fn stop(mut self, ending: Ending) {
        let outcome = self.commit().await.map_err(of_commit);
        for query in &self.core.queries {
            if let End::Push { sink, .. } = &query.end {
                let _ = sink.sender.try_send(PushItem::End(PushEnd::Stopped));
            }
        }
        let closed = self.close().await;
        let outcome = outcome.and(closed);
        match ending {
            Ending::Stop(reply) => {
                let _ = reply.send(outcome);
            }
            Ending::Idle(idle, reply) => {
                idle.store(true, Ordering::Release);
                let _ = reply.send(outcome.map(|()| true));
            }
            Ending::Alone => {}
        }
    }

    /// Another process owns the shard: nothing more is written.
    fn end_fenced(self) {
        tracing::warn!("another process has taken over this shard; its queries stop here");
    }
}

fn of_commit(error: CommitError) -> ShardError {
    match error {
        CommitError::Fenced => ShardError::Stopped,
        CommitError::Later(reason) => ShardError::State { reason },
    }
}
