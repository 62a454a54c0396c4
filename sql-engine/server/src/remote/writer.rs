//! A shard's writer: a producer with an id of its own, which its records carry in their batches' headers.

use super::{patiently, streams_error};
use async_trait::async_trait;
use bytes::Bytes;
use millstream_model::limits::BATCH_BYTES_MAX;
use millstream_model::{Offset, PartitionIndex, ProducerId, TopicName};
use millstream_runtime::{Appended, RefusedRecord, StreamRecord, StreamWriter, StreamsError};
use millstream_rust::{Client, Delivered, Error, Producer, ProducerSettings, Record};
use std::time::Duration;

/// One producer, used until it fails.
pub(super) struct RemoteWriter {
    id: ProducerId,
    producer: Producer,
}

impl RemoteWriter {
    pub(super) async fn open(client: &Client) -> Result<Self, StreamsError> {
        let opened = patiently(|| Box::pin(client.init_producer())).await;
        let identity = opened.map_err(|error| StreamsError::Unavailable {
            reason: error.to_string(),
        })?;
        let producer = client.producer(ProducerSettings {
            linger: Duration::ZERO,
            identity: Some(identity),
            ..ProducerSettings::default()
        });
        let (id, _) = identity;
        Ok(Self { id, producer })
    }
}

#[async_trait]
impl StreamWriter for RemoteWriter {
    fn id(&self) -> ProducerId {
        self.id
    }

    async fn produce(
        &self,
        topic: &TopicName,
        records: Vec<(PartitionIndex, Vec<StreamRecord>)>,
    ) -> Vec<Result<Appended, StreamsError>> {
        let mut enqueued = Vec::with_capacity(records.len());
        for (partition, records) in records {
            enqueued.push(enqueue(&self.producer, topic, partition, records).await);
        }
        self.producer.flush().await;
        let mut outcomes = Vec::with_capacity(enqueued.len());
        for sent in enqueued {
            let outcome = sent.settle().await;
            outcomes.push(outcome.map_err(|error| streams_error(error, topic)));
        }
        outcomes
    }
}

/// Records of a partition on their way.
pub(super) struct Sent<D> {
    /// Those that are under way, each with what is told of it if the topic refuses it.
    deliveries: Vec<(RefusedRecord, D)>,
    /// Those that no topic takes.
    refused: Vec<RefusedRecord>,
    /// Why the rest was not taken.
    stopped: Option<Error>,
}

impl<D: Future<Output = Result<Delivered, Error>>> Sent<D> {
    /// Waits for all of them; the first error counts, unless it is one record's own.
    pub(super) async fn settle(self) -> Result<Appended, Error> {
        let mut appended = Appended {
            end: None,
            refused: self.refused,
        };
        let mut failed = None;
        for (place, delivery) in self.deliveries {
            match delivery.await {
                Ok(delivered) => appended.end = Some(Offset(delivered.offset).plus(1)),
                Err(error) if error.refuses_records() => appended.refused.push(RefusedRecord {
                    reason: error.to_string(),
                    ..place
                }),
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        match failed.or(self.stopped) {
            Some(error) => Err(error),
            None => Ok(appended),
        }
    }
}

/// What a batch takes beside the keys and values of one record: its header, lengths and offsets.
const RECORD_FRAME_BYTES: usize = 128;

/// Puts a partition's records on their way.
pub(super) async fn enqueue(
    producer: &Producer,
    topic: &TopicName,
    partition: PartitionIndex,
    records: Vec<StreamRecord>,
) -> Sent<impl Future<Output = Result<Delivered, Error>> + use<>> {
    let mut sent = Sent {
        deliveries: Vec::with_capacity(records.len()),
        refused: Vec::new(),
        stopped: None,
    };
    for record in records {
        let timestamp = record.timestamp;
        let place = |reason| RefusedRecord {
            partition,
            timestamp,
            reason,
        };
        let sizes = [&record.key, &record.value].map(|part| part.as_ref().map_or(0, Bytes::len));
        let bytes = sizes.iter().sum::<usize>();
        if bytes > BATCH_BYTES_MAX - RECORD_FRAME_BYTES {
            sent.refused.push(place(format!(
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
            Ok(delivery) => sent.deliveries.push((place(String::new()), delivery)),
            Err(error) => {
                sent.stopped = Some(error);
                break;
            }
        }
    }
    sent
}
