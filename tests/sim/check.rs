//! What must hold: log.md's promises, as seen from replicas, clients and consumers.

use crate::epochs::{Epochs, leader_epoch};
use crate::read::Records;
use crate::world::{Check, GROUP, NODES, PARTITIONS, VICTIM, World, partition};
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use millstream_broker::bounds::{Look, check_position, ends, epoch_end, look_up};
use millstream_broker::interface::{Isolation, ListOffset};
use millstream_kafka_wire::batch::BatchView;
use millstream_model::entry::EntryHeader;
use millstream_model::{Epoch, LeaderEpoch, Lsn, Offset};
use millstream_partition::{Applied, Effect, GroupState, PartitionState};
use millstream_replication::EntryId;
use std::collections::BTreeMap;
use std::ops::Range;

/// What was seen once and must stay so.
#[derive(Default)]
pub struct Checker {
    /// Committed entries: their headers' and payloads' checksums.
    applied: BTreeMap<Lsn, (EntryHeader, Option<u64>)>,
    /// The state after each entry, by the checksum of its snapshot.
    states: BTreeMap<Lsn, u64>,
    /// Committed batches by (partition, first offset): the checksums of their bytes, and the epochs in which they were
    /// ordered.
    batches: BTreeMap<(u32, i64), (u64, Epoch)>,
    /// What clients know of leader epochs.
    pub epochs: Epochs,
    /// What consumers have read, by (partition, offset).
    seen: BTreeMap<(u32, i64), u64>,
    /// What producers were told: (partition, offset, value).
    acknowledged: Vec<(u32, i64, u64)>,
    /// One past the last offset of each partition that a client knows of.
    ends: BTreeMap<u32, i64>,
    /// The highest epoch that was led.
    led: Epoch,
}

fn sum(bytes: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes)
}

impl Checker {
    /// A replica has applied an entry: the same one as every other. Returns whether it is the first.
    pub fn applied(
        &mut self,
        node: usize,
        done: &Applied,
        header: &EntryHeader,
        payload: Option<&Bytes>,
    ) -> Result<bool, String> {
        match &done.effect {
            Effect::Quarantined { reason } if done.partition != partition(VICTIM) => {
                return Err(format!(
                    "{node} puts {} in quarantine at {}: {reason}",
                    done.partition, done.lsn
                ));
            }
            Effect::Appended { base_offset, .. } => {
                let payload = payload.ok_or_else(|| format!("{} has no payload", done.lsn))?;
                let place = (done.partition.index.0, base_offset.0);
                self.batches
                    .entry(place)
                    .or_insert_with(|| (sum(payload), header.epoch));
            }
            _ => {}
        }
        let is_first = !self.applied.contains_key(&done.lsn);
        let payload = payload.map(|payload| sum(payload));
        let known = self.applied.entry(done.lsn).or_insert((*header, payload));
        known.1 = known.1.or(payload);
        if known.0 != *header || payload.is_some() && known.1 != payload {
            return Err(format!(
                "{node} applies {header:?}, but {:?} was committed there",
                known.0
            ));
        }
        Ok(is_first)
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

    /// An epoch is led.
    pub fn leads(&mut self, epoch: Epoch) {
        self.led = self.led.max(epoch);
    }

    /// A batch was read: it has the bytes that were committed, wherever it was read from, and its leader epoch.
    pub fn batch(&mut self, partition: u32, batch: &BatchView) -> Check {
        let base_offset = batch.header().base_offset.0;
        match self.batches.get(&(partition, base_offset)) {
            Some((committed, ordered)) if *committed == sum(batch.bytes()) => {
                self.epochs.batch(partition, batch, *ordered)
            }
            _ => Err(format!(
                "the batch read at {partition}/{base_offset} is not the one that was committed there"
            )),
        }
    }

    /// A fetch was answered with these records in a leader epoch: none of them is of a later one.
    pub fn served(&self, partition: u32, records: &Records, served_in: LeaderEpoch) -> Check {
        let later = records.iter().find_map(|(offset, _)| {
            let epoch = self.epochs.at(partition, *offset)?;
            (epoch > served_in).then_some((*offset, epoch))
        });
        match later {
            Some((offset, epoch)) => Err(format!(
                "{partition}/{offset} of epoch {epoch} is served in epoch {served_in}"
            )),
            None => Ok(()),
        }
    }

    /// The highest epoch that was led.
    pub fn led(&self) -> Epoch {
        self.led
    }

    /// A consumer has read a record: whoever reads the offset again must find the same.
    pub fn read(&mut self, partition: u32, offset: i64, value: u64) -> Check {
        let known = *self.seen.entry((partition, offset)).or_insert(value);
        if known != value {
            return Err(format!(
                "partition {partition} offset {offset} reads {value:x}, it was {known:x}"
            ));
        }
        self.reaches(partition, offset + 1);
        Ok(())
    }

    /// A producer was told where its records are.
    pub fn acknowledge(&mut self, partition: u32, offset: i64, value: u64) {
        self.acknowledged.push((partition, offset, value));
        self.reaches(partition, offset + 1);
    }

    fn reaches(&mut self, partition: u32, end: i64) {
        let known = self.ends.entry(partition).or_default();
        *known = end.max(*known);
    }

    /// The newest leader says where a partition ends: not before anything that a client knows of (log.md 23).
    fn end(&self, epoch: Epoch, partition: u32, Offset(end): Offset) -> Check {
        let known = self.ends.get(&partition).copied().unwrap_or_default();
        if epoch >= self.led && end < known {
            return Err(format!(
                "the leader of {epoch} says that {partition} ends at {end}, clients have seen {known}"
            ));
        }
        Ok(())
    }

    /// The newest leader never says that a consumer which has read everything is out of range (log.md 23).
    fn reads_on(&self, epoch: Epoch, index: u32, state: Option<&PartitionState>, is_known: bool) -> Check {
        let known = Offset(self.ends.get(&index).copied().unwrap_or_default());
        // What was trimmed since is gone, though nobody has seen it.
        if epoch < self.led || known < ends(state).0 {
            return Ok(());
        }
        let checked = check_position(state, known, is_known);
        checked.map_err(|error| format!("the leader of {epoch} sends a consumer away: {error}"))
    }

    /// A whole range of a partition was read: nothing acknowledged or seen is missing or different.
    fn holds(&self, partition: u32, range: Range<i64>, values: &BTreeMap<i64, u64>) -> Check {
        let seen = self.seen.range((partition, range.start)..(partition, range.end));
        let seen = seen.map(|((_, offset), value)| ("read", *offset, *value));
        let acknowledged = self.acknowledged.iter();
        let acknowledged = acknowledged
            .filter(|(of, offset, _)| *of == partition && range.contains(offset))
            .map(|(_, offset, value)| ("acknowledged", *offset, *value));
        for (how, offset, value) in acknowledged.chain(seen) {
            let found = values.get(&offset);
            if found != Some(&value) {
                return Err(format!(
                    "{value:x} was {how} at {partition}/{offset}, there is {found:x?}"
                ));
            }
        }
        Ok(())
    }

    /// What an idempotent producer wrote, in the order of the log: nothing doubled, left out or out of order.
    fn in_order(values: impl Iterator<Item = u64>) -> Check {
        let mut previous = None;
        for value in values {
            if let Some(previous) = previous
                && value != previous + 1
            {
                return Err(format!("{value:x} follows {previous:x}"));
            }
            previous = Some(value);
        }
        Ok(())
    }
}

impl World {
    /// An entry is committed: every member of the ISR has it on its disk (log.md 16), whether the entry came later or
    /// the member. The leader counts more of them than the controller has committed, never fewer.
    pub fn check_committed(&self, entry: EntryId) -> Check {
        let lacking = self
            .nodes
            .iter()
            .position(|node| self.is_in_sync(node.id) && !node.keeps(entry));
        match lacking {
            Some(node) => Err(format!(
                "{entry:?} is committed, in-sync {node} does not have it on its disk"
            )),
            None => Ok(()),
        }
    }

    /// What a leader would answer to ListOffsets(latest), to OffsetForLeaderEpoch, and to a consumer that has read all that
    /// any client knows of.
    pub fn check_ends(&self, node: usize) -> Check {
        let running = self.nodes[node].running.as_ref();
        let Some(replica) = running
            .map(|running| &running.replica)
            .filter(|replica| replica.leads())
        else {
            return Ok(());
        };
        let (epoch, is_known) = (replica.machine().epoch(), replica.log_end_is_known());
        for index in 0..PARTITIONS {
            let state = replica.state().partition(&partition(index));
            let now = leader_epoch(index, epoch);
            let latest = look_up(
                state,
                now,
                ListOffset::Latest,
                Isolation::ReadUncommitted,
                is_known,
            );
            if let Ok(Look::Found(found)) = latest {
                self.check.end(epoch, index, found.offset)?;
            }
            if let Ok(end) = epoch_end(state, now, now, is_known) {
                self.check.end(epoch, index, end.end_offset)?;
            }
            self.check.reads_on(epoch, index, state, is_known)?;
            self.check_epochs(epoch, index, state, is_known)?;
        }
        Ok(())
    }

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
        let row = self.group_row().clone();
        self.note(|| format!("the end: {last:?}, {row:?}"));
        for node in 0..NODES {
            let disk = self.nodes[node].disk.clone();
            for (name, length) in disk.files() {
                let sum = || sum(&disk.contents(&name).unwrap_or_default());
                self.note(|| format!("{node} has {name}: {length} bytes, {:x}", sum()));
            }
        }
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
        if self.check.acknowledged.len() < 50 {
            return Err(format!(
                "only {} records were acknowledged",
                self.check.acknowledged.len()
            ));
        }
        for node in 0..NODES {
            self.check_journal(node)?;
            for index in 0..PARTITIONS {
                self.check_partition(node, index)?;
            }
        }
        self.check_store()
    }

    /// Every entry on a disk is the one that was committed.
    fn check_journal(&self, node: usize) -> Check {
        let Some(running) = &self.nodes[node].running else {
            return Err(format!("{node} does not run"));
        };
        let reader = running.journal.reader();
        let (start, end) = (reader.start(GROUP), reader.end(GROUP));
        let mut next = start.unwrap_or_default().1.next();
        let end = end.unwrap_or_default().1;
        while next <= end {
            let entries = reader
                .entries(GROUP, next, 16 * 1024)
                .map_err(|error| format!("{node} cannot read {next} of its journal: {error}"))?;
            for entry in entries {
                let payload = Some(sum(&entry.payload));
                let known = self.check.applied.get(&entry.header.lsn);
                if known
                    .is_none_or(|known| known.0 != entry.header || known.1.is_some() && known.1 != payload)
                {
                    return Err(format!("{node} has {:?}, {known:?} was committed", entry.header));
                }
                next = entry.header.lsn.next();
            }
        }
        Ok(())
    }

    /// Reads a whole partition from one replica.
    fn check_partition(&mut self, node: usize, index: u32) -> Check {
        let state = self.nodes[node]
            .state()
            .and_then(|state| state.partition(&partition(index)));
        let Some(state) = state else {
            return Err(format!("{node} has no partition {index}"));
        };
        let (start, end) = (state.log_start().0, state.next_offset().0);
        let values = self.read_all(index, start..end, |world, position| {
            world.read(node, index, position)
        })?;
        for (offset, value) in &values {
            self.check.read(index, *offset, *value)?;
        }
        // Whatever a client knows of lies below the end.
        self.check
            .holds(index, start..i64::MAX, &values)
            .map_err(|why| format!("{node}: {why}"))?;
        for client in self.clients.iter().filter(|client| client.is_idempotent()) {
            let own = values.values().copied().filter(|value| client.wrote(*value));
            Checker::in_order(own).map_err(|why| format!("{node}: {why} in {index}"))?;
        }
        Ok(())
    }

    /// Reads a range, piece by piece, without gaps.
    fn read_all(
        &mut self,
        index: u32,
        range: Range<i64>,
        mut read: impl FnMut(&mut World, i64) -> Result<Result<Records, String>, String>,
    ) -> Result<BTreeMap<i64, u64>, String> {
        let mut values = BTreeMap::new();
        let mut position = range.start;
        while position < range.end {
            let records = read(self, position)?;
            let records = records.map_err(|error| format!("{index}/{position} cannot be read: {error}"))?;
            let next = position;
            for (offset, value) in records.into_iter().filter(|(offset, _)| range.contains(offset)) {
                if offset != position {
                    return Err(format!("{index} goes on at {offset}, not at {position}"));
                }
                values.insert(offset, value);
                position += 1;
            }
            if position == next {
                return Err(format!("nothing at {index}/{position}, the end is {}", range.end));
            }
        }
        Ok(values)
    }

    /// If all disks were lost now: what the last snapshot knows to be in the store can be read from there alone.
    fn check_store(&mut self) -> Check {
        let Some(named) = self.group_row().snapshot else {
            return Ok(());
        };
        let bytes = self.store.wait(self.store.tier.get_snapshot(&named.object));
        let bytes = bytes.map_err(|error| format!("the reported snapshot: {error}"))?;
        let state = GroupState::decode_snapshot(&bytes).map_err(|error| error.to_string())?;
        for index in 0..PARTITIONS {
            let Some(state) = state.partition(&partition(index)) else {
                continue;
            };
            let start = state.log_start().0;
            let range = start..state.tiered_up_to().0.max(start);
            let segments = state.cold().to_vec();
            let values = self.read_all(index, range.clone(), |world, position| {
                let segment = segments.iter().find(|it| it.end_offset.0 > position);
                let segment = segment.ok_or_else(|| format!("no segment has {index}/{position}"))?;
                world.read_cold(index, *segment, position)
            })?;
            self.check.holds(index, range, &values)?;
        }
        Ok(())
    }
}

#[test]
fn what_is_lost_doubled_out_of_order_or_different_is_found() {
    let mut check = Checker::default();
    for (offset, value) in [(3, 30), (4, 40), (5, 50)] {
        check.acknowledge(1, offset, value);
    }
    check.read(1, 6, 60).unwrap();
    let whole = BTreeMap::from([(3, 30), (4, 40), (5, 50), (6, 60)]);
    assert_eq!(check.holds(1, 3..7, &whole), Ok(()));
    assert_eq!(
        check.holds(0, 0..9, &BTreeMap::new()),
        Ok(()),
        "of another partition"
    );
    for changed in [(4, None), (4, Some(41)), (6, None), (6, Some(40))] {
        let mut values = whole.clone();
        match changed {
            (offset, None) => values.remove(&offset),
            (offset, Some(value)) => values.insert(offset, value),
        };
        assert!(check.holds(1, 3..7, &values).is_err(), "{changed:?}");
    }
    assert!(check.read(1, 6, 61).is_err(), "another record at the same offset");
    assert!(check.end(Epoch(0), 1, Offset(6)).is_err(), "the end goes back");
    assert_eq!(check.end(Epoch(0), 1, Offset(7)), Ok(()));
    check.leads(Epoch(2));
    assert_eq!(
        check.end(Epoch(1), 1, Offset(6)),
        Ok(()),
        "who was deposed may be behind"
    );

    assert_eq!(Checker::in_order([7, 8, 9].into_iter()), Ok(()));
    for wrong in [[7, 7, 8], [7, 9, 10], [7, 9, 8]] {
        assert!(Checker::in_order(wrong.into_iter()).is_err(), "{wrong:?}");
    }
}
