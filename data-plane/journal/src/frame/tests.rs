//! Every record reads back; changed and cut bytes are refused.

use super::*;
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

fn stored(record: &Record) -> Vec<u8> {
    let framed = Framed::new(record.clone());
    let bytes = [framed.head(), framed.payload()].concat();
    assert_eq!(bytes.len(), framed.length());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_record_reads_back(record in records(), behind in proptest::collection::vec(any::<u8>(), 0..50)) {
        let mut bytes = stored(&record);
        let length = bytes.len();
        bytes.extend(behind);
        let (read, read_length, _) = decode(&bytes.into()).unwrap();
        prop_assert_eq!((read, read_length), (record, length));
    }

    #[test]
    fn a_changed_bit_is_refused(record in records(), place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = stored(&record);
        let at = place.index(bytes.len());
        // The zeros of the frame are under its checksum as well.
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(&bytes.into()).is_err());
    }

    #[test]
    fn a_cut_record_is_refused(record in records(), place in any::<prop::sample::Index>()) {
        let mut bytes = stored(&record);
        bytes.truncate(place.index(bytes.len()));
        prop_assert!(decode(&bytes.into()).is_err());
    }

    #[test]
    fn noise_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes.into()).is_err());
    }
}
