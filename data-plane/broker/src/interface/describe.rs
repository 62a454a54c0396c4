//! What a partition tells about itself.

use millstream_model::{Offset, ProducerEpoch, ProducerId, TimestampMs};

/// A producer that a partition remembers, as its committed log left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Who it is.
    pub id: ProducerId,
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// The last sequence in that epoch; none when it has written no batch in it.
    pub last_sequence: Option<i32>,
    /// When its last batch was written.
    pub time: TimestampMs,
    /// Where its open transaction begins, if it has one.
    pub transaction_start: Option<Offset>,
}
