//! What is there after the damage, beside what was acknowledged before it.

use super::truth::Truth;
use super::{Found, Sole, settled};
use millstream_broker::mend::{Loss, Report};
use millstream_broker::reading::{Plan, plan_of, read_journal};
use millstream_journal::Reader;
use millstream_journal::sim::SimDisk;
use millstream_kafka_wire::batch::batches;
use millstream_model::{GroupId, Lsn, Offset, PartitionId, ProducerId};
use millstream_partition::{GroupState, PartitionState};
use std::collections::BTreeSet;

/// Holds every group against the truth. A report that nobody was told is not held against what is lost.
pub(super) fn check(sole: &mut Sole, found: Found, told: &Report) -> Result<(), String> {
    let Found {
        journal, recoveries, ..
    } = found;
    let is_told = *told != Report::default();
    for (id, recovery) in recoveries {
        let truth = sole.truths[&id].clone();
        let state = settled(recovery).map_err(|why| format!("group {id}: {why}"))?;
        let snapshot = truth.snapshot.applied();
        let group = Group {
            truth: &truth,
            state: &state,
            reader: journal.reader(),
            told: is_told.then_some(told),
            hurt: &|lsn| sole.hurt.contains(&(id, lsn)),
        };
        group.check().map_err(|why| format!("group {id}: {why}"))?;
        let hurt = sole.hurt.iter().filter(|(group, _)| *group == id);
        for (_, lsn) in hurt {
            match *lsn <= snapshot {
                true => sole.seen.within_snapshot += 1,
                false => sole.seen.beyond_snapshot += 1,
            }
        }
        if is_told {
            let deleted = deletions(&truth, &state, told).map_err(|why| format!("group {id}: {why}"))?;
            sole.seen.deleted += deleted;
        }
    }
    for loss in &told.losses {
        match loss {
            Loss::Offsets { .. } => sole.seen.lost += 1,
            Loss::Unknown { .. } => sole.seen.unknown += 1,
            Loss::Opened { .. } => sole.seen.opened += 1,
            Loss::Producers { .. } => sole.seen.producers += 1,
            Loss::Deleted { .. } => return Err("a deletion is told before the catalog was asked".to_owned()),
            Loss::Stopped { group, lsn } => return Err(format!("group {group} stops at {lsn}")),
        }
    }
    Ok(())
}

/// The report tells each deletion that was lost, and no other; gives how many.
fn deletions(truth: &Truth, state: &GroupState, told: &Report) -> Result<usize, String> {
    let is_deleted = |id: &PartitionId| truth.opened.contains_key(id) && truth.state.partition(id).is_none();
    let lost = |id: &PartitionId| state.partition(id).is_some() && is_deleted(id);
    let wanted: Vec<Loss> = truth
        .opened
        .iter()
        .filter(|(id, _)| lost(id))
        .map(|(id, (tenant, _))| Loss::Deleted {
            partition: *id,
            tenant: *tenant,
        })
        .collect();
    let found = told.deleted(|id| is_deleted(&id));
    match found == wanted {
        true => Ok(wanted.len()),
        false => Err(format!("these deletions are told: {found:?}, not {wanted:?}")),
    }
}

struct Group<'a> {
    truth: &'a Truth,
    state: &'a GroupState,
    reader: Reader<SimDisk>,
    told: Option<&'a Report>,
    hurt: &'a dyn Fn(Lsn) -> bool,
}

impl Group<'_> {
    fn id(&self) -> GroupId {
        self.truth.state.group()
    }

    fn check(&self) -> Result<(), String> {
        for id in self.truth.opened.keys() {
            let then = self.truth.state.partition(id);
            let now = self.state.partition(id);
            let result = match (then, now) {
                (Some(then), Some(now)) => self.partition(id, then, now),
                (Some(_), None) => self.absent(id),
                // A deletion that was lost is done again from the catalog's tombstone.
                (None, Some(_)) if self.touched(id).any(self.hurt) => Ok(()),
                (None, Some(_)) => Err("it was deleted, and is there".to_owned()),
                (None, None) => Ok(()),
            };
            result.map_err(|why| format!("{id}: {why}"))?;
        }
        let is_hurt = (1..=self.truth.state.applied().0).any(|lsn| (self.hurt)(Lsn(lsn)));
        // Where nobody can say whether there was more, something is put behind the end.
        let is_as_long = self.state.applied() == self.truth.state.applied();
        if !is_hurt && is_as_long && *self.state != self.truth.state {
            return Err("nothing of it was hurt, and its state is another".to_owned());
        }
        Ok(())
    }

    fn touched(&self, id: &PartitionId) -> impl Iterator<Item = Lsn> {
        self.truth.touched[id].iter().copied()
    }

    /// One of which nothing is left: everything that could tell of it was hurt.
    fn absent(&self, id: &PartitionId) -> Result<(), String> {
        let whole = self
            .truth
            .batches
            .range((*id, Offset(0))..)
            .take_while(|((of, _), _)| of == id);
        let mut whole = whole.filter(|(_, batch)| !(self.hurt)(batch.lsn));
        match whole.next() {
            Some((_, batch)) => Err(format!("it is gone, and its batch at {} is whole", batch.lsn)),
            None => Ok(()),
        }
    }

    fn partition(&self, id: &PartitionId, then: &PartitionState, now: &PartitionState) -> Result<(), String> {
        if let Some(quarantine) = now.quarantine() {
            return Err(format!("it is put aside: {quarantine:?}"));
        }
        if now.next_offset() < then.next_offset() {
            return Err(format!(
                "offsets from {} on are given out again, up to {} they were seen",
                now.next_offset(),
                then.next_offset()
            ));
        }
        if now.tiered_up_to() > then.tiered_up_to() {
            return Err("more is said to be in the store than is".to_owned());
        }
        let all = self
            .truth
            .batches
            .range((*id, Offset(0))..)
            .take_while(|((of, _), _)| of == id);
        for ((_, base), batch) in all {
            if batch.end <= then.log_start()
                || batch.end <= now.tiered_up_to()
                || batch.end <= now.log_start()
            {
                continue;
            }
            let is_hurt = (self.hurt)(batch.lsn);
            // A trim may lie in the middle of it.
            let from = (*base).max(now.log_start());
            let is_there = self.reads(now, from, &batch.bytes)?;
            if !is_there && !is_hurt {
                return Err(format!(
                    "the batch at {base} (entry {}) was not hurt and is gone",
                    batch.lsn
                ));
            }
            if let Some(told) = self.told
                && is_there == tells(told, id, *base, batch.end)
            {
                let what = if is_there {
                    "is told to be lost"
                } else {
                    "is lost and not told"
                };
                return Err(format!(
                    "the batch at {base} (entry {}) {what}: {:?}",
                    batch.lsn, told.losses
                ));
            }
        }
        self.producers(id, then, now)
    }

    /// Who is known is known with its last batch, for else its next one is refused; who was forgotten is told.
    fn producers(&self, id: &PartitionId, then: &PartitionState, now: &PartitionState) -> Result<(), String> {
        let mut forgotten = BTreeSet::new();
        for (producer, state) in then.producers().iter() {
            match now.producers().get(producer) {
                Some(known) if known.batches.back() == state.batches.back() => {}
                Some(_) => return Err(format!("producer {producer} is known without its last batch")),
                None if self.was_known(id, producer) => drop(forgotten.insert(producer)),
                None => {}
            }
        }
        let Some(told) = self.told else {
            return Ok(());
        };
        let counts = told.losses.iter().filter_map(|loss| match loss {
            Loss::Producers { partition, count, .. } if partition == id => Some(*count),
            _ => None,
        });
        let counts: Vec<usize> = counts.collect();
        if counts.iter().sum::<usize>() < forgotten.len() {
            return Err(format!("{forgotten:?} are forgotten, and {counts:?} are told"));
        }
        // What was lost may have turned out to be in the store, or trimmed.
        let has_lost = self.touched(id).any(self.hurt) || tells(told, id, Offset(0), Offset(i64::MAX));
        if counts.iter().any(|count| *count == 0 || !has_lost) {
            return Err(format!(
                "{counts:?} are told to be forgotten, and nothing was lost"
            ));
        }
        Ok(())
    }

    /// Whether a batch of the producer that was not hurt lies behind everything that makes silent ones forgotten.
    fn was_known(&self, id: &PartitionId, producer: ProducerId) -> bool {
        let after = self.truth.forgot.get(id).copied().unwrap_or(Lsn(0));
        let all = self.truth.batches.range((*id, Offset(0))..);
        let mut all = all.take_while(|((of, _), _)| of == id);
        all.any(|(_, batch)| batch.producer == Some(producer) && batch.lsn > after && !(self.hurt)(batch.lsn))
    }

    /// Whether a reader at this offset finds the batch, byte for byte; in its place nothing but one without records may be found.
    fn reads(&self, now: &PartitionState, base: Offset, bytes: &[u8]) -> Result<bool, String> {
        let Plan::Journal { runs, .. } = plan_of(now, base, now.next_offset(), 1) else {
            return Err(format!("nothing is known of offset {base}"));
        };
        let pieces =
            read_journal(&self.reader, self.id(), &runs).map_err(|error| format!("at {base}: {error}"))?;
        for batch in pieces.into_iter().flat_map(batches) {
            let batch = batch.map_err(|error| error.to_string())?;
            let header = *batch.header();
            if header.base_offset <= base && base < header.next_offset() {
                let found = batch.into_bytes();
                return match (found == bytes, header.record_count) {
                    (true, _) => Ok(true),
                    (false, 0) => Ok(false),
                    (false, _) => Err(format!("another batch is read at {base}")),
                };
            }
        }
        Err(format!("offset {base} is in no batch"))
    }
}

/// Whether the report has these offsets.
fn tells(told: &Report, id: &PartitionId, base: Offset, end: Offset) -> bool {
    told.losses.iter().any(|loss| match loss {
        Loss::Offsets {
            partition, offsets, ..
        }
        | Loss::Unknown {
            partition, offsets, ..
        } => partition == id && offsets.start < end && base < offsets.end,
        _ => false,
    })
}
