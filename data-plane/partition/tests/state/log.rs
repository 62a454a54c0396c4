//! A group's log as a leader would write it, and random ones.

use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchBuilder, BatchView, ControlRecord, Marker, NewRecord, Producer};
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::segment::{ObjectOwner, ObjectRef, SegmentRef};
use millstream_model::{
    Epoch, GroupId, KeyId, LeaderEpoch, Lsn, Offset, OwnerEpoch, PartitionId, PartitionIndex, ProducerEpoch,
    ProducerId, TenantId, TimestampMs, TopicId,
};
use millstream_partition::{
    AppendError, AppendFacts, Applied, Change, Decision, Effect, GroupState, Opened, Overlay, PartitionState,
    Replacement, plan_forgetting, plan_lost,
};
use proptest::prelude::*;

pub const GROUP: GroupId = GroupId(7);
pub const TENANT: TenantId = TenantId(1);

pub fn partition(index: u32) -> PartitionId {
    PartitionId {
        topic: TopicId::from_bytes([3; 16]),
        index: PartitionIndex(index),
    }
}

/// A leader with its state, its overlay and everything it wrote.
pub struct Leader {
    pub state: GroupState,
    pub overlay: Overlay,
    pub log: Vec<Entry>,
    /// The owner in whose name it orders batches.
    pub owner: OwnerEpoch,
    pub epoch: Epoch,
    pub time: i64,
}

impl Leader {
    pub fn new() -> Leader {
        let state = GroupState::new(GROUP);
        Leader {
            state,
            overlay: Overlay::new(),
            log: Vec::new(),
            owner: OwnerEpoch(0),
            epoch: Epoch(1),
            time: 1_000_000,
        }
    }

    /// With partition 0 open.
    pub fn with_partition() -> Leader {
        let mut leader = Leader::new();
        leader.commit(0, &opened());
        leader
    }

    fn entry(&mut self, index: u32, kind: EntryKind, payload: Bytes) -> Entry {
        let previous_epoch = self.log.last().map_or(Epoch(0), |entry| entry.header.epoch);
        let header = EntryHeader {
            kind,
            group: GROUP,
            epoch: self.epoch,
            previous_epoch,
            lsn: Lsn(self.log.len() as u64 + 1),
            time: TimestampMs(self.time),
            partition: partition(index),
            tenant: TENANT,
            key: KeyId::NONE,
        };
        let entry = Entry { header, payload };
        self.log.push(entry.clone());
        entry
    }

    /// Writes an entry that says this, and applies it.
    pub fn commit(&mut self, index: u32, change: &Change) -> Applied {
        let (kind, payload) = change.payload().unwrap();
        let entry = self.entry(index, kind, payload);
        self.state.apply(&entry)
    }

    /// Writes any payload, and applies it.
    pub fn commit_raw(&mut self, index: u32, kind: EntryKind, payload: Bytes) -> Applied {
        let entry = self.entry(index, kind, payload);
        self.state.apply(&entry)
    }

    /// Decides about a batch and orders it; it stays undecided.
    pub fn order(&mut self, index: u32, batch: Bytes) -> Result<(Decision, Option<Entry>), AppendError> {
        let batch = BatchView::read(batch).unwrap();
        let facts = AppendFacts::of(batch.header());
        let decision = self
            .overlay
            .decide(&self.state, TENANT, &partition(index), self.owner, &facts)?;
        let Decision::Append {
            base_offset,
            base_epoch,
        } = decision
        else {
            return Ok((decision, None));
        };
        let stamped = batch.stamp(base_offset, LeaderEpoch(base_epoch + self.epoch.0 as i32));
        let entry = self.entry(index, EntryKind::Append, stamped.into_bytes());
        self.overlay
            .ordered(&self.state, &entry.header, &Change::of(&entry).unwrap());
        Ok((decision, Some(entry)))
    }

    /// Orders a change of the service's own; it stays undecided.
    pub fn order_change(&mut self, index: u32, change: &Change) -> Entry {
        let (kind, payload) = change.payload().unwrap();
        let entry = self.entry(index, kind, payload);
        self.overlay.ordered(&self.state, &entry.header, change);
        entry
    }

    /// Applies an entry that was ordered.
    pub fn decide(&mut self, entry: &Entry) -> Applied {
        let producer = match Change::of(entry) {
            Ok(Change::Append(facts)) => facts.sequenced().map(|producer| producer.id),
            _ => None,
        };
        let applied = self.state.apply(entry);
        self.overlay.decided(&entry.header.partition, producer);
        applied
    }

    /// Orders a batch and applies it.
    pub fn append(&mut self, index: u32, batch: Bytes) -> Result<Decision, AppendError> {
        let (decision, entry) = self.order(index, batch)?;
        if let Some(entry) = entry {
            self.decide(&entry);
        }
        Ok(decision)
    }
}

pub fn opened() -> Change {
    Change::Opened(Opened {
        base_epoch: 10,
        log_start: Offset(0),
    })
}

pub fn plain(records: usize, time: i64) -> Bytes {
    fill(BatchBuilder::new(), records, time)
}

pub fn of_producer(id: i64, epoch: i16, base_sequence: i32, records: usize) -> Bytes {
    let producer = Producer {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence,
    };
    fill(BatchBuilder::new().producer(producer), records, 5)
}

pub fn in_transaction(id: i64, base_sequence: i32) -> Bytes {
    let producer = Producer {
        id: ProducerId(id),
        epoch: ProducerEpoch(0),
        base_sequence,
    };
    fill(BatchBuilder::new().transactional(producer), 1, 5)
}

pub fn marker(id: i64, marker: Marker) -> Bytes {
    let record = ControlRecord {
        marker,
        coordinator_epoch: 0,
    };
    record.to_batch(ProducerId(id), ProducerEpoch(0), TimestampMs(5))
}

fn fill(mut builder: BatchBuilder, records: usize, time: i64) -> Bytes {
    for _ in 0..records {
        let record = NewRecord {
            timestamp: TimestampMs(time),
            key: None,
            value: Some(b"value"),
            headers: &[],
        };
        builder.push(record).unwrap();
    }
    builder.build().unwrap()
}

pub fn segment(base: i64, end: i64) -> SegmentRef {
    SegmentRef {
        object: ObjectRef {
            owner: ObjectOwner::Shared(GROUP),
            group: GROUP,
            epoch: Epoch(1),
            number: base as u64,
        },
        position: 0,
        length: (end - base) as u64 * 10,
        checksum: 1,
        base_offset: Offset(base),
        end_offset: Offset(end),
        timestamp_max: TimestampMs(end),
    }
}

/// What a random leader does next.
#[derive(Clone, Debug)]
pub enum Act {
    Append { index: u32, records: usize, time: i64 },
    Produce { index: u32, id: i64, records: usize },
    Transact { index: u32, id: i64 },
    End { index: u32, id: i64, commit: bool },
    Trim { index: u32, per_mille: i64 },
    Tier { index: u32, per_mille: i64 },
    Merge { index: u32 },
    Lose { per_mille: u64 },
    Forget { index: u32, keep_ms: i64 },
    Open { index: u32 },
    Close { index: u32 },
    Delete { index: u32 },
    Garbage { index: u32, kind: u8, payload: Vec<u8> },
    Lead,
    Wait(i64),
}

pub fn acts() -> impl Strategy<Value = Vec<Act>> {
    let index = 0..3u32;
    let id = 100..104i64;
    let act = prop_oneof![
        8 => (index.clone(), 1..4usize, 0..1000i64).prop_map(|(index, records, time)| Act::Append { index, records, time }),
        8 => (index.clone(), id.clone(), 1..4usize).prop_map(|(index, id, records)| Act::Produce { index, id, records }),
        2 => (index.clone(), id.clone()).prop_map(|(index, id)| Act::Transact { index, id }),
        2 => (index.clone(), id, any::<bool>()).prop_map(|(index, id, commit)| Act::End { index, id, commit }),
        2 => (index.clone(), 0..1200i64).prop_map(|(index, per_mille)| Act::Trim { index, per_mille }),
        4 => (index.clone(), 0..1200i64).prop_map(|(index, per_mille)| Act::Tier { index, per_mille }),
        2 => index.clone().prop_map(|index| Act::Merge { index }),
        1 => (0..1000u64).prop_map(|per_mille| Act::Lose { per_mille }),
        1 => (index.clone(), 0..100_000_000i64).prop_map(|(index, keep_ms)| Act::Forget { index, keep_ms }),
        6 => index.clone().prop_map(|index| Act::Open { index }),
        1 => index.clone().prop_map(|index| Act::Close { index }),
        1 => index.clone().prop_map(|index| Act::Delete { index }),
        1 => (index, 1..10u8, proptest::collection::vec(any::<u8>(), 0..80))
            .prop_map(|(index, kind, payload)| Act::Garbage { index, kind, payload }),
        2 => Just(Act::Lead),
        2 => (0..100_000_000i64).prop_map(Act::Wait),
    ];
    proptest::collection::vec(act, 0..80)
}

/// The log that a leader writes doing this; what it refuses is not in it.
pub fn log_of(acts: &[Act]) -> Leader {
    let mut leader = Leader::new();
    for act in acts {
        leader.time += 1;
        run(&mut leader, act);
    }
    leader
}

fn run(leader: &mut Leader, act: &Act) {
    let next_of = |leader: &Leader, index: &u32, id: &i64| {
        let state = leader
            .state
            .partition(&partition(*index))?
            .producers()
            .get(ProducerId(*id))?;
        Some(state.batches.back()?.last_sequence + 1)
    };
    match act {
        Act::Append { index, records, time } => {
            let _ = leader.append(*index, plain(*records, *time));
        }
        Act::Produce { index, id, records } => {
            let sequence = next_of(leader, index, id).unwrap_or(0);
            let _ = leader.append(*index, of_producer(*id, 0, sequence, *records));
        }
        Act::Transact { index, id } => {
            let sequence = next_of(leader, index, id).unwrap_or(0);
            let _ = leader.append(*index, in_transaction(*id, sequence));
        }
        Act::End { index, id, commit } => {
            let kind = if *commit { Marker::Commit } else { Marker::Abort };
            let _ = leader.append(*index, marker(*id, kind));
        }
        Act::Trim { index, per_mille } => {
            let end = leader
                .state
                .partition(&partition(*index))
                .map_or(0, |state| state.next_offset().0);
            let log_start = Offset(end * per_mille / 1000);
            drop(leader.commit(*index, &Change::Trim { log_start }));
        }
        Act::Tier { index, per_mille } => {
            let Some(state) = leader.state.partition(&partition(*index)) else {
                return;
            };
            let (base, end) = (state.tiered_up_to().0, state.next_offset().0);
            let up_to = base + (end - base) * per_mille / 1000;
            drop(leader.commit(*index, &Change::Tiered(vec![segment(base, up_to)])));
        }
        Act::Merge { index } => {
            let Some(state) = leader.state.partition(&partition(*index)) else {
                return;
            };
            let [first, second, ..] = state.cold() else { return };
            let gone = [first, second].map(|it| (it.base_offset, it.end_offset)).to_vec();
            let segments = vec![segment(first.base_offset.0, second.end_offset.0)];
            drop(leader.commit(*index, &Change::Replace(Replacement { gone, segments })));
        }
        Act::Lose { per_mille } => {
            let start = Lsn(leader.state.applied().0 * per_mille / 1000);
            for (id, _, gap) in plan_lost(&leader.state, start) {
                drop(leader.commit(id.index.0, &Change::Lost(gap)));
            }
            assert_eq!(plan_lost(&leader.state, start), [], "it is said once");
        }
        Act::Forget { index, keep_ms } => {
            let now = TimestampMs(leader.time);
            let state = leader.state.partition(&partition(*index));
            let plan = |state: &PartitionState| plan_forgetting(state, now, *keep_ms);
            let Some(silent_since) = state.and_then(plan) else {
                return;
            };
            let is_open = state.is_some_and(|state| state.quarantine().is_none());
            let done = leader.commit(*index, &Change::ForgetProducers { silent_since });
            let again = leader.state.partition(&partition(*index)).and_then(plan);
            assert!(!is_open || done.effect == Effect::ForgotProducers && again.is_none());
        }
        Act::Open { index } => drop(leader.commit(*index, &opened())),
        Act::Close { index } => drop(leader.commit(*index, &Change::Closed)),
        Act::Delete { index } => drop(leader.commit(*index, &Change::Deleted)),
        Act::Garbage { index, kind, payload } => {
            let kind = EntryKind::from_number(*kind).unwrap();
            drop(leader.commit_raw(*index, kind, payload.clone().into()));
        }
        Act::Lead => {
            leader.epoch = Epoch(leader.epoch.0 + 1);
            leader.overlay.clear();
            drop(leader.commit_raw(0, EntryKind::EpochStart, Bytes::new()));
        }
        Act::Wait(ms) => leader.time += ms,
    }
}
