//! Records of a topic to rows of a source node: decoding, row times, and what is skipped.

use crate::row_time::ColumnTime;
use crate::streams::{StreamRecord, partition_for};
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::error::ArrowError;
use millstream_columns::{
    Decoded, DecodedKeys, FormatError, JsonDecoder, KeyDecoder, KeyFormat, KeyWindow, RowError, RowState,
};
use millstream_operators::{Batch, RowChange, RowErrors};
use millstream_parser::SourceKind;
use millstream_planner::{Column, RowSchema, Source, SourceField, arrow_field};
use std::sync::Arc;

/// Decodes the records of one source for one set of fields.
#[derive(Clone, Debug)]
pub struct SourceReader {
    fields: Vec<SourceField>,
    schema: SchemaRef,
    keys: KeyDecoder,
    values: JsonDecoder,
    /// For each decoded value column, its index among the source's value columns.
    decoded: Vec<usize>,
    table: bool,
    time: RowTime,
    /// The partitions of its topic, and what follows a key's own bytes, where keys have places: it has a key, and there
    /// is more than one place.
    placed: Option<(u32, usize)>,
}

/// Where a row's time comes from.
#[derive(Clone, Debug)]
enum RowTime {
    Record,
    /// Index among the key columns.
    Key(usize, ColumnTime),
    /// Index among the decoded value columns.
    Value(usize, ColumnTime),
}

/// Decoded rows, and for each the index of its record.
#[derive(Clone, Debug)]
pub struct ReadRows {
    /// The rows.
    pub batch: Batch,
    /// One per row.
    pub records: Vec<usize>,
    /// Records in another partition than murmur2 gives their key.
    pub misplaced_keys: u64,
}

/// Which records take part, and why the others do not.
struct Kept<'a> {
    partition: i32,
    records: &'a [StreamRecord],
    keep: Vec<bool>,
    row_errors: &'a mut RowErrors,
}

impl Kept<'_> {
    /// A record takes no part; its first error is told.
    fn fail(&mut self, row: usize, message: &str) {
        if std::mem::replace(&mut self.keep[row], false) {
            let record = &self.records[row];
            let (partition, offset) = (self.partition, record.offset);
            let message = format!("partition {partition}, offset {offset}: {message}");
            self.row_errors.push(RowError::new(record.timestamp, message));
        }
    }

    /// A row's time, ms; a record without one takes no part.
    fn time(&mut self, row: usize, time: Result<i64, String>) -> i64 {
        let fault = match time {
            Ok(time) if time >= 0 => return time,
            Ok(time) => format!("its time is negative: {time}"),
            Err(message) => message,
        };
        self.fail(row, &fault);
        0
    }
}

/// The key format in the words of `columns`.
pub(crate) fn key_format(source: &Source) -> KeyFormat {
    match source.key_format {
        millstream_planner::KeyFormat::None => KeyFormat::None,
        millstream_planner::KeyFormat::Kafka => KeyFormat::Kafka,
        millstream_planner::KeyFormat::Json => KeyFormat::Json,
    }
}

/// What follows the key's own bytes.
pub(crate) fn key_window(source: &Source) -> KeyWindow {
    source
        .window_size_ms
        .map_or(KeyWindow::None, |size_ms| KeyWindow::Fixed { size_ms })
}

pub(crate) fn arrow_fields(columns: &[Column]) -> Vec<FieldRef> {
    columns
        .iter()
        .map(|column| Arc::new(arrow_field(&column.name, &column.sql_type)))
        .collect()
}

impl SourceReader {
    /// For a source and the fields wanted of it, laid out as `schema` says.
    pub fn new(source: &Source, fields: &[SourceField], schema: &RowSchema) -> Result<Self, FormatError> {
        Self::with_schema(source, fields, schema.arrow_schema())
    }

    /// As [`SourceReader::new`], for an Arrow schema.
    pub fn with_schema(
        source: &Source,
        fields: &[SourceField],
        schema: SchemaRef,
    ) -> Result<Self, FormatError> {
        let mut decoded: Vec<usize> = Vec::new();
        let timestamp = source.timestamp.as_ref();
        let timed_value = timestamp.and_then(|t| t.column.checked_sub(source.key_count));
        let wanted = fields.iter().filter_map(|field| match field {
            SourceField::Value(index) => Some(*index),
            _ => None,
        });
        for index in wanted.chain(timed_value) {
            if !decoded.contains(&index) {
                decoded.push(index);
            }
        }
        let time = match timestamp {
            None => RowTime::Record,
            Some(t) if t.column < source.key_count => {
                RowTime::Key(t.column, ColumnTime::new(t.format.as_deref()))
            }
            Some(t) => {
                let index = t.column - source.key_count;
                let position = decoded.iter().position(|column| *column == index).unwrap_or(0);
                RowTime::Value(position, ColumnTime::new(t.format.as_deref()))
            }
        };
        let columns: Vec<Column> = decoded
            .iter()
            .map(|index| source.values()[*index].clone())
            .collect();
        Ok(Self {
            fields: fields.to_vec(),
            schema,
            keys: KeyDecoder::new(
                key_format(source),
                key_window(source),
                arrow_fields(source.keys()),
            )?,
            values: JsonDecoder::new(arrow_fields(&columns))?,
            decoded,
            table: source.kind == SourceKind::Table,
            time,
            placed: (source.key_count > 0 && source.partitions > 1).then_some((
                source.partitions,
                match key_window(source) {
                    KeyWindow::None => 0,
                    KeyWindow::Fixed { .. } => size_of::<i64>(),
                    KeyWindow::Session => 2 * size_of::<i64>(),
                },
            )),
        })
    }

    /// Decodes records of one partition. What cannot take part is reported, or skipped where ksqlDB skips it:
    /// a stream's null values, a table's null keys.
    pub fn read(
        &self,
        partition: i32,
        records: &[StreamRecord],
        row_errors: &mut RowErrors,
    ) -> Result<ReadRows, ArrowError> {
        let keys = self
            .keys
            .decode(records.iter().map(|record| record.key.as_deref()));
        let values = self
            .values
            .decode(records.iter().map(|record| record.value.as_deref()));
        let mut kept = Kept {
            partition,
            records,
            keep: vec![true; records.len()],
            row_errors,
        };
        self.skip(&keys.keys, &values, &mut kept);
        let times = self.times(records, &keys.keys, &values);
        let times: Vec<i64> = times
            .into_iter()
            .enumerate()
            .map(|(row, time)| kept.time(row, time))
            .collect();
        let columns = self
            .fields
            .iter()
            .map(|field| self.column(*field, partition, records, &keys, &values, &times))
            .collect();
        let change = |state: &RowState| match state {
            RowState::Tombstone => RowChange::Delete,
            _ => RowChange::Insert,
        };
        let changes = self.table.then(|| values.states.iter().map(change).collect());
        let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let batch = Batch { rows, times, changes };
        let keep = kept.keep;
        let misplaced_keys = self.misplaced_keys(partition, records);
        if keep.iter().all(|keep| *keep) {
            return Ok(ReadRows {
                batch,
                records: (0..records.len()).collect(),
                misplaced_keys,
            });
        }
        let kept = (0..records.len()).filter(|row| keep[*row]).collect();
        Ok(ReadRows {
            batch: batch.filter(&keep)?,
            records: kept,
            misplaced_keys,
        })
    }

    /// How many of a partition's records have a key that belongs to another: who wrote them uses another hash than the
    /// Java client, and so has split the key between two partitions.
    fn misplaced_keys(&self, partition: i32, records: &[StreamRecord]) -> u64 {
        let Some((partitions, behind)) = self.placed else {
            return 0;
        };
        let misplaced = |record: &&StreamRecord| {
            let Some(key) = record.key.as_deref() else {
                return false;
            };
            let key = key.len().checked_sub(behind).map_or(key, |end| &key[..end]);
            i32::try_from(partition_for(key, partitions).0) != Ok(partition)
        };
        records.iter().filter(misplaced).count() as u64
    }

    /// Leaves out what did not decode and what has no part in a stream or a table.
    fn skip(&self, keys: &Decoded, values: &Decoded, kept: &mut Kept<'_>) {
        for error in keys.errors.iter().chain(&values.errors) {
            kept.fail(error.at, &error.message);
        }
        for (row, state) in values.states.iter().enumerate() {
            if *state == RowState::Tombstone && !self.table {
                kept.keep[row] = false;
            }
        }
        for (row, state) in keys.states.iter().enumerate() {
            if *state == RowState::Tombstone && self.table {
                kept.fail(row, "a table's record needs a key");
            }
        }
    }

    /// One column of the rows.
    fn column(
        &self,
        field: SourceField,
        partition: i32,
        records: &[StreamRecord],
        keys: &DecodedKeys,
        values: &Decoded,
        times: &[i64],
    ) -> ArrayRef {
        let none = || Arc::new(Int64Array::new_null(records.len())) as ArrayRef;
        let window = keys.window.as_ref();
        match field {
            SourceField::Key(index) => keys.keys.columns[index].clone(),
            SourceField::Value(index) => {
                let position = self.decoded.iter().position(|column| *column == index);
                values.columns[position.unwrap_or(0)].clone()
            }
            SourceField::RowTime => Arc::new(Int64Array::from(times.to_vec())),
            SourceField::RowPartition => Arc::new(Int32Array::from_value(partition, records.len())),
            SourceField::RowOffset => Arc::new(Int64Array::from_iter_values(
                records.iter().map(|record| record.offset.0),
            )),
            SourceField::WindowStart => window.map_or_else(none, |(start, _)| Arc::new(start.clone())),
            SourceField::WindowEnd => window.map_or_else(none, |(_, end)| Arc::new(end.clone())),
        }
    }

    fn times(&self, records: &[StreamRecord], keys: &Decoded, values: &Decoded) -> Vec<Result<i64, String>> {
        let (column, states, rule) = match &self.time {
            RowTime::Record => return records.iter().map(|record| Ok(record.timestamp.0)).collect(),
            RowTime::Key(index, rule) => (&keys.columns[*index], &keys.states, rule),
            RowTime::Value(index, rule) => (&values.columns[*index], &values.states, rule),
        };
        let time = |(row, record): (usize, &StreamRecord)| {
            if states[row] != RowState::Value {
                return Ok(record.timestamp.0);
            }
            rule.of(column, row)
        };
        records.iter().enumerate().map(time).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::SourceReader;
    use crate::streams::{StreamRecord, partition_for};
    use arrow::datatypes::Schema;
    use bytes::Bytes;
    use millstream_model::{Offset, TimestampMs};
    use millstream_parser::parse_statement;
    use millstream_planner::{Metastore, Plan, SessionProperties, plan};
    use std::sync::Arc;

    fn record(key: Option<Vec<u8>>) -> StreamRecord {
        StreamRecord {
            offset: Offset(0),
            timestamp: TimestampMs(0),
            key: key.map(Bytes::from),
            value: None,
        }
    }

    /// Of a windowed key its own bytes decide, without the window's start behind them: so SQL's sinks place it.
    #[test]
    fn a_key_is_misplaced_where_murmur2_does_not_put_it() {
        let mut metastore = Metastore::new();
        let planned = |text: &str, metastore: &Metastore| {
            plan(
                &parse_statement(text).unwrap().node,
                metastore,
                &SessionProperties::new(),
            )
            .unwrap()
        };
        let stream = "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=3);";
        let Plan::CreateSource(stream) = planned(stream, &metastore) else {
            panic!("a source")
        };
        metastore.put_source(stream.source.clone());
        let table =
            "CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY k;";
        let Plan::CreateQuery(table) = planned(table, &metastore) else {
            panic!("a query")
        };
        let reader = |source| SourceReader::with_schema(source, &[], Arc::new(Schema::empty())).unwrap();
        let (plain, windowed) = (reader(&stream.source), reader(&table.query.sink));
        for key in ["bob", "ann", "", "a longer key"] {
            let right = i32::try_from(partition_for(key.as_bytes(), 3).0).unwrap();
            let start = [key.as_bytes(), &7_i64.to_be_bytes()].concat();
            for partition in 0..3 {
                let wrong = u64::from(partition != right);
                let records = [record(Some(key.into())), record(None)];
                assert_eq!(plain.misplaced_keys(partition, &records), wrong, "{key}");
                let records = [record(Some(start.clone()))];
                assert_eq!(windowed.misplaced_keys(partition, &records), wrong, "{key}");
            }
        }
    }
}
