//! A shard's writer: a producer with an id of its own, which its records carry in their batches' headers.

use super::{patiently, streams_error};
use async_trait::async_trait;
use millstream_model::{Offset, PartitionIndex, ProducerId, TopicName};
use millstream_runtime::{StreamRecord, StreamWriter, StreamsError};
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
    ) -> Vec<Result<Offset, StreamsError>> {
        let mut enqueued = Vec::with_capacity(records.len());
        for (partition, records) in records {
            enqueued.push(enqueue(&self.producer, topic, partition, records).await);
        }
        self.producer.flush().await;
        let mut outcomes = Vec::with_capacity(enqueued.len());
        for (deliveries, refused) in enqueued {
            let mut outcome: Result<Option<Delivered>, Error> = Ok(None);
            for delivery in deliveries {
                match delivery.await {
                    Ok(delivered) => outcome = outcome.map(|_| Some(delivered)),
                    Err(error) => outcome = outcome.and(Err(error)),
                }
            }
            if let (Ok(_), Some(error)) = (&outcome, refused) {
                outcome = Err(error);
            }
            outcomes.push(match outcome {
                Ok(Some(last)) => Ok(Offset(last.offset).plus(1)),
                Ok(None) => Err(StreamsError::Unavailable {
                    reason: "nothing was written".to_owned(),
                }),
                Err(error) => Err(streams_error(error, topic)),
            });
        }
        outcomes
    }
}

/// The deliveries of a partition's records, and why the rest was not taken.
async fn enqueue(
    producer: &Producer,
    topic: &TopicName,
    partition: PartitionIndex,
    records: Vec<StreamRecord>,
) -> (Vec<impl Future<Output = Result<Delivered, Error>>>, Option<Error>) {
    let mut deliveries = Vec::with_capacity(records.len());
    for record in records {
        let record = Record {
            key: record.key,
            value: record.value,
            timestamp_ms: Some(record.timestamp.0).filter(|it| *it >= 0),
            partition: Some(partition.0),
            headers: Vec::new(),
        };
        match producer.enqueue(topic.as_str(), record).await {
            Ok(delivery) => deliveries.push(delivery),
            Err(error) => return (deliveries, Some(error)),
        }
    }
    (deliveries, None)
}
