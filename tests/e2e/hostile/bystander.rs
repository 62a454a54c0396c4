//! A quiet tenant: what it does all day goes on, whatever others do, and takes about as long as without them.

use crate::harness::{Key, Server, http};
use crate::hostile::times::Times;
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
use std::time::{Duration, Instant};
use tokio::time::timeout;

const TOPIC: &str = "quiet";

/// An end for every step; how long each may take, its times alone say.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often its day is measured before anybody is hostile.
const ALONE: usize = 5;

const SQL: &str =
    "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='sql', PARTITIONS=1, VALUE_FORMAT='JSON');
    CREATE TABLE c AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;";

/// A tenant that harms nobody.
pub struct Quiet {
    client: Client,
    key: Key,
    kafka: String,
    http: String,
    sent: i64,
    alone: Times,
    times: Times,
}

impl Quiet {
    /// A tenant of its own with a topic and a query, whose day has been measured.
    pub async fn new(server: &Server, name: &str) -> Quiet {
        let (_, key) = tenant(&server.client(), name).await;
        let client = server.client_as(&key);
        client
            .admin()
            .create_topic(TOPIC, 1, BTreeMap::new())
            .await
            .unwrap();
        client.sql_rows(SQL, &BTreeMap::new()).await.unwrap();
        let mut quiet = Quiet {
            client,
            key,
            kafka: server.doors.kafka.clone(),
            http: server.doors.http.clone(),
            sent: 0,
            alone: Times::default(),
            times: Times::default(),
        };
        // The first time much is made that is there later.
        quiet.goes_on().await;
        quiet.times = Times::default();
        for _ in 0..ALONE {
            quiet.goes_on().await;
        }
        quiet.alone = std::mem::take(&mut quiet.times);
        quiet
    }

    /// Logs in, produces and fetches at the Kafka door, produces and reads at the gRPC door, writes and asks in SQL, and
    /// looks whether the service is well; each time over new connections, but for the SDK's.
    pub async fn goes_on(&mut self) {
        let (key, kafka, first) = (self.key.clone(), self.kafka.clone(), self.sent);
        let kafka = tokio::task::spawn_blocking(move || at_the_kafka_door(&kafka, &key, first));
        let times = timeout(PATIENCE, kafka).await.expect("the Kafka door goes on");
        self.times.extend(times.unwrap());
        timeout(PATIENCE, self.at_the_grpc_door())
            .await
            .expect("the gRPC door goes on");
        timeout(PATIENCE, self.in_sql()).await.expect("SQL goes on");
        let http = self.http.clone();
        let begun = Instant::now();
        let health = tokio::task::spawn_blocking(move || {
            for path in ["/readyz", "/livez"] {
                let (status, text) = http::get(&http, path).unwrap();
                assert_eq!(status, 200, "{path}: {text}");
            }
        });
        timeout(PATIENCE, health)
            .await
            .expect("health is answered")
            .unwrap();
        self.times.took("health", begun);
    }

    async fn at_the_grpc_door(&mut self) {
        let begun = Instant::now();
        let producer = self.client.producer(ProducerSettings::default());
        let delivered = producer.send(TOPIC, Record::new().value("quiet")).await.unwrap();
        assert_eq!(delivered.offset, self.sent + 1);
        self.times.took("produce over gRPC", begun);
        let begun = Instant::now();
        let mut consumer = self.client.consumer(ConsumerSettings::new(TOPIC, From::Earliest));
        for offset in 0..=delivered.offset {
            assert_eq!(consumer.next().await.unwrap().offset, offset);
        }
        self.times.took("read over gRPC", begun);
        self.sent += 2;
    }

    async fn in_sql(&mut self) {
        for (step, statement) in [
            ("insert", "INSERT INTO s VALUES ('a', 1);"),
            ("pull query", "SELECT n FROM c WHERE k = 'a';"),
        ] {
            let begun = Instant::now();
            self.client.sql_rows(statement, &BTreeMap::new()).await.unwrap();
            self.times.took(step, begun);
        }
    }

    /// That no step of its day since it was alone took much longer than then.
    pub fn kept_its_times(&self) {
        self.times.assert_kept(&self.alone);
    }
}

fn at_the_kafka_door(kafka: &str, key: &Key, first: i64) -> Times {
    let mut times = Times::default();
    let begun = Instant::now();
    let mut wire = Wire::authenticated(kafka, key);
    times.took("login", begun);
    let begun = Instant::now();
    let produced = wire.call(9, &produce(TOPIC, batch_of(1000)));
    let result = &produced.responses[0].partition_responses[0];
    assert_eq!((result.error_code, result.base_offset), (0, first));
    times.took("produce", begun);
    let begun = Instant::now();
    let fetched = wire.call(12, &fetch(TOPIC, first));
    let records = &fetched.responses[0].partitions[0].records;
    assert!(records.as_ref().is_some_and(|it| it.len() > 1000));
    times.took("fetch", begun);
    times
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
