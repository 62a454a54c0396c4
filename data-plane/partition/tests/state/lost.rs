//! Records that no journal has any more: passed over, never given out again, and no obstacle to the flush.

use crate::log::{Leader, of_producer, opened, partition, plain, segment};
use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchHeader, BatchView};
use millstream_model::entry::EntryKind;
use millstream_model::{LeaderEpoch, Lsn, Offset, TimestampMs};
use millstream_partition::{
    Change, Decision, Effect, FlushSettings, Gap, GroupState, PayloadError, Place, plan_flush, plan_lost,
};

/// Partition 0 with offsets 0..10 in the store and 10..30 hot in two runs, partition 1 with 0..5 hot.
fn leader() -> Leader {
    let mut leader = Leader::with_partition();
    leader.commit(1, &opened());
    leader.append(0, plain(10, 100)).unwrap();
    leader.append(1, plain(5, 100)).unwrap();
    leader.append(0, plain(10, 300)).unwrap();
    leader.append(1, plain(5, 100)).unwrap();
    leader.append(0, plain(10, 200)).unwrap();
    leader.commit(0, &Change::Tiered(vec![segment(0, 10)]));
    leader
}

fn said(leader: &mut Leader, start: Lsn) -> Vec<(u32, Effect)> {
    plan_lost(&leader.state, start)
        .into_iter()
        .map(|(id, _, gap)| (id.index.0, leader.commit(id.index.0, &Change::Lost(gap)).effect))
        .collect()
}

fn lost(base: i64, end: i64) -> Effect {
    Effect::Lost {
        base_offset: Offset(base),
        end_offset: Offset(end),
    }
}

#[test]
fn what_is_lost_depends_on_where_the_journal_starts() {
    // Entries: opened 1 and 2; batches at 3 (in the store), 4, 5, 6, 7.
    let table: [(u64, Vec<(u32, Effect)>); 5] = [
        (3, vec![]),
        (4, vec![(1, lost(0, 5))]),
        (5, vec![(0, lost(10, 20)), (1, lost(0, 5))]),
        (6, vec![(0, lost(10, 20)), (1, lost(0, 10))]),
        (8, vec![(0, lost(10, 30)), (1, lost(0, 10))]),
    ];
    for (start, expected) in table {
        let mut leader = leader();
        let ends: Vec<_> = leader
            .state
            .partitions()
            .map(|(_, it)| it.next_offset())
            .collect();
        assert_eq!(
            said(&mut leader, Lsn(start)),
            expected,
            "a journal that starts after {start}"
        );
        assert_eq!(said(&mut leader, Lsn(start)), [], "it is said once");
        let after: Vec<_> = leader
            .state
            .partitions()
            .map(|(_, it)| it.next_offset())
            .collect();
        assert_eq!(after, ends, "offsets are not given out again");
    }
}

#[test]
fn reading_goes_on_behind_the_gap_and_the_flush_takes_it_along() {
    let mut leader = leader();
    said(&mut leader, Lsn(8));
    leader.append(0, plain(10, 400)).unwrap();
    let state = leader.state.partition(&partition(0)).unwrap();
    for offset in [10, 29] {
        let Some(Place::Hot(run)) = state.place(Offset(offset)) else {
            panic!("offset {offset} lies nowhere")
        };
        assert_eq!((run.base_offset, run.first), (Offset(10), Lsn(9)));
    }
    let settings = FlushSettings {
        bytes: 1,
        age_ms: 0,
        object_bytes_max: 1_000_000,
    };
    let plan = plan_flush(&leader.state, TimestampMs(leader.time), settings, true).unwrap();
    assert_eq!((plan.runs[0].from, plan.runs[0].end), (Offset(10), Offset(40)));
    let tiered = leader.commit(0, &Change::Tiered(vec![segment(10, 40)]));
    assert_eq!(tiered.effect, Effect::Tiered { up_to: Offset(40) });
}

#[test]
fn the_log_is_kept_for_runs_in_front_of_a_gap_and_behind_it() {
    let mut leader = leader();
    // Only the first of two runs is gone; its stand-in is the log's newest entry.
    let gap = plan_lost(&leader.state, Lsn(5)).remove(0).2;
    leader.commit(0, &Change::Lost(gap));
    let hot = leader.state.partition(&partition(0)).unwrap().hot();
    assert_eq!(
        (hot.first().unwrap().first, hot.first_lsn()),
        (Lsn(9), Some(Lsn(7)))
    );
    leader.commit(
        1,
        &Change::Trim {
            log_start: Offset(10),
        },
    );
    assert_eq!(leader.state.tiered_lsn(), Lsn(6));
}

#[test]
fn a_repeat_and_a_gap_that_fits_nothing_change_nothing() {
    let mut leader = leader();
    let gap = plan_lost(&leader.state, Lsn(8)).remove(0).2;
    leader.commit(0, &Change::Lost(gap));
    leader.append(1, plain(1, 1)).unwrap();
    leader.append(0, plain(1, 1)).unwrap();
    leader.commit(0, &Change::Tiered(vec![segment(10, 30)]));
    let before = leader.state.partition(&partition(0)).unwrap().clone();
    for (base, end) in [(10, 30), (10, 31), (5, 12), (32, 40), (0, 100)] {
        let gap = Gap {
            base_offset: Offset(base),
            end_offset: Offset(end),
            ..gap
        };
        assert_eq!(
            leader.commit(0, &Change::Lost(gap)).effect,
            Effect::None,
            "{base}..{end}"
        );
        assert_eq!(leader.state.partition(&partition(0)), Some(&before));
    }
}

/// Records that nobody knows any more may have been there, and batches of every producer among them.
#[test]
fn a_gap_behind_the_last_record_is_appended_and_forgets_producers() {
    for undecided in [false, true] {
        let mut leader = Leader::with_partition();
        leader.append(0, of_producer(9, 0, 0, 3)).unwrap();
        let gap = Gap {
            base_offset: Offset(3),
            end_offset: Offset(10),
            leader_epoch: LeaderEpoch(1),
            timestamp_max: TimestampMs(300),
        };
        let lost = leader.order_change(0, &Change::Lost(gap));
        if !undecided {
            assert_eq!(leader.decide(&lost).effect, self::lost(3, 10));
        }
        // What comes next may have any sequence, and its offsets are behind the gap.
        let (decision, next) = leader.order(0, of_producer(9, 0, 77, 1)).unwrap();
        assert!(
            matches!(decision, Decision::Append { base_offset, .. } if base_offset == Offset(10)),
            "{decision:?}"
        );
        if undecided {
            assert_eq!(leader.decide(&lost).effect, self::lost(3, 10));
        }
        leader.decide(&next.unwrap());
        let state = leader.state.partition(&partition(0)).unwrap();
        assert_eq!(state.next_offset(), Offset(11));
        assert_eq!(state.producers().len(), 1);
        let repeat = leader.append(0, of_producer(9, 0, 77, 1)).unwrap();
        assert!(matches!(repeat, Decision::Repeat { .. }), "{repeat:?}");
    }
}

#[test]
fn the_batch_has_the_offsets_and_no_records() {
    let gap = Gap {
        base_offset: Offset(10),
        end_offset: Offset(10 + (1 << 31)),
        leader_epoch: LeaderEpoch(4),
        timestamp_max: TimestampMs(300),
    };
    let batch = BatchView::read(gap.batch()).unwrap();
    batch.check().unwrap();
    assert_eq!(batch.records().unwrap().iter().count(), 0);
    assert_eq!(
        Change::read(EntryKind::Lost, batch.bytes()),
        Ok(Change::Lost(gap))
    );
    let BatchHeader {
        max_timestamp,
        leader_epoch,
        ..
    } = *batch.header();
    assert_eq!((max_timestamp, leader_epoch), (TimestampMs(300), LeaderEpoch(4)));
    assert!(matches!(
        Change::read(EntryKind::Lost, &plain(1, 1)),
        Err(PayloadError::Records)
    ));
    assert!(Change::read(EntryKind::Lost, &Bytes::new()).is_err());
}

#[test]
fn a_long_stretch_becomes_several_batches() {
    let mut leader = Leader::with_partition();
    leader.commit(1, &opened());
    // A producer's largest batches would take thousands of entries: emptied ones reach as far in three.
    for _ in 0..3 {
        let mut builder = millstream_kafka_wire::batch::BatchBuilder::new();
        builder.extend_to(1_000_000_000 - 1);
        leader.append(0, builder.build().unwrap()).unwrap();
        leader.append(1, plain(1, 1)).unwrap();
    }
    let start = leader.state.applied();
    let gaps = said(&mut leader, start);
    assert_eq!(
        gaps,
        [
            (0, lost(0, 2_000_000_000)),
            (0, lost(2_000_000_000, 3_000_000_000)),
            (1, lost(0, 3))
        ]
    );
    let state: &GroupState = &leader.state;
    assert_eq!(state.partition(&partition(0)).unwrap().hot().len(), 2);
}
