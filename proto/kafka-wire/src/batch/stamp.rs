//! What a broker writes into a batch: base offset and leader epoch (outside the CRC), its own clock, or the largest
//! timestamp where the producer left another one.

use super::header::Attributes;
use super::{BatchHeader, BatchView, at, crc_of};
use bytes::{Bytes, BytesMut};
use millstream_model::{LeaderEpoch, Offset, TimestampMs};

/// The bytes that hold everything that stamping changes: base offset, length, leader epoch.
pub const STAMP_BYTES: usize = 16;

/// A stamped batch in two pieces, for a vectored write: nothing of the batch itself is copied or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// The first bytes, stamped.
    pub head: [u8; STAMP_BYTES],
    /// All others, shared with the batch.
    pub rest: Bytes,
}

/// Stamps a batch that lies in memory of one's own, such as a commit being gathered. Bytes that are shorter
/// than the stamp stay as they are.
pub fn stamp_in_place(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    if let Some(head) = batch.first_chunk_mut::<STAMP_BYTES>() {
        head[..at::BATCH_LENGTH].copy_from_slice(&base_offset.0.to_be_bytes());
        head[at::LEADER_EPOCH..].copy_from_slice(&leader_epoch.0.to_be_bytes());
    }
}

impl BatchView {
    /// The stamped batch in two pieces, nothing copied.
    pub fn stamped(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Stamped {
        let mut head = [0; STAMP_BYTES];
        head.copy_from_slice(&self.bytes()[..STAMP_BYTES]);
        stamp_in_place(&mut head, base_offset, leader_epoch);
        Stamped {
            head,
            rest: self.bytes().slice(STAMP_BYTES..),
        }
    }

    /// The stamped batch in one piece: in place where nobody else holds its memory (a frame that carried one
    /// batch and was dropped), else with one copy.
    pub fn stamp(self, base_offset: Offset, leader_epoch: LeaderEpoch) -> BatchView {
        let header = BatchHeader {
            base_offset,
            leader_epoch,
            ..*self.header()
        };
        let mut bytes = own(self.into_bytes());
        stamp_in_place(&mut bytes, base_offset, leader_epoch);
        BatchView::with(header, bytes.freeze())
    }

    /// The batch with the broker's time on it: max timestamp and attribute set, CRC computed anew. In place or
    /// copied as [`Self::stamp`].
    pub fn with_log_append_time(self, now: TimestampMs) -> BatchView {
        let attributes = Attributes(self.header().attributes.0 | Attributes::LOG_APPEND_TIME);
        self.with_times(attributes, now)
    }

    /// The batch with this max timestamp, which is its records': where the header has another one it is set and the
    /// CRC computed anew, in place or copied as [`Self::stamp`]; else nothing is written and nothing summed.
    pub fn with_max_timestamp(self, largest: TimestampMs) -> BatchView {
        let header = *self.header();
        if header.max_timestamp == largest {
            return self;
        }
        self.with_times(header.attributes, largest)
    }

    fn with_times(self, attributes: Attributes, max_timestamp: TimestampMs) -> BatchView {
        let mut header = *self.header();
        header.attributes = attributes;
        header.max_timestamp = max_timestamp;
        let mut bytes = own(self.into_bytes());
        bytes[at::ATTRIBUTES..at::ATTRIBUTES + 2].copy_from_slice(&attributes.0.to_be_bytes());
        bytes[at::MAX_TIMESTAMP..at::MAX_TIMESTAMP + 8].copy_from_slice(&max_timestamp.0.to_be_bytes());
        header.crc = crc_of(&bytes[at::ATTRIBUTES..]);
        bytes[at::CRC..at::ATTRIBUTES].copy_from_slice(&header.crc.to_be_bytes());
        BatchView::with(header, bytes.freeze())
    }
}

fn own(bytes: Bytes) -> BytesMut {
    bytes
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(&shared[..]))
}
