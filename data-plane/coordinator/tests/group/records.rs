//! The stored form: it reads back, and nothing else does.

use crate::world::{World, partition};
use bytes::Bytes;
use millstream_coordinator::{Applied, Coordinator, Ledger, Record, RecordError};
use proptest::prelude::*;

fn some_records() -> Vec<Record> {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    world.commit(&ids[0], generation, &[(partition(1, 0), 1), (partition(2, 5), 2)]);
    world.coordinator.stored().records().collect()
}

/// The form of this release, byte for byte: a later one must read it.
#[test]
fn the_stored_form_of_an_offset_is_fixed() {
    let mut world = World::new();
    world.commit("", -1, &[(partition(1, 3), 77)]);
    let record = &world.log[0];
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        hex(&record.key),
        "0102000000000000000100016701010101010101010101010101010101\
         00000003"
    );
    assert_eq!(
        hex(record.value.as_ref().unwrap()),
        "01000000000000004dffffffff0000018bcfe56800ffffffffffffffff00000000"
    );
}

#[test]
fn newer_and_unknown_records_are_passed_over() {
    let mut coordinator = Coordinator::new(crate::world::settings());
    for record in some_records() {
        let mut newer = record.key.to_vec();
        newer[0] = 2;
        let skipped = coordinator.apply(&newer, record.value.as_ref());
        assert_eq!(skipped, Applied::Skipped(RecordError::Version { version: 2 }));
        let mut other = record.key.to_vec();
        other[1] = 9;
        assert_eq!(
            coordinator.apply(&other, None),
            Applied::Skipped(RecordError::Kind { kind: 9 })
        );
        let mut longer = record.key.to_vec();
        longer.push(0);
        assert_eq!(
            coordinator.apply(&longer, None),
            Applied::Skipped(RecordError::Malformed)
        );
    }
    assert_eq!(coordinator.stored().groups().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_records_never_panic(index in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let records = some_records();
        let record = index.get(&records);
        let mut coordinator = Coordinator::new(crate::world::settings());
        let value = record.value.clone().unwrap();
        let mut damaged = value.to_vec();
        let position = at.index(damaged.len());
        damaged[position] ^= flip;
        coordinator.apply(&record.key, Some(&Bytes::from(damaged)));
        coordinator.apply(&record.key, Some(&value.slice(..position)));
        coordinator.apply(&record.key[..at.index(record.key.len())], Some(&value));
    }
}
