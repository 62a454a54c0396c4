//! What is said of a partition before and after a new leader knows what is committed.

use super::*;
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::{Epoch, GroupId, KeyId, Lsn, PartitionId, PartitionIndex, TenantId, TopicId};
use millstream_partition::{Change, GroupState, Opened};

const NOW: LeaderEpoch = LeaderEpoch(9);

fn id() -> PartitionId {
    PartitionId {
        topic: TopicId::from_bytes([2; 16]),
        index: PartitionIndex(0),
    }
}

/// Two records of epoch 4, three of epoch 6, at time 1,000 and 2,000.
fn state() -> GroupState {
    let mut state = GroupState::new(GroupId(1));
    let opened = Change::Opened(Opened {
        base_epoch: 0,
        log_start: Offset(0),
    });
    let (kind, payload) = opened.payload().unwrap();
    let batch = |offset, epoch, records, time| {
        let mut builder = BatchBuilder::new().stamp(Offset(offset), LeaderEpoch(epoch));
        for _ in 0..records {
            let record = NewRecord {
                timestamp: TimestampMs(time),
                key: None,
                value: Some(b"v"),
                headers: &[],
            };
            builder.push(record).unwrap();
        }
        builder.build().unwrap()
    };
    let entries = [
        (4, kind, payload),
        (4, EntryKind::Append, batch(0, 4, 2, 1_000)),
        (6, EntryKind::Append, batch(2, 6, 3, 2_000)),
    ];
    let mut previous_epoch = Epoch(0);
    for (index, (epoch, kind, payload)) in entries.into_iter().enumerate() {
        let header = EntryHeader {
            kind,
            group: GroupId(1),
            epoch: Epoch(epoch),
            previous_epoch,
            lsn: Lsn(index as u64 + 1),
            time: TimestampMs(1),
            partition: id(),
            tenant: TenantId(1),
            key: KeyId::NONE,
        };
        previous_epoch = header.epoch;
        state.apply(&Entry { header, payload });
    }
    state
}

#[test]
fn nobody_is_out_of_range_beyond_an_end_that_is_not_known() {
    let state = state();
    let partition = state.partition(&id());
    assert_eq!(ends(partition), (Offset(0), Offset(5)));
    for (state, offset, end_is_known, fits) in [
        (partition, 5, true, true),
        (partition, 6, true, false),
        (partition, 6, false, true),
        (partition, -1, false, false),
        // Its opening may be among what is not committed yet.
        (None, 0, true, true),
        (None, 6, true, false),
        (None, 6, false, true),
    ] {
        let checked = check_position(state, Offset(offset), end_is_known);
        assert_eq!(checked.is_ok(), fits, "{offset} {end_is_known}: {checked:?}");
    }
}

#[test]
fn what_depends_on_the_end_is_not_available_before_it_is_known() {
    let state = state();
    let partition = state.partition(&id());
    let look = |state, what, end_is_known| {
        let found = look_up(state, NOW, what, Isolation::ReadUncommitted, end_is_known);
        found.map(|look| match look {
            Look::Found(found) => found.offset.0,
            Look::Scan { from, .. } => from.0,
            Look::ScanLargest { .. } => panic!("the log starts where a place does"),
        })
    };
    let unknown = Err(OffsetError::NotAvailable);
    let after = ListOffset::AtOrAfter(TimestampMs(2_001));
    for (state, what, known, before) in [
        (partition, ListOffset::Latest, Ok(5), unknown.clone()),
        (partition, ListOffset::Earliest, Ok(0), Ok(0)),
        (partition, ListOffset::MaxTimestamp, Ok(0), unknown.clone()),
        (partition, ListOffset::AtOrAfter(TimestampMs(1_500)), Ok(0), Ok(0)),
        (partition, after, Ok(-1), unknown.clone()),
        (None, ListOffset::Latest, Ok(0), unknown.clone()),
        (None, after, Ok(-1), unknown.clone()),
        (None, ListOffset::MaxTimestamp, Ok(-1), unknown),
        (None, ListOffset::Earliest, Ok(0), Ok(0)),
    ] {
        assert_eq!(look(state, what, true), known, "{what:?}");
        assert_eq!(look(state, what, false), before, "{what:?}");
    }
}

/// A new leader's state may lack records that readers have seen, and with them the epoch that they are of.
#[test]
fn the_epoch_of_an_offset_is_not_guessed_while_the_end_is_not_known() {
    let epoch = |state, end_is_known| {
        let what = ListOffset::Earliest;
        let found = look_up(state, NOW, what, Isolation::ReadUncommitted, end_is_known);
        match found {
            Ok(Look::Found(found)) => found.leader_epoch,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(epoch(None, true), NOW);
    assert_eq!(epoch(None, false), LeaderEpoch(-1));
    let state = state();
    let partition = state.partition(&id());
    assert_eq!(
        epoch(partition, false),
        epoch(partition, true),
        "it has the records"
    );
}

#[test]
fn every_epoch_up_to_the_current_one_has_an_end() {
    let state = state();
    let partition = state.partition(&id());
    let ends_at = |state, asked, end_is_known| {
        epoch_end(state, NOW, LeaderEpoch(asked), end_is_known)
            .map(|end| (end.leader_epoch.0, end.end_offset.0))
    };
    let unknown = Err(OffsetError::NotAvailable);
    let later = Err(OffsetError::UnknownEpoch { current: NOW });
    for (asked, known, before) in [
        // Epoch 6 begins at 2 for good.
        (1, Ok((1, 0)), Ok((1, 0))),
        (4, Ok((4, 2)), Ok((4, 2))),
        (5, Ok((4, 2)), Ok((4, 2))),
        // Whether it wrote more is what the new leader does not know.
        (6, Ok((6, 5)), unknown.clone()),
        (8, Ok((6, 5)), unknown.clone()),
        (9, Ok((9, 5)), unknown.clone()),
        (10, later.clone(), later),
    ] {
        assert_eq!(ends_at(partition, asked, true), known, "epoch {asked}");
        assert_eq!(ends_at(partition, asked, false), before, "epoch {asked}");
    }
    assert_eq!(ends_at(None, 9, true), Ok((9, 0)));
    assert_eq!(ends_at(None, 9, false), unknown);
}
