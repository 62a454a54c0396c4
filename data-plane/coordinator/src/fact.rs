//! What the records of consumer groups say: a versioned key and value for each fact that survives.
//!
//! ```text
//! key    version(1)=1  kind(1)  tenant(8)  group(2+n)                      kind 1: the group's metadata
//!                                          group(2+n)  topic(16) index(4)  kind 2: one committed offset
//! value  version(1)=1  the fields of the kind; none = the fact is gone
//! ```
//! Integers are big-endian, so that keys sort by tenant, then group. Strings and bytes carry their length in four
//! bytes (two in keys); an optional one is preceded by a byte, 0 or 1.

use crate::command::GroupKey;
use crate::record::{Record, RecordError};
use crate::stored::{CommittedOffset, GroupMetadata, StoredMember};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use millstream_model::{Offset, PartitionId, PartitionIndex, TenantId, TimestampMs, TopicId};

/// The version that this release writes.
const VERSION: u8 = 1;
const KIND_GROUP: u8 = 1;
const KIND_OFFSET: u8 = 2;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// The group's metadata is this, or it has none any more.
    Group(GroupKey, Option<GroupMetadata>),
    /// The partition's committed offset is this, or there is none any more.
    Offset(GroupKey, PartitionId, Option<CommittedOffset>),
}

impl Fact {
    /// The fact's stored form.
    pub(crate) fn encode(&self) -> Record {
        let mut key = BytesMut::with_capacity(64);
        key.put_u8(VERSION);
        match self {
            Fact::Group(group, metadata) => {
                key.put_u8(KIND_GROUP);
                put_group_key(&mut key, group);
                Record {
                    key: key.freeze(),
                    value: metadata.as_ref().map(encode_group),
                }
            }
            Fact::Offset(group, partition, offset) => {
                key.put_u8(KIND_OFFSET);
                put_group_key(&mut key, group);
                key.put_slice(&partition.topic.to_bytes());
                key.put_u32(partition.index.0);
                Record {
                    key: key.freeze(),
                    value: offset.as_ref().map(encode_offset),
                }
            }
        }
    }

    /// Reads a stored fact.
    pub(crate) fn decode(key: &[u8], value: Option<&Bytes>) -> Result<Fact, RecordError> {
        let mut key = Reader(Bytes::copy_from_slice(key));
        key.version()?;
        let kind = key.u8()?;
        if kind != KIND_GROUP && kind != KIND_OFFSET {
            return Err(RecordError::Kind { kind });
        }
        let tenant = TenantId(key.u64()?);
        let length = usize::from(key.u16()?);
        let group = key.text(length)?.parse().map_err(|_| RecordError::Malformed)?;
        let group = GroupKey { tenant, group };
        if kind == KIND_GROUP {
            key.end()?;
            return Ok(Fact::Group(
                group,
                value.map(|value| decode_group(value.clone())).transpose()?,
            ));
        }
        let mut topic = [0; 16];
        topic.copy_from_slice(&key.take(16)?);
        let partition = PartitionId {
            topic: TopicId::from_bytes(topic),
            index: PartitionIndex(key.u32()?),
        };
        key.end()?;
        let offset = value.map(|value| decode_offset(value.clone())).transpose()?;
        Ok(Fact::Offset(group, partition, offset))
    }
}

fn put_group_key(out: &mut BytesMut, key: &GroupKey) {
    let name = key.group.as_str();
    out.put_u64(key.tenant.0);
    // A group name has at most 255 bytes.
    out.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
    out.put_slice(name.as_bytes());
}

fn encode_group(group: &GroupMetadata) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    out.put_u8(VERSION);
    out.put_i32(group.generation);
    put_text(&mut out, &group.protocol_type);
    put_option(&mut out, group.protocol.as_deref());
    put_option(&mut out, group.leader.as_deref());
    out.put_i64(group.time.0);
    out.put_u32(u32::try_from(group.members.len()).unwrap_or(u32::MAX));
    for member in &group.members {
        put_text(&mut out, &member.member_id);
        put_option(&mut out, member.instance_id.as_deref());
        put_text(&mut out, &member.client_id);
        put_text(&mut out, &member.client_host);
        out.put_i32(member.session_timeout_ms);
        out.put_i32(member.rebalance_timeout_ms);
        put_bytes(&mut out, &member.metadata);
        put_bytes(&mut out, &member.assignment);
    }
    out.freeze()
}

fn decode_group(bytes: Bytes) -> Result<GroupMetadata, RecordError> {
    let mut bytes = Reader(bytes);
    bytes.version()?;
    let generation = bytes.i32()?;
    let protocol_type = bytes.string()?;
    let protocol = bytes.option()?;
    let leader = bytes.option()?;
    let time = TimestampMs(bytes.i64()?);
    let count = bytes.u32()?;
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(StoredMember {
            member_id: bytes.string()?,
            instance_id: bytes.option()?,
            client_id: bytes.string()?,
            client_host: bytes.string()?,
            session_timeout_ms: bytes.i32()?,
            rebalance_timeout_ms: bytes.i32()?,
            metadata: bytes.bytes()?,
            assignment: bytes.bytes()?,
        });
    }
    bytes.end()?;
    Ok(GroupMetadata {
        generation,
        protocol_type,
        protocol,
        leader,
        time,
        members,
    })
}

fn encode_offset(offset: &CommittedOffset) -> Bytes {
    let mut out = BytesMut::with_capacity(40 + offset.metadata.len());
    out.put_u8(VERSION);
    out.put_i64(offset.offset.0);
    out.put_i32(offset.leader_epoch);
    out.put_i64(offset.time.0);
    out.put_i64(offset.expires.unwrap_or(TimestampMs::NONE).0);
    put_text(&mut out, &offset.metadata);
    out.freeze()
}

fn decode_offset(bytes: Bytes) -> Result<CommittedOffset, RecordError> {
    let mut bytes = Reader(bytes);
    bytes.version()?;
    let offset = Offset(bytes.i64()?);
    let leader_epoch = bytes.i32()?;
    let time = TimestampMs(bytes.i64()?);
    let expires = TimestampMs(bytes.i64()?);
    let metadata = bytes.string()?;
    bytes.end()?;
    let expires = (expires != TimestampMs::NONE).then_some(expires);
    Ok(CommittedOffset {
        offset,
        leader_epoch,
        metadata,
        time,
        expires,
    })
}

fn put_text(out: &mut BytesMut, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

fn put_option(out: &mut BytesMut, text: Option<&str>) {
    out.put_u8(u8::from(text.is_some()));
    if let Some(text) = text {
        put_text(out, text);
    }
}

/// Reads fields, refusing to read past the end.
struct Reader(Bytes);

impl Reader {
    fn take(&mut self, length: usize) -> Result<Bytes, RecordError> {
        if self.0.len() < length {
            return Err(RecordError::Malformed);
        }
        Ok(self.0.split_to(length))
    }

    fn version(&mut self) -> Result<(), RecordError> {
        match self.u8()? {
            VERSION => Ok(()),
            version => Err(RecordError::Version { version }),
        }
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        Ok(self.take(1)?.get_u8())
    }

    fn u16(&mut self) -> Result<u16, RecordError> {
        Ok(self.take(2)?.get_u16())
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        Ok(self.take(4)?.get_u32())
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        Ok(self.take(8)?.get_u64())
    }

    fn i32(&mut self) -> Result<i32, RecordError> {
        Ok(self.take(4)?.get_i32())
    }

    fn i64(&mut self) -> Result<i64, RecordError> {
        Ok(self.take(8)?.get_i64())
    }

    fn bytes(&mut self) -> Result<Bytes, RecordError> {
        let length = usize::try_from(self.u32()?).map_err(|_| RecordError::Malformed)?;
        self.take(length)
    }

    fn text(&mut self, length: usize) -> Result<String, RecordError> {
        String::from_utf8(self.take(length)?.into()).map_err(|_| RecordError::Malformed)
    }

    fn string(&mut self) -> Result<String, RecordError> {
        String::from_utf8(self.bytes()?.into()).map_err(|_| RecordError::Malformed)
    }

    fn option(&mut self) -> Result<Option<String>, RecordError> {
        match self.u8()? {
            0 => Ok(None),
            1 => self.string().map(Some),
            _ => Err(RecordError::Malformed),
        }
    }

    fn end(&self) -> Result<(), RecordError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(RecordError::Malformed)
        }
    }
}
