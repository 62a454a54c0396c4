//! Snapshots of a group: its partitions and, in an internal group, what its slots keep; on disk and in the store.
//!
//! ```text
//!   magic "MSSN" | version u16 = 2 | count u16 | sections | CRC-32C u32 of what precedes
//!   section: tag u16 | zero u16 | length u32 | bytes
//!     tag 1: the group's state, first, in every snapshot
//!     a slot's tag: index u32 | count u32, records (key length u32, key, value length i32 or -1, value)
//! ```
//! All integers are little-endian. Slots that have nothing have no section. A section whose tag this release does not know
//! is a newer one's: who finds it keeps the snapshot as it is and does not lead (log.md 41). The local copy is one file per
//! group, replaced by rename; a restart begins with it.

use crate::group::StoredSlot;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use millstream_coordinator::Record;
use millstream_durable::{Access, replace};
use millstream_metadata::SnapshotRef;
use millstream_model::{GroupId, Lsn, SLOTS, SlotKind};
use millstream_partition::{GroupState, SnapshotError};
use millstream_tier::{Tier, TierError};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: u32 = u32::from_le_bytes(*b"MSSN");
const VERSION: u16 = 2;
/// The section of the group's state.
const STATE: u16 = 1;
const PREFIX: &str = "group-";

/// A group's whole state at one entry of its log.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) state: GroupState,
    /// What its slots keep, in a group of internal topics.
    pub(crate) slots: Vec<StoredSlot>,
    /// The tag of a section that only a newer release can read.
    pub(crate) unknown: Option<u16>,
}

/// Bytes that are not a snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("not a snapshot")]
    Magic,
    #[error("snapshot version {version} needs another release; this one reads version {VERSION}")]
    Version { version: u16 },
    #[error("the snapshot's checksum is wrong")]
    Checksum,
    #[error("the snapshot ends early")]
    Short,
    #[error("the snapshot has no state")]
    NoState,
    #[error("the snapshot has a slot {index}, and there are {SLOTS}")]
    Slot { index: u32 },
    #[error(transparent)]
    State(#[from] SnapshotError),
}

/// A snapshot that the store does not give.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{0}")]
    Store(#[from] TierError),
    #[error("the store's snapshot cannot be read: {0}")]
    Decode(#[from] DecodeError),
    #[error("the store has another snapshot where the catalog names one at LSN {lsn} of group {group}")]
    Another { group: GroupId, lsn: Lsn },
}

/// The snapshot of a group that the catalog names.
pub(crate) async fn fetch(tier: &Tier, group: GroupId, stored: &SnapshotRef) -> Result<Snapshot, FetchError> {
    let bytes = tier.get_snapshot(&stored.object).await?;
    let snapshot = decode(&bytes)?;
    let named = bytes.len() as u64 == stored.length
        && crc_fast::crc32_iscsi(&bytes) == stored.checksum
        && snapshot.state.group() == group
        && snapshot.state.applied() == stored.lsn;
    match named {
        true => Ok(snapshot),
        false => Err(FetchError::Another {
            group,
            lsn: stored.lsn,
        }),
    }
}

/// The stored form of a snapshot.
pub(crate) fn encode(state: &GroupState, slots: &[StoredSlot]) -> Bytes {
    let state = state.encode_snapshot();
    let mut out = BytesMut::with_capacity(state.len() + 64);
    out.put_u32_le(MAGIC);
    out.put_u16_le(VERSION);
    out.put_u16_le(u16::try_from(slots.len() + 1).expect("bug: a group has few kinds of slots, 64 of each"));
    put_section(&mut out, STATE, |out| out.put_slice(&state));
    for slot in slots {
        put_section(&mut out, slot.kind.tag(), |out| put_slot(out, slot));
    }
    let checksum = crc_fast::crc32_iscsi(&out);
    out.put_u32_le(checksum);
    out.freeze()
}

fn put_section(out: &mut BytesMut, tag: u16, put: impl FnOnce(&mut BytesMut)) {
    out.put_u16_le(tag);
    out.put_u16_le(0);
    let length_at = out.len();
    out.put_u32_le(0);
    put(out);
    let bytes = length(out.len() - length_at - 4);
    out[length_at..length_at + 4].copy_from_slice(&bytes.to_le_bytes());
}

fn put_slot(out: &mut BytesMut, slot: &StoredSlot) {
    out.put_u32_le(slot.index);
    out.put_u32_le(length(slot.records.len()));
    for record in &slot.records {
        out.put_u32_le(length(record.key.len()));
        out.put_slice(&record.key);
        match &record.value {
            None => out.put_i32_le(-1),
            Some(value) => {
                out.put_u32_le(length(value.len()));
                out.put_slice(value);
            }
        }
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("bug: a snapshot is bounded far below 4 GiB")
}

/// Reads a stored snapshot.
pub(crate) fn decode(bytes: &Bytes) -> Result<Snapshot, DecodeError> {
    let body = bytes.len().checked_sub(4).ok_or(DecodeError::Magic)?;
    let (mut rest, mut checksum) = (bytes.slice(..body), bytes.slice(body..));
    if rest.remaining() < 8 || rest.get_u32_le() != MAGIC {
        return Err(DecodeError::Magic);
    }
    let version = rest.get_u16_le();
    if version != VERSION {
        return Err(DecodeError::Version { version });
    }
    if crc_fast::crc32_iscsi(&bytes[..body]) != checksum.get_u32_le() {
        return Err(DecodeError::Checksum);
    }
    let count = rest.get_u16_le();
    let (mut state, mut slots, mut unknown) = (None, Vec::new(), None);
    for _ in 0..count {
        let (tag, section) = take_section(&mut rest)?;
        match (tag, SlotKind::of_tag(tag)) {
            (STATE, _) if state.is_none() => state = Some(GroupState::decode_snapshot(&section)?),
            (_, Some(kind)) => slots.push(take_slot(kind, section)?),
            _ => unknown = Some(tag),
        }
    }
    Ok(Snapshot {
        state: state.ok_or(DecodeError::NoState)?,
        slots,
        unknown,
    })
}

fn take_section(rest: &mut Bytes) -> Result<(u16, Bytes), DecodeError> {
    if rest.remaining() < 4 {
        return Err(DecodeError::Short);
    }
    let tag = rest.get_u16_le();
    rest.advance(2);
    Ok((tag, take(rest)?))
}

fn take_slot(kind: SlotKind, mut section: Bytes) -> Result<StoredSlot, DecodeError> {
    let index = section.try_get_u32_le().map_err(|_| DecodeError::Short)?;
    if index >= SLOTS {
        return Err(DecodeError::Slot { index });
    }
    let count = section.try_get_u32_le().map_err(|_| DecodeError::Short)?;
    let mut records = Vec::new();
    for _ in 0..count {
        let key = take(&mut section)?;
        let value = match section.try_get_i32_le().map_err(|_| DecodeError::Short)? {
            -1 => None,
            length => {
                let length = usize::try_from(length).map_err(|_| DecodeError::Short)?;
                Some(take_length(&mut section, length)?)
            }
        };
        records.push(Record { key, value });
    }
    Ok(StoredSlot { kind, index, records })
}

fn take(rest: &mut Bytes) -> Result<Bytes, DecodeError> {
    let length = rest.try_get_u32_le().map_err(|_| DecodeError::Short)?;
    take_length(rest, length as usize)
}

fn take_length(rest: &mut Bytes, length: usize) -> Result<Bytes, DecodeError> {
    if rest.remaining() < length {
        return Err(DecodeError::Short);
    }
    Ok(rest.split_to(length))
}

fn file_of(folder: &Path, group: GroupId) -> PathBuf {
    folder.join(format!("{PREFIX}{:010}", group.0))
}

/// Keeps a snapshot on disk in the place of the group's last one; blocks.
pub(crate) fn save(folder: &Path, group: GroupId, bytes: &Bytes) -> io::Result<()> {
    replace(&file_of(folder, group), bytes, Access::Everybody)
}

/// All snapshots on disk, and how many bytes were read; one that is damaged is passed over, for the store has another.
pub(crate) fn load_all(folder: &Path) -> io::Result<(BTreeMap<GroupId, Snapshot>, u64)> {
    std::fs::create_dir_all(folder)?;
    let (mut found, mut bytes_read) = (BTreeMap::new(), 0);
    for (group, path) in files(folder)? {
        let bytes = Bytes::from(std::fs::read(&path)?);
        bytes_read += bytes.len() as u64;
        match decode(&bytes) {
            Ok(snapshot) if snapshot.state.group() == group => {
                found.insert(group, snapshot);
            }
            Ok(_) => tracing::error!(path = %path.display(), "a snapshot of another group; passed over"),
            Err(error) => tracing::error!(path = %path.display(), %error, "a local snapshot is passed over"),
        }
    }
    Ok((found, bytes_read))
}

/// The files of the snapshots on disk, by group; none where there is no folder.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<(GroupId, PathBuf)>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix(PREFIX));
        if let Some(Ok(group)) = number.map(str::parse) {
            found.push((GroupId(group), path));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(index: u32, records: &[(&str, Option<&str>)]) -> StoredSlot {
        let record = |(key, value): &(&str, Option<&str>)| Record {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        };
        StoredSlot {
            kind: SlotKind::Groups,
            index,
            records: records.iter().map(record).collect(),
        }
    }

    #[test]
    fn what_is_encoded_is_read_again() {
        let state = GroupState::new(GroupId(3));
        let slots = [
            slot(0, &[("a", Some("one")), ("b", None)]),
            slot(63, &[("", Some(""))]),
        ];
        let bytes = encode(&state, &slots);
        let read = decode(&bytes).unwrap();
        assert_eq!(
            (read.state, read.slots, read.unknown),
            (state.clone(), slots.to_vec(), None)
        );
        for end in 0..bytes.len() {
            assert!(decode(&bytes.slice(..end)).is_err());
        }
        assert!(matches!(
            decode(&encode(&state, &[slot(64, &[("a", None)])])),
            Err(DecodeError::Slot { index: 64 })
        ));
    }

    #[test]
    fn a_section_of_a_newer_release_is_told_and_the_rest_is_read() {
        let state = GroupState::new(GroupId(3));
        let mut bytes = BytesMut::from(&encode(&state, &[slot(5, &[("a", None)])])[..]);
        bytes.truncate(bytes.len() - 4);
        bytes[6..8].copy_from_slice(&3u16.to_le_bytes());
        put_section(&mut bytes, 60_000, |out| {
            out.put_slice(b"what only a newer release reads")
        });
        let checksum = crc_fast::crc32_iscsi(&bytes);
        bytes.put_u32_le(checksum);
        let read = decode(&bytes.freeze()).unwrap();
        assert_eq!(read.unknown, Some(60_000));
        assert_eq!((read.state, read.slots.len()), (state, 1));
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let mut bytes = BytesMut::from(&encode(&GroupState::new(GroupId(3)), &[])[..]);
        bytes[4..6].copy_from_slice(&1u16.to_le_bytes());
        let refused = decode(&bytes.freeze()).unwrap_err();
        assert!(
            refused.to_string().contains("version 1 needs another release"),
            "{refused}"
        );
    }
}
