//! The handle of a shard: what the server asks of it.

use crate::error::ShardError;
use crate::pull::{PullRequest, PulledRows};
use crate::query::QuerySpec;
use crate::report::QueryReport;
use crate::settings::{Meters, ShardSettings};
use crate::shard::{Command, Runner, StateStore};
use crate::streams::Streams;
use millstream_state::ColdCache;
use object_store::ObjectStore;
use object_store::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// How long a question to a shard may take: between two turns it answers at once, a commit comes in between.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// The number of the one shard that a tenant has (sql.md 14).
pub const SHARD: u32 = 0;

/// A running shard. Cheap to clone; it stops when told to.
#[derive(Clone)]
pub struct Shard {
    commands: mpsc::Sender<Command>,
    kill: Arc<Notify>,
    /// It has stopped because it had no query.
    idle: Arc<AtomicBool>,
}

impl Shard {
    /// Starts the shard's owner thread. Its state is opened, and whoever had it is fenced, when it is first needed: by a
    /// persistent query.
    pub fn open(
        settings: ShardSettings,
        streams: Arc<dyn Streams>,
        store: Arc<dyn ObjectStore>,
        path: Path,
        cache: &ColdCache,
        meters: Meters,
    ) -> Result<Self, ShardError> {
        let state = StateStore {
            changelog: streams.changelog(SHARD),
            store,
            kind: settings.store,
            path,
            cache: cache.clone(),
            open: None,
        };
        let (commands, inbox) = mpsc::channel(64);
        let kill = Arc::new(Notify::new());
        let idle: Arc<AtomicBool> = Arc::default();
        let runtime = tokio::runtime::Handle::current();
        let killed = kill.clone();
        let owner = move || {
            runtime.block_on(async move {
                let runner = Runner::new(settings, streams, state, inbox, meters);
                tokio::select! {
                    () = killed.notified() => {}
                    () = runner.run() => {}
                }
            });
        };
        std::thread::Builder::new()
            .name("sql-shard".to_owned())
            .spawn(owner)
            .map_err(|e| ShardError::Query {
                reason: format!("no thread for the shard: {e}"),
            })?;
        Ok(Self { commands, kill, idle })
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, ShardError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| ShardError::Stopped)?;
        answer.await.map_err(|_| ShardError::Stopped)
    }

    /// As [`Shard::ask`], for questions that somebody waits for.
    async fn ask_soon<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ShardError> {
        tokio::time::timeout(ANSWER_MAX, self.ask(command))
            .await
            .unwrap_or(Err(ShardError::Busy))
    }

    /// Starts a query: from its checkpoint when there is one, else where its spec says. A persistent query's start is
    /// durable when this returns; what is produced from now on will be read.
    pub async fn start(&self, spec: QuerySpec) -> Result<(), ShardError> {
        self.ask(|reply| Command::Start {
            spec: Box::new(spec),
            reply,
        })
        .await?
    }

    /// Starts a query as an earlier life of the shard left it. What may pass does not fail it: it is parked and tried
    /// again.
    pub async fn resume(&self, spec: QuerySpec) -> Result<(), ShardError> {
        self.ask(|reply| Command::Resume {
            spec: Box::new(spec),
            reply,
        })
        .await?
    }

    /// Ends a push query, if it has not ended by itself.
    pub async fn leave(&self, id: &str) -> Result<(), ShardError> {
        self.ask(|reply| Command::Leave {
            id: id.to_owned(),
            reply,
        })
        .await
    }

    /// Ends a persistent query and removes its state.
    pub async fn remove(&self, id: &str) -> Result<(), ShardError> {
        self.ask(|reply| Command::Remove {
            id: id.to_owned(),
            reply,
        })
        .await?
    }

    /// Removes the state of all queries but these: what is left of drops that a crash cut short.
    pub async fn remove_all_but(&self, ids: Vec<String>) -> Result<(), ShardError> {
        self.ask(|reply| Command::RemoveAllBut { ids, reply }).await?
    }

    /// Reads committed rows.
    pub async fn pull(&self, request: PullRequest) -> Result<PulledRows, ShardError> {
        self.ask_soon(|reply| Command::Pull { request, reply }).await?
    }

    /// All queries, as of now.
    pub async fn reports(&self) -> Result<Vec<QueryReport>, ShardError> {
        self.ask_soon(|reply| Command::Report { reply }).await
    }

    /// Commits now.
    pub async fn commit(&self) -> Result<(), ShardError> {
        self.ask(|reply| Command::Commit { reply }).await?
    }

    /// Commits, closes the state and ends the thread.
    pub async fn stop(&self) -> Result<(), ShardError> {
        self.ask(|reply| Command::Stop { reply }).await?
    }

    /// As [`Shard::stop`] when no query is left, parked and push queries included; says whether it did.
    pub async fn stop_if_idle(&self) -> Result<bool, ShardError> {
        let idle = self.idle.clone();
        self.ask_soon(|reply| Command::StopIfIdle { idle, reply }).await?
    }

    /// Whether it has stopped because it had no query, told or not: it can be opened again.
    pub fn has_stopped_idle(&self) -> bool {
        self.idle.load(Ordering::Acquire)
    }

    /// Ends the thread where it stands, as a crash would: nothing is committed, nothing closed. For tests.
    pub async fn kill(&self) {
        self.kill.notify_one();
        // As with a process: when it is dead nothing of it is written any more.
        self.commands.closed().await;
    }
}
