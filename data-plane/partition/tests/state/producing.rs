//! Idempotent producers, transactions and leader epochs, committed and undecided.

use crate::log::{Leader, TENANT, in_transaction, marker, of_producer, opened, partition, plain};
use millstream_kafka_wire::batch::Marker;
use millstream_model::limits::PARTITION_PRODUCERS_MAX;
use millstream_model::{
    Epoch, LeaderEpoch, Lsn, Offset, OwnerEpoch, ProducerEpoch, ProducerId, TenantId, TimestampMs,
};
use millstream_partition::{
    AppendError, AppendFacts, Change, Decision, Effect, SequenceError, plan_forgetting,
};

const DAY_MS: i64 = 86_400_000;

fn base_of(decision: Decision) -> (i64, bool) {
    match decision {
        Decision::Append { base_offset, .. } => (base_offset.0, true),
        Decision::Repeat { base_offset, .. } => (base_offset.0, false),
    }
}

fn out_of_order(expected: i32, found: i32) -> AppendError {
    AppendError::Sequence(SequenceError::OutOfOrder {
        producer: ProducerId(9),
        expected,
        found,
    })
}

#[test]
fn sequences_follow_kafkas_rules() {
    // (epoch, first sequence, records) -> (offset, appended) or the refusal, one after the other.
    type Expected = Result<(i64, bool), AppendError>;
    let fenced = |found| {
        let (producer, current) = (ProducerId(9), ProducerEpoch(1));
        Err(AppendError::Sequence(SequenceError::Fenced {
            producer,
            found: ProducerEpoch(found),
            current,
        }))
    };
    let table: Vec<((i16, i32, usize), Expected)> = vec![
        ((0, 0, 2), Ok((0, true))),
        ((0, 2, 1), Ok((2, true))),
        ((0, 0, 2), Ok((0, false))),
        ((0, 2, 1), Ok((2, false))),
        ((0, 4, 1), Err(out_of_order(3, 4))),
        ((0, 0, 1), Err(out_of_order(3, 0))),
        ((1, 3, 1), Err(out_of_order(0, 3))),
        ((1, 0, 1), Ok((3, true))),
        ((0, 3, 1), fenced(0)),
        ((1, 1, 1), Ok((4, true))),
        ((1, 2, 1), Ok((5, true))),
        ((1, 3, 1), Ok((6, true))),
        ((1, 4, 1), Ok((7, true))),
        ((1, 5, 1), Ok((8, true))),
        ((1, 1, 1), Ok((4, false))),
        ((1, 0, 1), Err(out_of_order(6, 0))),
    ];
    for undecided in [false, true] {
        let mut leader = Leader::with_partition();
        for ((epoch, first, records), expected) in &table {
            let batch = of_producer(9, *epoch, *first, *records);
            let found = match undecided {
                true => leader.order(0, batch).map(|(decision, _)| decision),
                false => leader.append(0, batch),
            };
            assert_eq!(
                found.map(base_of),
                *expected,
                "epoch {epoch}, sequence {first}, undecided {undecided}"
            );
        }
    }
}

#[test]
fn an_unknown_producer_may_start_anywhere_and_sequences_wrap() {
    let mut leader = Leader::with_partition();
    assert_eq!(
        leader.append(0, of_producer(9, 4, i32::MAX - 1, 2)).map(base_of),
        Ok((0, true))
    );
    assert_eq!(
        leader.append(0, of_producer(9, 4, 1, 1)).map(base_of),
        Err(out_of_order(0, 1))
    );
    assert_eq!(
        leader.append(0, of_producer(9, 4, 0, 2)).map(base_of),
        Ok((2, true))
    );
    assert_eq!(
        leader.append(0, of_producer(9, 4, 2, 1)).map(base_of),
        Ok((4, true))
    );
    let mut leader = Leader::with_partition();
    assert_eq!(
        leader.append(0, of_producer(9, 0, i32::MAX, 3)).map(base_of),
        Ok((0, true)),
        "wraps inside a batch"
    );
    assert_eq!(
        leader.append(0, of_producer(9, 0, i32::MAX, 3)).map(base_of),
        Ok((0, false))
    );
    assert_eq!(
        leader.append(0, of_producer(9, 0, 2, 1)).map(base_of),
        Ok((3, true))
    );
}

#[test]
fn a_repeat_of_an_undecided_batch_waits_for_that_one() {
    let mut leader = Leader::with_partition();
    let (_, entry) = leader.order(0, of_producer(9, 0, 0, 2)).unwrap();
    let entry = entry.unwrap();
    let (again, none) = leader.order(0, of_producer(9, 0, 0, 2)).unwrap();
    assert_eq!(
        again,
        Decision::Repeat {
            base_offset: Offset(0),
            lsn: entry.header.lsn
        }
    );
    assert!(none.is_none());
    leader.decide(&entry);
    assert!(leader.overlay.is_empty());
    assert_eq!(
        leader.append(0, of_producer(9, 0, 0, 2)).map(base_of),
        Ok((0, false)),
        "and is known when decided"
    );
}

#[test]
fn a_new_leader_forgets_what_was_not_decided() {
    let mut leader = Leader::with_partition();
    leader.append(0, of_producer(9, 0, 0, 1)).unwrap();
    leader.order(0, of_producer(9, 0, 1, 1)).unwrap();
    leader.overlay.clear();
    leader.log.pop();
    assert_eq!(
        leader.append(0, of_producer(9, 0, 1, 1)).map(base_of),
        Ok((1, true))
    );
}

#[test]
fn undecided_batches_decide_the_next_offset_of_their_partition_alone() {
    let mut leader = Leader::with_partition();
    leader.commit(1, &opened());
    let mut undecided = Vec::new();
    for (index, records, expected) in [(0, 2, 0), (1, 1, 0), (0, 3, 2), (1, 1, 1), (0, 1, 5)] {
        let (decision, entry) = leader.order(index, plain(records, 1)).unwrap();
        assert_eq!(base_of(decision), (expected, true));
        undecided.extend(entry);
    }
    for entry in undecided {
        leader.decide(&entry);
    }
    assert!(leader.overlay.is_empty());
    assert_eq!(
        leader.state.partition(&partition(0)).unwrap().next_offset(),
        Offset(6)
    );
}

#[test]
fn a_partition_takes_batches_as_soon_as_its_opening_is_ordered_and_none_once_its_end_is() {
    let mut leader = Leader::new();
    assert_eq!(leader.order(0, plain(1, 1)).map(drop), Err(AppendError::Unknown));
    let header = |lsn| {
        let mut leader = Leader::with_partition();
        millstream_model::entry::EntryHeader {
            lsn: Lsn(lsn),
            ..leader.log.pop().unwrap().header
        }
    };
    leader.overlay.ordered(&leader.state, &header(1), &opened());
    let facts = |records| {
        let batch = millstream_kafka_wire::batch::BatchView::read(plain(records, 1)).unwrap();
        AppendFacts::of(batch.header())
    };
    let decide = |leader: &Leader, tenant| {
        leader
            .overlay
            .decide(&leader.state, tenant, &partition(0), OwnerEpoch(0), &facts(1))
    };
    assert_eq!(
        decide(&leader, TENANT),
        Ok(Decision::Append {
            base_offset: Offset(0),
            base_epoch: 10
        })
    );
    assert_eq!(decide(&leader, TenantId(2)), Err(AppendError::Foreign));
    leader.overlay.ordered(&leader.state, &header(2), &Change::Closed);
    assert_eq!(decide(&leader, TENANT), Err(AppendError::Closed));
    leader.overlay.ordered(&leader.state, &header(3), &opened());
    assert_eq!(
        decide(&leader, TENANT),
        Err(AppendError::Closed),
        "a repeat opens nothing"
    );
}

/// By an entry that the leader writes, never by applying something else (log.md 21).
#[test]
fn silent_producers_are_forgotten_when_the_log_says_so() {
    let mut leader = Leader::with_partition();
    leader.append(0, of_producer(1, 0, 0, 1)).unwrap();
    leader.time += DAY_MS / 2;
    leader.append(0, of_producer(2, 0, 0, 1)).unwrap();
    leader.append(0, in_transaction(3, 0)).unwrap();
    leader.time += 3 * DAY_MS;
    leader.append(0, of_producer(4, 0, 0, 1)).unwrap();
    let known = |leader: &Leader| {
        let producers = leader.state.partition(&partition(0)).unwrap().producers();
        [1, 2, 3, 4].map(|id| producers.get(ProducerId(id)).is_some())
    };
    assert_eq!(known(&leader), [true; 4], "time alone forgets nobody");
    let plan = |leader: &Leader, days: i64| {
        let state = leader.state.partition(&partition(0)).unwrap();
        plan_forgetting(state, TimestampMs(leader.time), days * DAY_MS)
    };
    assert_eq!(plan(&leader, 4), None);
    let silent_since = plan(&leader, 3).unwrap();
    let forget = Change::ForgetProducers { silent_since };
    assert_eq!(leader.commit(0, &forget).effect, Effect::ForgotProducers);
    assert_eq!(
        known(&leader),
        [false, false, true, true],
        "whose transaction is open stays"
    );
    assert_eq!(plan(&leader, 3), None);
    assert_eq!(leader.commit(0, &forget).effect, Effect::None, "a repeat");
    leader.append(0, marker(3, Marker::Commit)).unwrap();
    // Who is known was not forgotten by being too many, and goes on where it was.
    assert_eq!(
        base_of(leader.append(0, of_producer(4, 0, 1, 1)).unwrap()),
        (5, true)
    );
    // Who was forgotten may start anywhere, as one that was never known.
    leader.append(0, of_producer(1, 0, 7, 1)).unwrap();
}

#[test]
fn too_many_producers_push_out_the_oldest() {
    let mut leader = Leader::with_partition();
    for id in 0..=PARTITION_PRODUCERS_MAX as i64 {
        leader.time += 1;
        leader.append(0, of_producer(id, 0, 0, 1)).unwrap();
    }
    let producers = leader.state.partition(&partition(0)).unwrap().producers();
    assert!(producers.len() <= PARTITION_PRODUCERS_MAX);
    assert!(producers.get(ProducerId(0)).is_none());
    assert!(
        producers
            .get(ProducerId(PARTITION_PRODUCERS_MAX as i64))
            .is_some()
    );
}

#[test]
fn transactions_hold_the_stable_offset_back() {
    let mut leader = Leader::with_partition();
    leader.append(0, in_transaction(1, 0)).unwrap();
    leader.append(0, plain(1, 1)).unwrap();
    leader.append(0, in_transaction(2, 0)).unwrap();
    let stable = |leader: &Leader| leader.state.partition(&partition(0)).unwrap().last_stable().0;
    assert_eq!(stable(&leader), 0);
    leader.append(0, marker(1, Marker::Abort)).unwrap();
    assert_eq!(stable(&leader), 2);
    leader.append(0, marker(2, Marker::Commit)).unwrap();
    assert_eq!(stable(&leader), 5);
    let state = leader.state.partition(&partition(0)).unwrap();
    let aborted: Vec<_> = state
        .transactions()
        .aborted_within(Offset(0), Offset(5))
        .collect();
    assert_eq!(aborted.len(), 1);
    assert_eq!(
        (aborted[0].producer, aborted[0].first_offset),
        (ProducerId(1), Offset(0))
    );
    assert_eq!(
        state.transactions().aborted_within(Offset(4), Offset(5)).count(),
        0
    );
}

#[test]
fn leader_epochs_tell_where_they_end() {
    let mut leader = Leader::with_partition();
    for (epoch, records) in [(2, 3), (5, 2), (6, 0), (8, 1)] {
        leader.epoch = Epoch(epoch);
        if records > 0 {
            leader.append(0, plain(records, 1)).unwrap();
        }
    }
    let state = leader.state.partition(&partition(0)).unwrap();
    let end_of = |epoch| {
        let (known, end) = state.epochs().end_of(LeaderEpoch(epoch), state.next_offset());
        (known.0, end.0)
    };
    assert_eq!(end_of(12), (12, 3));
    assert_eq!(
        end_of(14),
        (12, 3),
        "an epoch that wrote nothing ends with the one before it"
    );
    assert_eq!(end_of(15), (15, 5));
    assert_eq!(end_of(18), (18, 6));
    assert_eq!(end_of(3), (3, 0), "from before the first known one");
    assert_eq!(state.epochs().epoch_at(Offset(4)), Some(LeaderEpoch(15)));
    leader.commit(0, &Change::Trim { log_start: Offset(4) });
    let state = leader.state.partition(&partition(0)).unwrap();
    assert_eq!(
        state.epochs().end_of(LeaderEpoch(12), state.next_offset()),
        (LeaderEpoch(12), Offset(4))
    );
}
