//! Snapshots of a group: its partitions and, in an internal group, the ledger; kept on disk and in the store.
//!
//! ```text
//!   magic "MSSN" | version u16 = 1 | zero u16 | state length u32, state
//!   | record count u32, records (key length u32, key, value length i32 or -1, value) | CRC-32C u32 of what precedes
//! ```
//! All integers are little-endian. The local copy is one file per group, replaced by rename; a restart begins with it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use millstream_coordinator::Record;
use millstream_durable::{Access, replace};
use millstream_metadata::SnapshotRef;
use millstream_model::{GroupId, Lsn};
use millstream_partition::{GroupState, SnapshotError};
use millstream_tier::{Tier, TierError};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: u32 = u32::from_le_bytes(*b"MSSN");
const VERSION: u16 = 1;
const PREFIX: &str = "group-";

/// A group's whole state at one entry of its log.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) state: GroupState,
    /// The ledger's records, in a group of internal topics.
    pub(crate) records: Vec<Record>,
}

/// Bytes that are not a snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("not a snapshot")]
    Magic,
    #[error("snapshot version {version} needs a newer release")]
    Version { version: u16 },
    #[error("the snapshot's checksum is wrong")]
    Checksum,
    #[error("the snapshot ends early")]
    Short,
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
pub(crate) fn encode<'a>(state: &GroupState, records: impl Iterator<Item = Record> + 'a) -> Bytes {
    let state = state.encode_snapshot();
    let mut out = BytesMut::with_capacity(state.len() + 64);
    out.put_u32_le(MAGIC);
    out.put_u16_le(VERSION);
    out.put_u16_le(0);
    out.put_u32_le(length(state.len()));
    out.put_slice(&state);
    let count_at = out.len();
    out.put_u32_le(0);
    let mut count = 0u32;
    for record in records {
        count += 1;
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
    out[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
    let checksum = crc_fast::crc32_iscsi(&out);
    out.put_u32_le(checksum);
    out.freeze()
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
    rest.advance(2);
    let state = GroupState::decode_snapshot(&take(&mut rest)?)?;
    let count = rest.try_get_u32_le().map_err(|_| DecodeError::Short)?;
    let mut records = Vec::new();
    for _ in 0..count {
        let key = take(&mut rest)?;
        let value = match rest.try_get_i32_le().map_err(|_| DecodeError::Short)? {
            -1 => None,
            length => Some(take_length(
                &mut rest,
                usize::try_from(length).map_err(|_| DecodeError::Short)?,
            )?),
        };
        records.push(Record { key, value });
    }
    Ok(Snapshot { state, records })
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
