//! One running query: its tasks, what waits between them, and where its results go.

mod build;
mod pace;
mod queue;
mod retry;
mod room;
mod run;

use pace::Pace;
pub(crate) use pace::TurnClock;
use queue::Queue;
pub(crate) use retry::{Parking, Retry};

use crate::merge::Inbox;
use crate::metrics::{Metrics, QueryView};
use crate::processing_log::clipped;
use crate::report::{PartitionReport, QueryReport, QueryState};
use crate::sink::SinkWriter;
use crate::source::SourceReader;
use crate::streams::RefusedRecord;
use arrow::array::RecordBatch;
use millstream_columns::{FormatError, RowError};
use millstream_model::limits::SQL_LOG_RECORDS_MAX;
use millstream_model::{Backoff, Offset, PartitionIndex, ProducerId, TimestampMs, TopicId, TopicName};
use millstream_operators::{KeyCodec, Pipeline, RowErrors};
use millstream_planner::{Source, Topology};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Errors kept for the report.
const RECENT_ERRORS: usize = 20;

/// Bytes of a query's results that wait for a commit, unless its session said otherwise: ksqlDB's default.
const CACHE_BYTES: u64 = 10 * 1024 * 1024;

/// How long a rate between two commits is told.
const RATE_SECONDS: f64 = 10.0;

/// Where a new query begins to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryStart {
    /// At the first record of each partition.
    Earliest,
    /// Behind the last.
    Latest,
    /// At these offsets; partitions that are not named begin at their first record.
    At(BTreeMap<u32, Offset>),
}

/// What the client of a push query receives.
#[derive(Clone, Debug)]
pub enum PushItem {
    /// Rows of the topology's output; deleted rows have nulls behind their keys.
    Rows {
        /// The rows.
        rows: RecordBatch,
        /// From where the input goes on behind them.
        positions: BTreeMap<u32, Offset>,
    },
    /// Nothing more comes.
    End(PushEnd),
}

/// Why a push query ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushEnd {
    /// Its LIMIT was reached.
    Limit,
    /// The client did not take its rows.
    Slow {
        /// From where the input goes on behind the last rows sent.
        positions: BTreeMap<u32, Offset>,
    },
    /// It failed.
    Failed {
        /// Why.
        reason: String,
    },
    /// The shard stops.
    Stopped,
}

/// Where a push query's rows go; its capacity bounds what waits.
#[derive(Clone, Debug)]
pub struct PushSink {
    /// To the client.
    pub sender: mpsc::Sender<PushItem>,
    /// Rows after which it ends.
    pub limit: Option<u64>,
}

/// What the session said of a query when it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// `commit.interval.ms`: a commit follows its first change this much later; the shard's own interval when not said.
    pub commit_interval: Option<Duration>,
    /// `cache.max.bytes.buffering`: bytes of results that wait for a commit before one is made at once; 0 writes every
    /// change of a table, not the last per key.
    pub cache_bytes: Option<u64>,
}

/// A query to run.
#[derive(Clone, Debug)]
pub struct QuerySpec {
    /// Its id, unique in the shard.
    pub id: String,
    /// The source it reads.
    pub reads: Arc<Source>,
    /// Its plan.
    pub topology: Topology,
    /// Where it begins when no checkpoint says.
    pub start: QueryStart,
    /// Where rows of an `Output` go; with it the query is transient: nothing of it is checkpointed.
    pub push: Option<PushSink>,
    /// What the session said.
    pub options: QueryOptions,
}

/// A plan that cannot be run.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("{0}")]
    Shape(String),
}

/// One partition of the source topic.
#[derive(Debug)]
pub(crate) struct TopicInput {
    pub(crate) partition: PartitionIndex,
    /// The next offset to fetch.
    pub(crate) fetched: Offset,
    /// The next offset to process.
    pub(crate) position: Offset,
    /// From where a restart goes on.
    pub(crate) committed: Offset,
    /// Everything before it has had its effect, durably: nothing of it waits behind a repartition any more.
    pub(crate) settled: Offset,
    pub(crate) end: Option<Offset>,
    pub(crate) queue: Queue,
    /// It could not be read: not asked for again before this is over.
    pub(crate) held: Option<Held>,
}

/// A wait after a failed fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) backoff: Backoff,
    pub(crate) until: Instant,
}

#[derive(Debug)]
pub(crate) enum TaskInput {
    Topic(TopicInput),
    Inbox(Inbox),
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) input: TaskInput,
    pub(crate) pipeline: Pipeline,
    /// The latest time of all rows that it has sent behind a repartition, ms.
    pub(crate) clock: i64,
    /// Rows that it takes at once.
    pub(crate) pace: Pace,
}

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) tasks: Vec<Task>,
    /// Which of the columns that its tasks put out are null in the row of a key that is gone.
    pub(crate) blanked: Vec<bool>,
    /// The key by which rows go to the next stage; `None` for the last.
    pub(crate) repartition: Option<KeyCodec>,
}

#[derive(Debug)]
pub(crate) enum End {
    Sink(Box<SinkWriter>),
    Push {
        sink: PushSink,
        sent: u64,
        stalled: Option<Instant>,
    },
}

/// Whether it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Parked { reason: String },
}

/// A query and all that it holds.
#[derive(Debug)]
pub(crate) struct RunningQuery {
    pub(crate) id: String,
    /// What it was made from, to make it again; a push query is never made again.
    pub(crate) spec: Option<Arc<QuerySpec>>,
    pub(crate) topic: TopicName,
    /// The topic that its offsets belong to: one that was deleted and made again has another.
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) options: QueryOptions,
    pub(crate) reader: SourceReader,
    pub(crate) stages: Vec<Stage>,
    pub(crate) end: End,
    pub(crate) state: State,
    /// Its state holds what its last checkpoint held: pull queries may read it.
    pub(crate) loaded: bool,
    pub(crate) retry: Retry,
    /// Stores and their compatibility hashes.
    pub(crate) stores: Vec<(String, u64, String)>,
    /// Something is not committed.
    pub(crate) dirty: bool,
    /// It is in a commit that is under way: it stands still.
    pub(crate) frozen: bool,
    pub(crate) clock: TurnClock,
    /// What should have parked it meanwhile.
    pub(crate) park_later: Option<(String, Parking)>,
    /// Results that are in its topic and in no commit yet: by whom, where, and the offset behind them.
    pub(crate) written: Vec<(ProducerId, PartitionIndex, Offset)>,
    /// Those that it had when it was parked: they do not count.
    pub(crate) abandoned: Vec<(ProducerId, PartitionIndex, Offset)>,
    /// The push query has said its last.
    pub(crate) finished: bool,
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) uncommitted_rows: usize,
    /// Records that lie in another partition than murmur2 gives their key.
    pub(crate) misplaced_keys: u64,
    /// What its state took when it was last looked at, as the limit counts it.
    pub(crate) counted: usize,
    /// It is parked for taking too much: what its state would take. It is tried again when there is room for that.
    pub(crate) evicted: Option<usize>,
    /// It was so once, in this life of the shard or the one before.
    pub(crate) outgrew: bool,
    pub(crate) rate: Rate,
    pub(crate) metrics: Metrics,
    errors: u64,
    recent: VecDeque<RowError<TimestampMs>>,
    /// What the processing log has not been told.
    unlogged: Vec<String>,
    /// Messages beyond those.
    unlogged_more: u64,
}

/// Rows per second between commits.
#[derive(Debug)]
pub(crate) struct Rate {
    since: Instant,
    rows: u64,
    per_second: f64,
}

impl Rate {
    /// From now on, when `rows` have been read already.
    pub(crate) fn new(rows: u64) -> Self {
        Self {
            since: Instant::now(),
            rows,
            per_second: 0.0,
        }
    }

    /// The rate as of now: without a commit for a while, what came since the last one.
    pub(crate) fn now(&self, rows: u64) -> f64 {
        let seconds = self.since.elapsed().as_secs_f64();
        if seconds < RATE_SECONDS {
            return self.per_second;
        }
        #[allow(clippy::cast_precision_loss)]
        let read = (rows - self.rows) as f64;
        read / seconds
    }

    /// A commit happened when `rows` had been read in all.
    pub(crate) fn sample(&mut self, rows: u64) {
        let seconds = self.since.elapsed().as_secs_f64();
        if seconds > 0.2 {
            #[allow(clippy::cast_precision_loss)]
            let read = (rows - self.rows) as f64;
            self.per_second = read / seconds;
            (self.since, self.rows) = (Instant::now(), rows);
        }
    }
}

impl RunningQuery {
    pub(crate) fn is_persistent(&self) -> bool {
        matches!(self.end, End::Sink(_))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state == State::Running && !self.finished
    }

    /// Whether its results must not wait for the commit clock.
    pub(crate) fn is_cache_full(&self) -> bool {
        match &self.end {
            End::Sink(sink) => {
                // 0 means that nothing is coalesced; what waits for its commit is bounded all the same.
                let bytes = self.options.cache_bytes.filter(|bytes| *bytes > 0);
                sink.waiting_bytes() as u64 >= bytes.unwrap_or(CACHE_BYTES)
            }
            End::Push { .. } => false,
        }
    }

    pub(crate) fn inputs(&self) -> impl Iterator<Item = &TopicInput> {
        self.stages
            .first()
            .into_iter()
            .flat_map(|stage| &stage.tasks)
            .filter_map(|task| match &task.input {
                TaskInput::Topic(input) => Some(input),
                TaskInput::Inbox(_) => None,
            })
    }

    pub(crate) fn inputs_mut(&mut self) -> impl Iterator<Item = &mut TopicInput> {
        self.stages
            .first_mut()
            .into_iter()
            .flat_map(|stage| &mut stage.tasks)
            .filter_map(|task| match &mut task.input {
                TaskInput::Topic(input) => Some(input),
                TaskInput::Inbox(_) => None,
            })
    }

    /// A commit or a restore is complete: what has had its effect is known anew.
    pub(crate) fn settle(&mut self) {
        let waits = |stage: &Stage, writer: Option<usize>| {
            stage.tasks.iter().any(|task| match (&task.input, writer) {
                (TaskInput::Inbox(inbox), Some(writer)) => inbox.waiting(writer) > 0,
                (TaskInput::Inbox(inbox), None) => !inbox.is_empty(),
                (TaskInput::Topic(_), _) => false,
            })
        };
        let deeper = self.stages.iter().skip(2).any(|stage| waits(stage, None));
        let behind: Vec<bool> = match self.stages.get(1) {
            Some(next) => (0..self.stages[0].tasks.len())
                .map(|writer| deeper || waits(next, Some(writer)))
                .collect(),
            None => Vec::new(),
        };
        for (writer, input) in self.inputs_mut().enumerate() {
            if !behind.get(writer).is_some_and(|behind| *behind) {
                input.settled = input.committed;
            }
        }
    }

    /// The next offset of each partition.
    pub(crate) fn positions(&self) -> BTreeMap<u32, Offset> {
        self.inputs()
            .map(|input| (input.partition.0, input.position))
            .collect()
    }

    pub(crate) fn log(&mut self, row_errors: RowErrors) {
        for error in row_errors {
            tracing::debug!(query = %self.id, time = error.at.0, "row failed: {}", error.message);
            self.errors += 1;
            self.metrics.row_errors.inc();
            if self.recent.len() == RECENT_ERRORS {
                self.recent.pop_front();
            }
            let message = clipped(&error.message).to_owned();
            if self.is_persistent() && self.unlogged.len() < SQL_LOG_RECORDS_MAX {
                self.unlogged.push(message.clone());
            } else {
                self.unlogged_more += 1;
            }
            self.recent.push_back(RowError::new(error.at, message));
        }
    }

    /// Results that their topic does not take: each is a row that failed, and the query goes on without it.
    pub(crate) fn skip(&mut self, refused: Vec<RefusedRecord>) {
        let count = refused.len() as u64;
        self.rows_out = self.rows_out.saturating_sub(count);
        let error = |record: RefusedRecord| {
            let (partition, reason) = (record.partition, record.reason);
            let message = format!("its result cannot be written to partition {partition}: {reason}");
            RowError::new(record.timestamp, message)
        };
        self.log(refused.into_iter().map(error).collect());
    }

    /// What the processing log is to be told, once.
    pub(crate) fn take_log(&mut self) -> Vec<String> {
        let more = std::mem::take(&mut self.unlogged_more);
        let mut messages = std::mem::take(&mut self.unlogged);
        if more > 0 && !messages.is_empty() {
            messages.push(format!("{more} more rows failed"));
        }
        messages
    }

    /// It cannot go on: what it changed since the last commit is forgotten, the others do not notice.
    pub(crate) fn park(&mut self, reason: String, parking: Parking) {
        if self.frozen {
            self.park_later.get_or_insert((reason, parking));
            return;
        }
        self.retry.parked(parking, Instant::now(), rand::random());
        self.metrics.parked.inc();
        match self.retry.next_in(Instant::now()) {
            Some(wait) => {
                tracing::warn!(query = %self.id, "query parked, tried again in {wait:.0?}: {reason}")
            }
            None => tracing::warn!(query = %self.id, "query parked: {reason}"),
        }
        if let End::Push { sink, .. } = &self.end {
            let _ = sink.sender.try_send(PushItem::End(PushEnd::Failed {
                reason: reason.clone(),
            }));
            self.finished = true;
        }
        if let End::Sink(sink) = &mut self.end {
            sink.clear();
        }
        for task in self.stages.iter_mut().flat_map(|stage| &mut stage.tasks) {
            task.pipeline.drop_overlay();
            if let TaskInput::Topic(input) = &mut task.input {
                input.queue.clear();
                (input.position, input.fetched) = (input.committed, input.committed);
            }
        }
        self.dirty = false;
        self.abandoned.append(&mut self.written);
        self.uncommitted_rows = 0;
        // Rows that are read again fail again.
        self.unlogged.clear();
        self.unlogged_more = 0;
        self.state = State::Parked { reason };
    }

    /// Takes over what its earlier life counted: it is made anew from its checkpoint.
    pub(crate) fn take_over(&mut self, old: &mut Self) {
        self.rows_in += old.rows_in;
        self.rows_out += old.rows_out;
        self.errors += old.errors;
        self.misplaced_keys += old.misplaced_keys;
        let newer = std::mem::take(&mut self.recent);
        self.recent = std::mem::take(&mut old.recent);
        self.recent.extend(newer);
        let surplus = self.recent.len().saturating_sub(RECENT_ERRORS);
        self.recent.drain(..surplus);
        self.rate = Rate::new(self.rows_in);
        self.retry = old.retry;
        self.abandoned.append(&mut old.abandoned);
        self.outgrew |= old.outgrew;
        if self.state != State::Running {
            // It was parked on its way here: that is one more try.
            self.retry.parked(Parking::Forever, Instant::now(), 0);
        }
    }

    /// As [`RunningQuery::report`], in numbers only.
    pub(crate) fn view(&self) -> QueryView {
        let tasks = || self.stages.iter().flat_map(|stage| &stage.tasks);
        let lag = |input: &TopicInput| input.end.map_or(0, |end| (end.0 - input.settled.0).max(0));
        QueryView {
            id: self.id.clone(),
            running: self.is_running(),
            transient: !self.is_persistent(),
            rows_in: self.rows_in,
            rows_out: self.rows_out,
            errors: self.errors,
            late_rows: tasks().map(|task| task.pipeline.late_rows()).sum(),
            keyless_rows: tasks().map(|task| task.pipeline.keyless_rows()).sum(),
            lag: self.inputs().map(lag).sum::<i64>().unsigned_abs(),
            state_rows: tasks().map(|task| task.pipeline.committed_values() as u64).sum(),
            state_bytes: self.settled_bytes() as u64,
            misplaced_keys: self.misplaced_keys,
        }
    }

    pub(crate) fn report(&self) -> QueryReport {
        let partition = |input: &TopicInput| PartitionReport {
            partition: input.partition,
            committed: input.settled,
            position: input.position,
            end: input.end.unwrap_or(input.position),
        };
        let tasks = || self.stages.iter().flat_map(|stage| &stage.tasks);
        QueryReport {
            id: self.id.clone(),
            state: match &self.state {
                State::Running => QueryState::Running,
                State::Parked { reason } => QueryState::Parked {
                    reason: reason.clone(),
                    retry_in: self.retry.next_in(Instant::now()),
                },
            },
            topic: self.topic.clone(),
            partitions: self.inputs().map(partition).collect(),
            rows_in: self.rows_in,
            rows_out: self.rows_out,
            rows_per_second: self.rate.now(self.rows_in),
            late_rows: tasks().map(|task| task.pipeline.late_rows()).sum(),
            keyless_rows: tasks().map(|task| task.pipeline.keyless_rows()).sum(),
            errors: self.errors,
            recent: self.recent.iter().cloned().collect(),
            state_values: tasks().map(|task| task.pipeline.committed_values()).sum(),
            state_bytes: self.settled_bytes(),
            waits_for_room: self.evicted.is_some(),
            tenant_state_bytes: 0,
            misplaced_keys: self.misplaced_keys,
        }
    }
}
