//! The 61 bytes in front of a batch's records, as fields.

use super::{BatchError, Compression, HEADER_BYTES, LENGTH_END, MAGIC, at};
use bytes::{Buf, BufMut};
use millstream_model::limits::BATCH_BYTES_MAX;
use millstream_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

/// Whose clock the timestamps are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The broker's: every record has the batch's max timestamp.
    LogAppendTime,
}

/// A batch's attribute bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0b111;
    pub(super) const LOG_APPEND_TIME: i16 = 1 << 3;
    pub(super) const TRANSACTIONAL: i16 = 1 << 4;
    pub(super) const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;
    const KNOWN: i16 = 0b111_1111;

    /// Whether every bit that is set has a meaning, and the codec one too.
    pub fn are_known(self) -> bool {
        self.0 & !Self::KNOWN == 0 && self.compression().is_some()
    }

    /// The codec of the records, `None` for a number that is none.
    pub fn compression(self) -> Option<Compression> {
        Compression::from_number((self.0 & Self::CODEC) as u8)
    }

    /// Whose clock the timestamps are.
    pub fn timestamp_type(self) -> TimestampType {
        match self.0 & Self::LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether its record is a marker for readers, not data.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time from which a tombstone may be compacted away (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }
}

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record; a producer sends 0.
    pub base_offset: Offset,
    /// Bytes after this field.
    pub batch_length: i32,
    /// The leader epoch of the partition when the batch was appended; a producer sends -1.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C from the attributes on.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// The last record's offset less the base offset; stays when compaction removes that record.
    pub last_offset_delta: i32,
    /// The first record's timestamp (or the delete horizon).
    pub base_timestamp: TimestampMs,
    /// The largest timestamp.
    pub max_timestamp: TimestampMs,
    /// Who produced it, -1 for a producer that is not idempotent.
    pub producer_id: ProducerId,
    /// That producer's epoch, or -1.
    pub producer_epoch: ProducerEpoch,
    /// The first record's sequence number, or -1.
    pub base_sequence: i32,
    /// Records in the batch.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads a header; `bytes` may end with it. Only the length and the magic are checked: what must hold to
    /// tell where the batch ends.
    ///
    /// # Errors
    /// When there are fewer bytes than a header has, the length cannot be, or the magic is not 2.
    pub fn read(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        if let Some(&magic) = bytes.get(at::MAGIC)
            && magic != MAGIC as u8
        {
            return Err(match magic as i8 {
                magic @ (0 | 1) => BatchError::OldMagic { magic },
                magic => BatchError::Magic { magic },
            });
        }
        let Some(mut head) = bytes.get(..HEADER_BYTES) else {
            return Err(BatchError::Short {
                needed: HEADER_BYTES,
                have: bytes.len(),
            });
        };
        let base_offset = Offset(head.get_i64());
        let batch_length = head.get_i32();
        let leader_epoch = LeaderEpoch(head.get_i32());
        let _magic = head.get_i8();
        let header = BatchHeader {
            base_offset,
            batch_length,
            leader_epoch,
            crc: head.get_u32(),
            attributes: Attributes(head.get_i16()),
            last_offset_delta: head.get_i32(),
            base_timestamp: TimestampMs(head.get_i64()),
            max_timestamp: TimestampMs(head.get_i64()),
            producer_id: ProducerId(head.get_i64()),
            producer_epoch: ProducerEpoch(head.get_i16()),
            base_sequence: head.get_i32(),
            record_count: head.get_i32(),
        };
        if batch_length < (HEADER_BYTES - LENGTH_END) as i32 {
            return Err(BatchError::Length { length: batch_length });
        }
        if header.size() > BATCH_BYTES_MAX {
            return Err(BatchError::TooLarge {
                bytes: header.size(),
                max: BATCH_BYTES_MAX,
            });
        }
        Ok(header)
    }

    /// The header as it lies in a batch.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0u8; HEADER_BYTES];
        let mut place = &mut out[..];
        place.put_i64(self.base_offset.0);
        place.put_i32(self.batch_length);
        place.put_i32(self.leader_epoch.0);
        place.put_i8(MAGIC);
        place.put_u32(self.crc);
        place.put_i16(self.attributes.0);
        place.put_i32(self.last_offset_delta);
        place.put_i64(self.base_timestamp.0);
        place.put_i64(self.max_timestamp.0);
        place.put_i64(self.producer_id.0);
        place.put_i16(self.producer_epoch.0);
        place.put_i32(self.base_sequence);
        place.put_i32(self.record_count);
        out
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        LENGTH_END + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// The offset of the last record.
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// One past the last record: the base offset of the batch after it.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// Whether the producer is idempotent.
    pub fn has_producer(&self) -> bool {
        self.producer_id.0 >= 0
    }

    /// The last record's sequence number; sequences wrap to 0 after 2^31 - 1. -1 without a producer.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        (i64::from(self.base_sequence) + i64::from(self.last_offset_delta)).rem_euclid(1 << 31) as i32
    }
}
