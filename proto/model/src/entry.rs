//! One entry of a replica group's log: a fixed header and the bytes it orders (log.md 24).
//!
//! ```text
//! byte   0        1     2        4      8       12           16   24    32     48     52      60    80
//!        version  kind  zero(2)  group  epoch   previous ep. lsn  time  topic  index  tenant  key   (end = 80)
//! ```
//! All integers are little-endian. The payload follows; its form depends on the kind and is written by whoever
//! owns the kind (`partition` for everything but [`EntryKind::EpochStart`]).

use crate::id::{Epoch, GroupId, KeyId, Lsn, PartitionId, PartitionIndex, TenantId, TopicId};
use crate::time::TimestampMs;
use bytes::Bytes;
use uuid::Uuid;

/// The version of the header that this release writes.
pub const ENTRY_VERSION: u8 = 1;

/// Bytes in an encoded header.
pub const ENTRY_HEADER_BYTES: usize = 80;

/// What an entry does; each touches one partition (log.md 22) or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// The first entry of an epoch; touches no partition, has no payload.
    EpochStart = 0,
    /// Append a record batch (the payload, stamped) to the partition.
    Append = 1,
    /// Move the partition's log start.
    Trim = 2,
    /// What lies below an offset is now in the object store, in the named segment.
    TieredUpTo = 3,
    /// Put merged or compacted segments in the place of others.
    ReplaceSegments = 4,
    /// The partition lives in this group from here on.
    Opened = 5,
    /// The partition no longer lives in this group.
    Closed = 6,
    /// The partition is gone; its data may be collected.
    Deleted = 7,
    /// Records are gone with every journal that had them; the payload is an empty batch that stands in their place.
    Lost = 8,
    /// Idempotent producers that were silent for long are forgotten.
    ForgetProducers = 9,
    /// The partition has a new owner: from here on it takes no batch of an earlier one (10 is kept for boundaries of
    /// shards).
    Owned = 11,
}

impl EntryKind {
    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<EntryKind> {
        Some(match number {
            0 => Self::EpochStart,
            1 => Self::Append,
            2 => Self::Trim,
            3 => Self::TieredUpTo,
            4 => Self::ReplaceSegments,
            5 => Self::Opened,
            6 => Self::Closed,
            7 => Self::Deleted,
            8 => Self::Lost,
            9 => Self::ForgetProducers,
            11 => Self::Owned,
            _ => return None,
        })
    }
}

/// Everything about an entry but its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    /// What it does.
    pub kind: EntryKind,
    /// The group whose log it is in.
    pub group: GroupId,
    /// The epoch of the leader that wrote it.
    pub epoch: Epoch,
    /// The epoch of the entry before it; with `lsn - 1` it names that entry (log.md 15).
    pub previous_epoch: Epoch,
    /// Its position.
    pub lsn: Lsn,
    /// The leader's wall clock when it wrote the entry: the only way time enters state (log.md 21).
    pub time: TimestampMs,
    /// The partition it touches; meaningless for [`EntryKind::EpochStart`].
    pub partition: PartitionId,
    /// The tenant that owns the partition.
    pub tenant: TenantId,
    /// The key that wrote it, [`KeyId::NONE`] for the service itself.
    pub key: KeyId,
}

/// An entry of a replica group's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its header.
    pub header: EntryHeader,
    /// Its payload, shared, never copied.
    pub payload: Bytes,
}

/// Bytes that are not an entry header of a version we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Fewer bytes than a header has.
    #[error("an entry header has {ENTRY_HEADER_BYTES} bytes, here are {length}")]
    Short {
        /// How many there are.
        length: usize,
    },
    /// Written by a newer release.
    #[error("entry version {version} needs a newer release")]
    Version {
        /// The version found.
        version: u8,
    },
    /// A kind that this release does not know.
    #[error("unknown entry kind {kind}")]
    Kind {
        /// The kind found.
        kind: u8,
    },
    /// The key id's bytes are not one.
    #[error("the entry's key id is malformed")]
    Key,
}

impl EntryHeader {
    /// The header's stored form.
    pub fn encode(&self) -> [u8; ENTRY_HEADER_BYTES] {
        let mut out = [0u8; ENTRY_HEADER_BYTES];
        out[0] = ENTRY_VERSION;
        out[1] = self.kind as u8;
        out[4..8].copy_from_slice(&self.group.0.to_le_bytes());
        out[8..12].copy_from_slice(&self.epoch.0.to_le_bytes());
        out[12..16].copy_from_slice(&self.previous_epoch.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.lsn.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.time.0.to_le_bytes());
        out[32..48].copy_from_slice(&self.partition.topic.to_bytes());
        out[48..52].copy_from_slice(&self.partition.index.0.to_le_bytes());
        out[52..60].copy_from_slice(&self.tenant.0.to_le_bytes());
        out[60..80].copy_from_slice(self.key.as_bytes());
        out
    }

    /// Reads a header from the first bytes of `bytes`.
    ///
    /// # Errors
    /// When there are too few bytes, or a version, kind or key id is not one we know.
    pub fn decode(bytes: &[u8]) -> Result<EntryHeader, EntryError> {
        let Some(head) = bytes.first_chunk::<ENTRY_HEADER_BYTES>() else {
            return Err(EntryError::Short { length: bytes.len() });
        };
        if head[0] != ENTRY_VERSION {
            return Err(EntryError::Version { version: head[0] });
        }
        let kind = EntryKind::from_number(head[1]).ok_or(EntryError::Kind { kind: head[1] })?;
        let key = std::str::from_utf8(&head[60..80]).map_err(|_| EntryError::Key)?;
        Ok(EntryHeader {
            kind,
            group: GroupId(u32::from_le_bytes(array(&head[4..8]))),
            epoch: Epoch(u32::from_le_bytes(array(&head[8..12]))),
            previous_epoch: Epoch(u32::from_le_bytes(array(&head[12..16]))),
            lsn: Lsn(u64::from_le_bytes(array(&head[16..24]))),
            time: TimestampMs(i64::from_le_bytes(array(&head[24..32]))),
            partition: PartitionId {
                topic: TopicId(Uuid::from_bytes(array(&head[32..48]))),
                index: PartitionIndex(u32::from_le_bytes(array(&head[48..52]))),
            },
            tenant: TenantId(u64::from_le_bytes(array(&head[52..60]))),
            key: key.parse().map_err(|_| EntryError::Key)?,
        })
    }

    /// The (epoch, LSN) of the entry that must stand before this one.
    pub fn previous(&self) -> (Epoch, Lsn) {
        (self.previous_epoch, Lsn(self.lsn.0.saturating_sub(1)))
    }
}

impl PartitionId {
    /// Names no partition: what entries that touch none carry.
    pub const NONE: PartitionId = PartitionId {
        topic: TopicId(Uuid::nil()),
        index: PartitionIndex(0),
    };
}

/// A slice whose length the caller has fixed, as an array.
fn array<const N: usize>(slice: &[u8]) -> [u8; N] {
    let mut out = [0u8; N];
    out.copy_from_slice(slice);
    out
}
