//! The recent entries of a log in memory: what followers still need, bounded in bytes.

use millstream_model::Lsn;
use millstream_model::entry::{ENTRY_HEADER_BYTES, Entry};
use std::collections::VecDeque;

/// The last entries of the log, contiguous up to its end.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
}

/// What an entry counts against every bound in bytes.
pub(crate) fn entry_bytes(entry: &Entry) -> usize {
    ENTRY_HEADER_BYTES + entry.payload.len()
}

impl Tail {
    /// Adds the entry at the log's end.
    pub(crate) fn push(&mut self, entry: Entry) {
        assert!(
            self.entries
                .back()
                .is_none_or(|last| last.header.lsn.next() == entry.header.lsn),
            "bug: a tail has no gap"
        );
        self.bytes += entry_bytes(&entry);
        self.entries.push_back(entry);
    }

    /// Drops old entries until the rest fits, but none after `durable`: those can be read from nowhere else.
    pub(crate) fn shrink(&mut self, bytes_max: usize, durable: Lsn) {
        while self.bytes > bytes_max
            && self
                .entries
                .front()
                .is_some_and(|entry| entry.header.lsn <= durable)
        {
            self.bytes -= self.entries.pop_front().as_ref().map_or(0, entry_bytes);
        }
    }

    /// Drops everything after `to`.
    pub(crate) fn truncate(&mut self, to: Lsn) {
        while self.entries.back().is_some_and(|entry| entry.header.lsn > to) {
            self.bytes -= self.entries.pop_back().as_ref().map_or(0, entry_bytes);
        }
    }

    /// The entry at `lsn`.
    fn index(&self, lsn: Lsn) -> Option<usize> {
        let first = self.entries.front()?.header.lsn;
        usize::try_from(lsn.0.checked_sub(first.0)?)
            .ok()
            .filter(|index| *index < self.entries.len())
    }

    /// Entries from `from` on that fit into `bytes_max`, at least one; `None` when `from` is not in memory.
    pub(crate) fn read(&self, from: Lsn, bytes_max: usize) -> Option<Vec<Entry>> {
        let start = self.index(from)?;
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let first = bytes == 0;
            bytes += entry_bytes(entry);
            first || bytes <= bytes_max
        };
        Some(self.entries.range(start..).take_while(fits).cloned().collect())
    }
}
