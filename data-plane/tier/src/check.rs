//! Whether a block is what was written.

use millstream_kafka_wire::batch::{BatchHeader, unseal};

/// Whether these are whole batches, each as its own CRC says, whose seals have this checksum.
pub(crate) fn is_intact(block: &[u8], checksum: u32) -> bool {
    let (mut rest, mut seals) = (block, Vec::new());
    while !rest.is_empty() {
        let batch = BatchHeader::read(rest)
            .ok()
            .and_then(|header| rest.split_at_checked(header.size()));
        let Some((batch, after)) = batch else {
            return false;
        };
        match unseal(batch) {
            Some((seal, true)) => seals.extend_from_slice(seal),
            _ => return false,
        }
        rest = after;
    }
    crc_fast::crc32_iscsi(&seals) == checksum
}
