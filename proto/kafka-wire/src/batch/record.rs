//! Records: read one after the other, borrowed or shared, never copied.
//!
//! ```text
//! length  attributes  timestamp delta  offset delta  key length, key  value length, value  count  headers
//! varint  i8          varlong          varint        varint           varint               varint key length, key, value length, value
//! ```
//! Varints are zigzag; length -1 is null.

use super::{BatchError, BatchHeader, TimestampType};
use bytes::Bytes;
use millstream_model::{Offset, TimestampMs};
use std::borrow::Cow;

/// The records of one batch, decompressed.
#[derive(Clone, Debug)]
pub struct RecordSet {
    header: BatchHeader,
    bytes: Bytes,
}

/// One record, borrowed from its [`RecordSet`]: the fastest way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its timestamp: the batch's max timestamp where the broker's clock counts.
    pub timestamp: TimestampMs,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value; none means "deleted" in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

/// One record that keeps its batch's memory alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its timestamp: the batch's max timestamp where the broker's clock counts.
    pub timestamp: TimestampMs,
    /// Its key, if it has one.
    pub key: Option<Bytes>,
    /// Its value; none means "deleted" in a compacted topic.
    pub value: Option<Bytes>,
    header_count: i32,
    header_bytes: Bytes,
}

/// One header. Keys may repeat; their order is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its key, UTF-8 as Kafka writes it, but nobody checks.
    pub key: &'a [u8],
    /// Its value, if it has one.
    pub value: Option<&'a [u8]>,
}

/// A record's headers in order, already checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    left: i32,
    cursor: Cursor<'a>,
}

/// Iterates over a [`RecordSet`]; ends after the first error.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    header: BatchHeader,
    cursor: Cursor<'a>,
    /// The record to come; the count of records when done.
    index: i32,
    /// The offset delta of the record before.
    previous_delta: i32,
}

impl RecordSet {
    pub(super) fn new(header: BatchHeader, bytes: Bytes) -> RecordSet {
        RecordSet { header, bytes }
    }

    /// The header of their batch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Their bytes, decompressed.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records in order.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter {
            header: self.header,
            cursor: Cursor(&self.bytes),
            index: 0,
            previous_delta: -1,
        }
    }

    /// The records in order, each keeping the memory alive.
    pub fn shared(&self) -> impl Iterator<Item = Result<Record, BatchError>> + '_ {
        self.iter().map(|record| record.map(|record| self.share(&record)))
    }

    /// A record of this set that outlives the borrow.
    ///
    /// # Panics
    /// When the record is from another set.
    pub fn share(&self, record: &RecordRef<'_>) -> Record {
        Record {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(|key| self.bytes.slice_ref(key)),
            value: record.value.map(|value| self.bytes.slice_ref(value)),
            header_count: record.headers.left,
            header_bytes: self.bytes.slice_ref(record.headers.cursor.0),
        }
    }
}

impl<'a> IntoIterator for &'a RecordSet {
    type Item = Result<RecordRef<'a>, BatchError>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

impl Record {
    /// Its headers in order.
    pub fn headers(&self) -> Headers<'_> {
        Headers {
            left: self.header_count,
            cursor: Cursor(&self.header_bytes),
        }
    }
}

impl<'a> Header<'a> {
    /// Its key as text, with what is not UTF-8 replaced, as the Java client does.
    pub fn name(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        self.cursor.header()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(0);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordRef<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.index;
        if index >= self.header.record_count {
            let left = std::mem::take(&mut self.cursor.0);
            return (!left.is_empty()).then_some(Err(BatchError::Record {
                index,
                what: "bytes follow the last record",
            }));
        }
        match self.read() {
            Ok(record) => {
                self.index += 1;
                Some(Ok(record))
            }
            Err(what) => {
                self.index = i32::MAX;
                self.cursor.0 = &[];
                Some(Err(BatchError::Record { index, what }))
            }
        }
    }
}

impl<'a> RecordIter<'a> {
    fn read(&mut self) -> Result<RecordRef<'a>, &'static str> {
        let length = self.cursor.varint().ok_or("its length is cut off or too long")?;
        let length = usize::try_from(length).map_err(|_| "its length is negative")?;
        let mut inner = Cursor(self.cursor.take(length).ok_or("it is longer than the batch")?);
        inner.take(1).ok_or("it ends within its attributes")?;
        let timestamp_delta = inner.varlong().ok_or("it ends within its timestamp")?;
        let offset_delta = inner.varint().ok_or("it ends within its offset")?;
        if offset_delta <= self.previous_delta || offset_delta > self.header.last_offset_delta {
            return Err("its offset does not rise within the batch");
        }
        self.previous_delta = offset_delta;
        let key = inner.nullable().ok_or("its key is longer than the record")?;
        let value = inner.nullable().ok_or("its value is longer than the record")?;
        let count = inner.varint().ok_or("it ends within its header count")?;
        if count < 0 {
            return Err("its header count is negative");
        }
        let headers = Headers {
            left: count,
            cursor: inner,
        };
        for _ in 0..count {
            inner.header().ok_or("a header is longer than the record")?;
        }
        if !inner.0.is_empty() {
            return Err("bytes follow its headers");
        }
        let timestamp = match self.header.attributes.timestamp_type() {
            TimestampType::LogAppendTime => self.header.max_timestamp,
            TimestampType::CreateTime => {
                TimestampMs(self.header.base_timestamp.0.wrapping_add(timestamp_delta))
            }
        };
        let offset = self.header.base_offset.plus(i64::from(offset_delta));
        Ok(RecordRef {
            offset,
            timestamp,
            key,
            value,
            headers,
        })
    }
}

/// What is left to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn unsigned(&mut self, bytes_max: usize) -> Option<u64> {
        let mut value = 0u64;
        for (index, byte) in self.0.iter().take(bytes_max).enumerate() {
            let part = u64::from(byte & 0x7f);
            // The tenth byte of a 64-bit number has one bit.
            if index == 9 && part > 1 {
                return None;
            }
            value |= part << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Some(value);
            }
        }
        None
    }

    fn varint(&mut self) -> Option<i32> {
        let raw = u32::try_from(self.unsigned(5)?).ok()?;
        Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    fn varlong(&mut self) -> Option<i64> {
        let raw = self.unsigned(10)?;
        Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// Bytes behind their length; `Some(None)` is null.
    fn nullable(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            ..0 => Some(None),
            length => self.take(length as usize).map(Some),
        }
    }

    fn header(&mut self) -> Option<Header<'a>> {
        let length = usize::try_from(self.varint()?).ok()?;
        let key = self.take(length)?;
        let value = self.nullable()?;
        Some(Header { key, value })
    }
}
