//! A record's stored form: a frame with its checksums, then its body.
//!
//! ```text
//! byte  0         4            8     9      12             16              16 + h       16 + length
//!       checksum  body length  kind  zero   payload's      head of the     payload
//!       of 4..16+h             u8    (3)    checksum       body, h bytes   (entries)
//! ```
//! All integers are little-endian, checksums are CRC-32C. For an entry the head is its header (80 bytes) and the
//! payload follows; for every other kind the head is the whole body and the payload's checksum is 0.
//!
//! A record batch says the checksum of nearly all of itself, and was held against it when it came in. It is not summed
//! again: such an entry is of a kind of its own, and its payload's checksum is that of the batch's seal, the bytes up to
//! and with its CRC. Reading it back checks both.
//!
//! The payload's checksum is computed where the record is made, not on the writer's thread.

use crate::record::Record;
use bytes::Bytes;
use crc_fast::crc32_iscsi;
use millstream_kafka_wire::batch::{self, SEAL_BYTES};
use millstream_model::entry::{ENTRY_HEADER_BYTES, Entry, EntryError, EntryHeader, EntryKind};
use millstream_model::limits::ENTRY_BYTES_MAX;
use millstream_model::{Epoch, GroupId, Lsn, Registration};

/// Bytes of a frame.
pub(crate) const FRAME_BYTES: usize = 16;
/// Bytes of a frame and the longest head of a body.
const HEAD_BYTES_MAX: usize = FRAME_BYTES + ENTRY_HEADER_BYTES;

const KIND_ENTRY: u8 = 1;
const KIND_TRUNCATE: u8 = 2;
const KIND_MARK: u8 = 3;
const KIND_RELEASED: u8 = 4;
const KIND_REMOVED: u8 = 5;
const KIND_REGISTERED: u8 = 6;
const KIND_CARRIED: u8 = 7;
const KIND_BATCH: u8 = 8;

/// A record with its frame, ready to be written.
#[derive(Clone, Debug)]
pub struct Framed {
    record: Record,
    head: [u8; HEAD_BYTES_MAX],
    head_length: u8,
}

/// Bytes that are not a record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the record is cut off")]
    Short,
    #[error("the record's checksum is wrong")]
    Checksum,
    #[error("unknown record kind {0}")]
    Kind(u8),
    #[error("the record's length does not fit its kind")]
    Length,
    #[error(transparent)]
    Entry(#[from] EntryError),
}

impl Framed {
    /// Frames a record and computes its checksums.
    pub fn new(record: Record) -> Framed {
        let sum = sum_of(payload(&record));
        Framed::with(record, KIND_ENTRY, sum)
    }

    /// The same for a record of a log whose appended batches were checked before: these are not summed again.
    pub fn checked(record: Record) -> Framed {
        let sum = match &record {
            Record::Entry(entry) if entry.header.kind == EntryKind::Append => batch_sum(&entry.payload),
            _ => None,
        };
        match sum {
            Some(sum) => Framed::with(record, KIND_BATCH, sum),
            None => Framed::new(record),
        }
    }

    fn with(record: Record, entry_kind: u8, payload_sum: u32) -> Framed {
        let mut head = [0u8; HEAD_BYTES_MAX];
        let mut body = Body {
            bytes: &mut head,
            length: FRAME_BYTES,
        };
        let kind = match &record {
            Record::Entry(entry) => {
                body.put(&entry.header.encode());
                entry_kind
            }
            Record::Truncate { group, epoch, lsn } => {
                body.group(*group, *epoch, *lsn);
                KIND_TRUNCATE
            }
            Record::Mark {
                group,
                epoch,
                high_watermark,
            } => {
                body.group(*group, *epoch, *high_watermark);
                KIND_MARK
            }
            Record::Released { group, epoch, lsn } => {
                body.group(*group, *epoch, *lsn);
                KIND_RELEASED
            }
            Record::Carried { group, start, end } => {
                body.group(*group, start.0, start.1);
                body.put(&end.0.0.to_le_bytes());
                body.put(&end.1.0.to_le_bytes());
                KIND_CARRIED
            }
            Record::Removed { group } => {
                body.put(&group.0.to_le_bytes());
                KIND_REMOVED
            }
            Record::Registered { registration } => {
                body.put(&registration.0.to_le_bytes());
                KIND_REGISTERED
            }
        };
        let length = body.length;
        let body_length = (length - FRAME_BYTES + payload(&record).len()) as u32;
        head[4..8].copy_from_slice(&body_length.to_le_bytes());
        head[8] = kind;
        head[12..16].copy_from_slice(&payload_sum.to_le_bytes());
        let checksum = crc32_iscsi(&head[4..length]);
        head[..4].copy_from_slice(&checksum.to_le_bytes());
        Framed {
            record,
            head,
            head_length: length as u8,
        }
    }

    /// The record.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The record, out of its frame.
    pub fn into_record(self) -> Record {
        self.record
    }

    /// Bytes that it takes in the journal.
    pub fn length(&self) -> usize {
        usize::from(self.head_length) + self.payload().len()
    }

    /// The frame and the head of the body.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_length)]
    }

    /// What follows the head.
    pub(crate) fn payload(&self) -> &Bytes {
        payload(&self.record)
    }
}

/// The sum of a batch's seal; none when the bytes are too few for one.
fn batch_sum(payload: &[u8]) -> Option<u32> {
    debug_assert!(
        batch::unseal(payload).is_none_or(|(_, intact)| intact),
        "bug: an appended batch was checked when it came in"
    );
    payload.first_chunk::<SEAL_BYTES>().map(|seal| crc32_iscsi(seal))
}

/// What of a record is not in its head.
fn payload(record: &Record) -> &Bytes {
    static NOTHING: Bytes = Bytes::new();
    match record {
        Record::Entry(entry) => &entry.payload,
        _ => &NOTHING,
    }
}

/// Reads the record at the start of `bytes`, without copying its payload; returns it, its length, and the
/// checksum of its head (which covers the one of its payload).
pub(crate) fn decode(bytes: &Bytes) -> Result<(Record, usize, u32), FrameError> {
    let frame = bytes.first_chunk::<FRAME_BYTES>().ok_or(FrameError::Short)?;
    let body_length = u32_at(frame, 4) as usize;
    let kind = frame[8];
    if body_length > ENTRY_BYTES_MAX + ENTRY_HEADER_BYTES {
        return Err(FrameError::Length);
    }
    let length = FRAME_BYTES + body_length;
    if bytes.len() < length {
        return Err(FrameError::Short);
    }
    let head_length = if kind == KIND_ENTRY || kind == KIND_BATCH {
        length.min(HEAD_BYTES_MAX)
    } else {
        length
    };
    let checksum = u32_at(frame, 0);
    if crc32_iscsi(&bytes[4..head_length]) != checksum {
        return Err(FrameError::Checksum);
    }
    let body = &bytes[FRAME_BYTES..head_length];
    let record = match kind {
        KIND_ENTRY | KIND_BATCH => {
            let header = EntryHeader::decode(body)?;
            let payload = bytes.slice(head_length..length);
            if payload_sum(kind, &payload)? != u32_at(frame, 12) {
                return Err(FrameError::Checksum);
            }
            Record::Entry(Entry { header, payload })
        }
        KIND_TRUNCATE => {
            let (group, epoch, lsn) = group(body)?;
            Record::Truncate { group, epoch, lsn }
        }
        KIND_MARK => {
            let (group, epoch, high_watermark) = group(body)?;
            Record::Mark {
                group,
                epoch,
                high_watermark,
            }
        }
        KIND_RELEASED => {
            let (group, epoch, lsn) = group(body)?;
            Record::Released { group, epoch, lsn }
        }
        KIND_CARRIED => {
            let body = <&[u8; 28]>::try_from(body).map_err(|_| FrameError::Length)?;
            Record::Carried {
                group: GroupId(u32_at(body, 0)),
                start: (Epoch(u32_at(body, 4)), Lsn(u64_at(body, 8))),
                end: (Epoch(u32_at(body, 16)), Lsn(u64_at(body, 20))),
            }
        }
        KIND_REMOVED => {
            let group = <[u8; 4]>::try_from(body).map_err(|_| FrameError::Length)?;
            Record::Removed {
                group: GroupId(u32::from_le_bytes(group)),
            }
        }
        KIND_REGISTERED => {
            let number = <[u8; 8]>::try_from(body).map_err(|_| FrameError::Length)?;
            Record::Registered {
                registration: Registration(u64::from_le_bytes(number)),
            }
        }
        kind => return Err(FrameError::Kind(kind)),
    };
    Ok((record, length, checksum))
}

/// What is where a record should be, in a block that is not whole.
#[derive(Debug)]
pub(crate) enum Survey {
    /// The record, and its length.
    Whole(Record, usize),
    /// An entry whose payload is not what its frame says; its header is, and so is the length.
    PayloadBad(EntryHeader, usize),
    /// Nothing that could be believed; a record may follow after so many bytes.
    Bad(Option<usize>),
}

/// Looks at the start of `bytes`, where a record is that may have rotted.
///
/// # Errors
/// When it is one that this release cannot read.
pub(crate) fn survey(bytes: &Bytes) -> Result<Survey, FrameError> {
    match decode(bytes) {
        Ok((record, length, _)) => return Ok(Survey::Whole(record, length)),
        Err(error @ (FrameError::Kind(_) | FrameError::Entry(_))) => return Err(error),
        Err(_) => {}
    }
    let Some(frame) = bytes.first_chunk::<FRAME_BYTES>() else {
        return Ok(Survey::Bad(None));
    };
    let length = FRAME_BYTES + u32_at(frame, 4) as usize;
    if length > bytes.len() {
        return Ok(Survey::Bad(None));
    }
    let is_entry = frame[8] == KIND_ENTRY || frame[8] == KIND_BATCH;
    let is_sound = length >= HEAD_BYTES_MAX && crc32_iscsi(&bytes[4..HEAD_BYTES_MAX]) == u32_at(frame, 0);
    if is_entry && is_sound {
        let header = EntryHeader::decode(&bytes[FRAME_BYTES..HEAD_BYTES_MAX])?;
        return Ok(Survey::PayloadBad(header, length));
    }
    Ok(Survey::Bad(Some(length)))
}

impl From<Record> for Framed {
    fn from(record: Record) -> Framed {
        Framed::new(record)
    }
}

/// What the frame of an entry with this payload says of it, as far as the payload agrees with itself.
fn payload_sum(kind: u8, payload: &[u8]) -> Result<u32, FrameError> {
    if kind == KIND_BATCH {
        return match batch::unseal(payload) {
            Some((seal, true)) => Ok(crc32_iscsi(seal)),
            Some((_, false)) => Err(FrameError::Checksum),
            None => Err(FrameError::Length),
        };
    }
    Ok(sum_of(payload))
}

fn sum_of(payload: &[u8]) -> u32 {
    if payload.is_empty() {
        0
    } else {
        crc32_iscsi(payload)
    }
}

/// A body being written.
struct Body<'a> {
    bytes: &'a mut [u8; HEAD_BYTES_MAX],
    length: usize,
}

impl Body<'_> {
    fn put(&mut self, part: &[u8]) {
        self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
        self.length += part.len();
    }

    fn group(&mut self, group: GroupId, epoch: Epoch, lsn: Lsn) {
        self.put(&group.0.to_le_bytes());
        self.put(&epoch.0.to_le_bytes());
        self.put(&lsn.0.to_le_bytes());
    }
}

/// The body that several kinds share.
fn group(body: &[u8]) -> Result<(GroupId, Epoch, Lsn), FrameError> {
    let body = <&[u8; 16]>::try_from(body).map_err(|_| FrameError::Length)?;
    let lsn = u64::from(u32_at(body, 8)) | u64::from(u32_at(body, 12)) << 32;
    Ok((GroupId(u32_at(body, 0)), Epoch(u32_at(body, 4)), Lsn(lsn)))
}

/// The integer at a place that the array's length makes sure of.
pub(crate) fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The integer at a place that the array's length makes sure of.
pub(crate) fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests;
