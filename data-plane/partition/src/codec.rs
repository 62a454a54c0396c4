//! Integers to bytes and back, for payloads and snapshots: little-endian, counts checked before anything is allocated.

use millstream_model::segment::{ObjectOwner, ObjectRef, SegmentRef};
use millstream_model::{Epoch, GroupId, Offset, PartitionId, PartitionIndex, TimestampMs, TopicId};

/// Writes stored forms.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

/// Bytes that end too early or say something impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// Fewer bytes than the form needs.
    #[error("it ends early")]
    Short,
    /// More bytes than the form needs.
    #[error("{0} bytes follow its end")]
    Trailing(usize),
    /// A tag that no release wrote.
    #[error("unknown tag {0}")]
    Tag(u8),
}

impl Writer {
    pub(crate) fn new() -> Writer {
        Writer::default()
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    /// A count of things that follow; there are never more than fit.
    pub(crate) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("bug: every list here is bounded far below 2^32"));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.raw(text.as_bytes());
    }

    pub(crate) fn offset(&mut self, offset: Offset) {
        self.i64(offset.0);
    }

    pub(crate) fn time(&mut self, time: TimestampMs) {
        self.i64(time.0);
    }

    pub(crate) fn partition(&mut self, partition: PartitionId) {
        self.raw(&partition.topic.to_bytes());
        self.u32(partition.index.0);
    }

    fn object(&mut self, object: &ObjectRef) {
        match object.owner {
            ObjectOwner::Shared(group) => {
                self.u8(0);
                self.u32(group.0);
            }
            ObjectOwner::Own(partition) => {
                self.u8(1);
                self.partition(partition);
            }
        }
        self.u32(object.group.0);
        self.u32(object.epoch.0);
        self.u64(object.number);
    }

    pub(crate) fn segment(&mut self, segment: &SegmentRef) {
        self.object(&segment.object);
        self.u64(segment.position);
        self.u64(segment.length);
        self.u32(segment.checksum);
        self.offset(segment.base_offset);
        self.offset(segment.end_offset);
        self.time(segment.timestamp_max);
    }

    pub(crate) fn segments(&mut self, segments: &[SegmentRef]) {
        self.count(segments.len());
        segments.iter().for_each(|segment| self.segment(segment));
    }
}

/// Reads stored forms.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(CodecError::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    /// That nothing is left.
    pub(crate) fn end(&self) -> Result<(), CodecError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(CodecError::Trailing(self.rest.len()))
        }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(u8::from_le_bytes(self.take()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, CodecError> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    pub(crate) fn i16(&mut self) -> Result<i16, CodecError> {
        Ok(i16::from_le_bytes(self.take()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, CodecError> {
        Ok(i32::from_le_bytes(self.take()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, CodecError> {
        Ok(i64::from_le_bytes(self.take()?))
    }

    /// A list: its count, then its items, each of at least `item_bytes`.
    pub(crate) fn list<T>(
        &mut self,
        item_bytes: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Vec<T>, CodecError> {
        let count = self.u32()? as usize;
        if count
            .checked_mul(item_bytes)
            .is_none_or(|least| least > self.rest.len())
        {
            return Err(CodecError::Short);
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub(crate) fn text(&mut self) -> Result<String, CodecError> {
        let length = self.u32()? as usize;
        let (head, rest) = self.rest.split_at_checked(length).ok_or(CodecError::Short)?;
        self.rest = rest;
        Ok(String::from_utf8_lossy(head).into_owned())
    }

    pub(crate) fn offset(&mut self) -> Result<Offset, CodecError> {
        Ok(Offset(self.i64()?))
    }

    pub(crate) fn time(&mut self) -> Result<TimestampMs, CodecError> {
        Ok(TimestampMs(self.i64()?))
    }

    pub(crate) fn partition(&mut self) -> Result<PartitionId, CodecError> {
        Ok(PartitionId {
            topic: TopicId::from_bytes(self.take()?),
            index: PartitionIndex(self.u32()?),
        })
    }

    fn object(&mut self) -> Result<ObjectRef, CodecError> {
        let owner = match self.u8()? {
            0 => ObjectOwner::Shared(GroupId(self.u32()?)),
            1 => ObjectOwner::Own(self.partition()?),
            tag => return Err(CodecError::Tag(tag)),
        };
        Ok(ObjectRef {
            owner,
            group: GroupId(self.u32()?),
            epoch: Epoch(self.u32()?),
            number: self.u64()?,
        })
    }

    pub(crate) fn segment(&mut self) -> Result<SegmentRef, CodecError> {
        Ok(SegmentRef {
            object: self.object()?,
            position: self.u64()?,
            length: self.u64()?,
            checksum: self.u32()?,
            base_offset: self.offset()?,
            end_offset: self.offset()?,
            timestamp_max: self.time()?,
        })
    }

    pub(crate) fn segments(&mut self) -> Result<Vec<SegmentRef>, CodecError> {
        self.list(SEGMENT_BYTES_MIN, Self::segment)
    }
}

/// The fewest bytes of a stored [`SegmentRef`].
const SEGMENT_BYTES_MIN: usize = 65;
