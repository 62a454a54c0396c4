//! The vectors of Kafka's own tests of murmur2.

use crate::partitioner::{murmur2, partition_for_key};

#[test]
fn hashes_are_those_of_the_java_client() {
    let vectors: [(&[u8], i32); 6] = [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        (b"abc", 479_470_107),
    ];
    for (key, hash) in vectors {
        assert_eq!(murmur2(key), hash, "{}", String::from_utf8_lossy(key));
    }
}

#[test]
fn a_partition_is_in_range() {
    for length in 0..40 {
        let key = vec![0xa5; length];
        assert!(partition_for_key(&key, 7) < 7);
        assert_eq!(partition_for_key(&key, 1), 0);
        assert_eq!(partition_for_key(&key, 0), 0);
    }
    // toPositive(-973932308) % 10
    assert_eq!(
        partition_for_key(b"21", 10),
        ((-973_932_308_i32) & 0x7fff_ffff) as u32 % 10
    );
}
