//! The entry header as it is stored (log.md 24): the same bytes in every release that says version 1.

#![allow(clippy::unwrap_used)]

use millstream_model::entry::{ENTRY_HEADER_BYTES, ENTRY_VERSION, EntryError, EntryHeader, EntryKind};
use millstream_model::{
    Epoch, GroupId, KeyId, Lsn, PartitionId, PartitionIndex, TenantId, TimestampMs, TopicId,
};

fn header(kind: EntryKind) -> EntryHeader {
    EntryHeader {
        kind,
        group: GroupId(0x0102_0304),
        epoch: Epoch(6),
        previous_epoch: Epoch(5),
        lsn: Lsn(0x1122_3344_5566_7788),
        time: TimestampMs(-2),
        partition: PartitionId {
            topic: TopicId::from_bytes([0xab; 16]),
            index: PartitionIndex(9),
        },
        tenant: TenantId(0x0a0b_0c0d_0e0f_1011),
        key: KeyId::from_random([1; KeyId::LENGTH]),
    }
}

/// Version, kind, group, epoch, previous epoch, LSN, time, partition, tenant, key.
#[test]
fn the_stored_form_stays() {
    let mut expected = vec![1, 1, 0, 0, 4, 3, 2, 1, 6, 0, 0, 0, 5, 0, 0, 0];
    expected.extend([0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    expected.extend([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    expected.extend([0xab; 16]);
    expected.extend([9, 0, 0, 0]);
    expected.extend([0x11, 0x10, 0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a]);
    expected.extend([b'B'; KeyId::LENGTH]);
    let header = header(EntryKind::Append);
    assert_eq!(header.encode().to_vec(), expected);
    assert_eq!(EntryHeader::decode(&expected), Ok(header));
    assert_eq!(header.previous(), (Epoch(5), Lsn(0x1122_3344_5566_7787)));
}

#[test]
fn every_kind_keeps_its_number() {
    let kinds = [
        EntryKind::EpochStart,
        EntryKind::Append,
        EntryKind::Trim,
        EntryKind::TieredUpTo,
        EntryKind::ReplaceSegments,
        EntryKind::Opened,
        EntryKind::Closed,
        EntryKind::Deleted,
        EntryKind::Lost,
        EntryKind::ForgetProducers,
    ];
    for (number, kind) in (0u8..).zip(kinds) {
        let bytes = header(kind).encode();
        assert_eq!(bytes[1], number);
        assert_eq!(EntryHeader::decode(&bytes).map(|header| header.kind), Ok(kind));
    }
}

#[test]
fn what_another_release_wrote_is_refused_by_name() {
    let good = header(EntryKind::Append).encode();
    let changed = |at: usize, value: u8| {
        let mut bytes = good;
        bytes[at] = value;
        EntryHeader::decode(&bytes)
    };
    let version = ENTRY_VERSION + 1;
    assert_eq!(changed(0, version), Err(EntryError::Version { version }));
    assert_eq!(changed(1, 200), Err(EntryError::Kind { kind: 200 }));
    assert_eq!(changed(60, b'a'), Err(EntryError::Key));
    assert_eq!(
        EntryHeader::decode(&good[..ENTRY_HEADER_BYTES - 1]),
        Err(EntryError::Short {
            length: ENTRY_HEADER_BYTES - 1
        })
    );
}
