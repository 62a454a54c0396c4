//! Grouping by key and window: one group's accumulators per key, one change out per row in.

mod accumulator;

use crate::batch::{Batch, RowChange, RowErrors};
use crate::datum;
use crate::key::KeyCodec;
use accumulator::{Accumulator, Argument, Cells};
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use millstream_columns::RowError;
use millstream_model::TimestampMs;
use millstream_planner::{AggregateNode, BoundExpr, RowSchema, arrow_type};
use millstream_state::{Corrupt, Presence, StateKey, Store, Stored};
use std::ops::Bound;
use std::sync::Arc;

/// What is kept of one key (and window).
#[derive(Clone, Debug)]
pub(crate) struct Aggregates {
    /// The latest time of its rows, ms: the time of its result.
    time: i64,
    accumulators: Vec<Accumulator>,
}

impl Aggregates {
    /// Takes a row in, or back; what was before, if it is wanted. When it errs nothing has changed.
    fn change(
        &mut self,
        change: RowChange,
        arguments: &[Argument<'_>],
        row: usize,
        updates: Updates,
    ) -> Result<Option<Vec<Accumulator>>, &'static str> {
        if !change.retracts() && updates == Updates::After {
            let all = || self.accumulators.iter().zip(arguments);
            all().try_for_each(|(accumulator, argument)| accumulator.check(argument, row))?;
            for (accumulator, argument) in self.accumulators.iter_mut().zip(arguments) {
                accumulator.apply(argument, row)?;
            }
            return Ok(None);
        }
        let mut changed = self.accumulators.clone();
        for (accumulator, argument) in changed.iter_mut().zip(arguments) {
            match change.retracts() {
                true => accumulator.undo(argument, row)?,
                false => accumulator.apply(argument, row)?,
            }
        }
        let before = std::mem::replace(&mut self.accumulators, changed);
        Ok((updates == Updates::Both).then_some(before))
    }
}

impl Stored for Aggregates {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.to_be_bytes());
        for accumulator in &self.accumulators {
            accumulator.encode(out);
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.accumulators.iter().map(Accumulator::bytes).sum::<usize>()
    }
}

/// What is put out of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Updates {
    /// What was and what is.
    Both,
    /// What is: nobody behind needs what was.
    After,
}

/// The operator of one task.
#[derive(Debug)]
pub(crate) struct Aggregate {
    updates: Updates,
    node: AggregateNode,
    codec: KeyCodec,
    key_count: usize,
    schema: SchemaRef,
    store: Store<Aggregates>,
    /// The latest time of all rows that reached it, ms: late is what lies too far behind it.
    stream_time: i64,
    committed_time: i64,
    late_rows: u64,
}

/// Keys that a batch will touch, one per row.
pub(crate) struct Needs {
    pub(crate) keys: Vec<StateKey>,
}

impl Aggregate {
    /// With no state yet. `schema` is what it puts out; `input` begins with the same key columns.
    pub(crate) fn new(node: AggregateNode, schema: &RowSchema, updates: Updates) -> Self {
        let types = schema
            .keys()
            .iter()
            .map(|key| arrow_type(&key.sql_type))
            .collect();
        Self {
            updates,
            codec: KeyCodec::new(types),
            key_count: schema.key_count,
            schema: schema.arrow_schema(),
            store: Store::new(node.window.is_some()),
            node,
            stream_time: i64::MIN,
            committed_time: i64::MIN,
            late_rows: 0,
        }
    }

    pub(crate) fn codec(&self) -> &KeyCodec {
        &self.codec
    }

    pub(crate) fn store(&self) -> &Store<Aggregates> {
        &self.store
    }

    pub(crate) fn store_id(&self) -> &str {
        &self.node.store.id
    }

    pub(crate) fn stream_time(&self) -> i64 {
        self.stream_time
    }

    pub(crate) fn late_rows(&self) -> u64 {
        self.late_rows
    }

    pub(crate) fn restore_time(&mut self, time: i64) {
        self.stream_time = time;
        self.committed_time = time;
    }

    pub(crate) fn load(&mut self, key: StateKey, mut bytes: &[u8]) -> Result<(), Corrupt> {
        let time = i64::from_be_bytes(datum::take(&mut bytes)?);
        let accumulators = self
            .node
            .aggregates
            .iter()
            .map(|call| Accumulator::decode(call, &mut bytes))
            .collect::<Result<_, _>>()?;
        self.store.load(key, Aggregates { time, accumulators });
        Ok(())
    }

    pub(crate) fn fold(&mut self) {
        self.store.fold();
        self.committed_time = self.stream_time;
    }

    pub(crate) fn drop_overlay(&mut self) {
        self.store.drop_overlay();
        self.stream_time = self.committed_time;
    }

    /// The keys that `batch` touches.
    pub(crate) fn needs(&self, batch: &Batch) -> Needs {
        let keys = self.codec.encode(batch.rows.columns(), batch.len());
        let window = |time: i64| {
            self.node
                .window
                .map_or(0, |w| time - time.rem_euclid(w.size_ms.max(1)))
        };
        let key = |(key, time): (Box<[u8]>, &i64)| StateKey {
            key,
            window: window(*time),
        };
        Needs {
            keys: keys.into_iter().zip(&batch.times).map(key).collect(),
        }
    }

    /// Takes the rows in, with their arguments from [`Aggregate::arguments`]; puts out each group's change.
    pub(crate) fn process(
        &mut self,
        batch: &Batch,
        needs: Needs,
        evaluated: &[Option<ArrayRef>],
        row_errors: &mut RowErrors,
    ) -> Result<Batch, ArrowError> {
        assert_eq!(
            needs.keys.len(),
            batch.len(),
            "bug: needs were asked for this batch"
        );
        let arguments: Vec<Argument<'_>> = evaluated
            .iter()
            .map(|values| values.as_ref().map_or(Argument::None, Argument::new))
            .collect();
        let mut out = Output::new(&self.node, batch.len());
        for (row, key) in needs.keys.into_iter().enumerate() {
            let time = batch.times[row];
            // A row whose group has a null belongs to no group.
            if batch.rows.columns()[..self.key_count]
                .iter()
                .any(|key| key.is_null(row))
            {
                continue;
            }
            self.stream_time = self.stream_time.max(time);
            if self.is_late(key.window) {
                self.late_rows += 1;
                continue;
            }
            let (window, change, updates) = (key.window, batch.change(row), self.updates);
            let calls = &self.node.aggregates;
            let new = || Aggregates {
                time,
                accumulators: calls.iter().map(Accumulator::new).collect(),
            };
            let applied = self.store.update(key, new, |group, presence| {
                let before = group.change(change, &arguments, row, updates)?;
                group.time = group.time.max(time);
                let now = &group.accumulators;
                match (presence, before) {
                    (Presence::New, _) => out.push(row, window, group.time, RowChange::Insert, now),
                    (Presence::Present, before) => {
                        if let Some(before) = before {
                            out.push(row, window, group.time, RowChange::UpdateBefore, &before);
                        }
                        out.push(row, window, group.time, RowChange::UpdateAfter, now);
                    }
                }
                Ok::<_, &'static str>(())
            });
            if let Err(message) = applied {
                row_errors.push(RowError::new(TimestampMs(time), message));
            }
        }
        if let Some(window) = self.node.window {
            self.store.expire(
                self.stream_time
                    .saturating_sub(window.retention_ms)
                    .saturating_add(1),
            );
        }
        let keys = &batch.rows.columns()[..self.key_count];
        out.finish(keys, &self.schema, self.node.window.map(|w| w.size_ms))
    }

    fn is_late(&self, window_start: i64) -> bool {
        self.node.window.is_some_and(|window| {
            window_start
                .saturating_add(window.size_ms)
                .saturating_add(window.grace_ms)
                <= self.stream_time
        })
    }

    /// Whether what it aggregates is made by functions.
    pub(crate) fn calls_functions(&self) -> bool {
        let arguments = self
            .node
            .aggregates
            .iter()
            .filter_map(|call| call.argument.as_ref());
        arguments.into_iter().any(BoundExpr::calls_functions)
    }

    /// What the calls aggregate, per row; nothing is changed.
    pub(crate) fn arguments(&self, batch: &Batch, row_errors: &mut RowErrors) -> Vec<Option<ArrayRef>> {
        let calls = &self.node.aggregates;
        let exprs: Vec<_> = calls.iter().filter_map(|call| call.argument.as_ref()).collect();
        let mut evaluated = BoundExpr::evaluate_all(&exprs, &batch.rows).into_iter();
        let argument = |call: &millstream_planner::AggregateCall| {
            let evaluated = call.argument.as_ref().and_then(|_| evaluated.next())?;
            row_errors.extend(evaluated.errors.into_iter().map(|error| batch.by_time(error)));
            Some(evaluated.values)
        };
        calls.iter().map(argument).collect()
    }

    /// Committed results: of these keys, or of all; windows that start within the bounds.
    pub(crate) fn committed(
        &self,
        keys: Option<&[Box<[u8]>]>,
        windows: (Bound<i64>, Bound<i64>),
    ) -> Result<Batch, ArrowError> {
        let floor = self.node.window.map_or(i64::MIN, |window| {
            self.committed_time
                .saturating_sub(window.retention_ms)
                .saturating_add(1)
        });
        let mut rows: Vec<(&StateKey, &Aggregates)> = match keys {
            Some(keys) => keys
                .iter()
                .flat_map(|key| self.store.committed(key, windows.0, windows.1))
                .collect(),
            None => self
                .store
                .committed_scan()
                .filter(|(key, _)| within(windows, key.window))
                .collect(),
        };
        rows.retain(|(key, _)| self.node.window.is_none() || key.window >= floor);
        let mut out = Output::new(&self.node, rows.len());
        for (index, (key, group)) in rows.iter().enumerate() {
            out.push(
                index,
                key.window,
                group.time,
                RowChange::Insert,
                &group.accumulators,
            );
        }
        let keys = self
            .codec
            .decode(rows.iter().map(|(key, _)| key.key.as_ref()))
            .map_err(|e| ArrowError::ExternalError(Box::new(e)))?;
        out.finish(&keys, &self.schema, self.node.window.map(|w| w.size_ms))
    }
}

fn within(windows: (Bound<i64>, Bound<i64>), start: i64) -> bool {
    use std::ops::RangeBounds;
    windows.contains(&start)
}

/// The batch under construction.
struct Output {
    rows: Vec<u32>,
    windows: Vec<i64>,
    times: Vec<i64>,
    changes: Vec<RowChange>,
    cells: Vec<Cells>,
}

impl Output {
    fn new(node: &AggregateNode, rows: usize) -> Self {
        let cells = |call: &millstream_planner::AggregateCall| Cells::new(&arrow_type(&call.result_type));
        Self {
            rows: Vec::with_capacity(2 * rows),
            windows: Vec::with_capacity(2 * rows),
            times: Vec::with_capacity(2 * rows),
            changes: Vec::with_capacity(2 * rows),
            cells: node.aggregates.iter().map(cells).collect(),
        }
    }

    fn push(&mut self, row: usize, window: i64, time: i64, change: RowChange, accumulators: &[Accumulator]) {
        // A batch has far fewer than 2^32 rows.
        self.rows.push(u32::try_from(row).unwrap_or(u32::MAX));
        self.windows.push(window);
        self.times.push(time);
        self.changes.push(change);
        for (cells, accumulator) in self.cells.iter_mut().zip(accumulators) {
            cells.push(accumulator);
        }
    }

    fn finish(
        self,
        keys: &[ArrayRef],
        schema: &SchemaRef,
        size_ms: Option<i64>,
    ) -> Result<Batch, ArrowError> {
        let indices = UInt32Array::from(self.rows);
        let mut columns: Vec<ArrayRef> = keys
            .iter()
            .map(|key| take(key, &indices, None))
            .collect::<Result<_, _>>()?;
        if let Some(size) = size_ms {
            let ends =
                Int64Array::from_iter_values(self.windows.iter().map(|start| start.saturating_add(size)));
            columns.push(Arc::new(Int64Array::from(self.windows)));
            columns.push(Arc::new(ends));
        }
        let types: Vec<DataType> = schema
            .fields()
            .iter()
            .skip(columns.len())
            .map(|f| f.data_type().clone())
            .collect();
        for (cells, data_type) in self.cells.into_iter().zip(&types) {
            columns.push(
                cells
                    .finish(data_type)
                    .map_err(|e| ArrowError::ExternalError(Box::new(e)))?,
            );
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.times.len()));
        Ok(Batch {
            rows: RecordBatch::try_new_with_options(schema.clone(), columns, &options)?,
            times: self.times,
            changes: Some(self.changes),
        })
    }
}
