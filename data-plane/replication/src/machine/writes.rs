//! Which part of the log is on this replica's disk, from the completions of numbered writes.

use crate::event::WriteNumber;
use millstream_model::Lsn;

/// Numbers writes and follows their completion.
///
/// Since the last cut, write `run_write + n` is entry `run_lsn + n`; completions of earlier writes say nothing new.
#[derive(Debug)]
pub(super) struct Writes {
    last: u64,
    run_write: u64,
    run_lsn: Lsn,
    durable: Lsn,
}

impl Writes {
    pub(super) fn new(durable: Lsn) -> Writes {
        Writes {
            last: 0,
            run_write: 0,
            run_lsn: durable,
            durable,
        }
    }

    pub(super) fn durable(&self) -> Lsn {
        self.durable
    }

    /// Numbers the write of the log's next entry.
    pub(super) fn persist(&mut self) -> WriteNumber {
        self.last += 1;
        WriteNumber(self.last)
    }

    /// Numbers a cut after `to`.
    pub(super) fn truncate(&mut self, to: Lsn) -> WriteNumber {
        self.durable = self.durable.min(to);
        self.start_run(to)
    }

    /// Numbers a new start of the log after `base`, which the snapshot on disk covers.
    pub(super) fn reset(&mut self, base: Lsn) -> WriteNumber {
        self.durable = base;
        self.start_run(base)
    }

    fn start_run(&mut self, lsn: Lsn) -> WriteNumber {
        self.last += 1;
        (self.run_write, self.run_lsn) = (self.last, lsn);
        WriteNumber(self.last)
    }

    /// Everything up to `write` is on disk; whether that moved the durable end.
    pub(super) fn complete(&mut self, write: WriteNumber) -> bool {
        let write = write.0.min(self.last);
        let Some(after) = write.checked_sub(self.run_write) else {
            return false;
        };
        let lsn = Lsn(self.run_lsn.0 + after);
        let moved = lsn > self.durable;
        self.durable = self.durable.max(lsn);
        moved
    }
}
