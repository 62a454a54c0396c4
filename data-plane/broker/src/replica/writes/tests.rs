//! What waits, what is refused, what comes again.

use super::*;
use bytes::Bytes;
use millstream_model::entry::{Entry, EntryHeader};
use millstream_model::{Epoch, GroupId, KeyId, Lsn, PartitionId, PartitionIndex, TimestampMs, TopicId};

const TENANT: TenantId = TenantId(7);

fn entry(lsn: u64) -> Record {
    Record::Entry(Entry {
        header: EntryHeader {
            kind: EntryKind::Append,
            group: GroupId(1),
            epoch: Epoch(1),
            previous_epoch: Epoch(1),
            lsn: Lsn(lsn),
            partition: PartitionId {
                topic: TopicId::from_bytes([1; 16]),
                index: PartitionIndex(0),
            },
            tenant: TENANT,
            key: KeyId::NONE,
            time: TimestampMs(1),
        },
        payload: Bytes::from_static(b"payload"),
    })
}

fn full() -> SubmitError {
    CommitError::Full.into()
}

fn out_of_order() -> SubmitError {
    let group = GroupId(1);
    let (expected, found) = (Lsn(1), Lsn(2));
    CommitError::OutOfOrder {
        group,
        expected,
        found,
    }
    .into()
}

/// Writes 1 to `count`, each handed over by itself.
fn handed_over(count: u64) -> (Writes, Vec<Receipt>) {
    let mut writes = Writes::new(4 * 1024 * 1024, Planted::default());
    let mut receipts = Vec::new();
    for number in 1..=count {
        writes.push(WriteNumber(number), entry(number));
        let (append, receipt) = writes.next().unwrap();
        assert_eq!((append.records.len(), append.tenant), (1, TENANT));
        receipts.push(receipt);
    }
    (writes, receipts)
}

fn durable(number: u64) -> Outcome {
    Outcome {
        durable: Some(WriteNumber(number)),
        ..Outcome::default()
    }
}

#[test]
fn what_was_refused_is_handed_over_again_in_order_and_as_the_services_own() {
    let (mut writes, receipts) = handed_over(3);
    assert_eq!(writes.bytes(), 3 * 7);
    assert_eq!(writes.written(receipts[0], Ok(())), durable(1));
    assert_eq!(writes.bytes(), 2 * 7);
    let stalled = Outcome {
        stalled: true,
        ..Outcome::default()
    };
    assert_eq!(writes.written(receipts[1], Err(&full())), stalled);
    writes.push(WriteNumber(4), entry(4));
    assert!(writes.next().is_none(), "nothing passes what was refused");
    let again = Outcome {
        again: true,
        ..Outcome::default()
    };
    assert_eq!(writes.written(receipts[2], Err(&out_of_order())), again);
    assert!(writes.next().is_none(), "it rests first");
    writes.again();
    let (append, receipt) = writes.next().unwrap();
    assert_eq!((append.records.len(), append.tenant), (3, TenantId::SYSTEM));
    assert_eq!(writes.written(receipt, Ok(())).durable, Some(WriteNumber(4)));
}

#[test]
fn what_was_refused_at_once_is_asked_for_again_when_the_last_one_under_way_is_durable() {
    let (mut writes, receipts) = handed_over(2);
    assert!(writes.written(receipts[1], Err(&SubmitError::Busy)).stalled);
    let outcome = writes.written(receipts[0], Ok(()));
    assert_eq!(
        outcome,
        Outcome {
            again: true,
            ..durable(1)
        }
    );
    writes.again();
    assert!(writes.next().is_some());
}

#[test]
fn a_journal_that_fails_is_told_once_and_given_nothing_more() {
    let (mut writes, receipts) = handed_over(2);
    assert!(writes.written(receipts[0], Err(&out_of_order())).failed);
    assert!(!writes.written(receipts[1], Err(&SubmitError::Closed)).failed);
    writes.push(WriteNumber(3), entry(3));
    writes.again();
    assert!(writes.next().is_none());
}
