//! Offsets whose records are gone, and the batch that stands for them.

use crate::payload::{PayloadError, stamped};
use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchBuilder, HEADER_BYTES};
use millstream_model::{LeaderEpoch, Offset, TimestampMs};

/// Offsets whose records are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first.
    pub base_offset: Offset,
    /// One past the last; at most 2^31 further, or no batch could say it.
    pub end_offset: Offset,
    /// The epoch that wrote the last of them.
    pub leader_epoch: LeaderEpoch,
    /// The largest timestamp they had: retention judges the gap as it would have judged them.
    pub timestamp_max: TimestampMs,
}

impl Gap {
    /// Bytes of the batch that stands for it.
    pub(crate) const BYTES: u64 = HEADER_BYTES as u64;

    /// The batch that stands for it.
    pub fn batch(&self) -> Bytes {
        let last = self.end_offset.0 - self.base_offset.0 - 1;
        let mut builder = BatchBuilder::new().stamp(self.base_offset, self.leader_epoch);
        builder.extend_to(i32::try_from(last).expect("bug: a gap is no longer than a batch may be"));
        builder.reach_to(self.timestamp_max);
        builder
            .build()
            .expect("bug: a header alone is within every limit")
    }

    pub(crate) fn read(payload: &Bytes) -> Result<Gap, PayloadError> {
        let header = stamped(payload)?;
        if header.record_count != 0 || header.size() != HEADER_BYTES {
            return Err(PayloadError::Records);
        }
        Ok(Gap {
            base_offset: header.base_offset,
            end_offset: header.next_offset(),
            leader_epoch: header.leader_epoch,
            timestamp_max: header.max_timestamp,
        })
    }
}
