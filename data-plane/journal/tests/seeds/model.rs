//! What the checker knows: the state that was acknowledged, and the one that an unanswered commit may have made.

use bytes::Bytes;
use millstream_journal::sim::SimDisk;
use millstream_journal::{ReadError, Reader, Record};
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::{Epoch, GroupId, KeyId, Lsn, PartitionId, Registration, TenantId, TimestampMs};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;

/// The groups in play.
pub const GROUPS: u32 = 3;

/// One state of everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub groups: BTreeMap<GroupId, Group>,
    pub registration: u64,
}

/// One group: its entries from LSN 1 on, and up to where they were released.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    pub entries: Vec<Entry>,
    pub released: u64,
    pub epoch: u32,
}

impl State {
    pub fn group(&mut self, group: GroupId) -> &mut Group {
        self.groups.entry(group).or_default()
    }

    /// A random record that may come next; the state after it.
    pub fn next(&mut self, random: &mut StdRng) -> Record {
        let id = GroupId(random.random_range(0..GROUPS));
        let registration = self.registration;
        let group = self.group(id);
        match random.random_range(0..20) {
            0 | 1 if !group.entries.is_empty() => {
                let length = random.random_range(group.released..=group.entries.len() as u64);
                group.entries.truncate(length as usize);
                group.epoch += 1;
                Record::Truncate {
                    group: id,
                    epoch: Epoch(group.epoch),
                    lsn: Lsn(length),
                }
            }
            2 => Record::Mark {
                group: id,
                epoch: Epoch(group.epoch),
                high_watermark: Lsn(group.released),
            },
            3 => {
                self.registration += 1;
                Record::Registered {
                    registration: Registration(registration + 1),
                }
            }
            _ => Record::Entry(group.append(id, random)),
        }
    }

    /// Whether the journal has exactly this, but for what was released.
    pub fn compare(&self, reader: &Reader<SimDisk>) -> Result<(), String> {
        let registration = reader.registration().map_or(0, |registration| registration.0);
        if registration != self.registration {
            return Err(format!(
                "registration {registration} instead of {}",
                self.registration
            ));
        }
        let nothing = Group::default();
        for id in (0..GROUPS).map(GroupId) {
            let group = self.groups.get(&id).unwrap_or(&nothing);
            let end = reader.end(id).map_or(0, |(_, lsn)| lsn.0);
            let start = reader.start(id).map_or(0, |(_, lsn)| lsn.0);
            if end != group.entries.len() as u64 {
                return Err(format!(
                    "group {id} ends at {end} instead of {}",
                    group.entries.len()
                ));
            }
            if start > group.released {
                return Err(format!(
                    "group {id} starts behind {start}, only {} is released",
                    group.released
                ));
            }
            let mut entries = Vec::new();
            while start + (entries.len() as u64) < end {
                let from = Lsn(start + 1 + entries.len() as u64);
                let more = reader
                    .entries(id, from, 20_000)
                    .map_err(|error| format!("{id} {from}: {error}"))?;
                entries.extend(more);
            }
            if entries != group.entries[start as usize..] {
                return Err(format!("group {id} has other entries than were written"));
            }
            if !matches!(reader.entry(id, Lsn(end + 1)), Err(ReadError::Absent)) {
                return Err(format!("group {id} has an entry behind its end"));
            }
        }
        Ok(())
    }

    /// The state after a record that was read.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Entry(entry) => {
                let group = self.group(entry.header.group);
                group.entries.truncate(entry.header.lsn.0 as usize - 1);
                group.entries.push(entry.clone());
                group.epoch = group.epoch.max(entry.header.epoch.0);
            }
            Record::Truncate { group, epoch, lsn } => {
                let group = self.group(*group);
                group.entries.truncate(lsn.0 as usize);
                group.epoch = group.epoch.max(epoch.0);
            }
            Record::Released { group, lsn, .. } => {
                let group = self.group(*group);
                group.released = group.released.max(lsn.0);
            }
            Record::Registered { registration } => self.registration = registration.0,
            _ => {}
        }
    }

    /// What a journal has, after a loss that was accepted.
    pub fn of(reader: &Reader<SimDisk>, before: &State) -> State {
        let mut state = State {
            registration: reader.registration().map_or(0, |registration| registration.0),
            ..State::default()
        };
        for (&id, old) in &before.groups {
            let group = state.group(id);
            let start = reader.start(id).map_or(0, |(_, lsn)| lsn.0);
            let end = reader.end(id).map_or(0, |(_, lsn)| lsn.0);
            // Those before the start are never looked at.
            group.entries = old.entries.iter().take(start as usize).cloned().collect();
            group
                .entries
                .resize_with(start as usize, || Group::default().append(id, &mut quiet()));
            group
                .entries
                .extend((start + 1..=end).filter_map(|lsn| reader.entry(id, Lsn(lsn)).ok()));
            group.released = start;
            group.epoch = old.epoch + 1;
        }
        state
    }
}

impl Group {
    fn append(&mut self, id: GroupId, random: &mut StdRng) -> Entry {
        let length: usize = match random.random_range(0..10) {
            0 => 0,
            1..6 => random.random_range(1..300),
            6..9 => random.random_range(1000..5000),
            _ => random.random_range(5000..10_500),
        };
        // Filled with one random word: filling all of it would take most of the test's time.
        let word: [u8; 8] = random.random();
        let mut payload = word.repeat(length.div_ceil(8));
        payload.truncate(length);
        let previous_epoch = self.entries.last().map_or(Epoch(0), |entry| entry.header.epoch);
        let entry = Entry {
            header: EntryHeader {
                kind: EntryKind::Append,
                group: id,
                epoch: Epoch(self.epoch),
                previous_epoch,
                lsn: Lsn(self.entries.len() as u64 + 1),
                time: TimestampMs(random.random_range(0..1_000_000)),
                partition: PartitionId::NONE,
                tenant: TenantId(random.random_range(0..3)),
                key: KeyId::NONE,
            },
            payload: Bytes::from(payload),
        };
        self.entries.push(entry.clone());
        entry
    }
}

fn quiet() -> StdRng {
    rand::SeedableRng::seed_from_u64(0)
}
