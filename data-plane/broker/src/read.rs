//! Reading committed batches from wherever they lie: memory, then the journal, then the object store.
//!
//! What to read is decided under the group's lock ([`plan`]), the reading happens outside of it ([`Shell::carry_out`]).
//! Between the two the data may move on to the object store; then the plan is made anew.

use crate::group::{Core, Group, Services};
use crate::metrics::Metrics;
use crate::reading::{FailedRead, Plan, cut, plan_of, read_journal, read_kept, read_store};
use crate::shell::Shell;
use bytes::Bytes;
use millstream_model::{Offset, PartitionId};
use prometheus_client::metrics::counter::Counter;
use std::sync::Arc;

/// How often a plan is made anew because what it named has moved meanwhile.
pub(crate) const PLANS_MAX: usize = 4;

impl Plan {
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
                let rested = !self.services.store_fails();
                let read = read_store(&self.services.tier, &segment, from, end, bytes_max).await;
                if let Err(FailedRead::Store(_)) = &read {
                    self.services.store_failed();
                    if rested {
                        // The next plan looks into the journal.
                        return Err(FailedRead::Moved);
                    }
                }
                read
            }
        }
    }
}
