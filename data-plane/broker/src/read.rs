//! Reading committed batches from wherever they lie: memory, then the journal, then the object store.
//!
//! What to read is decided under the group's lock ([`plan`]), the reading happens outside of it ([`Shell::carry_out`]).
//! Between the two the data may move on to the object store; then the plan is made anew.

use crate::damage::Damage;
use crate::group::{Core, Group, Services};
use crate::metrics::Metrics;
use crate::reading::{FailedRead, Plan, cut, plan_of, read_journal, read_kept, read_store};
use crate::shell::Shell;
use bytes::Bytes;
use millstream_kafka_wire::batch::batches;
use millstream_model::segment::SegmentRef;
use millstream_model::{Offset, PartitionId};
use prometheus_client::metrics::counter::Counter;
use std::sync::Arc;

/// How often a plan is made anew because what it named has moved meanwhile.
pub(crate) const PLANS_MAX: usize = 4;

/// Where a plan reads in the store: the segment, and from which offset on.
pub(crate) type InStore = (SegmentRef, Offset);

/// What became of a reader's tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GaveUp {
    /// Disk or store cannot read now; later they may.
    Storage,
    /// What is stored is not what was written, or not there.
    Damaged,
}

/// The tries of one read: what has moved is looked for anew a few times; what is damaged is read once more, and what is
/// missing looked for once more (log.md 33), before a reader is told so.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    moved: usize,
    suspected: Option<InStore>,
}

impl Tries {
    /// After a read that failed: plan and read again, or give up.
    pub(crate) fn failed(&mut self, error: &FailedRead, place: Option<InStore>) -> Result<(), GaveUp> {
        match (error, place) {
            (FailedRead::Moved, _) if self.moved < PLANS_MAX => {
                self.moved += 1;
                Ok(())
            }
            (error, Some(place)) if error.is_damage() || matches!(error, FailedRead::Missing(_)) => {
                if self.suspected.replace(place) == Some(place) {
                    return Err(GaveUp::Damaged);
                }
                self.moved += 1;
                match self.moved <= PLANS_MAX {
                    true => Ok(()),
                    false => Err(GaveUp::Storage),
                }
            }
            (error, None) if error.is_damage() => Err(GaveUp::Damaged),
            _ => Err(GaveUp::Storage),
        }
    }
}

impl Plan {
    /// The place in the store that it reads, if it is there.
    pub(crate) fn in_store(&self) -> Option<InStore> {
        match self {
            Plan::Store { segment, from, .. } => Some((*segment, *from)),
            Plan::Nothing | Plan::Memory(_) | Plan::Journal { .. } | Plan::Kept { .. } => None,
        }
    }

    /// What counts the bytes that come from there.
    pub(crate) fn counter<'a>(&self, metrics: &'a Metrics) -> Option<&'a Counter> {
        match self {
            Plan::Nothing => None,
            Plan::Memory(_) => Some(&metrics.fetched_from_memory_bytes),
            Plan::Journal { .. } | Plan::Kept { .. } => Some(&metrics.fetched_from_journal_bytes),
            Plan::Store { .. } => Some(&metrics.fetched_from_store_bytes),
        }
    }
}

/// As [`plan_of`], from memory if it is there.
pub(crate) fn plan(
    core: &Core,
    partition: &PartitionId,
    offset: Offset,
    end: Offset,
    bytes_max: usize,
) -> Plan {
    if offset >= end {
        return Plan::Nothing;
    }
    if let Some(batches) = core.tail.starting_at(partition, offset) {
        let mut found = Vec::new();
        let mut bytes = 0usize;
        for batch in batches.take_while(|batch| batch.base_offset < end) {
            bytes += batch.bytes.len();
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(batch.bytes.clone());
        }
        return Plan::Memory(found);
    }
    core.state()
        .partition(partition)
        .map_or(Plan::Nothing, |state| plan_of(state, offset, end, bytes_max))
}

/// As [`plan`], but for a reader while the store does not answer, who gets what the journal still has.
pub(crate) fn plan_for_reader(
    services: &Services,
    core: &Core,
    partition: &PartitionId,
    (offset, end): (Offset, Offset),
    bytes_max: usize,
) -> Plan {
    let planned = plan(core, partition, offset, end, bytes_max);
    let Plan::Store { .. } = planned else {
        return planned;
    };
    if !core.waits_for_number && !services.store_fails() {
        return planned;
    }
    match core.kept.places(partition, offset, end, bytes_max) {
        Some(places) => Plan::Kept {
            partition: *partition,
            places,
            from: offset,
            end,
            bytes_max,
        },
        None => planned,
    }
}

impl Services {
    /// A store that does not answer is left alone for what the journal has: the next plan looks there.
    pub(crate) fn rests(&self, error: FailedRead) -> FailedRead {
        if !matches!(error, FailedRead::Store(_)) || error.is_damage() {
            return error;
        }
        let rested = self.store_fails();
        self.store_failed();
        match rested {
            true => error,
            false => FailedRead::Moved,
        }
    }
}

impl Shell {
    /// Reads what was planned. What the store does not give may be planned anew: the journal may have it.
    pub(crate) async fn carry_out(&self, group: &Arc<Group>, plan: Plan) -> Result<Vec<Bytes>, FailedRead> {
        match plan {
            Plan::Nothing => Ok(Vec::new()),
            Plan::Memory(batches) => Ok(batches),
            Plan::Journal {
                runs,
                from,
                end,
                bytes_max,
            } => {
                let (reader, id) = (self.services.reader.clone(), group.id);
                let read = move || read_journal(&reader, id, &runs);
                let batches = tokio::task::spawn_blocking(read)
                    .await
                    .map_err(|_| FailedRead::Lost)??;
                Ok(cut(batches, from, end, bytes_max))
            }
            Plan::Kept {
                partition,
                places,
                from,
                end,
                bytes_max,
            } => {
                let (reader, id) = (self.services.reader.clone(), group.id);
                let read = move || read_kept(&reader, id, partition, &places);
                let read = tokio::task::spawn_blocking(read)
                    .await
                    .map_err(|_| FailedRead::Lost)?;
                if read.is_err() {
                    // Its file is used again, or it has rotted: it is in the store.
                    group.with(|core| core.kept.forget(&partition));
                    return Err(FailedRead::Moved);
                }
                Ok(cut(read?, from, end, bytes_max))
            }
            Plan::Store {
                segment,
                from,
                end,
                bytes_max,
            } => {
                let services = &self.services;
                let read = read_store(&services.tier, &segment, from, end, bytes_max).await;
                let pieces = read.map_err(|error| services.rests(error))?;
                if services.damaged.count() > 0 {
                    services.damaged.read(&segment, from, end_of(&pieces));
                }
                Ok(pieces)
            }
        }
    }

    /// A read that is given up: what is damaged is remembered and counted.
    pub(crate) fn gave_up(
        &self,
        group: &Group,
        partition: PartitionId,
        place: Option<InStore>,
        error: &FailedRead,
    ) {
        match place {
            Some((segment, offset)) => self.services.damaged.met(
                Damage {
                    group: group.id,
                    partition,
                    segment,
                    offset,
                },
                error,
            ),
            // Of the journal, which tells of its damage itself.
            None => drop(self.services.metrics.damaged_reads.inc()),
        }
    }
}

/// Where the last of these batches ends.
fn end_of(pieces: &[Bytes]) -> Offset {
    let last = pieces.iter().flat_map(|piece| batches(piece.clone())).last();
    match last {
        Some(Ok(batch)) => batch.header().next_offset(),
        _ => Offset(0),
    }
}

#[cfg(test)]
mod tests;
