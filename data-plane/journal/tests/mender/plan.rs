//! Goes on behind damage as the broker does, but without knowing what entries say: one that says nothing takes the place of
//! each that is missing.

use bytes::Bytes;
use millstream_journal::sim::SimDisk;
use millstream_journal::{Behind, CommitError, Framed, Journal, OpenError, Record};
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::{Epoch, GroupId, KeyId, Lsn, PartitionId, TenantId, TimestampMs};
use std::collections::BTreeMap;

/// What is written behind the damage.
#[derive(Debug, Default)]
pub struct Plan {
    pub records: Vec<Record>,
    /// Entries that were put in.
    pub filled: usize,
}

/// Plans from what is whole.
pub fn plan(journal: &Journal<SimDisk>) -> Result<Plan, OpenError> {
    let reader = journal.reader();
    let mut ends: BTreeMap<GroupId, (Lsn, Lsn)> = BTreeMap::new();
    for group in reader.groups() {
        let (start, end) = (reader.start(group).unwrap().1, reader.end(group).unwrap().1);
        ends.insert(group, (start, end));
    }
    let mut plan = Plan::default();
    journal.salvage()?.each(|behind| {
        let Behind::Record(record) = behind else {
            return Ok::<(), OpenError>(());
        };
        let Some(group) = record.group() else {
            plan.records.push(record);
            return Ok(());
        };
        let (start, end) = ends.entry(group).or_default();
        match &record {
            Record::Entry(entry) => {
                let (epoch, previous) = entry.header.previous();
                plan.reach(group, end, epoch, previous);
                if previous < *start {
                    return Ok(());
                }
                if previous < *end {
                    plan.cut(group, epoch, previous);
                }
                *end = entry.header.lsn;
            }
            Record::Truncate { epoch, lsn, .. } | Record::Released { epoch, lsn, .. } => {
                plan.reach(group, end, *epoch, *lsn);
                if *lsn < *start {
                    return Ok(());
                }
                match record {
                    Record::Truncate { .. } => *end = *lsn,
                    _ => *start = *lsn,
                }
            }
            Record::Carried { end: carried, .. } => {
                plan.reach(group, end, carried.0, carried.1);
                if carried.1 < *end && carried.1 >= *start {
                    plan.cut(group, carried.0, carried.1);
                    *end = carried.1;
                }
                return Ok(());
            }
            _ => {}
        }
        plan.records.push(record);
        Ok(())
    })?;
    Ok(plan)
}

impl Plan {
    fn reach(&mut self, group: GroupId, end: &mut Lsn, epoch: Epoch, lsn: Lsn) {
        while *end < lsn {
            *end = end.next();
            self.filled += 1;
            self.records.push(Record::Entry(Entry {
                header: EntryHeader {
                    kind: EntryKind::EpochStart,
                    group,
                    epoch,
                    previous_epoch: epoch,
                    lsn: *end,
                    time: TimestampMs(0),
                    partition: PartitionId::NONE,
                    tenant: TenantId::SYSTEM,
                    key: KeyId::NONE,
                },
                payload: Bytes::new(),
            }));
        }
    }

    fn cut(&mut self, group: GroupId, epoch: Epoch, lsn: Lsn) {
        self.records.push(Record::Truncate { group, epoch, lsn });
    }

    /// Writes it; a failure leaves the damage as it was.
    pub fn carry_out(&self, journal: &mut Journal<SimDisk>) -> Result<(), CommitError> {
        journal.begin_mending()?;
        for records in self.records.chunks(2) {
            let framed: Vec<Framed> = records.iter().cloned().map(Framed::new).collect();
            journal.commit(&framed)?;
        }
        journal.finish_mending()
    }
}
