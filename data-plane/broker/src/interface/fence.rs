//! Taking a partition over, so that its earlier owner can no longer write.

use millstream_model::{Offset, OwnerEpoch};

/// A partition in the hands of a new owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FencedPartition {
    /// What the new owner's appends have to carry.
    pub owner_epoch: OwnerEpoch,
    /// The partition's first offset.
    pub log_start: Offset,
    /// One past the last committed offset: all that an earlier owner has or will ever have got in lies below.
    pub high_watermark: Offset,
}
