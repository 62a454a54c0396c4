//! The same entries make the same bytes, and a snapshot with its tail is the whole.

use crate::log::{Act, GROUP, Leader, acts, log_of, opened, partition, plain, segment};
use millstream_model::entry::EntryKind;
use millstream_model::{Lsn, Offset, TimestampMs};
use millstream_partition::{Change, Effect, GroupState, Opened, Place, Replacement, SnapshotError};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_same_entries_make_the_same_bytes(acts in acts()) {
        let leader = log_of(&acts);
        let mut replica = GroupState::new(GROUP);
        leader.log.iter().for_each(|entry| drop(replica.apply(entry)));
        prop_assert_eq!(replica.encode_snapshot(), leader.state.encode_snapshot());
    }

    #[test]
    fn a_snapshot_and_its_tail_are_the_whole(acts in acts(), at in any::<prop::sample::Index>()) {
        let leader = log_of(&acts);
        let at = if leader.log.is_empty() { 0 } else { at.index(leader.log.len()) };
        let mut state = GroupState::new(GROUP);
        leader.log[..at].iter().for_each(|entry| drop(state.apply(entry)));
        let bytes = state.encode_snapshot();
        let mut restored = GroupState::decode_snapshot(&bytes).unwrap();
        prop_assert_eq!(&restored, &state);
        leader.log[at..].iter().for_each(|entry| drop(restored.apply(entry)));
        prop_assert_eq!(restored.encode_snapshot(), leader.state.encode_snapshot());
    }

    #[test]
    fn bounds_hold_whatever_was_written(acts in acts()) {
        let leader = log_of(&acts);
        for (_, state) in leader.state.partitions() {
            prop_assert!(state.log_start() <= state.next_offset());
            prop_assert!(state.last_stable() <= state.next_offset());
            prop_assert!(state.tiered_up_to() <= state.next_offset());
            let mut next = None;
            for segment in state.cold() {
                prop_assert!(next.is_none_or(|next| next == segment.base_offset));
                next = Some(segment.end_offset);
            }
            for run in state.hot().iter() {
                prop_assert!(next.is_none_or(|next| run.base_offset <= next));
                next = Some(run.end_offset);
                prop_assert!(run.first > leader.state.tiered_lsn());
            }
            for offset in state.log_start().0..state.next_offset().0 {
                let found = state.place(Offset(offset)).is_some_and(|place| match place {
                    Place::Cold(segment) => segment.base_offset.0 <= offset && offset < segment.end_offset.0,
                    Place::Hot(run) => run.base_offset.0 <= offset && offset < run.end_offset.0,
                });
                prop_assert!(found, "offset {} lies nowhere", offset);
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused(acts in acts(), at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let mut bytes = log_of(&acts).state.encode_snapshot();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(GroupState::decode_snapshot(&bytes).is_err());
        prop_assert!(GroupState::decode_snapshot(&bytes[..at]).is_err());
    }

    #[test]
    fn payloads_survive_being_written(offsets in proptest::collection::vec((0..1000i64, 1..1000i64), 0..5)) {
        let segments: Vec<_> = offsets.iter().map(|(base, count)| segment(*base, base + count)).collect();
        let gone = offsets.iter().map(|(base, count)| (Offset(*base), Offset(base + count))).collect();
        let log_start = Offset(offsets.len() as i64);
        let changes = [
            Change::Trim { log_start },
            Change::Tiered(segments.clone()),
            Change::Replace(Replacement { gone, segments }),
            Change::Opened(Opened { base_epoch: -5, log_start }),
            Change::Closed,
            Change::Deleted,
            Change::ForgetProducers { silent_since: TimestampMs(offsets.len() as i64) },
        ];
        for change in changes {
            let (kind, payload) = change.payload().unwrap();
            prop_assert_eq!(Change::read(kind, &payload).unwrap(), change);
            for cut in 0..payload.len() {
                prop_assert!(Change::read(kind, &payload.slice(..cut)).is_err());
            }
        }
    }

    #[test]
    fn hostile_payloads_are_refused_quickly(kind in 1..10u8, payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let kind = EntryKind::from_number(kind).unwrap();
        drop(Change::read(kind, &payload.into()));
    }
}

#[test]
fn a_newer_snapshot_names_its_version() {
    let mut bytes = Leader::new().state.encode_snapshot();
    bytes[4] = 9;
    assert_eq!(
        GroupState::decode_snapshot(&bytes),
        Err(SnapshotError::Version { version: 9 })
    );
    assert_eq!(GroupState::decode_snapshot(b"MSG"), Err(SnapshotError::Magic));
}

#[test]
fn an_entry_that_cannot_be_applied_puts_its_partition_aside_and_no_other() {
    let mut leader = Leader::with_partition();
    leader.commit(1, &opened());
    leader.append(0, plain(2, 1)).unwrap();
    let bad = leader.commit_raw(0, EntryKind::Append, plain(1, 1));
    assert!(
        matches!(bad.effect, Effect::Quarantined { .. }),
        "offset 0 where 2 comes next: {bad:?}"
    );
    let passed = leader.commit(0, &Change::Trim { log_start: Offset(1) });
    assert_eq!(passed.effect, Effect::PassedOver);
    let state = leader.state.partition(&partition(0)).unwrap();
    assert_eq!(
        (state.quarantine().unwrap().lsn, state.next_offset()),
        (Lsn(4), Offset(2))
    );
    // What it has goes to the store all the same, or it would keep the log from being released.
    assert_eq!(leader.state.tiered_lsn(), Lsn(2));
    let past = leader.commit(0, &Change::Tiered(vec![segment(0, 3)]));
    assert_eq!(past.effect, Effect::PassedOver);
    let tiered = leader.commit(0, &Change::Tiered(vec![segment(0, 2)]));
    assert_eq!(tiered.effect, Effect::Tiered { up_to: Offset(2) });
    assert_eq!(leader.state.tiered_lsn(), leader.state.applied());
    leader.append(1, plain(1, 1)).unwrap();
    assert_eq!(leader.commit(0, &Change::Deleted).effect, Effect::Deleted);
}

#[test]
fn a_long_life_ends_in_a_small_state() {
    let mut acts = vec![Act::Open { index: 0 }];
    for _ in 0..200 {
        acts.push(Act::Append {
            index: 0,
            records: 3,
            time: 1,
        });
        acts.push(Act::Tier {
            index: 0,
            per_mille: 1000,
        });
        acts.push(Act::Trim {
            index: 0,
            per_mille: 1000,
        });
    }
    let leader = log_of(&acts);
    let state = leader.state.partition(&partition(0)).unwrap();
    assert_eq!(
        (state.log_start(), state.next_offset()),
        (Offset(600), Offset(600))
    );
    assert!(state.cold().is_empty() && state.hot().is_empty());
    assert!(leader.state.encode_snapshot().len() < 300);
    assert_eq!(leader.state.tiered_lsn(), leader.state.applied());
}

/// A flush that was under way, and a trim that was decided, while the topic was deleted.
#[test]
fn what_comes_behind_a_deletion_leaves_nothing_of_the_partition() {
    let mut leader = Leader::with_partition();
    leader.commit(1, &opened());
    leader.append(0, plain(3, 5)).unwrap();
    leader.commit(0, &Change::Deleted);
    let log_start = Offset(1);
    let late = [
        Change::Tiered(vec![segment(0, 3)]),
        Change::Trim { log_start },
        Change::Replace(Replacement {
            gone: vec![(Offset(0), Offset(3))],
            segments: vec![segment(0, 3)],
        }),
        Change::ForgetProducers {
            silent_since: TimestampMs(i64::MAX),
        },
        Change::Closed,
        Change::Deleted,
    ];
    for change in late {
        assert_eq!(leader.commit(0, &change).effect, Effect::None, "{change:?}");
        assert_eq!(leader.state.partition(&partition(0)), None, "{change:?}");
    }
    assert_eq!(
        leader.state.tiered_lsn(),
        leader.state.applied(),
        "nothing pins the log"
    );
    // A batch is another matter: no leader orders one for a partition that is not there.
    let applied = leader.commit_raw(0, EntryKind::Append, plain(1, 5));
    assert!(
        matches!(applied.effect, Effect::Quarantined { .. }),
        "{applied:?}"
    );
}
