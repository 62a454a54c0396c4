//! Rows of a sink node to records of its topic; a table's changes are coalesced by key between commits.

use crate::row_time::ColumnTime;
use crate::source::{arrow_fields, key_format, key_window};
use crate::streams::{StreamRecord, partition_for};
use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use millstream_columns::{FormatError, JsonEncoder, KeyEncoder, KeyWindow, RowError};
use millstream_model::{Offset, PartitionIndex, TimestampMs, TopicName};
use millstream_operators::{Batch, RowChange, RowErrors};
use millstream_parser::SourceKind;
use millstream_planner::Source;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Records that wait for the next write, by partition.
pub(crate) type Pending = Vec<(PartitionIndex, Vec<StreamRecord>)>;

/// A row on its way to becoming a record.
struct Placed {
    row: usize,
    time: i64,
    partition: PartitionIndex,
    key: Option<Bytes>,
}

/// Which rows no later one of the same key replaces.
fn last_of_each_key(rows: &[Placed]) -> Vec<bool> {
    let mut seen = HashSet::with_capacity(rows.len());
    let mut last: Vec<bool> = rows
        .iter()
        .rev()
        .map(|row| {
            row.key
                .as_ref()
                .is_none_or(|key| seen.insert((row.partition, key)))
        })
        .collect();
    last.reverse();
    last
}

/// Encodes rows for one topic.
#[derive(Debug)]
pub struct SinkWriter {
    source: Arc<Source>,
    topic: TopicName,
    key: KeyEncoder,
    window: KeyWindow,
    values: JsonEncoder,
    time: Option<(usize, ColumnTime)>,
    coalesce: bool,
    pending: Vec<(PartitionIndex, StreamRecord)>,
    /// Bytes of keys and values in `pending`.
    pending_bytes: usize,
    /// Where a key waits in `pending`.
    waiting: HashMap<(PartitionIndex, Bytes), usize>,
}

impl SinkWriter {
    /// For a source's topic. `coalesce` keeps only the last change per key of a table between two drains.
    pub fn new(source: Arc<Source>, topic: TopicName, coalesce: bool) -> Result<Self, FormatError> {
        let value_fields = arrow_fields(source.values());
        let window = key_window(&source);
        let bounds = if window == KeyWindow::None { 0 } else { 2 };
        let time = source.timestamp.as_ref().map(|t| {
            // A row has the window's bounds between the source's keys and values.
            let shift = if t.column < source.key_count { 0 } else { bounds };
            (t.column + shift, ColumnTime::new(t.format.as_deref()))
        });
        Ok(Self {
            key: KeyEncoder::new(key_format(&source), KeyWindow::None, &arrow_fields(source.keys()))?,
            values: JsonEncoder::new(&value_fields)?,
            coalesce: coalesce && source.kind == SourceKind::Table,
            topic,
            window,
            time,
            source,
            pending: Vec::new(),
            pending_bytes: 0,
            waiting: HashMap::new(),
        })
    }

    /// The topic written.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Whether it writes a table's changes.
    pub fn is_table(&self) -> bool {
        self.source.kind == SourceKind::Table
    }

    /// Adds rows. A row without a key goes to the partition of the task that made it.
    pub fn push(&mut self, batch: &Batch, task: u32, row_errors: &mut RowErrors) {
        let key_count = self.source.key_count;
        let values_from = key_count + if self.window == KeyWindow::None { 0 } else { 2 };
        let columns = batch.rows.columns();
        let placed = self.place(batch, task, row_errors);
        // Only what stays is encoded: between two commits that may be one change of many.
        let kept = match self.coalesce {
            true => last_of_each_key(&placed),
            false => vec![true; placed.len()],
        };
        for placed in placed
            .into_iter()
            .zip(kept)
            .filter_map(|(it, kept)| kept.then_some(it))
        {
            let value = (batch.change(placed.row) != RowChange::Delete).then(|| {
                let mut json = Vec::with_capacity(128);
                self.values.encode(&columns[values_from..], placed.row, &mut json);
                Bytes::from(json)
            });
            let record = StreamRecord {
                offset: Offset(-1),
                timestamp: TimestampMs(placed.time),
                key: placed.key,
                value,
            };
            self.add(placed.partition, record);
        }
    }

    /// Time, partition and key of every row that makes a record.
    fn place(&self, batch: &Batch, task: u32, row_errors: &mut RowErrors) -> Vec<Placed> {
        let key_count = self.source.key_count;
        let columns = batch.rows.columns();
        let mut all = Vec::with_capacity(batch.len());
        for row in 0..batch.len() {
            let change = batch.change(row);
            if change == RowChange::UpdateBefore || (change == RowChange::Delete && !self.is_table()) {
                continue;
            }
            let time = match &self.time {
                Some((column, rule)) if change != RowChange::Delete => {
                    match rule.of(&columns[*column], row) {
                        Ok(time) => time,
                        Err(message) => {
                            row_errors.push(batch.by_time(RowError::new(row, message)));
                            continue;
                        }
                    }
                }
                _ => batch.times[row],
            };
            let key = self.key.encode(&columns[..key_count], row, None);
            let partition = match &key {
                Some(key) => partition_for(key, self.source.partitions),
                None => PartitionIndex(task % self.source.partitions.max(1)),
            };
            let key = key.map(|mut key| {
                if self.window != KeyWindow::None {
                    let starts = columns[key_count].as_primitive::<Int64Type>();
                    let start = if starts.is_null(row) { 0 } else { starts.value(row) };
                    key.extend_from_slice(&start.to_be_bytes());
                }
                Bytes::from(key)
            });
            all.push(Placed {
                row,
                time,
                partition,
                key,
            });
        }
        all
    }

    fn add(&mut self, partition: PartitionIndex, record: StreamRecord) {
        let size = |record: &StreamRecord| {
            record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len)
        };
        self.pending_bytes += size(&record);
        if let (true, Some(key)) = (self.coalesce, &record.key) {
            match self.waiting.entry((partition, key.clone())) {
                std::collections::hash_map::Entry::Occupied(at) => {
                    let old = std::mem::replace(&mut self.pending[*at.get()].1, record);
                    self.pending_bytes -= size(&old);
                    return;
                }
                std::collections::hash_map::Entry::Vacant(at) => {
                    at.insert(self.pending.len());
                }
            }
        }
        self.pending.push((partition, record));
    }

    /// How many records wait.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// How many bytes they have.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Everything that waits, in order within each partition.
    pub(crate) fn drain(&mut self) -> Pending {
        self.waiting.clear();
        self.pending_bytes = 0;
        let mut partitions: Pending = Vec::new();
        for (partition, record) in self.pending.drain(..) {
            match partitions.iter_mut().find(|(index, _)| *index == partition) {
                Some((_, records)) => records.push(record),
                None => partitions.push((partition, vec![record])),
            }
        }
        partitions
    }

    /// Forgets what waits: the task failed.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.pending.clear();
        self.pending_bytes = 0;
    }
}
