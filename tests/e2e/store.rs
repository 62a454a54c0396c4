//! The object store: what it keeps when the journal is lost, and what goes on while it errs or hangs.

mod away;

use crate::harness::s3::{HANG, PASS, Proxy, READS, REFUSE, S3, on_s3};
use crate::harness::{Key, Server, Start, Work, until};
use crate::wire::Wire;
use bytes::{Bytes, BytesMut};
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
use millstream_kafka_wire::messages::ListOffsetsRequest;
use millstream_kafka_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_rust::rpc::control::Role;
use millstream_rust::{Client, Compression, Position, ProducerSettings, Record};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

const TOPIC: &str = "kept";
const PARTITIONS: u32 = 2;
const SOON: Duration = Duration::from_secs(60);

/// How often hot data is flushed and snapshots are taken.
const INTERVAL: Duration = Duration::from_millis(200);

/// Flushes early and often.
fn eager() -> Start {
    Start::service().args(&[
        "--journal-size",
        "64MiB",
        "--flush-bytes",
        "64KiB",
        "--flush-age-ms",
        "200",
    ])
}

async fn produce(client: &Client, count: u32, compression: Compression) {
    let producer = client.producer(ProducerSettings {
        compression,
        ..ProducerSettings::default()
    });
    let mut deliveries = Vec::new();
    for number in 0..count {
        let value = format!("{number} {}", "value ".repeat(30));
        let record = Record::new()
            .value(value)
            .partition(number % PARTITIONS)
            .header("n", number.to_string());
        deliveries.push(producer.enqueue(TOPIC, record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
}

/// Every batch of every partition, as the bytes that a consumer gets.
async fn bytes_of(client: &Client) -> Vec<Bytes> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let end = client
            .list_offsets(TOPIC, &[partition], Position::Latest)
            .await
            .unwrap()[0];
        let mut bytes = BytesMut::new();
        let mut at = client
            .list_offsets(TOPIC, &[partition], Position::Earliest)
            .await
            .unwrap()[0];
        while at < end {
            let place = [(TOPIC.to_owned(), partition, at)];
            let fetched = client
                .fetch(&place, 1 << 20, Duration::from_secs(5))
                .await
                .unwrap()
                .remove(0);
            assert!(fetched.error.is_none(), "{:?}", fetched.error);
            assert!(
                !fetched.records.is_empty(),
                "{partition} at {at} of {end}: no records"
            );
            for batch in millstream_kafka_wire::batch::batches(fetched.records) {
                let batch = batch.unwrap();
                assert_eq!(batch.header().base_offset.0, at, "batches follow each other");
                at = batch.header().next_offset().0;
                bytes.extend_from_slice(batch.bytes());
            }
        }
        all.push(bytes.freeze());
    }
    all
}

/// Waits until all that was produced is in the store, and in snapshots.
async fn kept(server: &Server) {
    tiered_to_the_end(server).await;
    at_rest(server).await;
}

/// Waits until all that was produced is in the store.
async fn tiered_to_the_end(server: &Server) {
    let partitions: Vec<u32> = (0..PARTITIONS).collect();
    let ends = server
        .client()
        .list_offsets(TOPIC, &partitions, Position::Latest)
        .await
        .unwrap();
    let mut wire = Wire::authenticated(&server.doors.kafka, &server.key);
    until("the last record is in the store", SOON, async || {
        let tiered: Vec<i64> = partitions.iter().map(|it| tiered(&mut wire, *it) + 1).collect();
        (tiered == ends).then_some(())
    })
    .await;
}

/// The last offset of a partition that is in the store; -1 when none is.
fn tiered(wire: &mut Wire, partition: u32) -> i64 {
    let partition_index = i32::try_from(partition).unwrap();
    let asked = ListOffsetsPartition {
        partition_index,
        timestamp: -5,
        ..ListOffsetsPartition::default()
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: TOPIC.into(),
            partitions: vec![asked],
        }],
        ..ListOffsetsRequest::default()
    };
    let answer = wire.call(9, &request);
    let found = &answer.topics[0].partitions[0];
    assert_eq!(found.error_code, 0);
    found.offset
}

fn erase_the_disk(data: &Path) {
    for folder in ["journal", "snapshots", "cache"] {
        let _ = std::fs::remove_dir_all(data.join(folder));
    }
}

async fn survives_a_lost_journal(work: &Work, start: impl Fn() -> Start) {
    let server = Server::first(work, start());
    let identity = server.identity();
    server.make_topic(TOPIC, PARTITIONS).await;
    for compression in [
        Compression::None,
        Compression::Gzip,
        Compression::Lz4,
        Compression::Zstd,
        Compression::Snappy,
    ] {
        produce(&server.client(), 1000, compression).await;
    }
    let before = bytes_of(&server.client()).await;
    kept(&server).await;
    server.kill();
    erase_the_disk(&work.data());
    // The new, empty journal takes over what has no other replica only when the operator says so.
    let server = Server::again(work, start().args(&["--recover-groups"]), &identity);
    let after = bytes_of(&server.client()).await;
    for (before, after) in before.iter().zip(&after) {
        let same = before
            .iter()
            .zip(after)
            .take_while(|(before, after)| before == after)
            .count();
        assert!(
            before.len() > 10_000 && same == before.len(),
            "of {} bytes before and {} after only {same} are the same\n{}",
            before.len(),
            after.len(),
            server.log()
        );
    }
    assert!(server.metric("broker_fetched_from_store_bytes_total") > 0.0);
    // And the service goes on from there.
    produce(&server.client(), 10, Compression::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_journal_is_read_back_from_a_folder() {
    survives_a_lost_journal(&Work::new(), eager).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_journal_is_read_back_from_s3() {
    let Some(s3) = S3::start() else { return };
    let work = Work::new();
    let endpoint = s3.address();
    survives_a_lost_journal(&work, || on_s3(eager(), &work, &endpoint)).await;
}

/// Waits until every group has taken its last snapshot: an idle one takes none.
async fn at_rest(server: &Server) {
    let mut last = (server.metric("broker_snapshots_total"), Instant::now());
    until("no more snapshots are taken", SOON, async || {
        let taken = server.metric("broker_snapshots_total");
        if taken != last.0 {
            last = (taken, Instant::now());
        }
        (last.1.elapsed() > 10 * INTERVAL).then_some(())
    })
    .await;
    assert_eq!(server.metric("broker_snapshot_failures_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_lost_journal_had_is_passed_over() {
    let work = Work::new();
    let server = Server::first(&work, eager());
    let identity = server.identity();
    server.make_topic(TOPIC, PARTITIONS).await;
    produce(&server.client(), 200, Compression::None).await;
    kept(&server).await;
    server.kill();
    // From here on snapshots know the records and the store gets none.
    let lazy = ["--flush-age-ms", "3600000", "--snapshot-age-ms", "100"];
    let server = Server::again(&work, Start::service().args(&lazy), &identity);
    produce(&server.client(), 200, Compression::None).await;
    at_rest(&server).await;
    server.kill();
    erase_the_disk(&work.data());

    let server = Server::again(&work, eager().args(&["--recover-groups"]), &identity);
    let client = server.client();
    produce(&client, 20, Compression::None).await;
    kept(&server).await;
    let ends = client
        .list_offsets(TOPIC, &[0, 1], Position::Latest)
        .await
        .unwrap();
    assert_eq!(ends, [210, 210], "no offset is given out twice");
    assert_eq!(server.metric("broker_lost_offsets_total"), 200.0);
    let log = server.log();
    assert!(
        log.contains("these offsets are lost"),
        "the operator is told:\n{log}"
    );
    // Batch after batch there is no hole, and clients of others come to the end.
    bytes_of(&client).await;
    for (from, expected) in [("beginning", 110), ("150", 10)] {
        let Some(read) = crate::kcat::read(&server, TOPIC, 1, from) else {
            return;
        };
        assert_eq!(read.lines().count(), expected, "from {from}:\n{read}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_errs_or_hangs_stops_no_produce() {
    let Some(s3) = S3::start() else { return };
    let proxy = Proxy::before(s3.port).await;
    let work = Work::new();
    let start = || on_s3(eager(), &work, &proxy.address);
    let server = Server::first(&work, start());
    let identity = server.identity();
    let client = server.client();
    server.make_topic(TOPIC, PARTITIONS).await;
    produce(&client, 1000, Compression::None).await;
    server.wait_for_metric("broker_flushed_objects_total", |it| it >= 1.0);
    for mode in [REFUSE, HANG] {
        proxy.set(mode);
        let before = client
            .list_offsets(TOPIC, &[0, 1], Position::Latest)
            .await
            .unwrap();
        let begun = Instant::now();
        produce(&client, 2000, Compression::None).await;
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "produces took {:?}",
            begun.elapsed()
        );
        // What is still in memory or in the journal reads on.
        for partition in 0..PARTITIONS {
            let at = before[usize::try_from(partition).unwrap()];
            let place = [(TOPIC.to_owned(), partition, at)];
            let fetched = client
                .fetch(&place, 1 << 20, Duration::from_secs(5))
                .await
                .unwrap()
                .remove(0);
            assert!(
                fetched.error.is_none() && !fetched.records.is_empty(),
                "mode {mode}: {:?}",
                fetched.error
            );
        }
        assert_eq!(
            crate::harness::http::get(&server.doors.http, "/livez").unwrap().0,
            200
        );
        proxy.set(PASS);
        let flushed = server.metric("broker_flushed_objects_total");
        server.wait_for_metric("broker_flushed_objects_total", |it| it > flushed);
    }
    let before = bytes_of(&client).await;
    kept(&server).await;
    server.kill();
    let server = Server::again(&work, start(), &identity);
    for (before, after) in before.iter().zip(&bytes_of(&server.client()).await) {
        assert!(
            after.starts_with(before),
            "nothing acknowledged meanwhile is lost"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_the_store_is_down_serves_reads_and_becomes_whole_by_itself() {
    let Some(s3) = S3::start() else { return };
    let proxy = Proxy::before(s3.port).await;
    let work = Work::new();
    // Nothing goes to the store but the catalog: all records are on the disk.
    let start = || {
        on_s3(
            Start::service().args(&["--flush-age-ms", "3600000"]),
            &work,
            &proxy.address,
        )
    };
    let server = Server::first(&work, start());
    let identity = server.identity();
    let client = server.client();
    server.make_topic(TOPIC, PARTITIONS).await;
    produce(&client, 100, Compression::None).await;
    let before = bytes_of(&client).await;
    let cli = server.cli();
    let setup = "SET 'auto.offset.reset' = 'earliest';
        CREATE STREAM visits (page STRING KEY, who STRING) WITH (
            KAFKA_TOPIC = 'visits', VALUE_FORMAT = 'JSON', KEY_FORMAT = 'KAFKA', PARTITIONS = 1);
        CREATE TABLE counts AS SELECT page, COUNT(*) AS visits FROM visits GROUP BY page;";
    cli.ok(&["sql", "-e", setup], "");
    let counts = |server: &Server| {
        let rows = server.cli().json(&["sql", "-e", "SELECT visits FROM counts;"]);
        rows.first()
            .and_then(|row| row.as_object()?.values().next()?.as_i64())
            .unwrap_or(0)
    };
    let visit = |server: &Server| {
        let insert = "INSERT INTO visits (page, who) VALUES ('home', 'ann');";
        server.cli().ok(&["sql", "-e", insert], "");
    };
    visit(&server);
    until("the visit is counted", SOON, async || {
        (counts(&server) == 1).then_some(())
    })
    .await;
    // What was just made is in the copy after a moment; a revocation at once.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let gone = client.admin().create_key("", "gone", Role::Admin).await.unwrap();
    let gone = Key {
        id: gone.key.unwrap().id,
        secret: gone.secret,
    };
    drop(Wire::authenticated(&server.doors.kafka, &gone));
    let revoked = client.admin().revoke_key(&gone.id).await.unwrap();
    assert_eq!(revoked.unconfirmed_nodes, Vec::<i32>::new());
    server.kill();

    // One that can only be read lets nobody decide either.
    for mode in [READS, REFUSE, HANG] {
        proxy.set(mode);
        let server = Server::again(&work, start(), &identity);
        let ready = crate::harness::http::get(&server.doors.http, "/readyz").unwrap();
        assert_eq!(ready, (503, "unready reads-only not-controller\n".to_owned()));
        let client = server.client();
        assert_eq!(bytes_of(&client).await, before, "mode {mode}");
        if let Some(read) = crate::kcat::read(&server, TOPIC, 1, "beginning") {
            assert_eq!(read.lines().count(), 50);
        }
        let mut wire = Wire::authenticated(&server.doors.kafka, &server.key);
        let mut batch = BatchBuilder::new();
        batch.push(NewRecord::default()).unwrap();
        let request = crate::hostile::produce(TOPIC, batch.build().unwrap().to_vec());
        let answer = wire.call(9, &request);
        let code = answer.responses[0].partition_responses[0].error_code;
        assert_eq!(code, 6, "not the leader: try again");
        let gone = server
            .client_as(&gone)
            .list_offsets(TOPIC, &[0], Position::Latest)
            .await;
        assert!(gone.is_err(), "a key that was revoked just before the end");
        let refused = client.admin().create_topic("other", 1, BTreeMap::new()).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("controller")));
        let refused = server.cli().refused(&["topic", "create", "other"]);
        assert!(
            !refused.contains("is the service running"),
            "it has answered: {refused}"
        );
        if mode != HANG {
            assert!(server.stop().success(), "a stop is clean");
            continue;
        }
        proxy.set(PASS);
        until("it is whole by itself", SOON, async || {
            (crate::harness::http::get(&server.doors.http, "/readyz").ok()?.0 == 200).then_some(())
        })
        .await;
        produce(&client, 100, Compression::None).await;
        server.make_topic("other", 1).await;
        visit(&server);
        until("the query goes on", SOON, async || {
            (counts(&server) == 2).then_some(())
        })
        .await;
        for (before, after) in before.iter().zip(&bytes_of(&client).await) {
            assert!(after.starts_with(before) && after.len() > before.len());
        }
        assert!(server.stop().success());
    }
}

/// What went to the store is in the journal, too, until its file is used again: reads need no store for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_journal_still_has_is_read_while_the_store_is_down() {
    let Some(s3) = S3::start() else { return };
    let proxy = Proxy::before(s3.port).await;
    let work = Work::new();
    let start = || on_s3(eager(), &work, &proxy.address);
    let server = Server::first(&work, start());
    let identity = server.identity();
    server.make_topic(TOPIC, PARTITIONS).await;
    produce(&server.client(), 100, Compression::None).await;
    let before = bytes_of(&server.client()).await;
    kept(&server).await;
    // What was just made is in the copy of the catalog after a moment.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.kill();
    proxy.set(REFUSE);
    let server = Server::again(&work, start(), &identity);
    assert_eq!(bytes_of(&server.client()).await, before);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_needs_the_store() {
    let proxy = Proxy::before(1).await;
    proxy.set(REFUSE);
    let work = Work::new();
    let (mut child, log) = crate::harness::server::spawn(&work, &on_s3(eager(), &work, &proxy.address), None);
    assert!(!crate::harness::server::wait(&mut child, &log).success());
    let told = std::fs::read_to_string(&log).unwrap();
    let last = told.lines().last().unwrap_or_default();
    assert!(last.contains("is it up, and is --store right?"), "{told}");
}
