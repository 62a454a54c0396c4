//! A group's state as bytes: what a restart begins with.
//!
//! ```text
//!   magic "MSGS" | version u16 = 2 | group u32 | applied LSN u64 | its epoch u32 | time i64
//!   | count u32, partitions in key order (id, state) | CRC-32C u32 of everything before it
//! ```
//! One page for now (log.md 30 asks for pages once groups are large).

use crate::codec::{CodecError, Reader, Writer};
use crate::group::GroupState;
use crate::partition::PartitionState;
use millstream_model::{Epoch, GroupId, Lsn};

const MAGIC: u32 = u32::from_le_bytes(*b"MSGS");
const VERSION: u16 = 2;
/// The fewest bytes of a stored partition with its id.
const PARTITION_BYTES_MIN: usize = 20 + 46 + 4 + 12 + 8 + 4 + 4;

/// Bytes that are not a group's snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It does not start like one.
    #[error("not a snapshot of a group")]
    Magic,
    /// Written by another release.
    #[error("snapshot version {version} needs another release; this one reads version {VERSION}")]
    Version {
        /// The version found.
        version: u16,
    },
    /// Its bytes have changed since they were written.
    #[error("the snapshot's checksum is wrong")]
    Checksum,
    /// The checksum is right, yet it cannot be read: a bug.
    #[error("malformed snapshot: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

impl From<CodecError> for SnapshotError {
    fn from(error: CodecError) -> SnapshotError {
        SnapshotError::Malformed {
            reason: error.to_string(),
        }
    }
}

impl GroupState {
    /// Its stored form; the same state always has the same bytes.
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u32(MAGIC);
        out.u16(VERSION);
        out.u32(self.group.0);
        out.u64(self.applied.0);
        out.u32(self.epoch.0);
        out.time(self.time);
        out.count(self.partitions.len());
        for (id, partition) in &self.partitions {
            out.partition(*id);
            partition.encode(&mut out);
        }
        let checksum = crc_fast::crc32_iscsi(out.as_slice());
        out.u32(checksum);
        out.finish()
    }

    /// Reads a stored state.
    ///
    /// # Errors
    /// When the bytes are not one, or not whole.
    pub fn decode_snapshot(bytes: &[u8]) -> Result<GroupState, SnapshotError> {
        let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(SnapshotError::Magic)?;
        let mut from = Reader::new(body);
        if from.u32() != Ok(MAGIC) {
            return Err(SnapshotError::Magic);
        }
        let version = from.u16()?;
        if version != VERSION {
            return Err(SnapshotError::Version { version });
        }
        if crc_fast::crc32_iscsi(body) != u32::from_le_bytes(*checksum) {
            return Err(SnapshotError::Checksum);
        }
        let (group, applied, epoch) = (GroupId(from.u32()?), Lsn(from.u64()?), Epoch(from.u32()?));
        let time = from.time()?;
        let partitions = from
            .list(PARTITION_BYTES_MIN, |from| {
                Ok((from.partition()?, PartitionState::decode(from)?))
            })?
            .into_iter()
            .collect();
        from.end()?;
        Ok(GroupState {
            group,
            applied,
            epoch,
            time,
            partitions,
        })
    }
}
