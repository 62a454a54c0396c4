//! Records that were fetched and wait for their turn, as the fetches brought them: nothing is copied.

use crate::streams::StreamRecord;
use millstream_model::Offset;
use std::collections::VecDeque;

/// Records of one partition, in offset order.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// One per fetch, never empty, with how many of its records are done.
    fetches: VecDeque<(Vec<StreamRecord>, usize)>,
    rows: usize,
}

impl Queue {
    pub(crate) fn push(&mut self, records: Vec<StreamRecord>) {
        if !records.is_empty() {
            self.rows += records.len();
            self.fetches.push_back((records, 0));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The next records of one fetch: those before `end`, at most `rows_max`.
    pub(crate) fn next(&self, rows_max: usize, end: Offset) -> &[StreamRecord] {
        let Some((records, done)) = self.fetches.front() else {
            return &[];
        };
        let rest = &records[*done..];
        let rest = &rest[..rest.len().min(rows_max)];
        &rest[..rest.partition_point(|record| record.offset < end)]
    }

    /// That many records of what [`Queue::next`] gave are done.
    pub(crate) fn advance(&mut self, rows: usize) {
        let Some((records, done)) = self.fetches.front_mut() else {
            return;
        };
        assert!(*done + rows <= records.len(), "bug: only what was given is done");
        *done += rows;
        self.rows -= rows;
        if *done == records.len() {
            self.fetches.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use crate::streams::StreamRecord;
    use millstream_model::{Offset, TimestampMs};

    fn records(offsets: std::ops::Range<i64>) -> Vec<StreamRecord> {
        let record = |offset| StreamRecord {
            offset: Offset(offset),
            timestamp: TimestampMs(0),
            key: None,
            value: None,
        };
        offsets.map(record).collect()
    }

    #[test]
    fn records_come_in_order_below_the_end_and_by_fetch() {
        let mut queue = Queue::default();
        queue.push(records(0..3));
        queue.push(Vec::new());
        queue.push(records(3..5));
        assert_eq!(queue.len(), 5);
        let mut seen = Vec::new();
        for (rows_max, end) in [(2, 9), (2, 9), (9, 4), (9, 4), (9, 5)] {
            let next: Vec<i64> = queue
                .next(rows_max, Offset(end))
                .iter()
                .map(|r| r.offset.0)
                .collect();
            queue.advance(next.len());
            seen.push(next);
        }
        assert_eq!(seen, [vec![0, 1], vec![2], vec![3], vec![], vec![4]]);
        assert!(queue.is_empty());
        queue.push(records(5..6));
        queue.clear();
        assert_eq!((queue.len(), queue.next(1, Offset(9)).len()), (0, 0));
    }
}
