//! What a shard's queries hold: restored from committed rows, told of records, asked for what is committed.

use super::ShardCore;
use crate::checkpoint::{self, RestoreError};
use crate::error::ShardError;
use crate::metrics::Metrics;
use crate::pull::{PullRequest, PulledRows};
use crate::query::{Parking, QuerySpec, RunningQuery, State, TurnClock};
use crate::reach::{ENDS, Reach, WRITERS};
use crate::streams::StreamFetched;
use bytes::Bytes;
use millstream_model::{Offset, PartitionIndex, TopicName};
use millstream_operators::PullRows;
use millstream_state::{CommitInput, CommitOutput};

/// Committed rows in key order.
pub type Rows = Vec<(Bytes, Bytes)>;

/// The prefixes that are read when a shard opens.
pub(crate) const OPENING: [&[u8]; 2] = [ENDS, WRITERS];

impl ShardCore {
    /// Takes in the rows of [`OPENING`]: whoever wrote results before writes no more.
    pub(crate) fn open(&mut self, rows: &Rows) -> Result<(), ShardError> {
        let rows = rows.iter().map(|(key, value)| (key.as_ref(), value.as_ref()));
        self.reach = Reach::restore(rows).map_err(|error| ShardError::State {
            reason: error.to_string(),
        })?;
        Ok(())
    }

    /// Puts a query where its tag says.
    pub(crate) fn restore(
        &self,
        query: &mut RunningQuery,
        tag: &[u8],
        state: Rows,
        lanes: Rows,
    ) -> Result<(), RestoreError> {
        checkpoint::restore(query, tag, state, lanes, self.planted)
    }

    /// Committed rows of a table.
    pub(crate) fn pull(&mut self, request: &PullRequest) -> Result<PulledRows, ShardError> {
        let commit = self.commits.number();
        if commit < request.commit_min {
            return Err(ShardError::Behind);
        }
        let unknown = || ShardError::UnknownQuery {
            id: request.query.clone(),
        };
        let leaks = self.planted.overlay_in_pulls;
        let query = self
            .queries
            .iter_mut()
            .find(|query| query.id == request.query)
            .ok_or_else(unknown)?;
        if let (false, State::Parked { reason }) = (query.loaded, &query.state) {
            return Err(ShardError::Parked {
                id: request.query.clone(),
                reason: reason.clone(),
            });
        }
        let wanted = PullRows {
            keys: request.keys.as_deref(),
            windows: request.windows,
        };
        let mut parts = Vec::new();
        let last = query.stages.last_mut().ok_or_else(unknown)?;
        for task in &mut last.tasks {
            if leaks {
                task.pipeline.fold();
            }
            let pulled = task.pipeline.pull(wanted).map_err(|e| ShardError::Query {
                reason: e.to_string(),
            })?;
            let part = pulled.ok_or_else(|| ShardError::Query {
                reason: format!("query {} keeps no table", request.query),
            })?;
            if !part.is_empty() {
                parts.push(part);
            }
        }
        Ok(PulledRows { parts, commit })
    }
}

/// The same for who executes a shard without its thread, step by step: the simulator.
impl ShardCore {
    /// What the commit machine says to what happened outside a commit.
    pub fn step(&mut self, input: CommitInput) -> Vec<CommitOutput> {
        self.commits.step(input)
    }

    /// After [`CommitOutput::Ready`]: committed rows are read from the database with `durable`.
    ///
    /// # Errors
    /// When they do not read.
    pub fn ready(&mut self, durable: impl Fn(&[u8]) -> Rows) -> Result<(), ShardError> {
        let prefixes = OPENING.iter();
        let rows = prefixes.flat_map(|prefix| self.commits.committed(prefix, durable(prefix)));
        let rows = rows.collect();
        self.open(&rows)
    }

    /// Lets a query in: where its last commit left it, else at offset 0 of each partition.
    ///
    /// # Errors
    /// When its plan cannot be run, or what is stored does not fit it.
    pub fn enter(&mut self, spec: QuerySpec, durable: impl Fn(&[u8]) -> Rows) -> Result<(), ShardError> {
        let failed = |reason: String| ShardError::Query { reason };
        let settings = crate::ShardSettings::default();
        let mut query = RunningQuery::build(spec, &settings, &Metrics::default())
            .map_err(|error| failed(error.to_string()))?;
        query.clock = TurnClock::Stopped;
        let stored = |prefix: &[u8]| self.commits.committed(prefix, durable(prefix));
        let key = checkpoint::tag_key(&query.id);
        let tags = stored(&key);
        match tags.iter().find(|(found, _)| *found == key) {
            None => query.dirty = true,
            Some((_, tag)) => {
                let state = stored(&checkpoint::state_prefix(&query.id));
                let lanes = stored(&checkpoint::lane_prefix(&query.id));
                self.restore(&mut query, tag, state, lanes)
                    .map_err(|error| failed(error.to_string()))?;
            }
        }
        self.queries.push(query);
        Ok(())
    }

    /// A partition ends here.
    pub fn learn_end(&mut self, topic: &TopicName, partition: PartitionIndex, end: Offset) {
        for query in self.queries.iter_mut().filter(|query| query.topic == *topic) {
            for input in query.inputs_mut().filter(|input| input.partition == partition) {
                input.end = Some(end);
            }
        }
    }

    /// What is wanted: the query's place, and from where on.
    pub fn wants(&self) -> Vec<(usize, TopicName, PartitionIndex, Offset)> {
        let committing = self.is_committing() || self.unclear.is_some();
        let queries = self.queries.iter().enumerate().filter(|_| !committing);
        let wants = queries.flat_map(|(at, query)| {
            let wants = query.wants().into_iter();
            wants.map(move |(partition, offset)| (at, query.topic.clone(), PartitionIndex(partition), offset))
        });
        wants.collect()
    }

    /// What was fetched for a query.
    pub fn fetched(
        &mut self,
        query: usize,
        partition: PartitionIndex,
        from: Offset,
        mut part: StreamFetched,
    ) {
        let Some(topic) = self.queries.get(query).map(|query| query.topic.clone()) else {
            return;
        };
        self.pass_over(&topic, partition, &mut part);
        self.queries[query].accept(partition.0, from, part);
    }

    /// Gives all queries a turn; how many rows moved.
    pub fn turn(&mut self, rows_max: usize) -> usize {
        if self.is_committing() || self.unclear.is_some() {
            return 0;
        }
        let mut moved = 0;
        for query in &mut self.queries {
            match query.turn(rows_max) {
                Ok(rows) => moved += rows,
                Err(error) => query.park(error.to_string(), Parking::Forever),
            }
        }
        moved
    }

    /// Whether there is something to commit.
    pub fn is_dirty(&self) -> bool {
        self.unclear.is_some() || self.queries.iter().any(|query| query.dirty)
    }

    /// The number of the last commit.
    pub fn commit_number(&self) -> u64 {
        self.commits.number()
    }

    /// When a flush is due, in the time of [`CommitInput::Tick`].
    pub fn flush_at_ms(&self) -> Option<u64> {
        self.commits.flush_at_ms()
    }

    /// A query's committed rows as JSON, and up to where its input has its effect in them, partition by partition.
    ///
    /// # Errors
    /// When there is no such query, or it is parked.
    pub fn table(&mut self, query: &str) -> Result<(Vec<String>, Vec<Offset>), ShardError> {
        let request = PullRequest {
            query: query.to_owned(),
            keys: None,
            windows: (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded),
            commit_min: 0,
        };
        let pulled = self.pull(&request)?;
        let mut rows = Vec::new();
        for part in pulled.parts {
            let shown = part.rows(0, part.len()).map_err(|error| ShardError::Query {
                reason: error.to_string(),
            })?;
            let batch = shown.rows;
            let fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
            let encoder =
                millstream_columns::JsonEncoder::new(&fields).map_err(|error| ShardError::Query {
                    reason: error.to_string(),
                })?;
            for row in 0..batch.num_rows() {
                let mut json = Vec::new();
                encoder.encode(batch.columns(), row, &mut json);
                rows.push(String::from_utf8_lossy(&json).into_owned());
            }
        }
        rows.sort();
        let query = self.queries.iter().find(|it| it.id == query);
        let committed = query.map(|query| query.inputs().map(|input| input.committed).collect());
        Ok((rows, committed.unwrap_or_default()))
    }
}
