//! Callers that do not wait as they are told: their quotas bind all the same, and nobody else notices.

use crate::harness::{Key, Server, Start, Work, http, until};
use crate::hostile::bystander::{Quiet, batch_of, fetch, produce};
use crate::tenants::tenant;
use crate::wire::Wire;
use millstream_kafka_wire::messages::MetadataRequest;
use millstream_rust::rpc::control::Quota;
use millstream_rust::rpc::data::{
    CommitOffsetsRequest, CommittedOffset, FetchOffsetsRequest, FetchPartition, FetchRequest, Partition,
    ProducePartition, ProduceRequest,
};
use millstream_rust::{Client, Error, Position, ProducerSettings, Record, SqlAnswer};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "greedy";

/// Bytes per second that the hostile may move.
const RATE: u64 = 100_000;

/// One batch of theirs.
const BATCH: usize = 60_000;

/// An end for waits.
const SOON: Duration = Duration::from_secs(30);

/// How long they go on.
const DURING: Duration = Duration::from_secs(4);

/// Runs an attack over blocking sockets beside the others.
async fn on_a_thread(
    server: &Server,
    key: &Key,
    attack: fn(&str, &Key, &str, &CancellationToken) -> u64,
) -> u64 {
    let (kafka, key) = (server.doors.kafka.clone(), key.clone());
    let attacked = tokio::task::spawn_blocking(move || attack(&kafka, &key, TOPIC, &after(DURING)));
    attacked.await.unwrap()
}

/// Tells attacks to stop after so long.
fn after(during: Duration) -> CancellationToken {
    let stop = CancellationToken::new();
    let stops = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(during).await;
        stops.cancel();
    });
    stop
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

/// Produces over a new Kafka connection after each answer, until it is told to stop; the bytes that were taken.
pub fn reconnecting_producer(kafka: &str, key: &Key, topic: &str, stop: &CancellationToken) -> u64 {
    let mut taken = 0;
    while !stop.is_cancelled() {
        let batch = batch_of(BATCH);
        let size = batch.len() as u64;
        let answer = Wire::authenticated(kafka, key).call(9, &produce(topic, batch));
        if answer.responses[0].partition_responses[0].error_code == 0 {
            taken += size;
        }
    }
    taken
}

/// Fetches over a new Kafka connection after each answer, until it is told to stop; the bytes that were read.
pub fn reconnecting_reader(kafka: &str, key: &Key, topic: &str, stop: &CancellationToken) -> u64 {
    let mut taken = 0;
    while !stop.is_cancelled() {
        let answer = Wire::authenticated(kafka, key).call(12, &fetch(topic, 0));
        let records = &answer.responses[0].partitions[0].records;
        taken += records.as_ref().map_or(0, |records| records.len() as u64);
    }
    taken
}

/// Produces over gRPC as fast as it is answered, whatever `throttle_ms` says, until it is told to
/// stop; the bytes that were taken.
pub async fn impatient_producer(client: &Client, topic: &str, stop: &CancellationToken) -> u64 {
    let mut taken = 0;
    while !stop.is_cancelled() {
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

/// Fetches over gRPC as fast as it is answered, until it is told to stop; the bytes that were read.
pub async fn impatient_reader(client: &Client, topic: &str, stop: &CancellationToken) -> u64 {
    let mut taken = 0;
    while !stop.is_cancelled() {
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
    let filled = impatient_producer(&client, TOPIC, &after(Duration::from_millis(500))).await;
    assert!(filled > 2 * BATCH as u64);
    set_quota(&server, &account, "producer_byte_rate", RATE as f64).await;
    set_quota(&server, &account, "consumer_byte_rate", RATE as f64).await;

    // Both doors at once: they share the meters.
    let begun = Instant::now();
    let stop = after(DURING);
    let (over_kafka, over_grpc, ()) = tokio::join!(
        on_a_thread(&server, &key, reconnecting_producer),
        impatient_producer(&client, TOPIC, &stop),
        quiet.goes_on(),
    );
    assert_bound("produced", over_kafka + over_grpc, begun, 2);
    let begun = Instant::now();
    let stop = after(DURING);
    let (over_kafka, over_grpc, ()) = tokio::join!(
        on_a_thread(&server, &key, reconnecting_reader),
        impatient_reader(&client, TOPIC, &stop),
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
    let end = client.list_offsets(TOPIC, &[0], Position::Latest).await;
    assert_eq!(end.unwrap(), [1]);
    commit_and_fetch(&client, 1).await;
    let topics = client.admin();
    topics.create_topic("made", 1, BTreeMap::new()).await.unwrap();
    let metrics = http::get(&server.doors.admin, "/metrics").unwrap().1;
    assert!(
        !metrics.contains("quota_delays_total{"),
        "none of it has waited:\n{metrics}"
    );
}

/// Commits an offset over gRPC, and reads it back.
async fn commit_and_fetch(client: &Client, offset: i64) {
    let committed = CommittedOffset {
        partition: Some(Partition {
            topic: TOPIC.into(),
            index: 0,
        }),
        offset,
        ..CommittedOffset::default()
    };
    let commit = CommitOffsetsRequest {
        group: "g".into(),
        offsets: vec![committed],
    };
    let answer = client.data().commit_offsets(commit).await.unwrap().into_inner();
    assert_eq!(answer.results[0].error, None);
    let fetch = FetchOffsetsRequest {
        group: "g".into(),
        partitions: Vec::new(),
    };
    let answer = client.data().fetch_offsets(fetch).await.unwrap().into_inner();
    assert_eq!(answer.offsets[0].offset, offset);
}

/// A debt of requests holds up a commit for 2 s and not for 10 s, however many its caller has made it wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_debt_of_requests_holds_up_a_commit_for_a_moment_at_either_door() {
    /// Between what it is to wait for, and what calls of other services wait for.
    const A_MOMENT: Duration = Duration::from_secs(6);
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let (account, key) = tenant(&server.client(), "hasty").await;
    let client = server.client_as(&key);
    let topics = client.admin();
    topics.create_topic(TOPIC, 1, BTreeMap::new()).await.unwrap();
    commit_and_fetch(&client, 1).await;
    let mut wire = Wire::authenticated(&server.doors.kafka, &key);
    set_quota(&server, &account, "request_rate", 1.0).await;
    // What moves no bytes goes on after its patience, and is counted: minutes of debt in a moment.
    let many = (0..200).map(|_| client.list_offsets(TOPIC, &[0], Position::Latest));
    for listed in futures::future::join_all(many).await {
        listed.unwrap();
    }
    let begun = Instant::now();
    commit_and_fetch(&client, 2).await;
    assert!(begun.elapsed() < A_MOMENT, "two calls took {:?}", begun.elapsed());
    let begun = Instant::now();
    assert_eq!(wire.call(12, &MetadataRequest::default()).brokers.len(), 1);
    assert!(begun.elapsed() < A_MOMENT, "{:?}", begun.elapsed());
    // A call of the control plane can be refused and asked again: it is not begun.
    match client.admin().list_topics().await {
        Err(Error::Exhausted(text)) => assert!(text.contains("the quota of requests"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// How many rows of a topic there are.
async fn rows_of(client: &Client, topic: &str) -> u64 {
    let ends = client.list_offsets(topic, &[0], Position::Latest).await.unwrap();
    u64::try_from(ends[0]).unwrap()
}

/// SQL is a client like any other: what its statements and queries write and read is bound by the same quotas.
#[tokio::test(flavor = "multi_thread")]
async fn sql_is_bound_by_the_quotas_of_bytes() {
    /// One row, and as many bytes as a batch of SQL's may have at once.
    const ROW: usize = 10_000;
    const ROWS: u64 = 600;
    const BATCH_MAX: u64 = 1 << 20;
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let (account, key) = tenant(&server.client(), "greedy").await;
    let client = server.client_as(&key);
    let properties = BTreeMap::from([("auto.offset.reset".to_owned(), "earliest".to_owned())]);
    let run = async |text: &str| client.sql_rows(text, &properties).await;
    run("CREATE STREAM s (v STRING) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');")
        .await
        .unwrap();
    // Something to copy and to read, before the quotas: far more than these allow.
    let producer = client.producer(ProducerSettings::default());
    let sent = (0..ROWS).map(|_| {
        let record = Record::new().value(format!("{{\"V\":\"{}\"}}", "x".repeat(ROW)));
        producer.send("s", record)
    });
    for sent in futures::future::join_all(sent).await {
        sent.unwrap();
    }
    let allowed = |begun: Instant, at_once: u64| {
        let passed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap();
        RATE + RATE * passed_ms / 1000 + at_once
    };
    let row = ROW as u64;

    set_quota(&server, &account, "consumer_byte_rate", RATE as f64).await;
    let begun = Instant::now();
    let mut pushed = client
        .sql("SELECT v FROM s EMIT CHANGES;", &properties)
        .await
        .unwrap();
    let mut read = 0;
    while begun.elapsed() < DURING {
        let Ok(answer) = timeout(Duration::from_millis(200), pushed.next_answer()).await else {
            continue;
        };
        if let Some(SqlAnswer::Rows(rows)) = answer.unwrap() {
            read += rows.num_rows() as u64;
        }
    }
    drop(pushed);
    assert!(read > 0, "who waits gets on");
    // A fetch has one batch at least.
    let most = allowed(begun, BATCH_MAX);
    assert!(
        read * row <= most,
        "{read} rows were pushed, {most} bytes at most"
    );

    set_quota(&server, &account, "consumer_byte_rate", 1e9).await;
    set_quota(&server, &account, "producer_byte_rate", RATE as f64).await;
    let begun = Instant::now();
    run("CREATE STREAM copied WITH (KAFKA_TOPIC='copied') AS SELECT v FROM s;")
        .await
        .unwrap();
    tokio::time::sleep(DURING).await;
    let copied = rows_of(&client, "copied").await;
    let most = allowed(begun, BATCH_MAX);
    assert!(copied > 0, "who waits gets on");
    assert!(
        copied * row <= most,
        "{copied} rows were copied, {most} bytes at most"
    );

    // Another, who owes nothing yet.
    let (account, key) = tenant(&server.client(), "writing").await;
    let client = server.client_as(&key);
    let run = async |text: &str| client.sql_rows(text, &properties).await;
    set_quota(&server, &account, "producer_byte_rate", RATE as f64).await;
    run("CREATE STREAM written (v STRING) WITH (KAFKA_TOPIC='written', PARTITIONS=1, VALUE_FORMAT='JSON');")
        .await
        .unwrap();
    let insert = format!("INSERT INTO written VALUES ('{}');", "x".repeat(ROW));
    let begun = Instant::now();
    while begun.elapsed() < DURING {
        // One that still owes when its patience ends is refused.
        let _ = futures::future::join_all((0..10).map(|_| run(&insert))).await;
    }
    let written = rows_of(&client, "written").await;
    let most = allowed(begun, 10 * (row + 1000));
    assert!(
        written * row <= most,
        "{written} rows were written, {most} bytes at most"
    );
    assert!(server.metric("quota_delays_total") > 0.0);
}

/// Requests and connections are counted over both doors of the real binary.
#[tokio::test(flavor = "multi_thread")]
async fn requests_and_connections_are_bound_at_both_doors() {
    const REQUESTS: u32 = 5;
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let (account, key) = tenant(&server.client(), "busy").await;
    let client = server.client_as(&key);
    let topics = client.admin();
    topics.create_topic(TOPIC, 1, BTreeMap::new()).await.unwrap();

    set_quota(&server, &account, "request_rate", f64::from(REQUESTS)).await;
    let mut wire = Wire::authenticated(&server.doors.kafka, &key);
    let begun = Instant::now();
    let asked = 4 * REQUESTS;
    for number in 0..asked {
        if number % 2 == 0 {
            rows_of(&client, TOPIC).await;
        } else {
            wire.call(12, &MetadataRequest::default());
        }
    }
    // One second's worth is there at the beginning, and what the first finds is counted before the next is begun.
    let least = Duration::from_secs(u64::from(asked / REQUESTS - 1)) - Duration::from_millis(500);
    assert!(
        begun.elapsed() >= least,
        "{asked} requests took {:?}",
        begun.elapsed()
    );
    set_quota(&server, &account, "request_rate", 1e6).await;

    // The one of each door that is open, and one more.
    set_quota(&server, &account, "connections", 3.0).await;
    let third = server.client_as(&key);
    rows_of(&third, TOPIC).await;
    let refused = server
        .client_as(&key)
        .list_offsets(TOPIC, &[0], Position::Latest)
        .await;
    match refused {
        Err(Error::Exhausted(text)) => assert!(text.contains("connections is used up"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(
        Wire::try_authenticated(&server.doors.kafka, &key).is_none(),
        "closed without a word of a wrong secret"
    );
    drop(wire);
    until("the place of one that went is free", SOON, async || {
        Wire::try_authenticated(&server.doors.kafka, &key).map(|_| ())
    })
    .await;
    rows_of(&client, TOPIC).await;
}
