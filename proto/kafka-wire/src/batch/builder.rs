//! Making a batch, for the doors that are not Kafka's.

use super::header::{Attributes, BatchHeader, TimestampType};
use super::{BatchError, Compression, HEADER_BYTES, LENGTH_END, at, compression, crc_of};
use bytes::{BufMut, Bytes, BytesMut};
use millstream_model::limits::{BATCH_BYTES_MAX, BATCH_DECOMPRESSED_BYTES_MAX, BATCH_RECORDS_MAX};
use millstream_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

/// An idempotent producer's place in its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The sequence number of the batch's first record.
    pub base_sequence: i32,
}

/// A record to be added.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value, if it has one.
    pub value: Option<&'a [u8]>,
    /// Its headers in order; keys may repeat.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Gathers records into one batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    header: BatchHeader,
    compression: Compression,
    /// Room for the header, then the records as they will be compressed.
    bytes: BytesMut,
}

impl Default for BatchBuilder {
    fn default() -> BatchBuilder {
        BatchBuilder::new()
    }
}

impl BatchBuilder {
    /// No records, no compression, no producer; base offset 0 and leader epoch -1, as producers send them.
    pub fn new() -> BatchBuilder {
        let header = BatchHeader {
            base_offset: Offset(0),
            batch_length: 0,
            leader_epoch: LeaderEpoch(-1),
            crc: 0,
            attributes: Attributes(0),
            last_offset_delta: -1,
            base_timestamp: TimestampMs::NONE,
            max_timestamp: TimestampMs::NONE,
            producer_id: ProducerId(-1),
            producer_epoch: ProducerEpoch(-1),
            base_sequence: -1,
            record_count: 0,
        };
        BatchBuilder {
            header,
            compression: Compression::None,
            bytes: BytesMut::zeroed(HEADER_BYTES),
        }
    }

    /// With this codec.
    pub fn compression(mut self, compression: Compression) -> BatchBuilder {
        self.compression = compression;
        self
    }

    /// From this idempotent producer.
    pub fn producer(mut self, producer: Producer) -> BatchBuilder {
        self.header.producer_id = producer.id;
        self.header.producer_epoch = producer.epoch;
        self.header.base_sequence = producer.base_sequence;
        self
    }

    /// As part of this producer's transaction.
    pub fn transactional(mut self, producer: Producer) -> BatchBuilder {
        self.header.attributes.0 |= Attributes::TRANSACTIONAL;
        self.producer(producer)
    }

    /// As a control batch of this producer's transaction.
    pub(super) fn control(mut self, producer: Producer) -> BatchBuilder {
        self.header.attributes.0 |= Attributes::CONTROL;
        self.transactional(producer)
    }

    /// With this base offset and leader epoch, for who appends it himself.
    pub fn stamp(mut self, base_offset: Offset, leader_epoch: LeaderEpoch) -> BatchBuilder {
        self.header.base_offset = base_offset;
        self.header.leader_epoch = leader_epoch;
        self
    }

    /// With timestamps of this kind.
    pub fn timestamps(mut self, kind: TimestampType) -> BatchBuilder {
        match kind {
            TimestampType::CreateTime => self.header.attributes.0 &= !Attributes::LOG_APPEND_TIME,
            TimestampType::LogAppendTime => self.header.attributes.0 |= Attributes::LOG_APPEND_TIME,
        }
        self
    }

    /// Records so far.
    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    /// Bytes of the batch if it were built now without compression.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The most that a record adds to the size.
    pub fn size_of(record: &NewRecord<'_>) -> usize {
        // Length, attributes, timestamp, offset, key length, value length, header count: at most 5 + 1 + 10 + 4 * 5.
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers: usize = record
            .headers
            .iter()
            .map(|(key, value)| key.len() + length(*value) + 10)
            .sum();
        36 + length(record.key) + length(record.value) + headers
    }

    /// Adds a record at the next offset.
    ///
    /// # Errors
    /// When the batch would have more records or (uncompressed) bytes than a batch may; it is then unchanged.
    pub fn push(&mut self, record: NewRecord<'_>) -> Result<(), BatchError> {
        self.push_at(self.header.last_offset_delta.saturating_add(1), record)
    }

    /// Adds a record at an offset counted from the base offset: for rewriting a batch that lost records.
    ///
    /// # Errors
    /// As [`Self::push`], and when the offset does not lie behind the last record's.
    pub fn push_at(&mut self, offset_delta: i32, record: NewRecord<'_>) -> Result<(), BatchError> {
        let index = self.header.record_count;
        if index >= BATCH_RECORDS_MAX {
            return Err(BatchError::TooMany {
                count: index.saturating_add(1),
            });
        }
        if offset_delta <= self.header.last_offset_delta {
            return Err(BatchError::Record {
                index,
                what: "its offset does not rise within the batch",
            });
        }
        let max = if self.compression == Compression::None {
            BATCH_BYTES_MAX
        } else {
            BATCH_DECOMPRESSED_BYTES_MAX
        };
        let bytes = self.size().saturating_add(Self::size_of(&record));
        if bytes > max {
            return Err(BatchError::TooLarge { bytes, max });
        }
        if index == 0 {
            self.header.base_timestamp = record.timestamp;
        }
        self.header.max_timestamp = self.header.max_timestamp.max(record.timestamp);
        self.header.last_offset_delta = offset_delta;
        self.header.record_count += 1;
        let timestamp_delta = record.timestamp.0.wrapping_sub(self.header.base_timestamp.0);
        put_varint(
            &mut self.bytes,
            body_length(timestamp_delta, offset_delta, &record) as i64,
        );
        put_body(&mut self.bytes, timestamp_delta, offset_delta, &record);
        Ok(())
    }

    /// Says that offsets up to this one, counted from the base offset, belong to the batch though their records
    /// are gone.
    pub fn extend_to(&mut self, last_offset_delta: i32) {
        self.header.last_offset_delta = self.header.last_offset_delta.max(last_offset_delta);
    }

    /// Says that a record whose time was this one belonged to the batch though it is gone.
    pub fn reach_to(&mut self, timestamp: TimestampMs) {
        self.header.max_timestamp = self.header.max_timestamp.max(timestamp);
    }

    /// The batch.
    ///
    /// # Errors
    /// When it has more bytes than a batch may.
    pub fn build(mut self) -> Result<Bytes, BatchError> {
        self.header.attributes.0 |= i16::from(self.compression.number());
        if self.compression != Compression::None {
            let packed = compression::compress(self.compression, &self.bytes[HEADER_BYTES..])?;
            self.bytes.truncate(HEADER_BYTES);
            self.bytes.extend_from_slice(&packed);
        }
        let bytes = self.bytes.len();
        if bytes > BATCH_BYTES_MAX {
            return Err(BatchError::TooLarge {
                bytes,
                max: BATCH_BYTES_MAX,
            });
        }
        Ok(self.seal())
    }

    /// A batch of one small record, which cannot fail.
    pub(super) fn with(mut self, record: NewRecord<'_>) -> Bytes {
        debug_assert!(Self::size_of(&record) < 1024 && self.compression == Compression::None);
        self.push(record)
            .expect("bug: one small record is within every limit");
        self.seal()
    }

    /// Writes the header in front of the records.
    fn seal(mut self) -> Bytes {
        self.header.last_offset_delta = self.header.last_offset_delta.max(0);
        self.header.batch_length = (self.bytes.len() - LENGTH_END) as i32;
        self.bytes[..HEADER_BYTES].copy_from_slice(&self.header.encode());
        let crc = crc_of(&self.bytes[at::ATTRIBUTES..]);
        self.bytes[at::CRC..at::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        self.bytes.freeze()
    }
}

fn put_body(out: &mut BytesMut, timestamp_delta: i64, offset_delta: i32, record: &NewRecord<'_>) {
    out.put_i8(0);
    put_varint(out, timestamp_delta);
    put_varint(out, i64::from(offset_delta));
    put_nullable(out, record.key);
    put_nullable(out, record.value);
    put_varint(out, record.headers.len() as i64);
    for (key, value) in record.headers {
        put_nullable(out, Some(key.as_bytes()));
        put_nullable(out, *value);
    }
}

fn body_length(timestamp_delta: i64, offset_delta: i32, record: &NewRecord<'_>) -> usize {
    let nullable = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => varint_length(bytes.len() as i64) + bytes.len(),
        None => 1,
    };
    let headers: usize = record
        .headers
        .iter()
        .map(|(key, value)| nullable(Some(key.as_bytes())) + nullable(*value))
        .sum();
    1 + varint_length(timestamp_delta)
        + varint_length(i64::from(offset_delta))
        + nullable(record.key)
        + nullable(record.value)
        + varint_length(record.headers.len() as i64)
        + headers
}

fn put_nullable(out: &mut BytesMut, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.put_slice(bytes.unwrap_or_default());
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint_length(value: i64) -> usize {
    let bits = u64::BITS - zigzag(value).leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

fn put_varint(out: &mut BytesMut, value: i64) {
    let mut raw = zigzag(value);
    while raw >= 0x80 {
        out.put_u8(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.put_u8(raw as u8);
}
