//! One tenant's SQL: what it knows, its shard, and how a script is checked and run.

mod create;
mod drop;
mod explain;
mod insert;
mod print;
mod pull;
mod push;
mod read;
mod resume;
mod script;
mod show;
mod table;

use crate::answer::{Answer, AnswerStream, Request, StatementError};
use crate::backend::{Backend, Settings};
use crate::catalog::{CatalogError, SqlChange};
use crate::metrics::Metrics;
use crate::rows::{Known, QueryRow, SourceRow, put_source};
use futures::StreamExt;
use millstream_model::{TenantId, TopicName};
use millstream_planner::{Metastore, QueryFacts, SessionProperties};
use millstream_runtime::metrics::{Place, QueryView};
use millstream_runtime::{
    Meters, QueryReport, QuerySpec, QueryState, SHARD, Shard, ShardError, StreamPosition, StreamsError,
};
use millstream_state::ColdCache;
use object_store::ObjectStore;
use object_store::path::Path;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio_stream::wrappers::ReceiverStream;

/// Answers that wait for a client beyond what its query's own buffer holds.
const ANSWERS_WAITING: usize = 4;

/// Answers of one statement on their way to the client.
pub(crate) struct Out {
    statement: u32,
    answers: mpsc::Sender<(u32, Result<Answer, StatementError>)>,
}

/// The client has gone.
#[derive(Debug)]
pub(crate) struct Gone;

/// How a statement ends before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client has gone: nobody is told.
    Gone,
    Failed(StatementError),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<StatementError> for Stop {
    fn from(error: StatementError) -> Self {
        Self::Failed(error)
    }
}

impl Out {
    pub(crate) async fn send(&self, answer: Answer) -> Result<(), Gone> {
        self.answers
            .send((self.statement, Ok(answer)))
            .await
            .map_err(|_| Gone)
    }

    pub(crate) async fn say(&self, text: impl Into<String>, version: u64) -> Result<(), Gone> {
        self.send(Answer::Message {
            text: text.into(),
            version,
            query: None,
        })
        .await
    }

    pub(crate) async fn finish(&self, rows: u64) -> Result<(), Gone> {
        self.send(Answer::Finished {
            rows,
            note: String::new(),
            resume: None,
            commit: None,
        })
        .await
    }

    /// Completes when the client has gone.
    pub(crate) async fn gone(&self) {
        self.answers.closed().await;
    }
}

/// What the engine knows of the catalog; changed only after the catalog holds the change.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) version: u64,
    pub(crate) sources: BTreeMap<String, SourceRow>,
    pub(crate) queries: BTreeMap<String, QueryRow>,
    pub(crate) facts: BTreeMap<String, QueryFacts>,
    /// Queries that could not be planned when the engine started, and why.
    pub(crate) unplanned: BTreeMap<String, String>,
    /// The highest number that a query has had, those that are gone included.
    pub(crate) last_sequence: u64,
}

pub(crate) struct Inner {
    pub(crate) tenant: TenantId,
    pub(crate) settings: Settings,
    pub(crate) backend: Backend,
    store: Arc<dyn ObjectStore>,
    cache: ColdCache,
    /// Held by whoever changes the catalog, from planning to the end.
    known: Mutex<Rows>,
    shard: Mutex<Option<Shard>>,
    next_push: AtomicU64,
    /// Counts inserted rows that have no key.
    keyless: AtomicU32,
    metrics: Metrics,
    /// Shows the queries that could not be planned: no shard has them.
    unplanned: Place,
}

/// One tenant's engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl Engine {
    /// Reads the tenant's rows and starts its queries.
    pub async fn open(
        tenant: TenantId,
        settings: Settings,
        backend: Backend,
        store: Arc<dyn ObjectStore>,
        cache: ColdCache,
        metrics: Metrics,
    ) -> Result<Self, StatementError> {
        let unplanned = metrics.shards.place(&tenant.to_string());
        let inner = Inner {
            tenant,
            settings,
            backend,
            store,
            cache,
            known: Mutex::default(),
            shard: Mutex::new(None),
            next_push: AtomicU64::new(1),
            keyless: AtomicU32::new(0),
            metrics,
            unplanned,
        };
        let engine = Self {
            inner: Arc::new(inner),
        };
        engine.inner.resume().await?;
        Ok(engine)
    }

    /// Runs a script. The work is done while the answers are read; dropping them ends a push query.
    pub fn execute(&self, request: Request) -> AnswerStream {
        let (answers, stream) = mpsc::channel(ANSWERS_WAITING);
        let inner = self.inner.clone();
        let workers = inner.settings.workers.clone();
        workers.spawn(inner.tenant, async move {
            script::run(&inner, request, answers).await;
        });
        ReceiverStream::new(stream).boxed()
    }

    /// All persistent queries, as of now.
    pub async fn reports(&self) -> Result<Vec<QueryReport>, StatementError> {
        self.inner.reports().await
    }

    /// Whether anything of the tenant's runs: its shard is open.
    pub async fn is_active(&self) -> bool {
        self.inner.shard.lock().await.is_some()
    }

    /// Waits until every running persistent query has committed everything that its topic holds.
    pub async fn settle(&self) -> Result<(), StatementError> {
        let mut before = None;
        loop {
            let ends = self.inner.ends_if_settled().await?;
            // Twice the same: no query has written what an earlier one reads meanwhile.
            if ends.is_some() && ends == before {
                return Ok(());
            }
            if ends.is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            before = ends;
        }
    }

    /// Commits and stops all queries; they resume when the engine is opened again.
    pub async fn stop(&self) -> Result<(), StatementError> {
        match self.inner.shard.lock().await.take() {
            Some(shard) => shard.stop().await.map_err(of_shard),
            None => Ok(()),
        }
    }

    /// Ends all queries where they stand, as a crash would. For tests.
    pub async fn kill(&self) {
        if let Some(shard) = self.inner.shard.lock().await.take() {
            shard.kill().await;
        }
    }
}

impl Inner {
    /// The shard, opened at the first need: a tenant without queries has no thread and makes no request.
    pub(crate) async fn shard(&self) -> Result<Shard, StatementError> {
        self.opened(&mut *self.shard.lock().await).await
    }

    async fn opened(&self, shard: &mut Option<Shard>) -> Result<Shard, StatementError> {
        if let Some(shard) = shard.as_ref().filter(|shard| !shard.has_stopped_idle()) {
            return Ok(shard.clone());
        }
        let path = Path::from(format!("sql/{}/{SHARD}", self.tenant.account()));
        let meters = Meters {
            metrics: self.metrics.shards.clone(),
            place: self.metrics.shards.place(&self.tenant.to_string()),
        };
        let opened = Shard::open(
            self.settings.shard.clone(),
            self.backend.streams.clone(),
            self.store.clone(),
            path,
            &self.cache,
            meters,
        );
        let opened = opened.map_err(of_shard)?;
        *shard = Some(opened.clone());
        Ok(opened)
    }

    /// Starts a query; the shard cannot be closed as idle meanwhile.
    pub(crate) async fn start(&self, spec: QuerySpec) -> Result<Shard, StatementError> {
        let mut shard = self.shard.lock().await;
        let shard = self.opened(&mut shard).await?;
        shard.start(spec).await.map_err(of_shard)?;
        Ok(shard)
    }

    /// Closes the shard when no query is left: no timer, no request (sql.md 14).
    pub(crate) async fn close_if_idle(&self) {
        let mut shard = self.shard.lock().await;
        let Some(open) = shard.as_ref() else {
            return;
        };
        match open.stop_if_idle().await {
            Ok(false) => {}
            Ok(true) => *shard = None,
            // It answers later; if it stops then, the next need opens another.
            Err(ShardError::Busy) => {}
            Err(error) => {
                tracing::warn!(tenant = %self.tenant, "the shard did not close in order: {error}");
                *shard = None;
            }
        }
    }

    pub(crate) async fn known(&self) -> MutexGuard<'_, Rows> {
        self.known.lock().await
    }

    pub(crate) async fn reports(&self) -> Result<Vec<QueryReport>, StatementError> {
        let shard = self.shard.lock().await.clone();
        let shard = shard.filter(|shard| !shard.has_stopped_idle());
        let mut reports = match shard {
            Some(shard) => shard.reports().await.map_err(of_shard)?,
            None => Vec::new(),
        };
        let known = self.known().await;
        reports.retain(|report| known.queries.contains_key(&report.id));
        let unplanned = known.unplanned.iter().map(|(id, reason)| QueryReport {
            id: id.clone(),
            state: QueryState::Parked {
                reason: reason.clone(),
                retry_in: None,
            },
            topic: unknown_topic(),
            partitions: Vec::new(),
            rows_in: 0,
            rows_out: 0,
            rows_per_second: 0.0,
            late_rows: 0,
            errors: 0,
            recent: Vec::new(),
            state_values: 0,
            state_bytes: 0,
            waits_for_room: false,
            tenant_state_bytes: 0,
            misplaced_keys: 0,
        });
        reports.extend(unplanned);
        reports.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(reports)
    }

    /// As [`Inner::reports`], with the ends of partitions as the log has them at this moment.
    pub(crate) async fn fresh_reports(&self) -> Result<Vec<QueryReport>, StatementError> {
        let mut reports = self.reports().await?;
        for report in reports
            .iter_mut()
            .filter(|report| report.state == QueryState::Running)
        {
            let partitions: Vec<_> = report.partitions.iter().map(|p| p.partition).collect();
            let latest = self
                .backend
                .streams
                .offsets(&report.topic, &partitions, StreamPosition::Latest)
                .await
                .map_err(of_streams)?;
            for (partition, end) in report.partitions.iter_mut().zip(latest) {
                partition.end = end.max(partition.end);
            }
        }
        Ok(reports)
    }

    /// The ends of all topics that running queries read, when every query has committed up to them.
    async fn ends_if_settled(&self) -> Result<Option<Vec<(String, i64)>>, StatementError> {
        let mut ends = Vec::new();
        for report in self
            .fresh_reports()
            .await?
            .iter()
            .filter(|report| report.state == QueryState::Running)
        {
            for partition in &report.partitions {
                if partition.committed < partition.end {
                    return Ok(None);
                }
                let name = format!("{}/{}/{}", report.id, report.topic, partition.partition);
                ends.push((name, partition.end.0));
            }
        }
        Ok(Some(ends))
    }

    /// What a statement is planned against, as of now.
    pub(crate) async fn metastore(&self, known: &Rows) -> Result<Metastore, StatementError> {
        let mut metastore = Metastore::new();
        for topic in self.backend.streams.topics().await.map_err(of_streams)? {
            metastore.put_topic(topic.name.as_str(), topic.partitions);
        }
        for row in known.sources.values() {
            put_source(&mut metastore, row.source.clone());
        }
        for facts in known.facts.values() {
            metastore.put_query(facts.clone());
        }
        Ok(metastore)
    }

    /// Commits rows to the catalog.
    pub(crate) async fn commit_rows(
        &self,
        known: &mut Rows,
        changes: Vec<SqlChange>,
    ) -> Result<u64, StatementError> {
        let version = self.backend.catalog.commit(changes).await.map_err(of_catalog)?;
        known.version = version;
        Ok(version)
    }

    /// Shows what no shard has.
    pub(crate) fn show_unplanned(&self, known: &Rows) {
        let view = |id: &String| QueryView {
            id: id.clone(),
            ..QueryView::default()
        };
        self.unplanned.show(known.unplanned.keys().map(view).collect());
    }

    pub(crate) fn push_id(&self) -> String {
        format!("transient_{}", self.next_push.fetch_add(1, Ordering::Relaxed))
    }
}

impl Rows {
    /// Takes in a row that the catalog holds.
    pub(crate) fn add(&mut self, known: Known) {
        match known {
            Known::Source(row) => {
                self.sources.insert(row.source.name.clone(), row);
            }
            Known::Query(row) => {
                self.last_sequence = self.last_sequence.max(row.sequence);
                self.queries.insert(row.id.clone(), row);
            }
            Known::Counter(row) => self.last_sequence = self.last_sequence.max(row.last),
        }
    }

    /// The number for the next query: none has had it.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.last_sequence + 1
    }
}

/// The topic of a query that could not be planned: its name is not known.
fn unknown_topic() -> TopicName {
    "unknown".parse().expect("bug: a legal name")
}

pub(crate) fn topic_name(name: &str) -> Result<TopicName, StatementError> {
    name.parse().map_err(|e: millstream_model::NameError| {
        StatementError::new(crate::StatementErrorKind::Invalid, e.to_string())
    })
}

pub(crate) fn of_streams(error: StreamsError) -> StatementError {
    use crate::StatementErrorKind as Kind;
    let kind = match &error {
        StreamsError::UnknownTopic { .. } => Kind::NotFound,
        StreamsError::TopicExists { .. } | StreamsError::OffsetOutOfRange { .. } => Kind::Invalid,
        StreamsError::Refused { .. } => Kind::Refused,
        StreamsError::Damaged { .. } => Kind::Internal,
        StreamsError::Unavailable { .. } => Kind::Unavailable,
    };
    StatementError::new(kind, error.to_string())
}

pub(crate) fn of_catalog(error: CatalogError) -> StatementError {
    use crate::StatementErrorKind as Kind;
    let kind = match &error {
        CatalogError::Refused { .. } => Kind::Refused,
        CatalogError::Unavailable { .. } => Kind::Unavailable,
    };
    StatementError::new(kind, error.to_string())
}

pub(crate) fn of_shard(error: ShardError) -> StatementError {
    use crate::StatementErrorKind as Kind;
    match error {
        ShardError::Streams(error) => of_streams(error),
        ShardError::UnknownQuery { .. } => StatementError::new(Kind::NotFound, error.to_string()),
        ShardError::Query { .. } => StatementError::new(Kind::Invalid, error.to_string()),
        ShardError::State { .. }
        | ShardError::StateDamaged
        | ShardError::Parked { .. }
        | ShardError::Behind
        | ShardError::Busy
        | ShardError::Stopped => StatementError::new(Kind::Unavailable, error.to_string()),
        // To try again does not help, nor is it the caller's fault.
        ShardError::Damaged { .. } => StatementError::new(Kind::Internal, error.to_string()),
    }
}

/// The session's properties of a request.
pub(crate) fn session(properties: &BTreeMap<String, String>) -> SessionProperties {
    SessionProperties::from_map(properties.clone())
}
