//! Which partition a key belongs to: murmur2 as Kafka's Java client computes it, so that every door and SQL
//! agree with every client.

/// The 32-bit murmur2 of Kafka's clients, seed 0x9747b28c, as the signed number that Java has.
pub fn murmur2(key: &[u8]) -> i32 {
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut part = u32::from_le_bytes(*word).wrapping_mul(MIX);
        part ^= part >> 24;
        hash = hash.wrapping_mul(MIX) ^ part.wrapping_mul(MIX);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    (hash ^ (hash >> 15)) as i32
}

/// The partition of `key` among `partitions`, counted from 0. With no partitions: 0.
pub fn partition_for_key(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) as u32 & 0x7fff_ffff)
        .checked_rem(partitions)
        .unwrap_or(0)
}
