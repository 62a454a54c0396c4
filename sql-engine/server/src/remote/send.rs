//! Records of one partition on their way through a producer, and what became of them.

use bytes::Bytes;
use millstream_model::limits::BATCH_BYTES_MAX;
use millstream_model::{PartitionIndex, TopicName};
use millstream_runtime::{RefusedRecord, StreamRecord};
use millstream_rust::{Delivered, Error, Producer, Record};
use std::future::Future;

/// What a batch takes beside the keys and values of one record: its header, lengths and offsets.
const RECORD_FRAME_BYTES: usize = 128;

/// Records that were handed to a producer.
pub(super) struct Sent<D> {
    /// Each with what is to be said if its topic refuses it.
    deliveries: Vec<(D, RefusedRecord)>,
    refused: Vec<RefusedRecord>,
    /// Why the rest was not handed over.
    failed: Option<Error>,
}

/// What became of them.
pub(super) struct Settled {
    /// Where the last one lies that was taken.
    pub(super) last: Option<Delivered>,
    /// Those that the topic does not take as they are.
    pub(super) refused: Vec<RefusedRecord>,
    /// Why others are not known to be there.
    pub(super) failed: Option<Error>,
}

/// Hands over a partition's records, in order.
pub(super) async fn send(
    producer: &Producer,
    topic: &TopicName,
    partition: PartitionIndex,
    records: Vec<StreamRecord>,
) -> Sent<impl Future<Output = Result<Delivered, Error>> + use<>> {
    let mut sent = Sent {
        deliveries: Vec::with_capacity(records.len()),
        refused: Vec::new(),
        failed: None,
    };
    for record in records {
        let timestamp = record.timestamp;
        let refused = |reason| RefusedRecord {
            partition,
            timestamp,
            reason,
        };
        let sizes = [&record.key, &record.value].map(|part| part.as_ref().map_or(0, Bytes::len));
        let bytes = sizes.iter().sum::<usize>();
        if bytes > BATCH_BYTES_MAX - RECORD_FRAME_BYTES {
            sent.refused.push(refused(format!(
                "a record of {bytes} bytes is larger than any topic takes ({BATCH_BYTES_MAX})"
            )));
            continue;
        }
        let record = Record {
            key: record.key,
            value: record.value,
            timestamp_ms: Some(record.timestamp.0).filter(|it| *it >= 0),
            partition: Some(partition.0),
            headers: Vec::new(),
        };
        match producer.enqueue(topic.as_str(), record).await {
            Ok(delivery) => sent.deliveries.push((delivery, refused(String::new()))),
            Err(error) => {
                sent.failed = Some(error);
                break;
            }
        }
    }
    sent
}

impl<D: Future<Output = Result<Delivered, Error>>> Sent<D> {
    /// Waits for every answer; the producer was flushed.
    pub(super) async fn settled(self) -> Settled {
        let mut settled = Settled {
            last: None,
            refused: self.refused,
            failed: self.failed,
        };
        for (delivery, place) in self.deliveries {
            match delivery.await {
                Ok(delivered) => settled.last = Some(delivered),
                Err(error) if error.refuses_records() => settled.refused.push(RefusedRecord {
                    reason: error.to_string(),
                    ..place
                }),
                Err(error) => settled.failed = Some(error),
            }
        }
        settled
    }
}
