//! What one group was told, entry by entry, and what it must still have.

use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord, Producer};
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::segment::{ObjectOwner, ObjectRef, SegmentRef};
use millstream_model::{
    Epoch, GroupId, KeyId, LeaderEpoch, Lsn, Offset, PartitionId, PartitionIndex, ProducerEpoch, ProducerId,
    TenantId, TimestampMs, TopicId,
};
use millstream_partition::{Change, GroupState, Opened};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;

/// A batch that was acknowledged.
#[derive(Clone, Debug)]
pub struct Batch {
    pub end: Offset,
    pub lsn: Lsn,
    pub bytes: Bytes,
    /// The idempotent producer that wrote it.
    pub producer: Option<ProducerId>,
}

#[derive(Clone, Debug)]
pub struct Truth {
    pub state: GroupState,
    pub snapshot: GroupState,
    pub batches: BTreeMap<(PartitionId, Offset), Batch>,
    /// The catalog's word on each partition.
    pub opened: BTreeMap<PartitionId, (TenantId, i32)>,
    /// Entries that touch each partition.
    pub touched: BTreeMap<PartitionId, Vec<Lsn>>,
    /// The last entry by which each partition forgot its silent producers.
    pub forgot: BTreeMap<PartitionId, Lsn>,
    epoch: Epoch,
    starts_epoch: bool,
    sequences: BTreeMap<(PartitionId, i64), i32>,
    time: i64,
}

impl Truth {
    pub fn new(group: GroupId) -> Truth {
        Truth {
            state: GroupState::new(group),
            snapshot: GroupState::new(group),
            batches: BTreeMap::new(),
            opened: BTreeMap::new(),
            touched: BTreeMap::new(),
            forgot: BTreeMap::new(),
            epoch: Epoch(1),
            starts_epoch: true,
            sequences: BTreeMap::new(),
            time: 1_000_000,
        }
    }

    /// The next leadership.
    pub fn restart(&mut self) {
        self.epoch = Epoch(self.epoch.0 + 1);
        self.starts_epoch = true;
    }

    /// A random entry that may come next.
    pub fn next(&mut self, random: &mut StdRng) -> Entry {
        self.time += random.random_range(0..50);
        if std::mem::take(&mut self.starts_epoch) {
            return self.log(
                PartitionId::NONE,
                TenantId::SYSTEM,
                EntryKind::EpochStart,
                Bytes::new(),
            );
        }
        let mut open: Vec<PartitionId> = self.state.partitions().map(|(id, _)| *id).collect();
        let fresh = self.opened.len() as u32;
        if open.is_empty() || fresh < 8 && random.random_range(0..12) == 0 {
            let id = PartitionId {
                topic: TopicId::from_bytes([self.state.group().0 as u8 + 1; 16]),
                index: PartitionIndex(fresh),
            };
            let (tenant, base_epoch) = (TenantId(u64::from(fresh % 3) + 1), random.random_range(0..5));
            self.opened.insert(id, (tenant, base_epoch));
            let opened = Opened {
                base_epoch,
                log_start: Offset(0),
            };
            return self.say(id, tenant, &Change::Opened(opened));
        }
        let id = open.swap_remove(random.random_range(0..open.len()));
        let tenant = self.opened[&id].0;
        let Some(state) = self.state.partition(&id) else {
            unreachable!("it is one of the state's")
        };
        let (start, tiered, end) = (state.log_start(), state.tiered_up_to(), state.next_offset());
        match random.random_range(0..40) {
            0 => self.say(id, tenant, &Change::Deleted),
            1 => {
                let log_start = Offset(random.random_range(start.0..=end.0));
                self.say(id, tenant, &Change::Trim { log_start })
            }
            2..=4 if tiered.max(start) < end => self.tier(id, tenant, random),
            5 => {
                let silent_since = TimestampMs(self.time - random.random_range(0..300));
                self.forgot.insert(id, self.state.applied().next());
                self.say(id, tenant, &Change::ForgetProducers { silent_since })
            }
            _ => self.append(id, tenant, end, random),
        }
    }

    /// Some of what is hot, up to the end of a batch.
    fn tier(&mut self, id: PartitionId, tenant: TenantId, random: &mut StdRng) -> Entry {
        let Some(state) = self.state.partition(&id) else {
            unreachable!("it is one of the state's")
        };
        let runs: Vec<_> = state.hot().iter().copied().collect();
        let base = runs.first().map_or(state.tiered_up_to(), |run| run.base_offset);
        let last = runs[random.random_range(0..runs.len())];
        let segment = SegmentRef {
            object: ObjectRef {
                owner: ObjectOwner::Shared(self.state.group()),
                group: self.state.group(),
                epoch: self.epoch,
                number: self.state.applied().0,
            },
            position: 0,
            length: 100,
            checksum: 0,
            base_offset: base.max(state.tiered_up_to()),
            end_offset: last.end_offset,
            timestamp_max: TimestampMs(self.time),
        };
        self.say(id, tenant, &Change::Tiered(vec![segment]))
    }

    fn append(&mut self, id: PartitionId, tenant: TenantId, base: Offset, random: &mut StdRng) -> Entry {
        let records = random.random_range(1..4);
        let leader_epoch = LeaderEpoch(self.opened[&id].1 + self.epoch.0 as i32);
        let mut builder = BatchBuilder::new().stamp(base, leader_epoch);
        let mut written_by = None;
        if random.random() {
            let producer = random.random_range(1..5);
            let sequence = self.sequences.entry((id, producer)).or_default();
            builder = builder.producer(Producer {
                id: ProducerId(producer),
                epoch: ProducerEpoch(0),
                base_sequence: *sequence,
            });
            *sequence += records;
            written_by = Some(ProducerId(producer));
        }
        let value: [u8; 16] = random.random();
        for _ in 0..records {
            let record = NewRecord {
                timestamp: TimestampMs(self.time),
                key: None,
                value: Some(&value.repeat(random.random_range(1..60))),
                headers: &[],
            };
            builder.push(record).unwrap();
        }
        let bytes = builder.build().unwrap();
        let entry = self.log(id, tenant, EntryKind::Append, bytes.clone());
        let batch = Batch {
            end: base.plus(i64::from(records)),
            lsn: entry.header.lsn,
            bytes,
            producer: written_by,
        };
        self.batches.insert((id, base), batch);
        entry
    }

    fn say(&mut self, id: PartitionId, tenant: TenantId, change: &Change) -> Entry {
        let (kind, payload) = change.payload().unwrap();
        self.log(id, tenant, kind, payload)
    }

    fn log(&mut self, partition: PartitionId, tenant: TenantId, kind: EntryKind, payload: Bytes) -> Entry {
        let entry = Entry {
            header: EntryHeader {
                kind,
                group: self.state.group(),
                epoch: self.epoch,
                previous_epoch: self.state.applied_epoch(),
                lsn: self.state.applied().next(),
                time: TimestampMs(self.time),
                partition,
                tenant,
                key: KeyId::NONE,
            },
            payload,
        };
        self.state.apply(&entry);
        self.touched.entry(partition).or_default().push(entry.header.lsn);
        entry
    }
}
