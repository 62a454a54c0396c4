//! Going on behind a damaged journal, when the operator says so (`--recover-groups`, log.md 5): what is whole behind the
//! damage is kept, with its numbers and offsets; what is gone is replaced and told.
//!
//! ```text
//!   what precedes ─► states ─┐
//!   what is whole behind ────┼─► survey (per group) ─► fill ─► written again, in order, as drafts ─► counts at once
//!   the catalog ─────────────┘                                                        └─► report
//! ```
//! Two passes over what is whole: one surveys, one writes. The simulator runs it as the broker does. Nothing counts before
//! all of it is on disk, and what is lost beside it; a process that ends in the middle does it again.

mod fill;
mod report;
mod survey;
#[cfg(test)]
mod tests;

pub use fill::{Catalog, Fill, plan};
pub use report::{Loss, Report};
pub use survey::{Batch, Evidence, Missing, Stretch, Survey};

use millstream_journal::{Behind, CommitError, Disk, Framed, Journal, OpenError, Record};
use millstream_model::entry::{Entry, EntryKind};
use millstream_model::{GroupId, Offset, PartitionId, Registration, TenantId, TimestampMs};
use millstream_partition::{Change, Effect, GroupState};
use millstream_replication::EntryId;
use std::collections::BTreeMap;

/// A damaged journal behind which nobody can go on now. Nothing of it was changed.
#[derive(Debug, thiserror::Error)]
pub enum MendError {
    /// What is behind the damage cannot be read.
    #[error(transparent)]
    Read(#[from] OpenError),
    /// What is whole behind the damage cannot be written again.
    #[error("what is whole behind the damage cannot be written again: {0}")]
    Write(#[from] CommitError),
    /// What is lost cannot be kept for whoever is to be told.
    #[error("what is lost cannot be noted: {0}")]
    Keep(std::io::Error),
}

/// What is known beside the journal.
pub struct Known<'a> {
    /// The groups, as what precedes the damage and their snapshots left them.
    pub groups: BTreeMap<GroupId, Before>,
    /// The partitions.
    pub catalog: Catalog<'a>,
    /// The highest registration that is known to be confirmed: the damage may have taken it.
    pub registration: Option<Registration>,
    /// Bugs put in on purpose. Never set outside tests.
    pub planted: Planted,
}

/// Bugs put in on purpose, for the simulator only: each one loses or invents data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    /// Offsets that may have been seen behind the last known one are given out again.
    pub tail_is_given_again: bool,
    /// Nothing stands for missing batches that the snapshot knows.
    pub known_batches_are_left_out: bool,
    /// What lies behind a gap is taken although what is missing before it was not put in.
    pub gap_is_passed_over: bool,
    /// What is lost is kept only once it counts: who dies in between has told nobody.
    pub report_is_kept_last: bool,
}

/// A group as what precedes the damage left it, or its snapshot if that is newer.
#[derive(Clone, Debug)]
pub struct Before {
    /// Its state.
    pub state: GroupState,
    /// The state lacks entries that the journal does not have any more: it says nothing of what follows.
    pub is_blind: bool,
}

/// One group on its way through the second pass.
struct Going {
    survey: Survey,
    fill: Fill,
    state: GroupState,
    is_blind: bool,
    /// The last entry that was written.
    end: EntryId,
    has_begun: bool,
    report: Report,
}

/// Goes on behind the damage; gives every record that was written, in order, to `take`, and what is lost to `keep`, durably
/// and before any of it counts: a start behind that one finds nothing damaged, and has to tell it if this one did not.
///
/// # Errors
/// See [`MendError`].
pub fn mend<D: Disk>(
    journal: &mut Journal<D>,
    known: Known<'_>,
    mut take: impl FnMut(&Record),
    mut keep: impl FnMut(&Report) -> std::io::Result<()>,
) -> Result<Report, MendError> {
    let Known {
        groups,
        catalog,
        registration,
        planted,
    } = known;
    let salvage = journal.salvage()?;
    let mut going = survey_all(journal, groups, &salvage)?;
    for group in going.values_mut().filter(|group| !group.is_blind) {
        group.fill = plan(&group.survey, &group.state, catalog);
        group.fill.plant(planted, group.state.applied());
    }
    for group in going.values_mut().filter(|group| group.is_blind) {
        group.fill = fill::nothing_in(&group.survey, group.state.group());
    }
    journal.begin_mending()?;
    let mut copy = Copy {
        room: journal.commit_bytes_max() / 2,
        journal,
        records: Vec::new(),
        bytes: 0,
        take: &mut take,
    };
    salvage.each(|behind| match behind {
        Behind::Record(record) => copy.record(&mut going, record),
        Behind::Lost(_) | Behind::Hole => Ok(()),
    })?;
    let mut report = Report::default();
    for group in going.into_values() {
        report.extend(copy.end(group)?);
    }
    if registration > copy.journal.reader().registration()
        && let Some(registration) = registration
    {
        copy.put(Record::Registered { registration })?;
    }
    copy.write()?;
    if planted.report_is_kept_last {
        journal.finish_mending()?;
        keep(&report).map_err(MendError::Keep)?;
        return Ok(report);
    }
    keep(&report).map_err(MendError::Keep)?;
    journal.finish_mending()?;
    Ok(report)
}

/// The first pass.
fn survey_all<D: Disk>(
    journal: &Journal<D>,
    groups: BTreeMap<GroupId, Before>,
    salvage: &millstream_journal::Salvage<D::File>,
) -> Result<BTreeMap<GroupId, Going>, MendError> {
    let mut going: BTreeMap<GroupId, Going> = groups
        .into_iter()
        .map(|(id, before)| (id, Going::new(journal, id, before)))
        .collect();
    salvage.each(|behind| {
        let group = match &behind {
            Behind::Hole => {
                going.values_mut().for_each(|group| group.survey.see(&behind));
                None
            }
            Behind::Lost(header) => Some(header.group),
            Behind::Record(record) => record.group(),
        };
        if let Some(id) = group {
            let before = || Before {
                state: GroupState::new(id),
                is_blind: false,
            };
            let group = going
                .entry(id)
                .or_insert_with(|| Going::new(journal, id, before()));
            group.survey.see(&behind);
        }
        Ok::<(), MendError>(())
    })?;
    for group in going.values_mut() {
        let applied = EntryId {
            epoch: group.state.applied_epoch(),
            lsn: group.state.applied(),
        };
        group.survey.finish(applied);
    }
    Ok(going)
}

impl Going {
    fn new<D: Disk>(journal: &Journal<D>, id: GroupId, before: Before) -> Going {
        let Before { state, is_blind } = before;
        let reader = journal.reader();
        let end = reader.end(id).map(|(epoch, lsn)| EntryId { epoch, lsn });
        let last = end.and_then(|end| reader.entry(id, end.lsn).ok());
        let time = last.as_ref().map_or(TimestampMs(0), |entry| entry.header.time);
        let batch = last.and_then(|entry| Batch::of(&entry.header, &Change::of(&entry)));
        Going {
            survey: Survey::new(&state, end, batch, time),
            fill: Fill::default(),
            state,
            is_blind,
            end: end.unwrap_or_default(),
            has_begun: end.is_some(),
            report: Report::default(),
        }
    }

    /// What becomes of an entry behind the damage.
    fn judge(&mut self, mut entry: Entry) -> Entry {
        let change = Change::of(&entry);
        let is_next = !self.is_blind && entry.header.lsn == self.state.applied().next();
        if is_next
            && let Ok(change) = &change
            && let Err(reason) = self.state.would_take(&entry.header, change)
        {
            tracing::warn!(
                group = %self.state.group(), lsn = %entry.header.lsn, partition = %entry.header.partition, %reason,
                "an entry behind the damage does not fit what is left of its partition and is passed over"
            );
            if let Some(batch) = Batch::of(&entry.header, &Ok(change.clone())) {
                let offsets = batch.base_offset..batch.end_offset;
                self.fill
                    .lost
                    .push((batch.partition, entry.header.tenant, offsets));
            }
            let header = entry.header;
            let nobody = (PartitionId::NONE, TenantId::SYSTEM);
            entry = fill::entry_of(header.group, header.epoch, header.lsn, header.time, nobody, None);
        }
        entry
    }

    /// The entry was written: what it makes of the state.
    fn apply(&mut self, entry: &Entry) {
        self.end = EntryId::of(&entry.header);
        if self.is_blind || entry.header.lsn != self.state.applied().next() {
            return;
        }
        let producers = |state: &GroupState| {
            let partition = state.partition(&entry.header.partition);
            partition.map_or(0, |partition| partition.producers().len())
        };
        let before = producers(&self.state);
        let applied = self.state.apply(entry);
        if let Effect::Lost { .. } = applied.effect {
            let forgotten = before - producers(&self.state);
            if forgotten > 0 {
                self.report.push(Loss::Producers {
                    partition: entry.header.partition,
                    tenant: entry.header.tenant,
                    count: forgotten,
                });
            }
        }
    }

    /// What was lost in the end: not what is in the store after all, or trimmed, or deleted.
    fn report(mut self) -> Report {
        for (partition, tenant, offsets) in std::mem::take(&mut self.fill.lost) {
            let known = self.state.partition(&partition);
            let from = known.map(|known| known.tiered_up_to().max(known.log_start()));
            let from = from
                .filter(|_| !self.is_blind)
                .unwrap_or(offsets.start)
                .max(offsets.start);
            let is_gone = known.is_none() && !self.is_blind;
            if from < offsets.end && !is_gone {
                self.report.push(Loss::Offsets {
                    partition,
                    tenant,
                    offsets: from..offsets.end,
                });
            }
        }
        for (partition, tenant) in std::mem::take(&mut self.fill.opened) {
            self.report.push(Loss::Opened { partition, tenant });
        }
        for (partition, tenant, offsets) in std::mem::take(&mut self.fill.unknown) {
            self.report.push(Loss::Unknown {
                partition,
                tenant,
                offsets,
            });
        }
        if let Some(lsn) = self.survey.stops_at {
            let group = self.state.group();
            self.report.push(Loss::Stopped { group, lsn });
        }
        if !self.is_blind {
            let standing = self.state.partitions().map(|(id, it)| (*id, it.tenant()));
            self.report.standing = standing.collect();
        }
        self.report
    }
}

/// Writes again what is kept.
struct Copy<'a, D: Disk, F: FnMut(&Record)> {
    journal: &'a mut Journal<D>,
    /// Bytes of a commit.
    room: usize,
    records: Vec<Framed>,
    bytes: usize,
    take: &'a mut F,
}

impl<D: Disk, F: FnMut(&Record)> Copy<'_, D, F> {
    /// The next record behind the damage.
    fn record(&mut self, going: &mut BTreeMap<GroupId, Going>, record: Record) -> Result<(), MendError> {
        let Some(group) = record.group().and_then(|id| going.get_mut(&id)) else {
            return match record {
                Record::Registered { .. } => self.put(record),
                _ => Ok(()),
            };
        };
        let counts = |lsn| group.survey.stops_at.is_none_or(|stop| lsn < stop);
        match record {
            Record::Entry(entry)
                if entry.header.lsn > group.survey.begins.lsn && counts(entry.header.lsn) =>
            {
                group.report.kept += 1;
                self.fill_below(group, entry.header.lsn)?;
                let entry = group.judge(entry);
                self.entry(group, entry)
            }
            Record::Released { lsn, .. } if counts(lsn) => {
                self.fill_below(group, lsn.next())?;
                if lsn > group.end.lsn {
                    return Ok(());
                }
                self.put(record)
            }
            Record::Mark { high_watermark, .. } if high_watermark <= group.end.lsn => self.put(record),
            // The journal writes its own.
            _ => Ok(()),
        }
    }

    /// What is put in before the entry at `lsn`.
    fn fill_below(&mut self, group: &mut Going, lsn: millstream_model::Lsn) -> Result<(), MendError> {
        while let Some(first) = group
            .fill
            .entries
            .first_entry()
            .filter(|first| *first.key() < lsn)
        {
            let entry = first.remove();
            self.entry(group, entry)?;
        }
        Ok(())
    }

    fn entry(&mut self, group: &mut Going, mut entry: Entry) -> Result<(), MendError> {
        let begins = group.survey.begins;
        if !std::mem::replace(&mut group.has_begun, true) && begins.lsn.0 > 0 {
            group.end = begins;
            self.put(Record::Released {
                group: group.state.group(),
                epoch: begins.epoch,
                lsn: begins.lsn,
            })?;
        }
        entry.header.previous_epoch = group.end.epoch;
        group.apply(&entry);
        self.put(Record::Entry(entry))
    }

    /// Nothing more comes of a group.
    fn end(&mut self, mut group: Going) -> Result<Report, MendError> {
        self.fill_below(&mut group, millstream_model::Lsn(u64::MAX))?;
        for entry in std::mem::take(&mut group.fill.tail) {
            self.entry(&mut group, entry)?;
        }
        if group.has_begun && group.end.lsn.0 > 0 {
            // It has no other replica: what is on this disk is committed.
            self.put(Record::Mark {
                group: group.state.group(),
                epoch: group.end.epoch,
                high_watermark: group.end.lsn,
            })?;
        }
        Ok(group.report())
    }

    fn put(&mut self, record: Record) -> Result<(), MendError> {
        (self.take)(&record);
        let is_batch = matches!(&record, Record::Entry(entry) if entry.header.kind == EntryKind::Append);
        let framed = match is_batch {
            true => Framed::checked(record),
            false => Framed::new(record),
        };
        self.bytes += framed.length();
        if self.bytes > self.room && !self.records.is_empty() {
            self.write()?;
            self.bytes = framed.length();
        }
        self.records.push(framed);
        Ok(())
    }

    fn write(&mut self) -> Result<(), MendError> {
        if !self.records.is_empty() {
            self.journal.commit(&std::mem::take(&mut self.records))?;
            self.bytes = 0;
        }
        Ok(())
    }
}

/// Offsets from one to another, as numbers.
fn count(offsets: &std::ops::Range<Offset>) -> u64 {
    u64::try_from(offsets.end.0 - offsets.start.0).unwrap_or(0)
}
