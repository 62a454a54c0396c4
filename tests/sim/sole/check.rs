//! What is there after the damage, beside what was acknowledged before it.

use super::truth::Truth;
use super::{Found, Sole, settled};
use millstream_broker::mend::{Loss, Report};
use millstream_broker::reading::{Plan, plan_of, read_journal};
use millstream_journal::Reader;
use millstream_journal::sim::SimDisk;
use millstream_kafka_wire::batch::batches;
use millstream_model::{GroupId, Lsn, Offset, PartitionId};
use millstream_partition::{GroupState, PartitionState};

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
    }
    for loss in &told.losses {
        match loss {
            Loss::Offsets { .. } => sole.seen.lost += 1,
            Loss::Unknown { .. } => sole.seen.unknown += 1,
            Loss::Opened { .. } => sole.seen.opened += 1,
            Loss::Producers { .. } => {}
            Loss::Stopped { group, lsn } => return Err(format!("group {group} stops at {lsn}")),
        }
    }
    Ok(())
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
        Ok(())
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
