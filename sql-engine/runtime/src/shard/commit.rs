//! What the commit protocol asks for, executed beside the loop: queries of clients never wait for it.

use super::Runner;
use crate::processing_log::ProcessingLog;
use crate::processing_log::Said;
use crate::shard_core::{Done, Todo};
use crate::sink::Pending;
use crate::streams::{ChangelogError, StreamWriter, Streams, StreamsError, WrittenTo};
use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use millstream_model::{Offset, OwnerEpoch, TopicName};
use millstream_state::{Cold, ColdError, CommitInput, CommitOutput};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long nothing is flushed or read before the database is closed until it is needed: opening it again costs some
/// seven writes, so a tenant that is busy from time to time stays below six a minute.
const REST_AFTER: Duration = Duration::from_secs(120);

/// Why a commit did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CommitError {
    /// The same commit may succeed later.
    #[error("{0}")]
    Later(String),
    /// This process no longer owns the shard.
    #[error("another process has taken over this shard")]
    Fenced,
}

/// What was under way has ended.
pub(crate) enum Happened {
    Writer(Result<Arc<dyn StreamWriter>, StreamsError>),
    Written(Vec<Vec<Result<WrittenTo, StreamsError>>>),
    Logged(Box<ProcessingLog>, Result<(), StreamsError>),
    Appended(Result<Offset, ChangelogError>),
    Flushed(Result<(), ColdError>),
    Trimmed(Result<(), ChangelogError>),
    Rested(Result<(), ColdError>),
}

impl Runner {
    pub(super) fn is_commit_due(&self) -> bool {
        let Some(at) = self.commit_at.filter(|_| !self.core.is_committing()) else {
            return false;
        };
        if self.wait_until.is_some_and(|until| until > Instant::now()) {
            return false;
        }
        let queries = || self.core.queries.iter();
        let rows: usize = queries().map(|query| query.uncommitted_rows).sum();
        at <= Instant::now()
            || rows >= self.settings.commit_rows
            || queries().any(crate::query::RunningQuery::is_cache_full)
            || self.is_overlay_full()
    }

    /// Begins a commit; [`Runner::happened`] goes on with it.
    pub(super) fn begin_commit(&mut self) {
        self.commit_began = Instant::now();
        let todo = self.core.begin();
        self.execute(todo);
    }

    /// Commits and waits for it. Reads are answered meanwhile.
    pub(super) async fn commit(&mut self) -> Result<(), CommitError> {
        self.commit_ended().await;
        if self.fenced {
            return Err(CommitError::Fenced);
        }
        if self.state.open.is_none() {
            return Ok(());
        }
        self.outcome = None;
        self.begin_commit();
        // A commit whose fate was unclear may be an earlier one: what is dirty by now follows it.
        let mut again = self.core.is_committing();
        loop {
            self.commit_ended().await;
            match self.outcome.take() {
                _ if self.fenced => return Err(CommitError::Fenced),
                Some(Err(error)) => return Err(error),
                _ if again && self.has_uncommitted() => {
                    again = false;
                    self.begin_commit();
                }
                _ => return Ok(()),
            }
        }
    }

    /// Waits for the end of a commit that is under way.
    pub(super) async fn commit_ended(&mut self) {
        while self.core.is_committing() && !self.fenced {
            self.attend().await;
        }
    }

    fn has_uncommitted(&self) -> bool {
        let queries = self.core.queries.iter();
        queries
            .clone()
            .any(|query| query.is_persistent() && query.is_running() && query.dirty)
            || self.core.has_forgotten()
    }

    /// Waits for the next thing that happens, or answers a read; all other commands wait.
    async fn attend(&mut self) {
        tokio::select! {
            Some(happened) = self.under_way.next(), if !self.under_way.is_empty() => self.happened(happened),
            Some(command) = self.commands.recv() => {
                if let Some(command) = self.answer_read(command) {
                    self.deferred.push_back(command);
                }
            }
            else => {
                assert!(!self.core.is_committing(), "bug: a commit has its next step under way");
                self.fenced = true;
            }
        }
    }

    /// Until the flush that is under way has ended, and the trim behind it.
    pub(super) async fn wait_until_flushed(&mut self) {
        while let Some(happened) = self.under_way.next().await {
            self.happened(happened);
        }
    }

    /// Takes in what has happened, without waiting.
    pub(super) fn take_what_happened(&mut self) {
        while let Some(Some(happened)) = self.under_way.next().now_or_never() {
            self.happened(happened);
        }
    }

    pub(super) fn happened(&mut self, happened: Happened) {
        let done = match happened {
            Happened::Writer(opened) => Done::Writer(opened.map(|writer| {
                let id = writer.id();
                self.writer = Some(writer);
                id
            })),
            Happened::Written(outcomes) => Done::Written(outcomes),
            Happened::Logged(log, outcome) => {
                self.log = Some(*log);
                Done::Logged(outcome)
            }
            Happened::Appended(Ok(at)) => Done::Appended(Ok(at)),
            Happened::Appended(Err(
                ChangelogError::Unavailable { reason } | ChangelogError::Damaged { reason },
            )) => Done::Appended(Err(reason)),
            Happened::Appended(Err(ChangelogError::Fenced)) | Happened::Flushed(Err(ColdError::Fenced)) => {
                self.core.commits.step(CommitInput::OwnerMet);
                self.fenced = true;
                return;
            }
            Happened::Flushed(outcome) => return self.flushed(outcome),
            Happened::Rested(outcome) => {
                if let Err(error) = outcome {
                    tracing::debug!("the shard's database did not close in order: {error}");
                }
                return;
            }
            Happened::Trimmed(outcome) => {
                if let Err(error) = outcome {
                    tracing::debug!("the changelog is trimmed with the next flush: {error}");
                }
                return;
            }
        };
        let todo = self.core.done(done);
        self.execute(todo);
    }

    fn execute(&mut self, todo: Todo) {
        let streams = self.streams.clone();
        match todo {
            Todo::OpenWriter => {
                let open = async move { Happened::Writer(streams.open_writer().await) };
                self.under_way.push(open.boxed());
            }
            Todo::Write(writes) => {
                let writer = self.writer.clone();
                self.under_way.push(write(writer, writes).boxed());
            }
            Todo::Log(said) => {
                let log = self.log.take().unwrap_or_else(ProcessingLog::new);
                self.under_way.push(write_log(log, streams, said).boxed());
            }
            Todo::Append { epoch, piece } => self.append(epoch, piece),
            Todo::Committed => self.ended(Ok(())),
            Todo::Later(reason) => self.ended(Err(CommitError::Later(reason))),
        }
    }

    fn append(&mut self, epoch: OwnerEpoch, piece: bytes::Bytes) {
        let changelog = self.state.changelog.clone();
        let append = async move { Happened::Appended(changelog.append(epoch, piece).await) };
        self.under_way.push(append.boxed());
    }

    fn ended(&mut self, outcome: Result<(), CommitError>) {
        self.stuck = outcome.is_err();
        let began = self.commit_began;
        let metrics = &self.meters.metrics;
        match &outcome {
            Ok(()) => {
                metrics.commits.inc();
                metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
                self.commit_at = None;
                self.backoff.reset();
                self.publish();
            }
            Err(error) => {
                metrics.commit_failures.inc();
                self.commit_at.get_or_insert(began);
                self.back_off(&error.to_string());
            }
        }
        self.outcome = Some(outcome);
    }

    pub(super) fn now_ms(&self) -> u64 {
        let passed = self.born.elapsed().saturating_mul(self.settings.pace);
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn flush_at(&self) -> Option<Instant> {
        let at = self.core.commits.flush_at_ms()?;
        Some(self.born + Duration::from_millis(at) / self.settings.pace)
    }

    /// Flushes if it is time.
    pub(super) fn tick(&mut self) {
        let Some(cold) = self.state.open.clone() else {
            return;
        };
        let now_ms = self.now_ms();
        let outputs = self.core.commits.step(CommitInput::Tick { now_ms });
        self.execute_all(outputs, &cold);
        if self.rest_at().is_some_and(|at| at <= Instant::now()) {
            self.quiet_since = None;
            let rest = async move { Happened::Rested(cold.rest().await) };
            self.under_way.push(rest.boxed());
        }
    }

    /// When the database is closed until it is needed: it costs requests while it is open, and a few to open again.
    pub(super) fn rest_at(&self) -> Option<Instant> {
        let busy = self.core.commits.is_flushing() || self.core.commits.flush_at_ms().is_some();
        let after = REST_AFTER / self.settings.pace;
        self.quiet_since.filter(|_| !busy).map(|since| since + after)
    }

    pub(super) fn execute_all(&mut self, outputs: Vec<CommitOutput>, cold: &Arc<Cold>) {
        for output in outputs {
            match output {
                CommitOutput::Flush { changes, tag } => {
                    let cold = cold.clone();
                    let flush = async move { Happened::Flushed(cold.flush(&changes, tag).await) };
                    self.under_way.push(flush.boxed());
                }
                CommitOutput::Trim { before } => {
                    let changelog = self.state.changelog.clone();
                    let trim = async move { Happened::Trimmed(changelog.trim(before).await) };
                    self.under_way.push(trim.boxed());
                }
                CommitOutput::Stop(_) => self.fenced = true,
                other => debug_assert!(false, "bug: {other:?} is asked for in a commit or while opening"),
            }
        }
    }

    fn flushed(&mut self, outcome: Result<(), ColdError>) {
        let input = match outcome {
            Ok(()) => {
                self.meters.metrics.flushes.inc();
                self.quiet_since = Some(Instant::now());
                CommitInput::Flushed
            }
            Err(error) => {
                tracing::warn!("the shard's state is flushed later, the changelog has it: {error}");
                self.meters.metrics.flush_failures.inc();
                CommitInput::FlushFailed {
                    random: rand::random(),
                }
            }
        };
        let outputs = self.core.commits.step(input);
        if let Some(cold) = self.state.open.clone() {
            self.execute_all(outputs, &cold);
        }
    }
}

async fn write(writer: Option<Arc<dyn StreamWriter>>, writes: Vec<(TopicName, Pending)>) -> Happened {
    let Some(writer) = writer else {
        let gone = |(_, records): &(TopicName, Pending)| {
            let reason = "its writer is gone".to_owned();
            vec![Err(StreamsError::Unavailable { reason }); records.len()]
        };
        return Happened::Written(writes.iter().map(gone).collect());
    };
    let writes = writes.into_iter().map(|(topic, records)| {
        let writer = writer.clone();
        async move { writer.produce(&topic, records).await }
    });
    Happened::Written(join_all(writes).await)
}

async fn write_log(mut log: ProcessingLog, streams: Arc<dyn Streams>, said: Said) -> Happened {
    log.take(streams.as_ref(), said).await;
    let outcome = log.write(streams.as_ref()).await;
    Happened::Logged(Box::new(log), outcome)
}
