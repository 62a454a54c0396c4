//! Callers that do not wait as they are told: their quotas bind all the same, and nobody else notices.

use crate::harness::{Key, Server, Start, Work};
use crate::hostile::bystander::{Quiet, batch_of, fetch, produce};
use crate::tenants::tenant;
use crate::wire::Wire;
use millstream_kafka_wire::messages::MetadataRequest;
use millstream_rust::Client;
use millstream_rust::rpc::control::Quota;
use millstream_rust::rpc::data::{FetchPartition, FetchRequest, Partition, ProducePartition, ProduceRequest};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const TOPIC: &str = "greedy";

/// Bytes per second that the hostile may move.
const RATE: u64 = 100_000;

/// One batch of theirs.
const BATCH: usize = 60_000;

/// How long they go on.
const DURING: Duration = Duration::from_secs(4);

/// Runs an attack over blocking sockets beside the others.
async fn on_a_thread(server: &Server, key: &Key, attack: fn(&str, &Key, &str, Duration) -> u64) -> u64 {
    let (kafka, key) = (server.doors.kafka.clone(), key.clone());
    let attacked = tokio::task::spawn_blocking(move || attack(&kafka, &key, TOPIC, DURING));
    attacked.await.unwrap()
}

/// Sets one of a tenant's quotas.
pub async fn set_quota(server: &Server, account: &str, name: &str, value: f64) {
    let quota = Quota {
        account_id: account.into(),
        name: name.into(),
        value,
        ..Quota::default()
    };
    server.client().admin().set_quota(quota, false).await.unwrap();
}

/// Produces over a new Kafka connection after each answer, for so long; the bytes that were taken.
pub fn reconnecting_producer(kafka: &str, key: &Key, topic: &str, during: Duration) -> u64 {
    let (begun, mut taken) = (Instant::now(), 0);
    while begun.elapsed() < during {
        let batch = batch_of(BATCH);
        let size = batch.len() as u64;
        let answer = Wire::authenticated(kafka, key).call(9, &produce(topic, batch));
        if answer.responses[0].partition_responses[0].error_code == 0 {
            taken += size;
        }
    }
    taken
}

/// Fetches over a new Kafka connection after each answer, for so long; the bytes that were read.
pub fn reconnecting_reader(kafka: &str, key: &Key, topic: &str, during: Duration) -> u64 {
    let (begun, mut taken) = (Instant::now(), 0);
    while begun.elapsed() < during {
        let answer = Wire::authenticated(kafka, key).call(12, &fetch(topic, 0));
        let records = &answer.responses[0].partitions[0].records;
        taken += records.as_ref().map_or(0, |records| records.len() as u64);
    }
    taken
}

/// Produces over gRPC as fast as it is answered, whatever `throttle_ms` says; the bytes that were taken.
pub async fn impatient_producer(client: &Client, topic: &str, during: Duration) -> u64 {
    let (begun, mut taken) = (Instant::now(), 0);
    while begun.elapsed() < during {
        let batch = batch_of(BATCH);
        let size = batch.len() as u64;
        let partition = Some(Partition {
            topic: topic.into(),
            index: 0,
        });
        let request = ProduceRequest {
            partitions: vec![ProducePartition {
                partition,
                batch,
                owner_epoch: 0,
            }],
            ..ProduceRequest::default()
        };
        let answer = client.data().produce(request).await.unwrap().into_inner();
        if answer.results[0].error.is_none() {
            taken += size;
        }
    }
    taken
}

/// Fetches over gRPC as fast as it is answered; the bytes that were read.
pub async fn impatient_reader(client: &Client, topic: &str, during: Duration) -> u64 {
    let (begun, mut taken) = (Instant::now(), 0);
    while begun.elapsed() < during {
        let partition = Some(Partition {
            topic: topic.into(),
            index: 0,
        });
        let request = FetchRequest {
            partitions: vec![FetchPartition {
                partition,
                ..FetchPartition::default()
            }],
            ..FetchRequest::default()
        };
        let answer = client.data().fetch(request).await.unwrap().into_inner();
        taken += answer.results[0].records.len() as u64;
    }
    taken
}

/// That so many bytes in so long is what the rate allows: one second's worth ahead, and one batch at a time.
fn assert_bound(what: &str, taken: u64, begun: Instant, batches_at_once: u64) {
    let passed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let most = RATE + RATE * passed_ms / 1000 + batches_at_once * (BATCH as u64 + 1000);
    assert!(
        taken <= most,
        "{what}: {taken} bytes in {passed_ms} ms, {most} at most"
    );
    assert!(taken >= BATCH as u64, "{what}: who waits gets on");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_is_bound_all_the_same() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let mut quiet = Quiet::new(&server, "quiet").await;
    let (account, key) = tenant(&server.client(), "hostile").await;
    let client = server.client_as(&key);
    client
        .admin()
        .create_topic(TOPIC, 1, BTreeMap::new())
        .await
        .unwrap();
    // Something to read, before the quota.
    let filled = impatient_producer(&client, TOPIC, Duration::from_millis(500)).await;
    assert!(filled > 2 * BATCH as u64);
    set_quota(&server, &account, "producer_byte_rate", RATE as f64).await;
    set_quota(&server, &account, "consumer_byte_rate", RATE as f64).await;

    // Both doors at once: they share the meters.
    let begun = Instant::now();
    let (over_kafka, over_grpc, ()) = tokio::join!(
        on_a_thread(&server, &key, reconnecting_producer),
        impatient_producer(&client, TOPIC, DURING),
        quiet.goes_on(),
    );
    assert_bound("produced", over_kafka + over_grpc, begun, 2);
    let begun = Instant::now();
    let (over_kafka, over_grpc, ()) = tokio::join!(
        on_a_thread(&server, &key, reconnecting_reader),
        impatient_reader(&client, TOPIC, DURING),
        quiet.goes_on(),
    );
    // One each, and what the other had not counted yet when both began.
    assert_bound("read", over_kafka + over_grpc, begun, 4);
    quiet.goes_on().await;
    assert!(server.metric("quota_delays_total") > 0.0);
}

/// What moves no bytes does not wait for a debt of bytes, at either door.
#[tokio::test(flavor = "multi_thread")]
async fn a_debt_of_bytes_holds_up_nothing_else() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let (account, key) = tenant(&server.client(), "indebted").await;
    let client = server.client_as(&key);
    client
        .admin()
        .create_topic(TOPIC, 1, BTreeMap::new())
        .await
        .unwrap();
    set_quota(&server, &account, "producer_byte_rate", 1.0).await;
    let mut wire = Wire::authenticated(&server.doors.kafka, &key);
    let answer = wire.call(9, &produce(TOPIC, batch_of(BATCH)));
    assert_eq!(
        answer.throttle_time_ms, 30_000,
        "told at most so much at once; the rest is kept"
    );
    // Sixteen hours of debt: each of these would outlast the test.
    assert_eq!(wire.call(12, &MetadataRequest::default()).brokers.len(), 1);
    Wire::authenticated(&server.doors.kafka, &key);
    let end = client
        .list_offsets(TOPIC, &[0], millstream_rust::Position::Latest)
        .await;
    assert_eq!(end.unwrap(), [1]);
}
