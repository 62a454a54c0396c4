//! What only a newer release can read: kept, and not led.

use super::*;
use millstream_model::SlotKind;
use uuid::Uuid;

const FACTS: Facts = Facts {
    now_ms: 1 << 30,
    time: TimestampMs(1 << 30),
    pressed: true,
    may_flush: true,
};

/// A slot of an internal topic, by its tag.
fn slot(tag: u64) -> PartitionId {
    PartitionId {
        topic: TopicId(Uuid::from_u64_pair(0, tag)),
        index: PartitionIndex(0),
    }
}

/// The records of a log with an append to this partition.
fn log_with(partition: PartitionId) -> Vec<Record> {
    let mut driven = Driven::fresh();
    driven.lead(1);
    let opened = Propose {
        partition,
        tenant: TenantId::SYSTEM,
        key: KeyId::NONE,
        change: Change::Opened(Opened {
            base_epoch: 0,
            log_start: Offset(0),
        }),
        time: TimestampMs(1),
        ticket: 1,
    };
    driven.replica.propose(0, opened, &mut driven.out).unwrap();
    let mut builder = BatchBuilder::new();
    let record = NewRecord {
        timestamp: TimestampMs(5),
        key: Some(b"k"),
        value: Some(b"v"),
        headers: &[],
    };
    builder.push(record).unwrap();
    let append = Append {
        partition,
        tenant: TenantId::SYSTEM,
        key: KeyId::NONE,
        owner_epoch: OwnerEpoch(0),
        batch: BatchView::read(builder.build().unwrap()).unwrap(),
        time: TimestampMs(2),
        acks: Acks::All,
        in_sync_min: 1,
        ticket: 2,
    };
    driven.replica.append(0, append, &mut driven.out).unwrap();
    driven.finish_writes(usize::MAX);
    driven.written
}

fn restarted(records: &[Record], in_snapshot: Option<u16>) -> Driven {
    let mut recovery = Recovery::new(GroupState::new(GROUP), true).beside(in_snapshot);
    for record in records {
        recovery.record(record.clone()).unwrap();
    }
    recovery.commit_all();
    Driven::new(recovery.finish().unwrap(), Planted::default())
}

#[test]
fn a_replica_that_cannot_read_all_it_has_does_not_lead_and_saves_nothing() {
    let known = log_with(slot(u64::from(SlotKind::Groups.tag())));
    let newer = log_with(slot(60_000));
    for (records, in_snapshot, unknown) in [
        (&known, None, None),
        (&known, Some(700), Some(700)),
        (&newer, None, Some(60_000)),
    ] {
        let mut driven = restarted(records, in_snapshot);
        assert_eq!(driven.replica.unknown(), unknown);
        driven.lead(2);
        assert_eq!(driven.replica.leads(), unknown.is_none());
        driven.finish_writes(usize::MAX);
        driven.replica.begin_round();
        let saves = match driven.replica.next_work(&FACTS) {
            // What is hot is moved first, and a leader alone does that.
            Some(Work::Upload { .. } | Work::Save(_)) => true,
            None => false,
            other => panic!("{other:?}"),
        };
        assert_eq!(saves, unknown.is_none());
        let mut stopping = restarted(records, in_snapshot);
        assert_eq!(
            stopping.replica.take_last_snapshot(5).is_some(),
            unknown.is_none()
        );
    }
}
