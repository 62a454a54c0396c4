//! Which epoch wrote which part of a log: enough to compare two logs without their entries.

use millstream_model::entry::EntryHeader;
use millstream_model::{Epoch, Lsn};

/// Names one entry: no two different entries of a group share both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The epoch that wrote it.
    pub epoch: Epoch,
    /// Its position.
    pub lsn: Lsn,
}

impl EntryId {
    /// Before the first entry.
    pub const ZERO: EntryId = EntryId {
        epoch: Epoch(0),
        lsn: Lsn(0),
    };

    /// The entry with this header.
    pub fn of(header: &EntryHeader) -> EntryId {
        EntryId {
            epoch: header.epoch,
            lsn: header.lsn,
        }
    }
}

/// The epochs of a log, from the entry that it starts after to its end.
///
/// ```text
///   base (2,10) | 11 12 13 | 14 15 16 17
///   epochs:        2          5            starts: [(2, 10), (5, 14)], last: 17
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochHistory {
    /// (epoch, first LSN known to be of it), both rising; the first is the base.
    starts: Vec<EntryId>,
    last: Lsn,
}

impl EpochHistory {
    /// A log that holds nothing and whose next entry follows `base`.
    pub fn new(base: EntryId) -> EpochHistory {
        EpochHistory {
            starts: vec![base],
            last: base.lsn,
        }
    }

    /// The entry that the log starts after.
    pub fn base(&self) -> EntryId {
        self.starts.first().copied().unwrap_or_default()
    }

    /// The last entry, or the base when there is none.
    pub fn last(&self) -> EntryId {
        let epoch = self.starts.last().map_or(Epoch(0), |start| start.epoch);
        EntryId {
            epoch,
            lsn: self.last,
        }
    }

    /// The epoch of the entry at `lsn`, when the log (or its base) has one there.
    pub fn epoch_at(&self, lsn: Lsn) -> Option<Epoch> {
        if lsn > self.last {
            return None;
        }
        let after = self.starts.partition_point(|start| start.lsn <= lsn);
        self.starts.get(after.checked_sub(1)?).map(|start| start.epoch)
    }

    /// Whether the log holds exactly this entry.
    pub fn has(&self, id: EntryId) -> bool {
        self.epoch_at(id.lsn) == Some(id.epoch)
    }

    /// The last entry that comes after `id` neither in position nor in epoch; the base when there is none.
    pub fn not_after(&self, id: EntryId) -> EntryId {
        let within = self
            .starts
            .partition_point(|start| start.epoch <= id.epoch && start.lsn <= id.lsn);
        let Some(index) = within.checked_sub(1) else {
            return self.base();
        };
        let end = self
            .starts
            .get(index + 1)
            .map_or(self.last.0, |next| next.lsn.0 - 1);
        EntryId {
            epoch: self.starts[index].epoch,
            lsn: Lsn(end.min(id.lsn.0)),
        }
    }

    /// Adds the next entry.
    pub fn push(&mut self, id: EntryId) {
        assert_eq!(
            id.lsn,
            self.last.next(),
            "bug: entries follow one another without gaps"
        );
        let epoch_last = self.last().epoch;
        assert!(id.epoch >= epoch_last, "bug: epochs never fall along a log");
        if id.epoch > epoch_last {
            self.starts.push(id);
        }
        self.last = id.lsn;
    }

    /// Cuts everything after `to`, which is not before the base.
    pub fn truncate(&mut self, to: Lsn) {
        assert!(to >= self.base().lsn, "bug: a log is not cut before its base");
        let keep = self.starts.partition_point(|start| start.lsn <= to);
        self.starts.truncate(keep.max(1));
        self.last = self.last.min(to);
    }

    /// Moves the base up to `lsn`: what lies at or below it can no longer be read.
    pub fn release(&mut self, lsn: Lsn) {
        let lsn = lsn.min(self.last);
        let Some(epoch) = self.epoch_at(lsn) else { return };
        if lsn <= self.base().lsn {
            return;
        }
        let drop = self.starts.partition_point(|start| start.lsn <= lsn);
        self.starts.splice(..drop, [EntryId { epoch, lsn }]);
    }
}

/// What a replica found in its journal: feed it every record of the group in the journal's order, then the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The log.
    pub log: EpochHistory,
    /// What is known to be committed: the snapshot's LSN or a later mark. Never more than the log's end.
    pub high_watermark: Lsn,
    /// What the journal has, when that is not `log`: the snapshot went on without it. It has to be told before it takes
    /// anything that follows the snapshot.
    pub(crate) stale: Option<EpochHistory>,
}

impl Default for Recovered {
    fn default() -> Recovered {
        Recovered::new(EntryId::ZERO)
    }
}

impl Recovered {
    /// A log that starts after `base`, everything up to there committed; [`EntryId::ZERO`] for a new replica.
    pub fn new(base: EntryId) -> Recovered {
        Recovered {
            log: EpochHistory::new(base),
            high_watermark: base.lsn,
            stale: None,
        }
    }

    /// The next entry's header. The first one may stand anywhere: what came before it was recycled.
    ///
    /// # Errors
    /// When the header does not continue the log; the journal is then damaged.
    pub fn push(&mut self, header: &EntryHeader) -> Result<(), GapError> {
        let id = EntryId::of(header);
        let (epoch, lsn) = header.previous();
        let previous = EntryId { epoch, lsn };
        if self.log == EpochHistory::new(EntryId::ZERO) {
            self.log = EpochHistory::new(previous);
        }
        let last = self.log.last();
        if previous != last || id.epoch < last.epoch || id.lsn != last.lsn.next() {
            return Err(GapError { last, found: id });
        }
        self.log.push(id);
        Ok(())
    }

    /// A truncation record. It may cut below the first entry here, when what it cut was recycled with what is
    /// released: the next entry says what it follows. Nothing committed is ever cut off, so that what was known to be is
    /// no more than what stays: a log that seems to begin behind entries that were cut has not committed them.
    pub fn truncate(&mut self, to: Lsn) {
        self.high_watermark = self.high_watermark.min(to);
        if to < self.log.base().lsn {
            self.log = EpochHistory::new(EntryId::ZERO);
        } else {
            self.log.truncate(to);
        }
    }

    /// A reset record.
    pub fn reset(&mut self, base: EntryId) {
        *self = Recovered::new(base);
    }

    /// The last thing to say: the local snapshot contains everything up to `base`, which is committed. Entries that
    /// it covers stay in the log as far as the journal has them: followers, and the flush, still need them. A log that
    /// has not the snapshot's last entry is none: it ends too early, or a leader that is gone wrote its end. So it is
    /// after a crash between [`Output::InstallSnapshot`](crate::Output::InstallSnapshot) and what follows it.
    ///
    /// # Errors
    /// When the journal starts after the snapshot ends: entries are missing.
    pub fn snapshot(&mut self, base: EntryId) -> Result<(), GapError> {
        if self.log.base().lsn > base.lsn {
            return Err(GapError {
                last: base,
                found: self.log.base(),
            });
        }
        if !self.log.has(base) {
            self.stale = Some(std::mem::replace(&mut self.log, EpochHistory::new(base)));
        }
        self.high_watermark = base.lsn;
        Ok(())
    }

    /// Whether nothing of what the journal has belongs to the log.
    pub fn starts_anew(&self) -> bool {
        self.stale.is_some()
    }

    /// A mark: everything up to `lsn` was known to be committed.
    pub fn mark(&mut self, lsn: Lsn) {
        self.high_watermark = self.high_watermark.max(lsn.min(self.log.last().lsn));
    }
}

/// An entry in the journal that does not continue its group's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {}/{} does not follow {}/{}", found.epoch, found.lsn, last.epoch, last.lsn)]
pub struct GapError {
    /// Where the log ended.
    pub last: EntryId,
    /// What came.
    pub found: EntryId,
}
