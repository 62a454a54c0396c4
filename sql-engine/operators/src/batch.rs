//! What flows between operators: rows, their times, and how each changes its table.

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::error::ArrowError;
use millstream_columns::RowError;
use millstream_model::TimestampMs;

/// How a row changes the table that it belongs to. Rows of a stream are all inserts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// A key that was not there.
    Insert,
    /// What an update replaces; the row behind it is its [`RowChange::UpdateAfter`].
    UpdateBefore,
    /// What an update puts in place.
    UpdateAfter,
    /// A key that is gone; the row is what it was.
    Delete,
}

impl RowChange {
    /// Whether the row no longer holds.
    pub fn retracts(self) -> bool {
        matches!(self, Self::UpdateBefore | Self::Delete)
    }
}

/// Rows between two operators. All parts have one slot per row.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The columns, as the plan's row schema lays them out.
    pub rows: RecordBatch,
    /// Each row's time, ms.
    pub times: Vec<i64>,
    /// Each row's change; `None` when all are inserts.
    pub changes: Option<Vec<RowChange>>,
}

impl Batch {
    /// Rows of a stream.
    pub fn inserts(rows: RecordBatch, times: Vec<i64>) -> Self {
        assert_eq!(rows.num_rows(), times.len(), "bug: one time per row");
        Self {
            rows,
            times,
            changes: None,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The change of one row.
    pub fn change(&self, row: usize) -> RowChange {
        self.changes
            .as_ref()
            .map_or(RowChange::Insert, |changes| changes[row])
    }

    /// A row that failed, by its time.
    pub fn by_time(&self, error: RowError) -> RowError<TimestampMs> {
        let time = TimestampMs(self.times[error.at]);
        error.with_row(time)
    }

    /// So many rows from `from` on.
    pub fn slice(&self, from: usize, length: usize) -> Self {
        let range = from..from + length;
        Self {
            rows: self.rows.slice(from, length),
            times: self.times[range.clone()].to_vec(),
            changes: self.changes.as_ref().map(|changes| changes[range].to_vec()),
        }
    }

    /// The rows whose slot in `keep` is true.
    pub fn filter(&self, keep: &[bool]) -> Result<Self, ArrowError> {
        assert_eq!(keep.len(), self.len(), "bug: one decision per row");
        let kept = |row: &usize| keep[*row];
        Ok(Self {
            rows: filter_record_batch(&self.rows, &BooleanArray::from(keep.to_vec()))?,
            times: (0..self.len()).filter(kept).map(|row| self.times[row]).collect(),
            changes: self
                .changes
                .as_ref()
                .map(|changes| (0..self.len()).filter(kept).map(|row| changes[row]).collect()),
        })
    }

    /// The rows at these indices, in that order.
    pub fn take(&self, indices: &[u32]) -> Result<Self, ArrowError> {
        Ok(Self {
            rows: take_record_batch(&self.rows, &UInt32Array::from(indices.to_vec()))?,
            times: indices.iter().map(|row| self.times[*row as usize]).collect(),
            changes: self
                .changes
                .as_ref()
                .map(|changes| indices.iter().map(|row| changes[*row as usize]).collect()),
        })
    }
}

/// Rows that took no part, or only in part, by their time: each is one record of the processing log.
pub type RowErrors = Vec<RowError<TimestampMs>>;
