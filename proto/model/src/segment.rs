//! Where a run of a partition's batches lies in the object store: what the group's log remembers of the tier.

use crate::id::{Epoch, GroupId, Offset, PartitionId};
use crate::time::TimestampMs;
use serde::{Deserialize, Serialize};

/// Who owns an object (log.md 31); only the `tier` crate turns this into a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectOwner {
    /// Written by a group, holds runs of many partitions.
    Shared(GroupId),
    /// Belongs to one partition and lies under its prefix.
    Own(PartitionId),
}

/// The parts of an object's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Who owns it.
    pub owner: ObjectOwner,
    /// The group that wrote it.
    pub group: GroupId,
    /// The epoch of the leader that wrote it.
    pub epoch: Epoch,
    /// A number that this leader used once: with the epoch, the name is never used twice.
    pub number: u64,
}

/// A run of one partition's batches inside an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRef {
    /// The object it lies in.
    pub object: ObjectRef,
    /// The first byte of the run in the object.
    pub position: u64,
    /// Bytes in the run.
    pub length: u64,
    /// CRC-32C of the run's bytes.
    pub checksum: u32,
    /// The first offset in the run.
    pub base_offset: Offset,
    /// One past the last offset in the run.
    pub end_offset: Offset,
    /// The largest timestamp in the run.
    pub timestamp_max: TimestampMs,
}
