//! A quiet tenant: what it does all day goes on, whatever others do.

use crate::harness::{Key, Server};
use crate::tenants::tenant;
use crate::wire::Wire;
use bytes::Bytes;
use millstream_cli::kafka::produce_request;
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
use millstream_kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use millstream_kafka_wire::messages::{FetchRequest, ProduceRequest};
use millstream_kafka_wire::records::Records;
use millstream_model::TimestampMs;
use millstream_rust::{Client, ConsumerSettings, ProducerSettings, Record, Start as From};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

const TOPIC: &str = "quiet";

/// No step of it takes longer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tenant that harms nobody.
pub struct Quiet {
    client: Client,
    key: Key,
    kafka: String,
    sent: i64,
}

impl Quiet {
    /// A tenant of its own with a topic.
    pub async fn new(server: &Server, name: &str) -> Quiet {
        let (_, key) = tenant(&server.client(), name).await;
        let client = server.client_as(&key);
        client
            .admin()
            .create_topic(TOPIC, 1, BTreeMap::new())
            .await
            .unwrap();
        Quiet {
            client,
            key,
            kafka: server.doors.kafka.clone(),
            sent: 0,
        }
    }

    /// Logs in, produces and fetches at the Kafka door, and produces and reads at the gRPC door.
    pub async fn goes_on(&mut self) {
        let (key, kafka, first) = (self.key.clone(), self.kafka.clone(), self.sent);
        let kafka = tokio::task::spawn_blocking(move || {
            let mut wire = Wire::authenticated(&kafka, &key);
            let produced = wire.call(9, &produce(TOPIC, batch_of(1000)));
            let result = &produced.responses[0].partition_responses[0];
            assert_eq!((result.error_code, result.base_offset), (0, first));
            let fetched = wire.call(12, &fetch(TOPIC, first));
            let records = &fetched.responses[0].partitions[0].records;
            assert!(records.as_ref().is_some_and(|it| it.len() > 1000));
        });
        timeout(PATIENCE, kafka)
            .await
            .expect("the Kafka door goes on")
            .unwrap();
        let grpc = async {
            let producer = self.client.producer(ProducerSettings::default());
            let delivered = producer.send(TOPIC, Record::new().value("quiet")).await.unwrap();
            assert_eq!(delivered.offset, self.sent + 1);
            let mut consumer = self.client.consumer(ConsumerSettings::new(TOPIC, From::Earliest));
            for offset in 0..=delivered.offset {
                assert_eq!(consumer.next().await.unwrap().offset, offset);
            }
        };
        timeout(PATIENCE, grpc).await.expect("the gRPC door goes on");
        self.sent += 2;
    }
}

/// One record of so many bytes.
pub fn batch_of(bytes: usize) -> Bytes {
    let mut batch = BatchBuilder::new();
    let value = vec![b'x'; bytes];
    let value = Some(&value[..]);
    batch
        .push(NewRecord {
            timestamp: TimestampMs::now(),
            value,
            ..NewRecord::default()
        })
        .unwrap();
    batch.build().unwrap()
}

/// A produce of this batch to the topic's first partition.
pub fn produce(topic: &str, batch: Bytes) -> ProduceRequest {
    let mut request = produce_request(topic, vec![(0, Bytes::new())]);
    request.topic_data[0].partition_data[0].records = Some(Records::from(batch));
    request
}

/// A fetch of the topic's first partition that does not wait.
pub fn fetch(topic: &str, offset: i64) -> FetchRequest {
    FetchRequest {
        replica_id: -1,
        max_bytes: 16 << 20,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: vec![FetchPartition {
                fetch_offset: offset,
                partition_max_bytes: 16 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}
