//! Control batches: one record that ends a transaction for its readers.
//!
//! ```text
//! key:   version i16 = 0 | type i16: 0 abort, 1 commit      value: version i16 = 0 | coordinator epoch i32
//! ```

use super::record::RecordRef;
use super::{BatchBuilder, NewRecord, Producer};
use bytes::Bytes;
use millstream_model::{ProducerEpoch, ProducerId, TimestampMs};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Marker {
    /// Its records are not to be read.
    Abort,
    /// Its records stand.
    Commit,
}

/// What a control record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// How the transaction ended.
    pub marker: Marker,
    /// The epoch of the coordinator that ended it.
    pub coordinator_epoch: i32,
}

impl ControlRecord {
    /// Reads the record of a control batch; `None` for a type of control record that readers skip.
    pub fn read(record: &RecordRef<'_>) -> Option<ControlRecord> {
        let key = record.key?.first_chunk::<4>()?;
        let marker = match i16::from_be_bytes([key[2], key[3]]) {
            0 => Marker::Abort,
            1 => Marker::Commit,
            _ => return None,
        };
        let value = record.value?.first_chunk::<6>()?;
        let coordinator_epoch = i32::from_be_bytes([value[2], value[3], value[4], value[5]]);
        Some(ControlRecord {
            marker,
            coordinator_epoch,
        })
    }

    /// The control batch that says it, for the transaction of this producer. The base offset is 0.
    pub fn to_batch(self, id: ProducerId, epoch: ProducerEpoch, timestamp: TimestampMs) -> Bytes {
        let key = match self.marker {
            Marker::Abort => [0, 0, 0, 0],
            Marker::Commit => [0, 0, 0, 1],
        };
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        BatchBuilder::new()
            .control(Producer {
                id,
                epoch,
                base_sequence: -1,
            })
            .with(NewRecord {
                timestamp,
                key: Some(&key),
                value: Some(&value),
                headers: &[],
            })
    }
}
