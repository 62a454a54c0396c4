//! One group's log behind damage: which of its entries count, which are missing, and what those behind a gap say of the
//! partitions that they touch. A pure pass over the records that are whole; nothing is kept of an entry but that.
//!
//! ```text
//!   snapshot ─ prefix ─│ gap 5..7 │ 8 9 10 │ gap 11 │ 12 13 │ (unsure: a hole, and nothing of the group behind it)
//!                 (base)  stretch 1           stretch 2
//! ```

use millstream_journal::{Behind, Record};
use millstream_kafka_wire::batch::BatchHeader;
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::limits::MENDED_ENTRIES_MAX;
use millstream_model::{Epoch, Lsn, Offset, PartitionId, TenantId, TimestampMs};
use millstream_partition::{Change, GroupState, PayloadError};
use millstream_replication::EntryId;
use std::collections::BTreeMap;

/// Offsets of a batch that an entry appends: the place where another one begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where it went.
    pub partition: PartitionId,
    /// The first.
    pub base_offset: Offset,
    /// One past the last.
    pub end_offset: Offset,
}

impl Batch {
    /// That of an entry, if it appends one, or stands for one that is lost.
    pub fn of(header: &EntryHeader, change: &Result<Change, PayloadError>) -> Option<Batch> {
        let (base_offset, end_offset) = match change {
            Ok(Change::Append(facts)) => (facts.base_offset, facts.end_offset),
            Ok(Change::Lost(gap)) => (gap.base_offset, gap.end_offset),
            _ => return None,
        };
        Some(Batch {
            partition: header.partition,
            base_offset,
            end_offset,
        })
    }
}

/// Entries that are missing, and what is behind them up to the next ones that are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// The entries that are missing before it; none before the first one.
    pub gap: Option<Missing>,
    /// What its entries say of their partitions.
    pub partitions: BTreeMap<PartitionId, Evidence>,
}

/// Entries that are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The first.
    pub first: Lsn,
    /// The last.
    pub last: Lsn,
    /// The epoch of the last: the entry behind it names it.
    pub epoch: Epoch,
    /// When the entry before them was written.
    pub time: TimestampMs,
    /// The batch right before them, if that is one.
    pub before: Option<Batch>,
    /// The batch right behind them.
    pub after: Option<Batch>,
    /// The headers of those that have lost no more than their payload.
    pub known: Vec<EntryHeader>,
}

/// What a stretch says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Whose it is.
    pub tenant: TenantId,
    /// It is opened, or deleted, before anything else is said.
    pub begins_anew: bool,
    /// The log had got at least so far when the stretch began.
    pub reached: Option<Offset>,
    /// Exactly so far: a batch begins there.
    pub next: Option<Offset>,
    /// Its base epoch, as that batch was stamped with.
    pub base_epoch: Option<i32>,
    /// One past the last offset that the stretch knows.
    pub end: Offset,
}

/// One group's log behind damage.
#[derive(Clone, Debug)]
pub struct Survey {
    /// What the state contains that everything is held against.
    applied: Lsn,
    /// Where the log begins that goes on; what a journal that lost its beginning has to be told.
    pub begins: EntryId,
    /// The last entry that is known to have been there.
    pub end: EntryId,
    /// In the order of the log; the first one has no gap.
    pub stretches: Vec<Stretch>,
    /// There may be more behind `end`.
    pub is_unsure: bool,
    /// From here on nothing counts, for it does not continue what precedes it.
    pub stops_at: Option<Lsn>,
    /// When the last entry was written.
    time: TimestampMs,
    /// The batch in the last entry.
    last: Option<Batch>,
    /// The journal has an entry of the group, or said where it ends.
    is_placed: bool,
}

impl Survey {
    /// A group with this state, whose log ends with `end` before the damage; `None` when nothing of it is known there: then
    /// it begins behind what the state needs no more. `last` is the batch in that entry, `time` when it was written.
    pub fn new(state: &GroupState, end: Option<EntryId>, last: Option<Batch>, time: TimestampMs) -> Survey {
        let needed_after = state.tiered_lsn();
        let begins = end.unwrap_or(EntryId {
            epoch: match needed_after == state.applied() {
                true => state.applied_epoch(),
                false => Epoch(0),
            },
            lsn: needed_after,
        });
        Survey {
            applied: state.applied(),
            begins,
            end: begins,
            stretches: vec![Stretch::default()],
            is_unsure: false,
            stops_at: None,
            time,
            last,
            is_placed: end.is_some(),
        }
    }

    /// The next of what lies behind the damage, when it is the group's or a hole.
    pub fn see(&mut self, behind: &Behind) {
        if self.stops_at.is_some() {
            return;
        }
        match behind {
            Behind::Hole => self.is_unsure = true,
            Behind::Lost(header) => self.lost(header),
            Behind::Record(Record::Entry(entry)) => self.entry(entry),
            Behind::Record(Record::Carried { end, .. }) => self.reaches(*end),
            Behind::Record(Record::Released { epoch, lsn, .. }) if *lsn > self.end.lsn => {
                self.reaches((*epoch, *lsn));
            }
            // Only who follows another replica cuts its log: that one has everything.
            Behind::Record(Record::Truncate { lsn, .. }) if *lsn < self.end.lsn => {
                self.stops_at = Some(self.end.lsn.next());
            }
            Behind::Record(Record::Removed { .. }) => self.stops_at = Some(self.end.lsn.next()),
            Behind::Record(_) => {}
        }
    }

    /// All was seen; `applied` is the entry that the state ends with, which was there, too.
    pub fn finish(&mut self, applied: EntryId) {
        if self.stops_at.is_none() && applied.lsn > self.end.lsn {
            self.reaches((applied.epoch, applied.lsn));
        }
    }

    /// When the last entry was written.
    pub fn time(&self) -> TimestampMs {
        self.time
    }

    fn reaches(&mut self, (epoch, lsn): (Epoch, Lsn)) {
        let id = EntryId { epoch, lsn };
        self.place(id);
        self.is_unsure &= id.lsn < self.end.lsn;
        if id.lsn > self.end.lsn && self.comes(id, id.lsn.next()) {
            self.last = None;
        }
    }

    fn lost(&mut self, header: &EntryHeader) {
        let (epoch, lsn) = header.previous();
        self.place(EntryId { epoch, lsn });
        if header.lsn <= self.end.lsn || !self.comes(EntryId { epoch, lsn }, header.lsn) {
            return self.stop(header);
        }
        let id = EntryId::of(header);
        self.miss(id);
        if let Some(gap) = self.stretches.last_mut().and_then(|it| it.gap.as_mut()) {
            gap.known.push(*header);
        }
        (self.end, self.last, self.is_unsure) = (id, None, false);
    }

    fn entry(&mut self, entry: &Entry) {
        let header = &entry.header;
        let (epoch, lsn) = header.previous();
        self.place(EntryId { epoch, lsn });
        if header.lsn <= self.end.lsn || !self.comes(EntryId { epoch, lsn }, header.lsn) {
            return self.stop(header);
        }
        let change = Change::of(entry);
        let batch = Batch::of(header, &change);
        if let Some(stretch) = self.stretches.last_mut()
            && let Some(gap) = stretch.gap.as_mut()
            && gap.last == self.end.lsn
        {
            gap.after = batch;
            if gap.time == TimestampMs(0) {
                gap.time = header.time;
            }
        }
        if header.lsn > self.applied
            && let (Ok(change), Some(stretch)) = (change, self.stretches.last_mut())
        {
            witness(&mut stretch.partitions, entry, &change);
        }
        self.end = EntryId::of(header);
        (self.last, self.time, self.is_unsure) = (batch, header.time, false);
    }

    /// A journal that lost its beginning begins with whatever comes first, if the state needs nothing before it.
    fn place(&mut self, previous: EntryId) {
        if !std::mem::replace(&mut self.is_placed, true)
            && (previous.lsn <= self.end.lsn || previous.lsn.0 - self.end.lsn.0 > MENDED_ENTRIES_MAX)
        {
            (self.begins, self.end) = (previous, previous);
        }
    }

    /// Whether the entry at `lsn`, which follows `previous`, comes next, what is missing before it being missed.
    fn comes(&mut self, previous: EntryId, lsn: Lsn) -> bool {
        if previous == self.end {
            return true;
        }
        let gap = lsn.0 - self.end.lsn.next().0;
        if gap == 0 || gap > MENDED_ENTRIES_MAX || previous.epoch < self.end.epoch {
            return false;
        }
        self.miss(previous);
        self.end = previous;
        true
    }

    /// Everything behind the end up to this entry is missing.
    fn miss(&mut self, last: EntryId) {
        let first = self.end.lsn.next();
        if let Some(stretch) = self.stretches.last_mut()
            && let Some(gap) = stretch.gap.as_mut()
            && gap.last == self.end.lsn
        {
            (gap.last, gap.epoch) = (last.lsn, last.epoch);
            return;
        }
        self.stretches.push(Stretch {
            gap: Some(Missing {
                first,
                last: last.lsn,
                epoch: last.epoch,
                time: self.time,
                before: self.last,
                after: None,
                known: Vec::new(),
            }),
            partitions: BTreeMap::new(),
        });
    }

    fn stop(&mut self, header: &EntryHeader) {
        tracing::error!(
            group = %header.group, lsn = %header.lsn, end = %self.end.lsn,
            "an entry behind the damage does not continue the log; it does not count, nor does what follows it"
        );
        self.stops_at = Some(self.end.lsn.next());
    }
}

/// Notes what an entry says of where its partition's log was before it.
fn witness(partitions: &mut BTreeMap<PartitionId, Evidence>, entry: &Entry, change: &Change) {
    let header = &entry.header;
    if header.kind == EntryKind::EpochStart {
        return;
    }
    let is_first = !partitions.contains_key(&header.partition);
    let evidence = partitions.entry(header.partition).or_insert(Evidence {
        tenant: header.tenant,
        begins_anew: false,
        reached: None,
        next: None,
        base_epoch: None,
        end: Offset(0),
    });
    let reached = match change {
        Change::Opened(opened) => {
            evidence.begins_anew |= is_first;
            opened.log_start
        }
        Change::Deleted => {
            evidence.begins_anew |= is_first;
            return;
        }
        Change::Append(facts) => {
            evidence.end = evidence.end.max(facts.end_offset);
            if evidence.next.is_none() {
                evidence.next = Some(facts.base_offset);
                evidence.base_epoch = stamped_base(entry);
            }
            return;
        }
        Change::Trim { log_start } => *log_start,
        Change::Tiered(segments) => segments.last().map_or(Offset(0), |last| last.end_offset),
        Change::Replace(replacement) => replacement.gone.last().map_or(Offset(0), |(_, end)| *end),
        Change::Lost(gap) => {
            evidence.end = evidence.end.max(gap.end_offset);
            gap.base_offset
        }
        Change::EpochStart | Change::Closed | Change::ForgetProducers { .. } | Change::Owned { .. } => return,
    };
    evidence.end = evidence.end.max(reached);
    if evidence.next.is_none() {
        evidence.reached = evidence.reached.max(Some(reached));
    }
}

/// The base epoch that a stamped batch tells: its leader epoch is that + the group's (log.md 26).
fn stamped_base(entry: &Entry) -> Option<i32> {
    let stamped = BatchHeader::read(&entry.payload).ok()?.leader_epoch.0;
    stamped.checked_sub(i32::try_from(entry.header.epoch.0).ok()?)
}
