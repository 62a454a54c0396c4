//! Which slot of an internal topic a key belongs to.

use millstream_kafka_wire::partitioner::partition_for_key;
use millstream_model::{PartitionId, SLOTS, SlotKind, TenantId};

/// The slot of a key: the tenant's number (eight bytes, big-endian) and the key's name, hashed by murmur2 as Kafka's clients
/// hash the keys of records, among the [`SLOTS`] partitions of its topic. For ever: what a slot keeps lies where this says.
pub fn slot_of(kind: SlotKind, tenant: TenantId, name: &[u8]) -> PartitionId {
    let key = [tenant.0.to_be_bytes().as_slice(), name].concat();
    kind.slot(partition_for_key(&key, SLOTS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Worked out with another implementation of murmur2.
    #[test]
    fn a_key_stays_in_its_slot() {
        for (tenant, name, index) in GOLDEN {
            let slot = slot_of(SlotKind::Groups, TenantId(*tenant), name.as_bytes());
            assert_eq!(slot, SlotKind::Groups.slot(*index), "{tenant} {name}");
        }
    }

    const GOLDEN: &[(u64, &str, u32)] = &[
        (1, "", 44),
        (1, "g", 6),
        (1, "h", 17),
        (2, "g", 4),
        (100_000_000_001, "orders", 20),
        (100_000_000_001, "payments", 50),
        (999_999_999_999, "größe", 9),
    ];

    #[test]
    fn the_groups_of_a_tenant_spread_over_all_slots() {
        let mut counts: BTreeMap<PartitionId, usize> = BTreeMap::new();
        for number in 0..6_400 {
            let name = format!("group-{number}");
            *counts
                .entry(slot_of(SlotKind::Groups, TenantId(7), name.as_bytes()))
                .or_default() += 1;
        }
        assert_eq!(counts.len(), SLOTS as usize);
        assert!(
            counts.values().all(|count| (60..=150).contains(count)),
            "{counts:?}"
        );
    }
}
