//! What must hold: LOG.md's promises, as seen from replicas, clients and consumers.

use crate::world::{Check, NODES, PARTITIONS, World, partition};
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use millstream_model::Lsn;
use millstream_model::entry::EntryHeader;
use millstream_partition::{Applied, Effect, GroupState};
use millstream_replication::EntryId;
use std::collections::BTreeMap;

/// What was seen once and must stay so.
#[derive(Default)]
pub struct Checker {
    /// Committed entries: their headers' and payloads' checksums.
    applied: BTreeMap<Lsn, (EntryHeader, Option<u64>)>,
    /// The state after each entry, by the checksum of its snapshot.
    states: BTreeMap<Lsn, u64>,
    /// What consumers have read, by (partition, offset).
    seen: BTreeMap<(u32, i64), u64>,
    /// What producers were told: (partition, offset, value).
    acknowledged: Vec<(u32, i64, u64)>,
}

fn sum(bytes: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes)
}

impl Checker {
    /// A replica has applied an entry: the same one as every other.
    pub fn applied(
        &mut self,
        node: usize,
        done: &Applied,
        header: &EntryHeader,
        payload: Option<&Bytes>,
    ) -> Check {
        if let Effect::Quarantined { reason } = &done.effect {
            return Err(format!(
                "{node} puts {} in quarantine at {}: {reason}",
                done.partition, done.lsn
            ));
        }
        let payload = payload.map(|payload| sum(payload));
        let known = self.applied.entry(done.lsn).or_insert((*header, payload));
        known.1 = known.1.or(payload);
        if known.0 != *header || payload.is_some() && known.1 != payload {
            return Err(format!(
                "{node} applies {header:?}, but {:?} was committed there",
                known.0
            ));
        }
        Ok(())
    }

    /// A replica's state is the same as every other's was after the same entry.
    pub fn state(&mut self, node: usize, state: &GroupState) -> Check {
        let digest = sum(&state.encode_snapshot());
        let known = *self.states.entry(state.applied()).or_insert(digest);
        if known != digest {
            return Err(format!(
                "{node}'s state after {} differs from another's",
                state.applied()
            ));
        }
        Ok(())
    }

    /// The last entry that was committed anywhere.
    pub fn last(&self) -> EntryId {
        self.applied
            .last_key_value()
            .map_or(EntryId::ZERO, |(_, (header, _))| EntryId::of(header))
    }

    /// A consumer has read a record: whoever reads the offset again must find the same.
    pub fn read(&mut self, partition: u32, offset: i64, value: u64) -> Check {
        let known = *self.seen.entry((partition, offset)).or_insert(value);
        if known != value {
            return Err(format!(
                "partition {partition} offset {offset} reads {value:x}, it was {known:x}"
            ));
        }
        Ok(())
    }

    /// A producer was told where its records are.
    pub fn acknowledge(&mut self, partition: u32, offset: i64, value: u64) {
        self.acknowledged.push((partition, offset, value));
    }

    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }
}

impl World {
    /// Whoever is elected has everything that was committed.
    pub fn check_leader(&self, node: usize) -> Check {
        let Some(running) = &self.nodes[node].running else {
            return Ok(());
        };
        let last = self.check.last();
        let log = running.replica.machine().log();
        if last.lsn > log.base().lsn && !log.has(last) {
            return Err(format!(
                "{node} leads with a log that ends at {:?} and lacks {last:?}",
                log.last()
            ));
        }
        Ok(())
    }

    /// After everything was given time to recover.
    pub fn check_end(&mut self) -> Check {
        let last = self.check.last();
        let row = self.controller.row.clone();
        self.note(|| format!("the end: {last:?}, {row:?}"));
        if row.isr.len() < NODES {
            return Err(format!("the ISR stays at {:?}", row.isr));
        }
        for node in 0..NODES {
            let applied = self.nodes[node].applied();
            if applied != last.lsn {
                return Err(format!("{node} has applied {applied} of {}", last.lsn));
            }
        }
        if let Some(client) = self.clients.iter().find(|client| !client.is_idle()) {
            return Err(format!("a client still waits: {client:?}"));
        }
        if self.check.acknowledged() < 50 {
            return Err(format!(
                "only {} records were acknowledged",
                self.check.acknowledged()
            ));
        }
        for node in 0..NODES {
            for index in 0..PARTITIONS {
                self.check_partition(node, index)?;
            }
        }
        Ok(())
    }

    /// Reads a whole partition from one replica: dense, as seen before, nothing acknowledged missing, nothing of an
    /// idempotent producer doubled or out of order.
    fn check_partition(&mut self, node: usize, index: u32) -> Check {
        let state = self.nodes[node]
            .state()
            .and_then(|state| state.partition(&partition(index)));
        let Some(state) = state else {
            return Err(format!("{node} has no partition {index}"));
        };
        let (start, end) = (state.log_start().0, state.next_offset().0);
        let mut values = BTreeMap::new();
        let mut position = start;
        while position < end {
            let records = self.read(node, index, position)?;
            let records =
                records.map_err(|error| format!("{node} cannot read {index} at {position}: {error}"))?;
            if records.is_empty() {
                return Err(format!(
                    "{node} has nothing at {index}/{position}, the end is {end}"
                ));
            }
            for (offset, value) in records {
                if offset != position {
                    return Err(format!("{node}: {index} goes on at {offset}, not at {position}"));
                }
                self.check.read(index, offset, value)?;
                values.insert(offset, value);
                position += 1;
            }
        }
        let missing = self.check.acknowledged.iter().find(|(partition, offset, value)| {
            *partition == index && *offset >= start && values.get(offset) != Some(value)
        });
        if let Some((_, offset, value)) = missing {
            let found = values.get(offset);
            return Err(format!(
                "{value:x} was acknowledged at {index}/{offset}, {node} has {found:x?}"
            ));
        }
        let vanished = self
            .check
            .seen
            .range((index, start)..(index + 1, 0))
            .find(|((_, offset), _)| *offset >= end);
        if let Some(((_, offset), value)) = vanished {
            return Err(format!(
                "{value:x} was read at {index}/{offset}, {node}'s log ends at {end}"
            ));
        }
        for client in self
            .clients
            .iter()
            .filter(|client| client.is_idempotent() && client.partition == index)
        {
            let own: Vec<u64> = values
                .values()
                .copied()
                .filter(|value| client.wrote(*value))
                .collect();
            if let Some(pair) = own.windows(2).find(|pair| pair[1] != pair[0] + 1) {
                return Err(format!(
                    "{:x} follows {:x} in {index} on {node}",
                    pair[1], pair[0]
                ));
            }
        }
        Ok(())
    }
}
