//! Where each group's entries lie: eight bytes per entry, in memory, for what is still in the journal.

use crate::record::{Position, Record};
use millstream_model::{Epoch, GroupId, Lsn, Registration};
use std::collections::{BTreeMap, VecDeque};

/// No log gets this long; a record that says so is refused, so that counting on never overflows.
const LSN_MAX: Lsn = Lsn(1 << 62);

/// What the journal knows about its groups. Changed only by [`Index::apply`], in the order of the records.
#[derive(Debug, Default)]
pub(crate) struct Index {
    groups: BTreeMap<GroupId, GroupLog>,
    registration: Option<Registration>,
}

/// One group.
#[derive(Debug)]
struct GroupLog {
    /// The entry before the first one here.
    start: (Epoch, Lsn),
    /// Offset and length of the entries behind `start`, without a gap.
    places: VecDeque<(u32, u32)>,
    /// From which LSN on the entries lie in which file.
    files: VecDeque<(Lsn, u64)>,
    /// From which LSN on the entries have which epoch.
    epochs: VecDeque<(Lsn, Epoch)>,
    mark: Option<(Epoch, Lsn)>,
    /// Replay began behind entries that were released later: `start` is where they ended, and may yet be cut.
    is_provisional: bool,
}

/// A record that does not follow what a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub group: GroupId,
    pub expected: Lsn,
    pub found: Lsn,
}

/// The ends that groups would have after records that are not applied yet.
#[derive(Debug, Default)]
pub(crate) struct Ahead(BTreeMap<GroupId, Option<(Lsn, Lsn)>>);

impl GroupLog {
    fn new(start: (Epoch, Lsn)) -> GroupLog {
        GroupLog {
            start,
            places: VecDeque::new(),
            files: VecDeque::new(),
            epochs: VecDeque::new(),
            mark: None,
            is_provisional: false,
        }
    }

    fn end_lsn(&self) -> Lsn {
        Lsn(self.start.1.0 + self.places.len() as u64)
    }

    fn epoch(&self, lsn: Lsn) -> Option<Epoch> {
        if lsn == self.start.1 {
            return Some(self.start.0);
        }
        if lsn < self.start.1 || lsn > self.end_lsn() {
            return None;
        }
        let after = self.epochs.partition_point(|(first, _)| *first <= lsn);
        self.epochs.get(after.checked_sub(1)?).map(|(_, epoch)| *epoch)
    }

    fn position(&self, lsn: Lsn) -> Option<Position> {
        let at = lsn.0.checked_sub(self.start.1.0 + 1)?;
        let (offset, length) = *self.places.get(usize::try_from(at).ok()?)?;
        let after = self.files.partition_point(|(first, _)| *first <= lsn);
        let (_, generation) = *self.files.get(after.checked_sub(1)?)?;
        Some(Position {
            generation,
            offset,
            length,
        })
    }

    /// The LSNs between which a cut may be, and behind which the log goes on.
    fn span(&self) -> (Lsn, Lsn) {
        (
            if self.is_provisional {
                Lsn::ZERO
            } else {
                self.start.1
            },
            self.end_lsn(),
        )
    }

    fn push(&mut self, epoch: Epoch, previous_epoch: Epoch, position: Position) {
        if self.is_provisional && self.places.is_empty() {
            self.start.0 = previous_epoch;
        }
        let lsn = self.end_lsn().next();
        if self
            .files
            .back()
            .is_none_or(|(_, generation)| *generation != position.generation)
        {
            self.files.push_back((lsn, position.generation));
        }
        if self.epochs.back().is_none_or(|(_, last)| *last != epoch) {
            self.epochs.push_back((lsn, epoch));
        }
        self.places.push_back((position.offset, position.length));
    }

    fn truncate(&mut self, lsn: Lsn) {
        self.start.1 = self.start.1.min(lsn);
        let keep = lsn.0 - self.start.1.0;
        self.places.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        while self.files.back().is_some_and(|(first, _)| *first > lsn) {
            self.files.pop_back();
        }
        while self.epochs.back().is_some_and(|(first, _)| *first > lsn) {
            self.epochs.pop_back();
        }
    }

    fn release(&mut self, epoch: Epoch, lsn: Lsn) {
        let epoch = self.epoch(lsn).unwrap_or(epoch);
        if lsn >= self.end_lsn() {
            let mark = self.mark;
            *self = GroupLog {
                mark,
                ..GroupLog::new((epoch, lsn))
            };
            return;
        }
        if lsn <= self.start.1 {
            return;
        }
        self.places.drain(..(lsn.0 - self.start.1.0) as usize);
        self.start = (epoch, lsn);
        release_runs(&mut self.files, lsn);
        release_runs(&mut self.epochs, lsn);
        if self.places.len() * 4 < self.places.capacity() {
            self.places.shrink_to(self.places.len() * 2);
        }
    }
}

/// Drops the runs that end at or below `lsn`.
fn release_runs<T: Copy>(runs: &mut VecDeque<(Lsn, T)>, lsn: Lsn) {
    while runs.get(1).is_some_and(|(first, _)| *first <= lsn.next()) {
        runs.pop_front();
    }
    if let Some(first) = runs.front_mut() {
        first.0 = first.0.max(lsn.next());
    }
}

impl Index {
    /// Whether the records may come next, `ahead` being what is to come before them. Leaves `ahead` as it was when
    /// they may not.
    pub fn check<'a>(&self, ahead: &mut Ahead, records: impl Iterator<Item = &'a Record>) -> Result<(), Gap> {
        let mut changed: BTreeMap<GroupId, Option<(Lsn, Lsn)>> = BTreeMap::new();
        for record in records {
            let Some(group) = record.group() else { continue };
            let known = || self.groups.get(&group).map(GroupLog::span);
            let span = changed
                .entry(group)
                .or_insert_with(|| ahead.0.get(&group).copied().unwrap_or_else(known));
            *span = follow(group, *span, record)?;
        }
        ahead.0.extend(changed);
        Ok(())
    }

    /// Takes the next record, durable at `position`.
    pub fn apply(&mut self, record: &Record, position: Position) -> Result<(), Gap> {
        if let Some(group) = record.group() {
            let span = self.groups.get(&group).map(GroupLog::span);
            follow(group, span, record)?;
        }
        match record {
            Record::Entry(entry) => {
                let start = entry.header.previous();
                let log = self
                    .groups
                    .entry(entry.header.group)
                    .or_insert_with(|| GroupLog::new(start));
                log.push(entry.header.epoch, entry.header.previous_epoch, position);
                let (end, lsn) = (log.end_lsn(), entry.header.lsn);
                assert!(end == lsn, "bug: entry {lsn} is indexed as {end}");
            }
            Record::Truncate { group, lsn, .. } => {
                if let Some(log) = self.groups.get_mut(group) {
                    log.truncate(*lsn);
                }
            }
            Record::Mark {
                group,
                epoch,
                high_watermark,
            } => {
                if let Some(log) = self.groups.get_mut(group) {
                    log.mark = Some((*epoch, *high_watermark));
                } else {
                    let mut log = GroupLog::new((Epoch(0), Lsn::ZERO));
                    log.mark = Some((*epoch, *high_watermark));
                    self.groups.insert(*group, log);
                }
            }
            Record::Released { group, epoch, lsn } => {
                let log = self
                    .groups
                    .entry(*group)
                    .or_insert_with(|| GroupLog::new((*epoch, *lsn)));
                log.release(*epoch, *lsn);
            }
            Record::Carried { group, start, end } => {
                let log = self.groups.entry(*group).or_insert_with(|| GroupLog {
                    is_provisional: start != end,
                    ..GroupLog::new(*end)
                });
                if log.end_lsn() != end.1 {
                    return Err(Gap {
                        group: *group,
                        expected: log.end_lsn(),
                        found: end.1,
                    });
                }
            }
            Record::Removed { group } => {
                self.groups.remove(group);
            }
            Record::Registered { registration } => self.registration = Some(*registration),
        }
        Ok(())
    }

    /// What every file begins with, so that the ones before it can go: everything but the entries.
    pub fn carry(&self) -> Vec<Record> {
        let mut records = Vec::new();
        records.extend(
            self.registration
                .map(|registration| Record::Registered { registration }),
        );
        for (&group, log) in &self.groups {
            let lsn = log.end_lsn();
            let end = (log.epoch(lsn).unwrap_or(log.start.0), lsn);
            records.push(Record::Carried {
                group,
                start: log.start,
                end,
            });
            if let Some((epoch, high_watermark)) = log.mark {
                records.push(Record::Mark {
                    group,
                    epoch,
                    high_watermark,
                });
            }
        }
        records
    }

    /// The first group that has entries in this file.
    pub fn pins(&self, generation: u64) -> Option<GroupId> {
        let has = |log: &GroupLog| log.files.front().is_some_and(|(_, first)| *first <= generation);
        self.groups
            .iter()
            .find(|(_, log)| has(log))
            .map(|(group, _)| *group)
    }

    /// Whether nobody would have entries in this file after these releases.
    pub fn would_free(&self, generation: u64, releases: &BTreeMap<GroupId, (Epoch, Lsn)>) -> bool {
        self.groups.iter().all(|(group, log)| {
            let Some((_, first)) = log.files.front() else {
                return true;
            };
            if *first > generation {
                return true;
            }
            let last = match log.files.get(1) {
                Some((next, _)) => Lsn(next.0 - 1),
                None => log.end_lsn(),
            };
            releases.get(group).is_some_and(|(_, lsn)| *lsn >= last)
        })
    }

    /// What a replay gives for a record that was just applied.
    pub fn as_replayed(&self, record: Record) -> Record {
        match record {
            Record::Carried { group, start, end } => {
                let (epoch, lsn) = self.start(group).unwrap_or(start).max(start).min(end);
                Record::Released { group, epoch, lsn }
            }
            record => record,
        }
    }

    /// Replay has ended: what was released is known.
    pub fn settle(&mut self) {
        for log in self.groups.values_mut() {
            log.is_provisional = false;
        }
    }

    pub fn registration(&self) -> Option<Registration> {
        self.registration
    }

    pub fn groups(&self) -> Vec<GroupId> {
        self.groups.keys().copied().collect()
    }

    pub fn start(&self, group: GroupId) -> Option<(Epoch, Lsn)> {
        self.groups.get(&group).map(|log| log.start)
    }

    pub fn end(&self, group: GroupId) -> Option<(Epoch, Lsn)> {
        let log = self.groups.get(&group)?;
        let lsn = log.end_lsn();
        Some((log.epoch(lsn)?, lsn))
    }

    pub fn epoch(&self, group: GroupId, lsn: Lsn) -> Option<Epoch> {
        self.groups.get(&group)?.epoch(lsn)
    }

    pub fn mark(&self, group: GroupId) -> Option<(Epoch, Lsn)> {
        self.groups.get(&group)?.mark
    }

    pub fn position(&self, group: GroupId, lsn: Lsn) -> Option<Position> {
        self.groups.get(&group)?.position(lsn)
    }

    /// The places from `from` on, at least one if there is one, at most `bytes_max` bytes of them. `None` when
    /// `from` is neither here nor next.
    pub fn positions(&self, group: GroupId, from: Lsn, bytes_max: usize) -> Option<Vec<Position>> {
        let log = self.groups.get(&group)?;
        if from <= log.start.1 || from > log.end_lsn().next() {
            return None;
        }
        let mut found = Vec::new();
        let mut bytes = 0usize;
        let mut lsn = from;
        while let Some(position) = log.position(lsn) {
            bytes = bytes.saturating_add(position.length as usize);
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(position);
            lsn = lsn.next();
        }
        Some(found)
    }
}

/// The (start, end) of a group after a record, `span` being the one before it.
fn follow(group: GroupId, span: Option<(Lsn, Lsn)>, record: &Record) -> Result<Option<(Lsn, Lsn)>, Gap> {
    let gap = |expected, found| {
        Err(Gap {
            group,
            expected,
            found,
        })
    };
    let named = match record {
        Record::Entry(entry) => entry.header.lsn,
        Record::Truncate { lsn, .. }
        | Record::Released { lsn, .. }
        | Record::Carried { end: (_, lsn), .. } => *lsn,
        _ => Lsn::ZERO,
    };
    if named > LSN_MAX {
        return gap(LSN_MAX, named);
    }
    Ok(match (record, span) {
        (Record::Entry(entry), None) => match entry.header.lsn {
            Lsn::ZERO => return gap(Lsn(1), Lsn::ZERO),
            lsn => Some((Lsn(lsn.0 - 1), lsn)),
        },
        (Record::Entry(entry), Some((start, end))) => {
            if entry.header.lsn != end.next() {
                return gap(end.next(), entry.header.lsn);
            }
            Some((start, entry.header.lsn))
        }
        (Record::Truncate { lsn, .. }, Some((start, end))) => {
            if *lsn < start {
                return gap(start, *lsn);
            }
            Some((start, end.min(*lsn)))
        }
        (Record::Released { lsn, .. }, Some((start, end))) => Some((start.max(*lsn), end.max(*lsn))),
        (Record::Released { lsn, .. }, None) => Some((*lsn, *lsn)),
        (Record::Mark { .. }, None) => Some((Lsn::ZERO, Lsn::ZERO)),
        (Record::Carried { start, end, .. }, None) => Some((start.1, end.1)),
        (Record::Removed { .. }, _) => None,
        (_, span) => span,
    })
}
