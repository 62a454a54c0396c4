//! One turn of a query: rows from its inputs through its tasks to its end.

use super::pace::TURN_MAX;
use super::{End, Held, PushEnd, PushItem, RunningQuery, Stage, Task, TaskInput, TopicInput};
use crate::merge::WriterState;
use crate::streams::{StreamFetched, partition_for};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::nullif;
use arrow::error::ArrowError;
use millstream_model::{Backoff, Offset, Waits};
use millstream_operators::{Batch, RowChange, RowErrors};
use std::time::{Duration, Instant};

/// Rows that may wait in one lane behind a repartition before its writer pauses.
const LANE_ROWS_MAX: usize = 50_000;

/// Records fetched but not processed, per partition, below which more are fetched.
const QUEUE_ROWS_LOW: usize = 4_096;

/// How long a push query's client may leave its buffer full before it is cut (sql.md 22).
const PUSH_STALL: Duration = Duration::from_secs(30);

impl RunningQuery {
    /// Partitions to fetch from now, with the offset.
    pub(crate) fn wants(&self) -> Vec<(u32, Offset)> {
        if !self.is_running() || self.frozen || self.is_stalled() {
            return Vec::new();
        }
        let now = Instant::now();
        let hungry = self.inputs().enumerate().filter(|(task, input)| {
            let held = input.held.is_some_and(|held| held.until > now);
            let more = !held && input.end.is_some_and(|end| input.fetched < end);
            more && input.queue.len() < QUEUE_ROWS_LOW && !self.is_blocked(0, *task)
        });
        hungry
            .map(|(_, input)| (input.partition.0, input.fetched))
            .collect()
    }

    fn is_stalled(&self) -> bool {
        matches!(&self.end, End::Push { sink, .. } if sink.sender.capacity() < 2)
    }

    /// Whether what a writer has sent fills a lane.
    fn is_blocked(&self, stage: usize, task: usize) -> bool {
        let readers = self
            .stages
            .get(stage + 1)
            .map(|stage| stage.tasks.as_slice())
            .unwrap_or_default();
        readers.iter().any(|reader| match &reader.input {
            TaskInput::Inbox(inbox) => inbox.waiting(task) >= LANE_ROWS_MAX,
            TaskInput::Topic(_) => false,
        })
    }

    /// Whether a task has read everything that there is.
    fn is_caught_up(&self, stage: usize, task: usize) -> bool {
        match &self.stages[stage].tasks[task].input {
            TaskInput::Topic(input) => input.end.is_some_and(|end| input.position >= end),
            TaskInput::Inbox(inbox) => {
                inbox.is_empty()
                    && (0..self.stages[stage - 1].tasks.len()).all(|w| self.is_caught_up(stage - 1, w))
            }
        }
    }

    /// Whether nothing is left to process.
    pub(crate) fn is_idle(&self) -> bool {
        let last = self.stages.len() - 1;
        (0..self.stages[last].tasks.len()).all(|task| self.is_caught_up(last, task))
    }

    /// Gives each task a turn of at most `rows_max` rows; returns how many rows moved.
    pub(crate) fn turn(&mut self, rows_max: usize) -> Result<usize, ArrowError> {
        if !self.is_running() || self.frozen || self.cut_if_stalled() {
            return Ok(0);
        }
        let mut row_errors = Vec::new();
        let mut moved = 0;
        for stage in 0..self.stages.len() {
            for task in 0..self.stages[stage].tasks.len() {
                moved += self.run_task(stage, task, rows_max, &mut row_errors)?;
            }
        }
        self.log(row_errors);
        self.dirty |= moved > 0;
        Ok(moved)
    }

    /// Cuts a push query whose client takes nothing; says whether it must wait.
    fn cut_if_stalled(&mut self) -> bool {
        let full = self.is_stalled();
        let positions = self.positions();
        let End::Push { sink, stalled, .. } = &mut self.end else {
            return false;
        };
        if sink.sender.is_closed() {
            self.finished = true;
            return true;
        }
        if !full {
            *stalled = None;
            return false;
        }
        let since = stalled.get_or_insert_with(Instant::now);
        if since.elapsed() > PUSH_STALL {
            let _ = sink.sender.try_send(PushItem::End(PushEnd::Slow { positions }));
            self.finished = true;
        }
        true
    }

    /// A task's turn: parts of what waits for it, until it has had its rows or its time.
    fn run_task(
        &mut self,
        stage: usize,
        task: usize,
        rows_max: usize,
        row_errors: &mut RowErrors,
    ) -> Result<usize, ArrowError> {
        let (clock, began) = (self.clock, Instant::now());
        let mut moved = 0;
        while moved < rows_max && !self.finished && !self.is_stalled() && !self.is_blocked(stage, task) {
            let part = Instant::now();
            let wanted = self.stages[stage].tasks[task].pace.rows(rows_max - moved);
            let Some(rows) = self.run_part(stage, task, wanted, row_errors)? else {
                // Too much was made of them: fewer next time.
                self.stages[stage].tasks[task].pace.refused(wanted);
                continue;
            };
            if rows == 0 {
                break;
            }
            moved += rows;
            self.stages[stage].tasks[task].pace.took(rows, clock.since(part));
            if clock.since(began) >= TURN_MAX {
                break;
            }
        }
        Ok(moved)
    }

    /// At most so many rows; none are taken when too much would be made of them.
    fn run_part(
        &mut self,
        stage: usize,
        task: usize,
        rows_max: usize,
        row_errors: &mut RowErrors,
    ) -> Result<Option<usize>, ArrowError> {
        let writers: Vec<WriterState> = match stage.checked_sub(1) {
            None => Vec::new(),
            Some(before) => (0..self.stages[before].tasks.len())
                .map(|writer| WriterState {
                    clock: self.stages[before].tasks[writer].clock,
                    caught_up: self.is_caught_up(before, writer),
                })
                .collect(),
        };
        let Task { input, pipeline, .. } = &mut self.stages[stage].tasks[task];
        let (out, rows) = match input {
            TaskInput::Topic(input) => {
                let end = input.end.unwrap_or(input.position);
                let records = input.queue.next(rows_max, end);
                let Some(last) = records.last() else {
                    input.pass_over(end);
                    return Ok(Some(0));
                };
                let (rows, next, told) = (records.len(), last.offset.plus(1), row_errors.len());
                let partition = i32::try_from(input.partition.0).unwrap_or(i32::MAX);
                let read = self.reader.read(partition, records, row_errors)?;
                let Some(out) = pipeline.process_some(&read.batch, row_errors)? else {
                    row_errors.truncate(told);
                    return Ok(None);
                };
                input.queue.advance(rows);
                input.position = next;
                input.pass_over(end);
                self.rows_in += rows as u64;
                self.misplaced_keys += read.misplaced_keys;
                self.metrics.rows_in.inc_by(rows as u64);
                self.uncommitted_rows += rows;
                (out, rows)
            }
            TaskInput::Inbox(inbox) => match inbox.take(&writers, rows_max)? {
                Some(batch) => {
                    let rows = batch.len();
                    (pipeline.process(batch, row_errors)?, rows)
                }
                None => return Ok(Some(0)),
            },
        };
        self.deliver(stage, task, out, row_errors)?;
        Ok(Some(rows))
    }

    fn deliver(
        &mut self,
        stage: usize,
        task: usize,
        batch: Batch,
        row_errors: &mut RowErrors,
    ) -> Result<(), ArrowError> {
        if batch.is_empty() {
            return Ok(());
        }
        let (done, rest) = self.stages.split_at_mut(stage + 1);
        if let Some(next) = rest.first_mut() {
            return repartition(&mut done[stage], task, &batch, next);
        }
        let positions = self.positions();
        match &mut self.end {
            End::Sink(sink) => {
                sink.push(&batch, u32::try_from(task).unwrap_or(u32::MAX), row_errors);
                Ok(())
            }
            End::Push { sink, sent, .. } => {
                let shown = visible(
                    &batch,
                    &self.stages[stage].blanked,
                    sink.limit.map(|limit| limit - *sent),
                )?;
                *sent += shown.num_rows() as u64;
                let limit = sink.limit.is_some_and(|limit| *sent >= limit);
                if shown.num_rows() > 0 {
                    // There was room when the turn began, and one turn sends one batch per task: a full buffer only
                    // means that this client is slow now, and it is cut.
                    let item = PushItem::Rows {
                        rows: shown,
                        positions: positions.clone(),
                    };
                    if sink.sender.try_send(item).is_err() {
                        self.finished = true;
                    }
                }
                if limit {
                    let _ = sink.sender.try_send(PushItem::End(PushEnd::Limit));
                    self.finished = true;
                }
                Ok(())
            }
        }
    }

    /// Takes in what was fetched for a partition; says whether that brought it further.
    pub(crate) fn accept(&mut self, partition: u32, from: Offset, fetched: StreamFetched) -> bool {
        let StreamFetched { next, records, .. } = fetched;
        debug_assert!(
            records.last().is_none_or(|last| last.offset < next),
            "bug: read on behind"
        );
        let Some(input) = self.input_at(partition, from) else {
            return false;
        };
        input.held = None;
        input.fetched = next.max(from);
        input.queue.push(records);
        next > from
    }

    /// A partition could not be read: it is asked for again after a wait, which grows.
    pub(crate) fn hold(&mut self, partition: u32, from: Offset, waits: Waits) {
        if let Some(input) = self.input_at(partition, from) {
            let known = input.held.map(|held| held.backoff);
            let mut backoff = known
                .filter(|backoff| backoff.waits() == waits)
                .unwrap_or(Backoff::new(waits));
            let until = Instant::now() + backoff.next(rand::random());
            input.held = Some(Held { backoff, until });
        }
    }

    /// Where it does not go on from there, the query was parked or moved meanwhile.
    fn input_at(&mut self, partition: u32, from: Offset) -> Option<&mut TopicInput> {
        self.inputs_mut()
            .find(|input| input.partition.0 == partition && input.fetched == from)
    }
}

impl TopicInput {
    /// Offsets have gaps where the log was compacted or lost: what is known to be empty counts as read.
    fn pass_over(&mut self, end: Offset) {
        if self.queue.is_empty() && self.fetched > self.position {
            self.position = self.fetched.min(end);
        }
    }
}

/// Hands rows to the tasks of the next stage, by key.
fn repartition(stage: &mut Stage, writer: usize, batch: &Batch, next: &mut Stage) -> Result<(), ArrowError> {
    let Some(codec) = &stage.repartition else {
        return Err(ArrowError::InvalidArgumentError(
            "rows cross no repartition here".to_owned(),
        ));
    };
    let readers = u32::try_from(next.tasks.len()).unwrap_or(u32::MAX).max(1);
    let keys = codec.encode(batch.rows.columns(), batch.len());
    let mut rows: Vec<(Vec<u32>, Vec<i64>)> = vec![(Vec::new(), Vec::new()); next.tasks.len()];
    let clock = &mut stage.tasks[writer].clock;
    for (row, key) in keys.iter().enumerate() {
        *clock = (*clock).max(batch.times[row]);
        let (indices, clocks) = &mut rows[partition_for(key, readers).0 as usize];
        indices.push(u32::try_from(row).unwrap_or(u32::MAX));
        clocks.push(*clock);
    }
    for (reader, (indices, clocks)) in next.tasks.iter_mut().zip(rows) {
        if let TaskInput::Inbox(inbox) = &mut reader.input
            && !indices.is_empty()
        {
            inbox.push(writer, batch.take(&indices)?, clocks);
        }
    }
    Ok(())
}

/// What a push query's client sees: rows as they become; of deleted ones only the keys.
fn visible(batch: &Batch, blanked: &[bool], limit: Option<u64>) -> Result<RecordBatch, ArrowError> {
    let keep: Vec<bool> = (0..batch.len())
        .map(|row| batch.change(row) != RowChange::UpdateBefore)
        .collect();
    let batch = if keep.iter().all(|keep| *keep) {
        batch.clone()
    } else {
        batch.filter(&keep)?
    };
    let gone: Vec<bool> = (0..batch.len())
        .map(|row| batch.change(row) == RowChange::Delete)
        .collect();
    let rows = if gone.iter().any(|gone| *gone) {
        let mask = BooleanArray::from(gone);
        let blank = |(index, column): (usize, &ArrayRef)| {
            if !blanked[index] {
                Ok(column.clone())
            } else {
                nullif(column, &mask)
            }
        };
        let columns = batch
            .rows
            .columns()
            .iter()
            .enumerate()
            .map(blank)
            .collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        RecordBatch::try_new_with_options(batch.rows.schema(), columns, &options)?
    } else {
        batch.rows
    };
    let length = limit.map_or(rows.num_rows(), |limit| {
        rows.num_rows().min(usize::try_from(limit).unwrap_or(usize::MAX))
    });
    Ok(rows.slice(0, length))
}
