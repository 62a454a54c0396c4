//! Rows that cross a repartition in memory, merged in the order of their writers' times (sql.md 9, 10).
//!
//! Each writer has a lane to each reader. A row's *clock* is the latest time of all rows that its writer has sent,
//! itself included, so clocks never fall within a lane. A reader takes the row with the smallest (clock, writer):
//! that order does not depend on how rows were cut into batches or on which partition was read faster. An empty lane
//! is waited for until its writer is caught up, or its clock shows that nothing smaller can come; the lane with the
//! smallest clock is never waited for, so somebody can always go on.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::error::ArrowError;
use millstream_operators::{Batch, RowChange};
use std::collections::VecDeque;

/// Rows from one writer to one reader.
#[derive(Clone, Debug, Default)]
struct Lane {
    batches: VecDeque<(Batch, Vec<i64>)>,
    /// Rows of the first batch that are gone.
    taken: usize,
    rows: usize,
    /// About what each batch takes, and all of them.
    sizes: VecDeque<usize>,
    bytes: usize,
    /// The last checkpoint holds rows of it.
    stored: bool,
}

/// What waits for one reader.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    lanes: Vec<Lane>,
}

/// What a writer has said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriterState {
    /// The latest time of all rows that it has sent, to any reader.
    pub clock: i64,
    /// It has read everything that there is.
    pub caught_up: bool,
}

impl Inbox {
    pub(crate) fn new(writers: usize) -> Self {
        Self {
            lanes: vec![Lane::default(); writers],
        }
    }

    /// Forgets everything that waits.
    pub(crate) fn clear(&mut self) {
        let writers = self.lanes.len();
        *self = Self::new(writers);
    }

    /// Adds rows of a writer, with each row's clock.
    pub(crate) fn push(&mut self, writer: usize, batch: Batch, clocks: Vec<i64>) {
        assert_eq!(batch.len(), clocks.len(), "bug: one clock per row");
        if batch.is_empty() {
            return;
        }
        let lane = &mut self.lanes[writer];
        assert!(
            lane.batches.back().and_then(|(_, c)| c.last()) <= clocks.first(),
            "bug: clocks never fall"
        );
        lane.rows += batch.len();
        let size = bytes_of(&batch.rows) + batch.len() * ROW_BYTES;
        lane.sizes.push_back(size);
        lane.bytes += size;
        lane.batches.push_back((batch, clocks));
    }

    /// About how many bytes the waiting rows take.
    pub(crate) fn held_bytes(&self) -> usize {
        self.lanes.iter().map(|lane| lane.bytes).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.rows == 0)
    }

    /// Rows that wait in the lane of one writer.
    pub(crate) fn waiting(&self, writer: usize) -> usize {
        self.lanes[writer].rows
    }

    /// Whether the next checkpoint must write the lane: it holds rows, or the last one says it did.
    pub(crate) fn needs_writing(&self, writer: usize) -> bool {
        self.lanes[writer].rows > 0 || self.lanes[writer].stored
    }

    /// What waits now is in a checkpoint.
    pub(crate) fn mark_stored(&mut self) {
        for lane in &mut self.lanes {
            lane.stored = lane.rows > 0;
        }
    }

    /// The batches that wait in the lane of one writer, with their clocks: what a checkpoint keeps.
    pub(crate) fn lane(&self, writer: usize) -> Vec<(Batch, Vec<i64>)> {
        let lane = &self.lanes[writer];
        let rest = |(index, (batch, clocks)): (usize, &(Batch, Vec<i64>))| {
            let from = if index == 0 { lane.taken } else { 0 };
            let changes = batch.changes.as_ref().map(|changes| changes[from..].to_vec());
            let rows = batch.rows.slice(from, batch.len() - from);
            (
                Batch {
                    rows,
                    times: batch.times[from..].to_vec(),
                    changes,
                },
                clocks[from..].to_vec(),
            )
        };
        lane.batches.iter().enumerate().map(rest).collect()
    }

    /// The next rows in order, at most `rows_max`; `None` when there are none or a writer must be waited for.
    pub(crate) fn take(
        &mut self,
        writers: &[WriterState],
        rows_max: usize,
    ) -> Result<Option<Batch>, ArrowError> {
        let mut picked: Vec<(usize, usize, usize)> = Vec::new();
        // Per lane: which of its batches, which row of it.
        let mut cursors: Vec<(usize, usize)> = self.lanes.iter().map(|lane| (0, lane.taken)).collect();
        while picked.len() < rows_max {
            let Some((lane, limit)) = self.next_lane(&cursors, writers) else {
                break;
            };
            let (batch, row) = &mut cursors[lane];
            while picked.len() < rows_max {
                let Some((_, clocks)) = self.lanes[lane].batches.get(*batch) else {
                    break;
                };
                if (clocks[*row], lane) >= limit {
                    break;
                }
                picked.push((lane, *batch, *row));
                *row += 1;
                if *row == clocks.len() {
                    (*batch, *row) = (*batch + 1, 0);
                }
            }
        }
        if picked.is_empty() {
            return Ok(None);
        }
        let merged = self.gather(&picked)?;
        for (lane, (batches, row)) in self.lanes.iter_mut().zip(cursors) {
            let gone: usize = lane.batches.drain(..batches).map(|(batch, _)| batch.len()).sum();
            lane.bytes -= lane.sizes.drain(..batches).sum::<usize>();
            lane.rows -= gone + row - lane.taken;
            lane.taken = row;
        }
        Ok(Some(merged))
    }

    /// The lane whose head comes first, and the (clock, lane) before which it may be read. `None`: nothing, or wait.
    fn next_lane(
        &self,
        cursors: &[(usize, usize)],
        writers: &[WriterState],
    ) -> Option<(usize, (i64, usize))> {
        let head = |lane: usize| {
            let (batch, row) = cursors[lane];
            self.lanes[lane]
                .batches
                .get(batch)
                .map(|(_, clocks)| (clocks[row], lane))
        };
        let first = (0..self.lanes.len()).filter_map(head).min()?;
        let bound = |lane: usize| match head(lane) {
            Some(head) => Some(head),
            None if writers[lane].caught_up => None,
            None => Some((writers[lane].clock, lane)),
        };
        let others = (0..self.lanes.len()).filter(|lane| *lane != first.1);
        let limit = others.filter_map(bound).min().unwrap_or((i64::MAX, usize::MAX));
        (first < limit).then_some((first.1, limit))
    }

    fn gather(&self, picked: &[(usize, usize, usize)]) -> Result<Batch, ArrowError> {
        let mut sources: Vec<&RecordBatch> = Vec::new();
        let mut numbers = std::collections::HashMap::new();
        let mut indices = Vec::with_capacity(picked.len());
        let mut times = Vec::with_capacity(picked.len());
        let mut changes = Vec::with_capacity(picked.len());
        for (lane, batch, row) in picked {
            let source = &self.lanes[*lane].batches[*batch].0;
            let number = *numbers.entry((*lane, *batch)).or_insert_with(|| {
                sources.push(&source.rows);
                sources.len() - 1
            });
            indices.push((number, *row));
            times.push(source.times[*row]);
            changes.push(source.change(*row));
        }
        let plain = changes.iter().all(|change| *change == RowChange::Insert);
        let rows = interleave_record_batch(&sources, &indices)?;
        Ok(Batch {
            rows,
            times,
            changes: (!plain).then_some(changes),
        })
    }
}

/// What a row has beside its columns: its time, its clock and its change.
const ROW_BYTES: usize = 2 * size_of::<i64>() + size_of::<RowChange>();

/// Bytes of the rows themselves, not of what else lies in their buffers.
fn bytes_of(rows: &RecordBatch) -> usize {
    let size = |column: &ArrayRef| {
        let sliced = column.to_data().get_slice_memory_size();
        sliced.unwrap_or_else(|_| column.get_array_memory_size())
    };
    rows.columns().iter().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::{Inbox, WriterState};
    use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;
    use millstream_operators::Batch;
    use std::sync::Arc;

    fn batch(values: &[i64]) -> (Batch, Vec<i64>) {
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        let rows = RecordBatch::try_from_iter([("T", column)]).unwrap();
        let mut latest = i64::MIN;
        let clocks = values.iter().map(|value| {
            latest = latest.max(*value);
            latest
        });
        let clocks = clocks.collect();
        (Batch::inserts(rows, values.to_vec()), clocks)
    }

    fn values(batch: Option<Batch>) -> Vec<i64> {
        batch.map_or_else(Vec::new, |b| {
            b.rows.column(0).as_primitive::<Int64Type>().values().to_vec()
        })
    }

    const BEHIND: fn(i64) -> WriterState = |clock| WriterState {
        clock,
        caught_up: false,
    };
    const UP: WriterState = WriterState {
        clock: 0,
        caught_up: true,
    };

    #[test]
    fn the_smallest_clock_goes_first_and_an_empty_lane_is_waited_for() {
        let mut inbox = Inbox::new(2);
        let (first, clocks) = batch(&[1, 5, 3, 9]);
        inbox.push(0, first, clocks);
        assert_eq!(
            values(inbox.take(&[BEHIND(9), BEHIND(i64::MIN)], 10).unwrap()),
            Vec::<i64>::new()
        );
        // The row of time 3 has the clock 5: the other lane's clock of 5 comes behind it, 4 before.
        let (second, clocks) = batch(&[2, 4, 5]);
        inbox.push(1, second, clocks);
        assert_eq!(
            values(inbox.take(&[BEHIND(9), BEHIND(5)], 10).unwrap()),
            [1, 2, 4, 5, 3, 5]
        );
        assert_eq!(
            values(inbox.take(&[BEHIND(9), BEHIND(5)], 10).unwrap()),
            Vec::<i64>::new()
        );
        assert_eq!(inbox.waiting(0), 1);
        assert_eq!(values(inbox.take(&[BEHIND(9), UP], 10).unwrap()), [9]);
        assert!(inbox.is_empty());
    }

    #[test]
    fn cuts_do_not_matter() {
        let lanes: [&[i64]; 3] = [&[1, 4, 2, 8], &[3, 3, 1, 9], &[2, 7, 7, 7]];
        let whole = {
            let mut inbox = Inbox::new(3);
            for (lane, rows) in lanes.iter().enumerate() {
                let (b, clocks) = batch(rows);
                inbox.push(lane, b, clocks);
            }
            values(inbox.take(&[UP; 3], 100).unwrap())
        };
        // Fed row by row, read at every chance.
        let mut inbox = Inbox::new(3);
        let mut clocks = [i64::MIN; 3];
        let mut got = Vec::new();
        for step in 0..4 {
            for (lane, rows) in lanes.iter().enumerate() {
                clocks[lane] = clocks[lane].max(rows[step]);
                inbox.push(lane, batch(&rows[step..=step]).0, vec![clocks[lane]]);
                let writers = clocks.map(BEHIND);
                got.extend(values(inbox.take(&writers, 2).unwrap()));
            }
        }
        while let Some(more) = inbox.take(&[UP; 3], 2).unwrap() {
            got.extend(values(Some(more)));
        }
        assert_eq!(got, whole);
    }
}
