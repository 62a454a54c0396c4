//! A table read from a topic: the latest row per key, so that every record becomes a change with what was before.

use crate::batch::{Batch, RowChange};
use crate::datum;
use crate::key::{KeyCodec, to_array};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use datafusion_common::ScalarValue;
use millstream_planner::{RowSchema, StoreSpec, arrow_type};
use millstream_state::{Corrupt, StateKey, Store, Stored};
use std::ops::Bound;
use std::sync::Arc;

/// The latest row of one key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LatestRow {
    time: i64,
    /// Every column behind the key.
    values: Vec<ScalarValue>,
}

impl Stored for LatestRow {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.to_be_bytes());
        for value in &self.values {
            datum::encode(value, out);
        }
    }

    fn bytes(&self) -> usize {
        let value = |value: &ScalarValue| size_of::<ScalarValue>() + datum::bytes_beside(value);
        size_of::<Self>() + self.values.iter().map(value).sum::<usize>()
    }
}

/// The operator of one task.
#[derive(Debug)]
pub(crate) struct LatestRows {
    spec: StoreSpec,
    codec: KeyCodec,
    key_count: usize,
    windowed: bool,
    types: Vec<DataType>,
    schema: SchemaRef,
    store: Store<LatestRow>,
}

impl LatestRows {
    pub(crate) fn new(spec: StoreSpec, schema: &RowSchema) -> Self {
        let types: Vec<DataType> = schema.columns.iter().map(|c| arrow_type(&c.sql_type)).collect();
        Self {
            spec,
            codec: KeyCodec::new(types[..schema.key_count].to_vec()),
            key_count: schema.key_count,
            windowed: schema.windowed,
            types,
            schema: schema.arrow_schema(),
            store: Store::new(schema.windowed),
        }
    }

    pub(crate) fn codec(&self) -> &KeyCodec {
        &self.codec
    }

    pub(crate) fn store(&self) -> &Store<LatestRow> {
        &self.store
    }

    pub(crate) fn store_mut(&mut self) -> &mut Store<LatestRow> {
        &mut self.store
    }

    pub(crate) fn store_id(&self) -> &str {
        &self.spec.id
    }

    pub(crate) fn load(&mut self, key: StateKey, mut bytes: &[u8]) -> Result<(), Corrupt> {
        let time = i64::from_be_bytes(datum::take(&mut bytes)?);
        let values = self.types[self.key_count..]
            .iter()
            .map(|data_type| datum::decode(data_type, &mut bytes))
            .collect::<Result<_, _>>()?;
        self.store.load(key, LatestRow { time, values });
        Ok(())
    }

    /// The keys that `batch` touches.
    pub(crate) fn needs(&self, batch: &Batch) -> Vec<StateKey> {
        let keys = self.codec.encode(batch.rows.columns(), batch.len());
        let starts = self.windowed.then(|| batch.rows.column(self.key_count));
        let starts = starts.and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        let key = |(row, key)| StateKey {
            key,
            window: starts.map_or(0, |starts| starts.value(row)),
        };
        keys.into_iter().enumerate().map(key).collect()
    }

    /// Rows are upserts, or deletes where the batch says [`RowChange::Delete`] (the record was a tombstone).
    pub(crate) fn process(&mut self, batch: &Batch, needs: Vec<StateKey>) -> Result<Batch, ArrowError> {
        assert_eq!(needs.len(), batch.len(), "bug: needs were asked for this batch");
        let mut out = Rows::default();
        for (row, key) in needs.into_iter().enumerate() {
            let time = batch.times[row];
            let head: Vec<ScalarValue> = (0..self.key_count)
                .map(|column| ScalarValue::try_from_array(batch.rows.column(column), row))
                .collect::<Result<_, _>>()?;
            let old = self.store.get(&key);
            if batch.change(row) == RowChange::Delete {
                if let Some(old) = old {
                    out.push(head, &old.values, time, RowChange::Delete);
                    self.store.remove(&key);
                }
                continue;
            }
            let values: Vec<ScalarValue> = (self.key_count..self.types.len())
                .map(|column| ScalarValue::try_from_array(batch.rows.column(column), row))
                .collect::<Result<_, _>>()?;
            if let Some(old) = old {
                out.push(head.clone(), &old.values, time, RowChange::UpdateBefore);
                out.push(head, &values, time, RowChange::UpdateAfter);
            } else {
                out.push(head, &values, time, RowChange::Insert);
            }
            self.store.put(key, LatestRow { time, values });
        }
        out.finish(&self.types, &self.schema)
    }

    /// Committed rows: of these keys, or of all; windows that start within the bounds.
    pub(crate) fn committed(
        &self,
        keys: Option<&[Box<[u8]>]>,
        windows: (Bound<i64>, Bound<i64>),
    ) -> Result<Batch, ArrowError> {
        use std::ops::RangeBounds;
        let rows: Vec<(&StateKey, &LatestRow)> = match keys {
            Some(keys) => keys
                .iter()
                .flat_map(|key| self.store.committed(key, windows.0, windows.1))
                .collect(),
            None => self
                .store
                .committed_scan()
                .filter(|(key, _)| windows.contains(&key.window))
                .collect(),
        };
        let heads = self
            .codec
            .decode(rows.iter().map(|(key, _)| key.key.as_ref()))
            .map_err(|e| ArrowError::ExternalError(Box::new(e)))?;
        let mut out = Rows::default();
        for (index, (_, row)) in rows.iter().enumerate() {
            let head = heads
                .iter()
                .map(|c| ScalarValue::try_from_array(c, index))
                .collect::<Result<_, _>>()?;
            out.push(head, &row.values, row.time, RowChange::Insert);
        }
        out.finish(&self.types, &self.schema)
    }
}

/// The batch under construction.
#[derive(Default)]
struct Rows {
    rows: Vec<Vec<ScalarValue>>,
    times: Vec<i64>,
    changes: Vec<RowChange>,
}

impl Rows {
    fn push(&mut self, mut head: Vec<ScalarValue>, values: &[ScalarValue], time: i64, change: RowChange) {
        head.extend_from_slice(values);
        self.rows.push(head);
        self.times.push(time);
        self.changes.push(change);
    }

    fn finish(self, types: &[DataType], schema: &SchemaRef) -> Result<Batch, ArrowError> {
        let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::with_capacity(self.rows.len()); types.len()];
        for row in self.rows {
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let arrays: Vec<ArrayRef> = columns
            .into_iter()
            .zip(types)
            .map(|(values, data_type)| to_array(values, data_type))
            .collect::<Result<_, _>>()
            .map_err(|e: Corrupt| ArrowError::ExternalError(Box::new(e)))?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.times.len()));
        Ok(Batch {
            rows: RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?,
            times: self.times,
            changes: Some(self.changes),
        })
    }
}
