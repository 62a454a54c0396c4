//! The plan by itself: what is known, and what is put in the place of what is not.

use super::{Fill, Survey, plan};
use bytes::Bytes;
use millstream_journal::{Behind, Record};
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::{
    Epoch, GroupId, KeyId, LeaderEpoch, Lsn, Offset, PartitionId, PartitionIndex, TenantId, TimestampMs,
    TopicId,
};
use millstream_partition::{Change, GroupState, Opened};
use millstream_replication::EntryId;

const GROUP: GroupId = GroupId(4);
const BASE_EPOCH: i32 = 7;

fn partition(index: u32) -> PartitionId {
    PartitionId {
        topic: TopicId::from_bytes([9; 16]),
        index: PartitionIndex(index),
    }
}

fn entry(lsn: u64, index: u32, kind: EntryKind, payload: Bytes) -> Entry {
    Entry {
        header: EntryHeader {
            kind,
            group: GROUP,
            epoch: Epoch(1),
            previous_epoch: Epoch(u32::from(lsn > 1)),
            lsn: Lsn(lsn),
            time: TimestampMs(1000),
            partition: partition(index),
            tenant: TenantId(1),
            key: KeyId::NONE,
        },
        payload,
    }
}

fn opened(lsn: u64, index: u32) -> Entry {
    let change = Change::Opened(Opened {
        base_epoch: BASE_EPOCH,
        log_start: Offset(0),
    });
    let (kind, payload) = change.payload().unwrap();
    entry(lsn, index, kind, payload)
}

fn append(lsn: u64, index: u32, base: i64, records: usize) -> Entry {
    let mut builder = BatchBuilder::new().stamp(Offset(base), LeaderEpoch(BASE_EPOCH + 1));
    for _ in 0..records {
        let record = NewRecord {
            timestamp: TimestampMs(1000),
            ..NewRecord::default()
        };
        builder.push(record).unwrap();
    }
    entry(lsn, index, EntryKind::Append, builder.build().unwrap())
}

/// What is planned when these entries precede the damage, and this lies behind it.
fn planned(before: &[Entry], behind: &[Behind]) -> Fill {
    let mut state = GroupState::new(GROUP);
    before.iter().for_each(|entry| drop(state.apply(entry)));
    let end = before.last().map(|last| EntryId::of(&last.header));
    let mut survey = Survey::new(&state, end, None, TimestampMs(1000));
    behind.iter().for_each(|behind| survey.see(behind));
    let applied = EntryId {
        epoch: state.applied_epoch(),
        lsn: state.applied(),
    };
    survey.finish(applied);
    assert_eq!(survey.stops_at, None);
    plan(&survey, &state, &|_| Some((TenantId(1), BASE_EPOCH)))
}

fn whole(entry: Entry) -> Behind {
    Behind::Record(Record::Entry(entry))
}

/// Each entry put in: its LSN, and the offsets it stands for, or what else it is.
fn put_in(fill: &Fill) -> Vec<(u64, String)> {
    let entries = fill.entries.values().chain(&fill.tail);
    let said = |entry: &Entry| match Change::of(entry).unwrap() {
        Change::Lost(gap) => format!(
            "{}: {}..{}",
            entry.header.partition.index, gap.base_offset, gap.end_offset
        ),
        Change::Opened(opened) => format!("{} opened, {}", entry.header.partition.index, opened.base_epoch),
        other => format!("{other:?}"),
    };
    entries.map(|entry| (entry.header.lsn.0, said(entry))).collect()
}

fn said(all: &[(u64, &str)]) -> Vec<(u64, String)> {
    all.iter().map(|(lsn, what)| (*lsn, (*what).to_owned())).collect()
}

#[test]
fn what_lies_behind_says_what_is_missing() {
    let before = [opened(1, 0), append(2, 0, 0, 10)];
    let fill = planned(&before, &[Behind::Hole, whole(append(4, 0, 15, 1))]);
    assert_eq!(put_in(&fill), said(&[(3, "0: 10..15")]));
    assert!(fill.unknown.is_empty() && fill.opened.is_empty());
    let nothing = planned(&before, &[Behind::Hole, whole(append(3, 0, 10, 1))]);
    assert_eq!(nothing, Fill::default());
}

#[test]
fn an_opening_and_a_first_batch_take_a_place_each() {
    let fill = planned(&[opened(1, 0)], &[Behind::Hole, whole(append(4, 3, 5, 1))]);
    assert_eq!(put_in(&fill), said(&[(2, "3 opened, 7"), (3, "3: 0..5")]));
    // Were there a place more, the other partition might have lost something.
    let fill = planned(&[opened(1, 0)], &[Behind::Hole, whole(append(5, 3, 5, 1))]);
    assert_eq!(
        put_in(&fill),
        said(&[
            (2, "3 opened, 7"),
            (3, "3: 0..5"),
            (4, "EpochStart"),
            (6, "0: 0..2147483647")
        ])
    );
    assert_eq!(fill.unknown.len(), 1);
}

/// Of two gaps with a place each, the first is for what is needed first.
#[test]
fn needs_that_end_first_go_first() {
    let before = [opened(1, 0), opened(2, 1), append(3, 0, 0, 1), append(4, 1, 0, 1)];
    let behind = [
        Behind::Hole,
        whole(append(6, 1, 3, 1)),
        Behind::Hole,
        whole(append(8, 0, 2, 1)),
    ];
    let fill = planned(&before, &behind);
    assert_eq!(put_in(&fill), said(&[(5, "1: 1..3"), (7, "0: 1..2")]));
}

#[test]
fn an_end_that_nobody_knows_is_passed_over() {
    let before = [opened(1, 0), append(2, 0, 0, 10), opened(3, 1)];
    let fill = planned(&before, &[Behind::Hole]);
    assert_eq!(
        put_in(&fill),
        said(&[(4, "0: 10..2147483657"), (5, "1: 0..2147483647")])
    );
    // One batch whose header is there: so many records at most, and of this partition.
    let lost = append(4, 0, 10, 1).header;
    let fill = planned(&before, &[Behind::Lost(lost)]);
    assert_eq!(put_in(&fill), said(&[(4, "EpochStart"), (5, "0: 10..1000010")]));
    // The journal says later that nothing was there.
    let carried = Record::Carried {
        group: GROUP,
        start: (Epoch(0), Lsn(0)),
        end: (Epoch(1), Lsn(3)),
    };
    assert_eq!(
        planned(&before, &[Behind::Hole, Behind::Record(carried)]),
        Fill::default()
    );
}

#[test]
fn what_does_not_continue_the_log_stops_it() {
    let mut survey = Survey::new(&GroupState::new(GROUP), None, None, TimestampMs(0));
    survey.see(&whole(opened(1, 0)));
    survey.see(&whole(append(2, 0, 0, 1)));
    survey.see(&whole(append(2, 0, 0, 1)));
    survey.see(&whole(append(3, 0, 1, 1)));
    assert_eq!((survey.stops_at, survey.end.lsn), (Some(Lsn(3)), Lsn(2)));
}
