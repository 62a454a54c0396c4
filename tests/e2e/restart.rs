//! What a restart costs, and what it keeps.

use crate::harness::{Server, Start, Work};
use millstream_rust::{Client, Position, ProducerSettings, Record};
use std::collections::BTreeMap;

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
    server
        .client()
        .admin()
        .create_topic(TOPIC, 4, BTreeMap::new())
        .await
        .unwrap();
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
