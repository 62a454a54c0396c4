//! Batches as nobody would send them by mistake.

use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
use millstream_model::TimestampMs;

/// A batch of a few records.
pub fn batch() -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    for value in ["one", "two", "three"] {
        let value = Some(value.as_bytes());
        batch
            .push(NewRecord {
                timestamp: TimestampMs(1),
                value,
                ..NewRecord::default()
            })
            .unwrap();
    }
    batch.build().unwrap().to_vec()
}

/// Where the fields of a batch are.
pub mod at {
    pub const LENGTH: usize = 8;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    pub const ATTRIBUTES: usize = 21;
    pub const COUNT: usize = 57;
    pub const RECORDS: usize = 61;
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// Puts the length and the checksum right, so that only the planted mistake is wrong.
pub fn sealed(mut batch: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(batch.len() - 12).unwrap();
    batch[at::LENGTH..at::LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c(&batch[at::ATTRIBUTES..]);
    batch[at::CRC..at::CRC + 4].copy_from_slice(&crc.to_be_bytes());
    batch
}

pub fn with(mut batch: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    batch
}

/// A message set of the old magic 0 or 1 with one message.
pub fn old_messages(magic: u8) -> Vec<u8> {
    let mut message = vec![magic, 0];
    if magic == 1 {
        message.extend(1i64.to_be_bytes());
    }
    message.extend((-1i32).to_be_bytes());
    message.extend(3i32.to_be_bytes());
    message.extend(b"old");
    let mut set = 0i64.to_be_bytes().to_vec();
    set.extend(i32::try_from(message.len() + 4).unwrap().to_be_bytes());
    set.extend(0u32.to_be_bytes());
    set.extend(message);
    set
}
