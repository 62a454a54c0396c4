//! What a restart costs, and what it keeps.

use crate::forge::batch;
use crate::harness::{Server, Start, Work};
use crate::wire::Wire;
use millstream_cli::kafka::produce_request;
use millstream_kafka_wire::messages::{FetchRequest, MetadataRequest, fetch_request, metadata_request};
use millstream_rust::{Client, Position, ProducerSettings, Record};

const TOPIC: &str = "history";

async fn produce(client: &Client, count: u32) {
    let producer = client.producer(ProducerSettings::default());
    let mut deliveries = Vec::new();
    for number in 0..count {
        let record = Record::new()
            .key(format!("{}", number % 100))
            .value(format!("{number} {}", "x".repeat(4000)));
        deliveries.push(producer.enqueue(TOPIC, record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reads_the_same_however_long_the_history() {
    let settings = [
        "--journal-size",
        "64MiB",
        "--flush-bytes",
        "256KiB",
        "--flush-age-ms",
        "200",
        "--log",
        "warn",
    ];
    let start = || Start::service().args(&settings);
    let work = Work::new();
    let mut server = Server::first(&work, start());
    let identity = server.identity();
    server.make_topic(TOPIC, 4).await;
    let mut costs = Vec::new();
    for count in [5_000, 45_000] {
        produce(&server.client(), count).await;
        // Everything so far is in the store and in a snapshot: two more begin after this moment.
        let taken = server.metric("broker_snapshots_total");
        let mut extra = 0;
        while server.metric("broker_snapshots_total") < taken + 2.0 {
            produce(&server.client(), 1).await;
            extra += 1;
            assert!(extra < 2000, "no snapshot is taken:\n{}", server.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        server.kill();
        server = Server::again(&work, start(), &identity);
        costs.push((
            server.metric("broker_restart_read_bytes"),
            server.metric("broker_restart_records_read"),
        ));
    }
    let partitions = [0, 1, 2, 3];
    let ends = server
        .client()
        .list_offsets(TOPIC, &partitions, Position::Latest)
        .await
        .unwrap();
    assert!(ends.iter().sum::<i64>() >= 50_000);
    let [(few_bytes, few_records), (many_bytes, many_records)] = costs[..] else {
        panic!("two restarts")
    };
    println!("bytes and records read at a restart: {costs:?}");
    // 20 and 200 MB of history. What is read is what came since the last snapshot, and the journal gives space back by
    // whole files (of 8 MiB here): a few files either way.
    let files = 4.0 * f64::from(8 << 20);
    assert!(
        many_bytes <= few_bytes + files,
        "bytes grow with the history: {costs:?}"
    );
    assert!(
        many_records <= 3.0 * few_records + 1000.0,
        "records grow with the history: {costs:?}"
    );
}

/// A reader that has read more of an epoch than there is of it (here it only says so; a lost disk makes it true) is told
/// where that epoch ended, instead of going on among records that it did not follow (KIP-320).
#[test]
fn a_reader_that_parted_from_the_log_is_told_where() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let identity = server.identity();
    let epoch = |server: &Server| {
        let mut wire = Wire::authenticated(&server.doors.kafka, &server.key);
        wire.call(12, &metadata(TOPIC)).topics[0].partitions[0].leader_epoch
    };
    let produce = |server: &Server, count: usize| {
        let mut wire = Wire::authenticated(&server.doors.kafka, &server.key);
        for _ in 0..count {
            let answer = wire.call(9, &produce_request(TOPIC, vec![(0, batch().into())]));
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
    };
    let first = epoch(&server);
    produce(&server, 2);
    server.kill();
    let server = Server::again(&work, Start::service(), &identity);
    let second = epoch(&server);
    assert!(second > first);
    produce(&server, 2);
    let mut wire = Wire::authenticated(&server.doors.kafka, &server.key);
    // Each batch has three records: the first epoch ends at 6, the log at 12.
    let cases = [
        (first, 6, None),
        (first, 7, Some((first, 6))),
        (first, 12, Some((first, 6))),
        (second, 12, None),
        (first, 3, None),
    ];
    for (last_fetched_epoch, fetch_offset, wanted) in cases {
        let answer = wire.call(12, &fetch(TOPIC, fetch_offset, last_fetched_epoch));
        let partition = &answer.responses[0].partitions[0];
        let parted = &partition.diverging_epoch;
        let told = (parted.epoch >= 0).then_some((parted.epoch, parted.end_offset));
        assert_eq!(partition.error_code, 0);
        assert_eq!(told, wanted, "epoch {last_fetched_epoch}, offset {fetch_offset}");
        let records = partition.records.as_ref().map_or(0, |records| records.len());
        assert_eq!(records > 0, wanted.is_none() && fetch_offset < 12);
    }
}

fn metadata(topic: &str) -> MetadataRequest {
    MetadataRequest {
        topics: Some(vec![metadata_request::MetadataRequestTopic {
            name: Some(topic.to_owned()),
            ..Default::default()
        }]),
        ..Default::default()
    }
}

fn fetch(topic: &str, fetch_offset: i64, last_fetched_epoch: i32) -> FetchRequest {
    FetchRequest {
        max_bytes: 1 << 20,
        topics: vec![fetch_request::FetchTopic {
            topic: topic.to_owned(),
            partitions: vec![fetch_request::FetchPartition {
                fetch_offset,
                last_fetched_epoch,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}
