//! A shard's writer: a producer with an id of its own, which its records carry in their batches' headers.

use super::send::send;
use super::{patiently, streams_error};
use async_trait::async_trait;
use millstream_model::{Offset, PartitionIndex, ProducerId, TopicName};
use millstream_runtime::{StreamRecord, StreamWriter, StreamsError, WrittenTo};
use millstream_rust::{Client, Producer, ProducerSettings};
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
    ) -> Vec<Result<WrittenTo, StreamsError>> {
        let mut sent = Vec::with_capacity(records.len());
        for (partition, records) in records {
            sent.push(send(&self.producer, topic, partition, records).await);
        }
        self.producer.flush().await;
        let mut outcomes = Vec::with_capacity(sent.len());
        for part in sent {
            let settled = part.settled().await;
            outcomes.push(match settled.failed {
                Some(error) => Err(streams_error(error, topic)),
                None => Ok(WrittenTo {
                    end: settled.last.map(|last| Offset(last.offset).plus(1)),
                    refused: settled.refused,
                }),
            });
        }
        outcomes
    }
}
