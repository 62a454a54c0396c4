//! When to flush and what to trim.

use crate::log::{Leader, opened, partition, plain, segment};
use millstream_model::segment::SegmentRef;
use millstream_model::{Lsn, Offset, TimestampMs};
use millstream_partition::{Change, FlushSettings, RetentionSettings, plan_flush, plan_retention};

const SETTINGS: FlushSettings = FlushSettings {
    bytes: 1_000,
    age_ms: 60_000,
    object_bytes_max: 1_000_000,
};

#[test]
fn a_flush_is_due_by_size_by_age_or_by_force() {
    let mut leader = Leader::with_partition();
    let now = |leader: &Leader, after| TimestampMs(leader.time + after);
    assert_eq!(
        plan_flush(&leader.state, now(&leader, 1_000_000), SETTINGS, true),
        None,
        "nothing is hot"
    );
    leader.append(0, plain(1, 5)).unwrap();
    assert_eq!(
        plan_flush(&leader.state, now(&leader, 59_999), SETTINGS, false),
        None
    );
    assert!(plan_flush(&leader.state, now(&leader, 60_000), SETTINGS, false).is_some());
    assert!(plan_flush(&leader.state, now(&leader, 0), SETTINGS, true).is_some());
    while leader.state.hot_bytes() < 1_000 {
        leader.append(0, plain(1, 5)).unwrap();
    }
    let plan = plan_flush(&leader.state, now(&leader, 0), SETTINGS, false).unwrap();
    let state = leader.state.partition(&partition(0)).unwrap();
    assert_eq!(
        (plan.runs[0].from, plan.runs[0].end),
        (Offset(0), state.next_offset())
    );
}

#[test]
fn a_flush_takes_whole_runs_and_begins_with_who_pins_the_log() {
    let mut leader = Leader::with_partition();
    leader.commit(1, &opened());
    leader.commit(2, &opened());
    for index in [2, 0, 1, 2, 0, 1] {
        leader.append(index, plain(1, 5)).unwrap();
    }
    let one = leader
        .state
        .partition(&partition(0))
        .unwrap()
        .hot()
        .first()
        .unwrap()
        .bytes;
    let settings = FlushSettings {
        object_bytes_max: one * 3,
        ..SETTINGS
    };
    let plan = plan_flush(&leader.state, TimestampMs(0), settings, true).unwrap();
    let taken: Vec<_> = plan
        .runs
        .iter()
        .map(|run| (run.partition.index.0, run.end.0))
        .collect();
    assert_eq!(taken, vec![(0, 1), (2, 2)]);
}

#[test]
fn neighbouring_small_batches_share_a_run() {
    let mut leader = Leader::with_partition();
    for _ in 0..10 {
        leader.append(0, plain(1, 5)).unwrap();
    }
    let state = leader.state.partition(&partition(0)).unwrap();
    assert_eq!(state.hot().len(), 1);
    let run = state.hot().first().unwrap();
    assert_eq!(
        (run.first, run.last, run.end_offset),
        (Lsn(2), Lsn(11), Offset(10))
    );
}

#[test]
fn retention_keeps_what_is_young_and_what_fits() {
    let mut leader = Leader::with_partition();
    leader.commit(1, &opened());
    for time in [100, 200, 300, 400] {
        leader.append(0, plain(10, time)).unwrap();
        // Another partition's entry keeps the runs apart.
        leader.append(1, plain(1, 1)).unwrap();
    }
    leader.commit(0, &Change::Tiered(vec![segment(0, 10), segment(10, 20)]));
    let state = leader.state.partition(&partition(0)).unwrap();
    let plan = |time_ms, bytes, now| {
        plan_retention(state, TimestampMs(now), RetentionSettings { time_ms, bytes }).map(|offset| offset.0)
    };
    assert_eq!(plan(None, None, 1_000_000), None);
    assert_eq!(plan(Some(100), None, 110), None);
    assert_eq!(
        plan(Some(100), None, 111),
        Some(10),
        "the first segment's newest record is of 10"
    );
    assert_eq!(plan(Some(100), None, 350), Some(20));
    assert_eq!(plan(Some(100), None, 1_000), Some(40));
    let bytes = state.bytes();
    assert_eq!(plan(None, Some(bytes), 0), None);
    assert_eq!(plan(None, Some(bytes - 100), 0), Some(10));
    assert_eq!(plan(None, Some(0), 0), Some(40));
}

#[test]
fn what_has_no_time_goes_with_what_is_behind_it() {
    let mut leader = Leader::with_partition();
    leader.commit(1, &opened());
    for time in [-1, -1, 300, 400] {
        leader.append(0, plain(10, time)).unwrap();
        leader.append(1, plain(1, 1)).unwrap();
    }
    let none = |base, end| SegmentRef {
        timestamp_max: TimestampMs::NONE,
        ..segment(base, end)
    };
    leader.commit(0, &Change::Tiered(vec![none(0, 10), none(10, 20)]));
    let state = leader.state.partition(&partition(0)).unwrap();
    let plan = |time_ms, bytes, now| {
        plan_retention(state, TimestampMs(now), RetentionSettings { time_ms, bytes }).map(|offset| offset.0)
    };
    assert_eq!(plan(Some(100), None, 350), None);
    assert_eq!(plan(Some(100), None, 401), Some(30));
    assert_eq!(plan(None, Some(state.bytes() - 100), 0), Some(10));
}
