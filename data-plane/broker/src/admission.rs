//! Which batches get into the log: what a batch says of itself is held against its records, for readers, retention and
//! lookups by time go by its header ever after.

use crate::interface::{ProduceError, RefusedRecord};
use crate::replica::Planted;
use bytes::{Bytes, BytesMut};
use millstream_kafka_wire::batch::{BatchError, BatchView};
use millstream_metadata::topic_config::{TimestampType, TopicSettings};
use millstream_model::TimestampMs;

/// A batch that its topic takes.
#[derive(Debug)]
pub struct Admitted {
    batch: BatchView,
    /// The largest timestamp of its records, whatever its header says.
    timestamp_max: TimestampMs,
}

/// Checks that a producer may send this batch to a topic with these settings; reads every record. Of records with a
/// timestamp that the topic does not allow at most `nameable` are named.
///
/// # Errors
/// For the first rule that is broken.
pub fn admit(
    settings: &TopicSettings,
    bytes: Bytes,
    now: TimestampMs,
    nameable: usize,
) -> Result<Admitted, ProduceError> {
    let (length, max) = (bytes.len(), settings.message_bytes_max);
    if length > max {
        return Err(ProduceError::TooLarge { length, max });
    }
    let batch = BatchView::read(bytes).map_err(batch_error)?;
    batch.check_produced().map_err(batch_error)?;
    let header = *batch.header();
    let mut times = Times::of(settings, now, nameable);
    // As Kafka does: what no reader could read must not get into the log.
    let records = batch.records().map_err(batch_error)?;
    for (index, record) in (0..).zip(records.iter()) {
        let record = record.map_err(|error| match error {
            BatchError::Record { index, what } if index < header.record_count => ProduceError::Invalid {
                reason: format!("record {index}: {what}"),
                record: Some(RefusedRecord {
                    index,
                    reason: what.to_owned(),
                }),
            },
            error => batch_error(error),
        })?;
        times.see(index, record.timestamp);
    }
    if header.attributes.is_transactional() {
        return Err(ProduceError::NoTransaction);
    }
    Ok(Admitted {
        timestamp_max: times.end()?,
        batch,
    })
}

impl Admitted {
    /// The batch in memory of its own, so that stamping it under the lock copies nothing, and so that the tail cache
    /// does not hold a whole receive buffer for a small batch (log.md 9): the one copy from socket to disk. Its header
    /// has the time that its records have. Where the topic has the broker's time, that is returned, too.
    pub fn own(
        self,
        settings: &TopicSettings,
        now: TimestampMs,
        planted: Planted,
    ) -> (BatchView, Option<TimestampMs>) {
        let length = self.batch.bytes().len();
        let header = *self.batch.header();
        let bytes = match self.batch.into_bytes().try_into_mut() {
            Ok(bytes) if bytes.capacity() < length.saturating_mul(2) => bytes,
            Ok(bytes) => BytesMut::from(&bytes[..]),
            Err(shared) => BytesMut::from(&shared[..]),
        };
        let batch = BatchView::read(bytes.freeze()).expect("bug: the same bytes were a batch before");
        debug_assert_eq!(*batch.header(), header);
        match settings.timestamp_type {
            TimestampType::CreateTime if planted.header_timestamp_believed => (batch, None),
            TimestampType::CreateTime => (batch.with_max_timestamp(self.timestamp_max), None),
            TimestampType::LogAppendTime => (batch.with_log_append_time(now), Some(now)),
        }
    }
}

/// The timestamps of a batch's records, one after the other.
struct Times<'a> {
    /// None where the broker's clock counts: then it does not matter what the producer's says.
    limits: Option<&'a TopicSettings>,
    now: TimestampMs,
    largest: TimestampMs,
    refused: usize,
    nameable: usize,
    named: Vec<RefusedRecord>,
}

impl Times<'_> {
    fn of(settings: &TopicSettings, now: TimestampMs, nameable: usize) -> Times<'_> {
        Times {
            limits: (settings.timestamp_type == TimestampType::CreateTime).then_some(settings),
            now,
            largest: TimestampMs::NONE,
            refused: 0,
            nameable,
            named: Vec::new(),
        }
    }

    fn see(&mut self, index: i32, time: TimestampMs) {
        self.largest = self.largest.max(time);
        let Some(limits) = self.limits.filter(|_| time != TimestampMs::NONE) else {
            return;
        };
        let (ahead, behind) = (
            time.0.saturating_sub(self.now.0),
            self.now.0.saturating_sub(time.0),
        );
        let is_early = ahead > limits.timestamp_after_ms_max;
        if !is_early && behind <= limits.timestamp_before_ms_max {
            return;
        }
        self.refused += 1;
        if self.named.len() < self.nameable {
            let reason = match is_early {
                true => format!(
                    "timestamp {} lies {ahead} ms ahead of the broker's clock, message.timestamp.after.max.ms is {}",
                    time.0, limits.timestamp_after_ms_max
                ),
                false => format!(
                    "timestamp {} lies {behind} ms behind the broker's clock, message.timestamp.before.max.ms is {}",
                    time.0, limits.timestamp_before_ms_max
                ),
            };
            self.named.push(RefusedRecord { index, reason });
        }
    }

    /// The largest of them.
    fn end(self) -> Result<TimestampMs, ProduceError> {
        match self.refused {
            0 => Ok(self.largest),
            count => Err(ProduceError::InvalidTimestamp {
                count,
                records: self.named,
            }),
        }
    }
}

fn batch_error(error: BatchError) -> ProduceError {
    let reason = error.to_string();
    match error {
        BatchError::OldMagic { magic } | BatchError::Magic { magic } => ProduceError::OldFormat { magic },
        BatchError::TooLarge { bytes, max } => ProduceError::TooLarge { length: bytes, max },
        BatchError::Attributes { attributes } if attributes & 0b111 > 4 => ProduceError::UnknownCompression {
            codec: (attributes & 0b111) as u8,
        },
        BatchError::Length { .. } | BatchError::Crc { .. } => ProduceError::Corrupt { reason },
        // Whatever came after the cut is not in the request: sending it again would not help.
        BatchError::Short { .. }
        | BatchError::Attributes { .. }
        | BatchError::Count { .. }
        | BatchError::TooMany { .. }
        | BatchError::Inconsistent { .. }
        | BatchError::Record { .. }
        | BatchError::Compressed { .. }
        | BatchError::Bomb => ProduceError::Invalid { reason, record: None },
    }
}

#[cfg(test)]
mod tests;
