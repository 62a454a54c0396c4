//! Every record reads back; changed and cut bytes are refused.

use super::*;
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
use millstream_model::entry::EntryKind;
use millstream_model::{KeyId, PartitionId, TenantId, TimestampMs};
use proptest::prelude::*;

fn records() -> impl Strategy<Value = Record> {
    let place = (any::<u32>(), any::<u32>(), any::<u64>());
    let entry = (
        place,
        any::<i64>(),
        proptest::collection::vec(any::<u8>(), 0..3000),
    );
    prop_oneof![
        entry.prop_map(|((group, epoch, lsn), time, payload)| Record::Entry(Entry {
            header: EntryHeader {
                kind: EntryKind::Append,
                group: GroupId(group),
                epoch: Epoch(epoch),
                previous_epoch: Epoch(epoch / 2),
                lsn: Lsn(lsn),
                time: TimestampMs(time),
                partition: PartitionId::NONE,
                tenant: TenantId(lsn ^ 1),
                key: KeyId::NONE,
            },
            payload: payload.into(),
        })),
        place.prop_map(|(group, epoch, lsn)| Record::Truncate {
            group: GroupId(group),
            epoch: Epoch(epoch),
            lsn: Lsn(lsn)
        }),
        place.prop_map(|(group, epoch, lsn)| Record::Mark {
            group: GroupId(group),
            epoch: Epoch(epoch),
            high_watermark: Lsn(lsn)
        }),
        place.prop_map(|(group, epoch, lsn)| Record::Released {
            group: GroupId(group),
            epoch: Epoch(epoch),
            lsn: Lsn(lsn)
        }),
        (place, any::<u32>(), any::<u64>()).prop_map(|((group, epoch, lsn), end_epoch, end)| {
            Record::Carried {
                group: GroupId(group),
                start: (Epoch(epoch), Lsn(lsn)),
                end: (Epoch(end_epoch), Lsn(end)),
            }
        }),
        any::<u32>().prop_map(|group| Record::Removed {
            group: GroupId(group)
        }),
        any::<u64>().prop_map(|number| Record::Registered {
            registration: Registration(number)
        }),
    ]
}

/// The same records, but entries hold batches that say their own checksum.
fn checked_records() -> impl Strategy<Value = Record> {
    (records(), proptest::collection::vec(any::<u8>(), 0..3000)).prop_map(|(record, value)| match record {
        Record::Entry(entry) => {
            let mut batch = BatchBuilder::new();
            batch
                .push(NewRecord {
                    timestamp: entry.header.time,
                    key: None,
                    value: Some(&value),
                    headers: &[],
                })
                .unwrap();
            let payload = batch.build().unwrap();
            Record::Entry(Entry { payload, ..entry })
        }
        other => other,
    })
}

fn stored(framed: &Framed) -> Vec<u8> {
    let bytes = [framed.head(), framed.payload()].concat();
    assert_eq!(bytes.len(), framed.length());
    bytes
}

/// Records in either way that they are stored.
fn framed() -> impl Strategy<Value = Framed> {
    prop_oneof![
        records().prop_map(Framed::new),
        checked_records().prop_map(Framed::checked),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_record_reads_back(framed in framed(), behind in proptest::collection::vec(any::<u8>(), 0..50)) {
        let mut bytes = stored(&framed);
        let length = bytes.len();
        bytes.extend(behind);
        let (read, read_length, _) = decode(&bytes.into()).unwrap();
        prop_assert_eq!((read, read_length), (framed.into_record(), length));
    }

    #[test]
    fn a_changed_bit_is_refused(framed in framed(), place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = stored(&framed);
        let at = place.index(bytes.len());
        // The zeros of the frame are under its checksum as well.
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(&bytes.into()).is_err());
    }

    #[test]
    fn a_cut_record_is_refused(framed in framed(), place in any::<prop::sample::Index>()) {
        let mut bytes = stored(&framed);
        bytes.truncate(place.index(bytes.len()));
        prop_assert!(decode(&bytes.into()).is_err());
    }

    #[test]
    fn noise_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes.into()).is_err());
    }
}

#[test]
fn an_entry_of_a_log_that_holds_no_batch_is_summed_as_a_whole() {
    let entry = |payload: &'static [u8]| {
        Record::Entry(Entry {
            header: EntryHeader {
                kind: EntryKind::Append,
                group: GroupId(1),
                epoch: Epoch(1),
                previous_epoch: Epoch(1),
                lsn: Lsn(2),
                time: TimestampMs(3),
                partition: PartitionId::NONE,
                tenant: TenantId(4),
                key: KeyId::NONE,
            },
            payload: payload.into(),
        })
    };
    for payload in [&b""[..], b"shorter than a seal"] {
        let (checked, new) = (Framed::checked(entry(payload)), Framed::new(entry(payload)));
        assert_eq!(checked.head(), new.head());
    }
}
