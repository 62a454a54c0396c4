//! The handle of a shard: what the server asks of it.

use crate::metrics::{Metrics, Place};
use crate::query::{QuerySpec, RetryWaits};
use crate::report::QueryReport;
use crate::shard::{Command, Runner, StateStore};
use crate::streams::{Streams, StreamsError};
use datafusion_common::ScalarValue;
use millstream_model::limits::TENANT_SQL_STATE_BYTES_DEFAULT;
use millstream_operators::Pulled;
use millstream_state::{ColdCache, ColdError, StopReason, StoreKind};
use object_store::ObjectStore;
use object_store::path::Path;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// How long a question to a shard may take: between two turns it answers at once, a commit comes in between.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A tenant has one shard (sql.md 14).
const SHARD: u32 = 0;

/// What a shard counts, and where its queries are shown.
#[derive(Debug)]
pub struct Meters {
    /// The process's counters.
    pub metrics: Metrics,
    /// This shard's place among them.
    pub place: Place,
}

/// How a shard works.
#[derive(Clone, Debug)]
pub struct ShardSettings {
    /// A commit follows the first change this much later.
    pub commit_interval: Duration,
    /// … or after this many input rows.
    pub commit_rows: usize,
    /// Bytes asked of one partition at a time.
    pub fetch_bytes: usize,
    /// Rows that a task processes in one turn.
    pub turn_rows: usize,
    /// A table's changes are coalesced by key between commits.
    pub coalesce: bool,
    /// When a parked query is tried again.
    pub retry: RetryWaits,
    /// Where its state is kept.
    pub store: StoreKind,
    /// What the state of all its queries may take in memory, bytes.
    pub state_bytes_max: usize,
    /// An operator goes on without what a damaged changelog has lost.
    pub accepts_loss: bool,
    /// How much faster time goes for flushes, for what the database does by itself and for its rest: 1 outside tests.
    pub pace: u32,
}

impl Default for ShardSettings {
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_secs(1),
            commit_rows: 200_000,
            fetch_bytes: 1024 * 1024,
            turn_rows: 4096,
            coalesce: true,
            retry: RetryWaits {
                first: Duration::from_secs(1),
                last: Duration::from_secs(60),
            },
            store: StoreKind::default(),
            state_bytes_max: TENANT_SQL_STATE_BYTES_DEFAULT,
            accepts_loss: false,
            pace: 1,
        }
    }
}

/// Why a shard could not do as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ShardError {
    /// No query of that id runs here.
    #[error("query {id} does not run")]
    UnknownQuery {
        /// The id.
        id: String,
    },
    /// The query cannot be started or answered.
    #[error("{reason}")]
    Query {
        /// Why.
        reason: String,
    },
    /// The log failed.
    #[error(transparent)]
    Streams(#[from] StreamsError),
    /// The state store failed.
    #[error("the state store is not available: {reason}")]
    State {
        /// Why.
        reason: String,
    },
    /// Something of what was committed is gone.
    #[error("the state of this virtual cluster's queries cannot be told any more: {reason}")]
    Damaged {
        /// What is missing.
        reason: StopReason,
    },
    /// What is in the state store is missing or not what was written. The log tells operators what, tenants learn no
    /// names of objects.
    #[error("the stored state is damaged; the operator's log says where")]
    StateDamaged,
    /// A query that does not run holds no table to answer from.
    #[error("query {id} is parked: {reason}")]
    Parked {
        /// Its id.
        id: String,
        /// Why it is parked.
        reason: String,
    },
    /// A pull asked for a commit that is still to come.
    #[error("the tables are as of commit {commit}, {wanted} was asked for; try again")]
    Behind {
        /// The last one.
        commit: u64,
        /// The earliest that would do.
        wanted: u64,
    },
    /// The shard is at a commit that does not end: its log or its store hangs.
    #[error("the tenant's queries do not answer: their log or state store takes too long; try again")]
    Busy,
    /// Another process owns the shard now, or this one is stopping.
    #[error("this process does not run the tenant's queries any more")]
    Stopped,
}

impl From<ColdError> for ShardError {
    fn from(error: ColdError) -> Self {
        match error {
            ColdError::Fenced => Self::Stopped,
            ColdError::Unavailable { source } => {
                tracing::warn!("the object store under the state of queries fails: {source}");
                Self::State {
                    reason: "its object store fails".to_owned(),
                }
            }
            damaged @ (ColdError::Damaged { .. } | ColdError::Corrupt(_)) => {
                tracing::error!("what the state of queries needs is damaged or missing: {damaged}");
                Self::StateDamaged
            }
        }
    }
}

/// A read of a query's committed table.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// Whose result.
    pub query: String,
    /// These keys (one value per key column), or all. More may come back: the caller filters.
    pub keys: Option<Vec<Vec<ScalarValue>>>,
    /// Windows that start within, ms.
    pub windows: (Bound<i64>, Bound<i64>),
    /// The earliest commit that will do.
    pub commit_min: u64,
}

/// Rows of a table as of one commit: the sink's columns (keys, window bounds, values) and each row's time.
#[derive(Clone, Debug)]
pub struct PulledRows {
    /// The rows, in parts, with what is still to be done to them.
    pub parts: Vec<Pulled>,
    /// The commit that it saw. They are counted from the first that the shard has made.
    pub commit: u64,
}

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
    pub async fn retain(&self, ids: Vec<String>) -> Result<(), ShardError> {
        self.ask(|reply| Command::Retain { ids, reply }).await?
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
