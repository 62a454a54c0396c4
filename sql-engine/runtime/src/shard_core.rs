//! A shard without I/O: its queries, the commit that is under way, how far it reaches. The owner's thread executes what
//! it says ([`Todo`]) and tells it what came of that ([`Done`]); so does the simulator (sql.md 18).
//!
//! ```text
//!   begin ─▶ open a writer ─▶ a run that names it ─▶ write results ─▶ write the processing log ─▶ the run ─▶ fold
//!            (when there is none)
//! ```
//!
//! From `begin` until it is known what became of the run, the queries that are in it stand still: what is folded is what
//! was written.

mod rows;

pub(crate) use rows::OPENING;
pub use rows::Rows;

use crate::checkpoint;
use crate::planted::PlantedCore;
use crate::processing_log::Said;
use crate::query::{End, Parking, RunningQuery, TaskInput};
use crate::reach::{Place, Reach};
use crate::sink::Pending;
use crate::streams::{StreamFetched, StreamsError, WrittenTo};
use bytes::Bytes;
use millstream_model::{Offset, OwnerEpoch, PartitionIndex, ProducerId, Retry, TopicName};
use millstream_state::{CommitInput, CommitOutput, Commits, StateWrite};
use std::collections::BTreeMap;

/// Results of one query that were taken from its sink and are not acknowledged yet.
#[derive(Clone, Debug)]
struct Unwritten {
    query: String,
    topic: TopicName,
    records: Pending,
}

impl Unwritten {
    /// Later results follow those that wait: they are written in one piece for each partition.
    fn add(&mut self, more: Pending) {
        for (partition, records) in more {
            match self.records.iter_mut().find(|(at, _)| *at == partition) {
                Some((_, waiting)) => waiting.extend(records),
                None => self.records.push((partition, records)),
            }
        }
    }
}

/// What the commit needs next.
#[derive(Debug)]
pub enum Todo {
    /// A writer.
    OpenWriter,
    /// Results written by the current writer; one answer each, of one outcome for each partition.
    Write(Vec<(TopicName, Pending)>),
    /// The processing log written.
    Log(Said),
    /// A piece in the changelog.
    Append {
        /// As this owner.
        epoch: OwnerEpoch,
        /// The piece.
        piece: Bytes,
    },
    /// Nothing more: it counts.
    Committed,
    /// Nothing more: it may succeed later.
    Later(String),
}

/// What came of it.
#[derive(Debug)]
pub enum Done {
    /// A writer of this id.
    Writer(Result<ProducerId, StreamsError>),
    /// What became of the results: the offsets behind them.
    Written(Vec<Vec<Result<WrittenTo, StreamsError>>>),
    /// What became of the processing log.
    Logged(Result<(), StreamsError>),
    /// Where the piece is. `Err`: nobody knows whether it is there.
    Appended(Result<Offset, String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    OpeningWriter,
    Registering,
    Writing,
    Logging,
    Appending,
}

/// See the head of this file.
pub struct ShardCore {
    pub(crate) queries: Vec<RunningQuery>,
    pub(crate) commits: Commits,
    pub(crate) reach: Reach,
    /// Rows of queries that are gone, and notes of those that wait for room.
    forgotten: Vec<StateWrite>,
    writer: Option<ProducerId>,
    unwritten: Vec<Unwritten>,
    stage: Stage,
    /// The stage to go on with when the unclear run counts.
    unclear: Option<Stage>,
    /// Rows that a planted bug keeps for the next commit.
    late: Vec<StateWrite>,
    pub(crate) planted: PlantedCore,
}

impl ShardCore {
    /// Nothing is open yet, no query in.
    pub fn new(planted: PlantedCore) -> Self {
        Self::with(planted, Commits::new())
    }

    /// With this machine.
    pub fn with(planted: PlantedCore, commits: Commits) -> Self {
        Self {
            queries: Vec::new(),
            commits,
            reach: Reach::default(),
            forgotten: Vec::new(),
            writer: None,
            unwritten: Vec::new(),
            stage: Stage::Idle,
            unclear: None,
            late: Vec::new(),
            planted,
        }
    }

    /// Whether a commit is under way. Persistent queries read and process nothing meanwhile.
    pub fn is_committing(&self) -> bool {
        self.stage != Stage::Idle
    }

    /// These rows go with the next commit.
    pub(crate) fn forget(&mut self, rows: impl IntoIterator<Item = StateWrite>) {
        self.forgotten.extend(rows);
    }

    /// Whether there are such.
    pub(crate) fn has_forgotten(&self) -> bool {
        !self.forgotten.is_empty()
    }

    /// A query has left: what it has not written is not written.
    pub(crate) fn drop_results(&mut self, id: &str) {
        self.unwritten.retain(|unwritten| unwritten.query != id);
    }

    /// Removes what does not count from what was read.
    pub(crate) fn pass_over(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        fetched: &mut StreamFetched,
    ) {
        if !self.planted.leftovers_count {
            self.reach.pass_over(topic, partition, fetched);
        }
    }

    /// Begins a commit of all that is dirty, or goes on with one whose fate is unclear.
    pub fn begin(&mut self) -> Todo {
        assert!(!self.is_committing(), "bug: one commit at a time");
        if let Some(stage) = self.unclear.take() {
            self.stage = stage;
            return self.next_piece(CommitInput::Retry);
        }
        self.leave_behind();
        for query in &mut self.queries {
            query.frozen = query.is_persistent() && query.is_running() && query.dirty;
            if !query.frozen {
                continue;
            }
            if let End::Sink(sink) = &mut query.end
                && sink.waiting() > 0
            {
                query.rows_out += sink.waiting() as u64;
                query.metrics.rows_out.inc_by(sink.waiting() as u64);
                let (topic, records) = (sink.topic().clone(), sink.drain());
                match self
                    .unwritten
                    .iter_mut()
                    .find(|waiting| waiting.query == query.id)
                {
                    Some(waiting) => waiting.add(records),
                    None => self.unwritten.push(Unwritten {
                        query: query.id.clone(),
                        topic,
                        records,
                    }),
                }
            }
        }
        let queries = &self.queries;
        let is_frozen = |id: &str| queries.iter().any(|query| query.id == id && query.frozen);
        self.unwritten.retain(|unwritten| is_frozen(&unwritten.query));
        self.write()
    }

    /// What parked queries had written without a commit does not count; who wrote it writes nothing more.
    fn leave_behind(&mut self) {
        for query in &mut self.queries {
            let End::Sink(sink) = &query.end else { continue };
            for (writer, partition, _) in query.abandoned.drain(..) {
                self.reach.leave((sink.topic().clone(), partition), writer, None);
                if self.writer == Some(writer) {
                    self.writer = None;
                }
            }
        }
    }

    fn write(&mut self) -> Todo {
        if self.unwritten.is_empty() {
            return self.log();
        }
        let Some(writer) = self.writer else {
            self.stage = Stage::OpeningWriter;
            return Todo::OpenWriter;
        };
        if !self.reach.is_registered(writer) {
            self.reach.register(writer);
            self.stage = Stage::Registering;
            let changes = self.reach.changes();
            return self.next_piece(CommitInput::Commit(changes));
        }
        self.stage = Stage::Writing;
        let write = |it: &Unwritten| (it.topic.clone(), it.records.clone());
        Todo::Write(self.unwritten.iter().map(write).collect())
    }

    fn log(&mut self) -> Todo {
        let take = |query: &mut RunningQuery| (query.id.clone(), query.topic.clone(), query.take_log());
        let frozen = self.queries.iter_mut().filter(|query| query.frozen);
        let said: Said = frozen
            .map(take)
            .filter(|(_, topic, messages)| {
                // A query over the log that writes to it would never come to an end.
                !messages.is_empty() && topic.as_str() != crate::PROCESSING_LOG_TOPIC
            })
            .map(|(id, _, messages)| (id, messages))
            .collect();
        self.stage = Stage::Logging;
        Todo::Log(said)
    }

    /// Everything that must be in topics is there.
    fn run(&mut self) -> Todo {
        let mut changes = std::mem::take(&mut self.forgotten);
        changes.append(&mut self.late);
        let mut reached: Vec<(Place, Offset)> = Vec::new();
        for query in self.queries.iter_mut().filter(|query| query.frozen) {
            match checkpoint::changes(query) {
                Ok(more) => changes.extend(more),
                Err(error) => {
                    query.frozen = false;
                    query.park(format!("its state cannot be written: {error}"), Parking::Forever);
                    continue;
                }
            }
            if let End::Sink(sink) = &query.end {
                let place = |partition| (sink.topic().clone(), partition);
                reached.extend(query.written.iter().map(|(_, at, end)| (place(*at), *end)));
            }
        }
        if self.planted.offsets_outside_the_run {
            let (tags, state) = changes
                .into_iter()
                .partition(|change| checkpoint::tag_query(&change.key).is_some());
            (self.late, changes) = (tags, state);
        }
        if changes.is_empty() {
            return self.committed();
        }
        for (place, end) in reached {
            self.reach.reach(place, end);
        }
        changes.extend(self.reach.changes());
        self.stage = Stage::Appending;
        self.next_piece(CommitInput::Commit(changes))
    }

    /// Takes in what came of the last [`Todo`].
    pub fn done(&mut self, done: Done) -> Todo {
        match (self.stage, done) {
            (Stage::OpeningWriter, Done::Writer(Ok(id))) => {
                self.writer = Some(id);
                self.write()
            }
            (Stage::OpeningWriter, Done::Writer(Err(error))) => self.later(error.to_string()),
            (Stage::Writing, Done::Written(outcomes)) => self.written(outcomes),
            (Stage::Logging, Done::Logged(Ok(()))) => self.run(),
            (Stage::Logging, Done::Logged(Err(error))) => self.later(error.to_string()),
            (Stage::Registering | Stage::Appending, Done::Appended(Ok(at))) => {
                self.next_piece(CommitInput::Appended { at })
            }
            (Stage::Registering | Stage::Appending, Done::Appended(Err(reason))) => {
                self.commits.step(CommitInput::AppendUnclear);
                self.unclear = Some(self.stage);
                self.stage = Stage::Idle;
                Todo::Later(reason)
            }
            (stage, done) => {
                debug_assert!(false, "bug: {done:?} was not asked for in {stage:?}");
                self.later("the commit is out of step".to_owned())
            }
        }
    }

    fn next_piece(&mut self, input: CommitInput) -> Todo {
        let outputs = self.commits.step(input);
        let counts = |output: &CommitOutput| matches!(output, CommitOutput::Committed { .. });
        let (counted, asked): (Vec<CommitOutput>, Vec<CommitOutput>) = outputs.into_iter().partition(counts);
        if !counted.is_empty() && self.stage == Stage::Appending {
            self.fold();
        }
        if let Some(CommitOutput::Append { epoch, piece }) = asked.into_iter().next() {
            return Todo::Append { epoch, piece };
        }
        if self.commits.is_committing() {
            debug_assert!(false, "bug: a run that is under way asks for its next piece");
            return self.later("the commit is out of step".to_owned());
        }
        match self.stage {
            Stage::Registering => {
                self.reach.committed();
                self.write()
            }
            _ => {
                self.reach.committed();
                self.reach.settled(self.writer);
                self.committed()
            }
        }
    }

    fn written(&mut self, outcomes: Vec<Vec<Result<WrittenTo, StreamsError>>>) -> Todo {
        let Some(writer) = self.writer else {
            return self.later("the commit is out of step".to_owned());
        };
        let unclear = self.unclear_places(&outcomes);
        let (mut refused, mut later) = (Vec::new(), None);
        for (unwritten, outcomes) in self.unwritten.iter_mut().zip(outcomes) {
            let Some(query) = self.queries.iter_mut().find(|query| query.id == unwritten.query) else {
                continue;
            };
            let mut kept = Vec::new();
            for (part, outcome) in std::mem::take(&mut unwritten.records).into_iter().zip(outcomes) {
                match (unclear.get(&(unwritten.topic.clone(), part.0)), outcome) {
                    (Some(reason), _) => {
                        later = Some(reason.clone());
                        kept.push(part);
                    }
                    (None, Ok(to)) => {
                        query.written.extend(to.end.map(|end| (writer, part.0, end)));
                        if !to.refused.is_empty() {
                            query.skip(to.refused);
                        }
                    }
                    (None, Err(error)) => {
                        // Of several batches, some may be there.
                        query.written.push((writer, part.0, Offset(0)));
                        refused.push((unwritten.query.clone(), error.to_string()));
                    }
                }
            }
            unwritten.records = kept;
        }
        self.unwritten.retain(|unwritten| !unwritten.records.is_empty());
        self.leave_unclear(writer, unclear.keys());
        for (id, reason) in refused {
            self.drop_results(&id);
            if let Some(query) = self
                .queries
                .iter_mut()
                .find(|query| query.id == id && query.frozen)
            {
                query.frozen = false;
                let reason = format!("its results cannot be written: {reason}");
                query.park(reason, Parking::AWhile);
            }
        }
        match later {
            Some(reason) => self.later(reason),
            None => self.log(),
        }
    }

    /// Partitions of which nobody knows what they took, and why. All that was written there at once is written again:
    /// what is acknowledged may lie on either side of what is not.
    fn unclear_places(&self, outcomes: &[Vec<Result<WrittenTo, StreamsError>>]) -> BTreeMap<Place, String> {
        let mut unclear = BTreeMap::new();
        for (unwritten, outcomes) in self.unwritten.iter().zip(outcomes) {
            for ((partition, _), outcome) in unwritten.records.iter().zip(outcomes) {
                if let Err(error) = outcome
                    && error.retry().1 != Retry::Never
                {
                    unclear.insert((unwritten.topic.clone(), *partition), error.to_string());
                }
            }
        }
        unclear
    }

    /// What a writer has written there may be there, or come yet; another writes it again. What it had acknowledged
    /// before counts.
    fn leave_unclear<'a>(&mut self, writer: ProducerId, places: impl Iterator<Item = &'a Place>) {
        for place in places {
            let in_place =
                |query: &&RunningQuery| matches!(&query.end, End::Sink(sink) if *sink.topic() == place.0);
            let written = self
                .queries
                .iter()
                .filter(in_place)
                .flat_map(|query| &query.written);
            let before = written
                .filter(|(_, at, _)| *at == place.1)
                .map(|(_, _, end)| *end)
                .max();
            self.reach.leave(place.clone(), writer, before);
            self.writer = None;
        }
    }

    /// Nothing was asked of the changelog: what was taken from the queries stays dirty.
    fn later(&mut self, reason: String) -> Todo {
        self.stage = Stage::Idle;
        self.thaw();
        Todo::Later(reason)
    }

    fn committed(&mut self) -> Todo {
        self.stage = Stage::Idle;
        self.thaw();
        Todo::Committed
    }

    /// The queries move again; what should have parked one meanwhile does now.
    fn thaw(&mut self) {
        for query in &mut self.queries {
            query.frozen = false;
            if let Some((reason, parking)) = query.park_later.take() {
                query.park(reason, parking);
            }
        }
    }

    /// The run counts: what it has is committed, and seen.
    fn fold(&mut self) {
        let moved = self
            .queries
            .iter_mut()
            .filter(|query| query.frozen || !query.is_persistent());
        for query in moved.filter(|query| query.dirty) {
            for task in query.stages.iter_mut().flat_map(|stage| &mut stage.tasks) {
                task.pipeline.fold();
                if let TaskInput::Inbox(inbox) = &mut task.input {
                    inbox.mark_stored();
                }
            }
            for input in query.inputs_mut() {
                input.committed = input.position;
            }
            query.settle();
            query.dirty = false;
            query.written.clear();
            query.retry.recovered();
            query.uncommitted_rows = 0;
            let rows = query.rows_in;
            query.rate.sample(rows);
        }
    }
}
