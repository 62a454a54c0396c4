//! One bit flips in the middle of the journal of a node that has the only copy: what the operator gets back.

use crate::harness::{Key, Server, Start, Work, until};
use crate::tenants::tenant;
use bytes::Bytes;
use millstream_cli::kafka::{KafkaClient, KafkaError};
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord, Producer};
use millstream_model::{ProducerEpoch, ProducerId, TimestampMs};
use millstream_rust::rpc::data::{CommitOffsetsRequest, CommittedOffset, FetchOffsetsRequest, Partition};
use millstream_rust::{Client, ConsumerSettings, Position, Start as From};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PARTITIONS: u32 = 2;
const GROUP: &str = "readers";

/// An idempotent producer of one partition of a tenant, and what it wrote.
struct Writer {
    name: &'static str,
    key: Key,
    topic: &'static str,
    partition: u32,
    id: (i64, i16),
    written: i32,
    /// To the server that runs now.
    client: Option<KafkaClient>,
}

impl Writer {
    async fn new(server: &Server, key: &Key, place: (&'static str, u32), name: &'static str) -> Writer {
        let mut client = connect(server, key).await;
        let id = loop {
            match client.init_producer().await {
                Ok(id) => break id,
                Err(KafkaError::Refused { retriable: true, .. }) => pause().await,
                Err(error) => panic!("{error}"),
            }
        };
        Writer {
            name,
            key: key.clone(),
            topic: place.0,
            partition: place.1,
            id,
            written: 0,
            client: Some(client),
        }
    }

    fn value(&self, number: i32) -> String {
        format!("{}-{number:04}-{}", self.name, "x".repeat(300))
    }

    /// One batch with one record; its sequence is the next one.
    fn batch(&self) -> Bytes {
        let mut batch = BatchBuilder::new().producer(Producer {
            id: ProducerId(self.id.0),
            epoch: ProducerEpoch(self.id.1),
            base_sequence: self.written,
        });
        let value = self.value(self.written);
        let record = NewRecord {
            timestamp: TimestampMs(1),
            value: Some(value.as_bytes()),
            ..NewRecord::default()
        };
        batch.push(record).unwrap();
        batch.build().unwrap()
    }

    async fn write(&mut self, server: &Server) {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => connect(server, &self.key).await,
        };
        loop {
            match client
                .produce(self.topic, vec![(self.partition, self.batch())])
                .await
            {
                Ok(()) => break,
                Err(KafkaError::Refused { retriable: true, .. }) => pause().await,
                Err(error) => panic!("{} at {}: {error}", self.name, self.written),
            }
        }
        self.written += 1;
        self.client = Some(client);
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

async fn connect(server: &Server, key: &Key) -> KafkaClient {
    KafkaClient::connect(&server.doors.kafka, &key.id, &key.secret)
        .await
        .unwrap()
}

async fn commit(client: &Client, topic: &str, at: i64) {
    let offset = CommittedOffset {
        partition: Some(Partition {
            topic: topic.into(),
            index: 0,
        }),
        offset: at,
        ..CommittedOffset::default()
    };
    let request = CommitOffsetsRequest {
        group: GROUP.into(),
        offsets: vec![offset],
    };
    let answer = client.data().commit_offsets(request).await.unwrap().into_inner();
    assert!(answer.results[0].error.is_none(), "{answer:?}");
}

async fn committed(client: &Client) -> Vec<i64> {
    let request = FetchOffsetsRequest {
        group: GROUP.into(),
        partitions: Vec::new(),
    };
    let answer = client.data().fetch_offsets(request).await.unwrap().into_inner();
    answer.offsets.iter().map(|it| it.offset).collect()
}

/// Every record of a topic as (partition, offset, value).
async fn read(client: &Client, topic: &str) -> Vec<(u32, i64, String)> {
    let partitions: Vec<u32> = (0..PARTITIONS).collect();
    let ends = client
        .list_offsets(topic, &partitions, Position::Latest)
        .await
        .unwrap();
    let mut consumer = client.consumer(ConsumerSettings::new(topic, From::Earliest));
    let (mut found, mut next) = (Vec::new(), vec![0; ends.len()]);
    // The last record of each partition is whole here.
    while next != ends {
        for record in consumer.poll().await.unwrap() {
            next[record.partition as usize] = record.offset + 1;
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            found.push((record.partition, record.offset, value));
        }
    }
    found.sort();
    found
}

/// Flips one bit of what is found in one of the journal's files.
fn flip(data: &Path, what: &str) {
    for file in std::fs::read_dir(data.join("journal")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(what.len()).position(|it| it == what.as_bytes()) {
            bytes[at] ^= 1;
            return std::fs::write(&path, bytes).unwrap();
        }
    }
    panic!("{what} is not in the journal");
}

/// What a writer's partition must hold, but for one record.
fn expected(writers: &[Writer], topic: &str, key: &Key, lost: (&str, i32)) -> Vec<(u32, i64, String)> {
    let mut all = Vec::new();
    for writer in writers.iter().filter(|it| it.topic == topic && it.key == *key) {
        for number in (0..writer.written).filter(|number| (writer.name, *number) != lost) {
            all.push((writer.partition, i64::from(number), writer.value(number)));
        }
    }
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_bit_costs_the_record_that_it_hit() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let identity = server.identity();
    let (_, other) = tenant(&server.client(), "other").await;
    let keys = [server.key.clone(), other];
    let mut writers = Vec::new();
    for (key, names) in [(&keys[0], ["a0", "a1", "b0"]), (&keys[1], ["c0", "c1", "d0"])] {
        let client = server.client_as(key);
        for topic in ["orders", "visits"] {
            let made = client
                .admin()
                .create_topic(topic, PARTITIONS, BTreeMap::new())
                .await;
            made.unwrap();
        }
        for (place, name) in [("orders", 0), ("orders", 1), ("visits", 0)]
            .into_iter()
            .zip(names)
        {
            writers.push(Writer::new(&server, key, place, name).await);
        }
    }
    for round in 0..16 {
        for writer in &mut writers {
            writer.write(&server).await;
        }
        for key in &keys {
            commit(&server.client_as(key), "orders", round).await;
        }
    }
    server.kill();
    let lost = ("a1", 6);
    flip(&work.data(), "a1-0006-");

    // Without the operator's word nothing is changed, and what precedes is served.
    let server = Server::again(&work, Start::service(), &identity);
    assert_eq!(server.metric("broker_journal_damaged"), 1.0);
    let ends = server
        .client()
        .list_offsets("orders", &[1], Position::Latest)
        .await
        .unwrap();
    assert_eq!(ends, [6]);
    server.kill();

    let server = Server::again(&work, Start::service().args(&["--recover-groups"]), &identity);
    assert_eq!(server.metric("broker_journal_damaged"), 0.0);
    let told: Vec<String> = server
        .log()
        .lines()
        .filter(|line| line.starts_with("journal "))
        .map(str::to_owned)
        .collect();
    let gaps: Vec<&String> = told
        .iter()
        .filter(|line| line.starts_with("journal lost "))
        .collect();
    assert_eq!(gaps.len(), 1, "{told:?}");
    assert!(
        gaps[0].ends_with("topic=orders partition=1 from=6 to=6 count=1"),
        "{told:?}"
    );
    assert!(
        told[0].ends_with("offsets_lost=1 more_may_be_lost=false"),
        "{told:?}"
    );
    for key in &keys {
        let client = server.client_as(key);
        assert_eq!(
            committed(&client).await,
            [15],
            "what was committed behind the gap counts"
        );
    }
    // Everybody goes on where it was.
    for writer in &mut writers {
        writer.client = None;
        writer.write(&server).await;
    }
    assert!(server.stop().success());
    let server = Server::again(&work, Start::service(), &identity);
    for key in &keys {
        let client = server.client_as(key);
        for topic in ["orders", "visits"] {
            let found = read(&client, topic).await;
            assert_eq!(found, expected(&writers, topic, key, lost), "{topic}");
        }
    }
}

const SOON: Duration = Duration::from_secs(120);

const TABLE: &str = "
SET 'auto.offset.reset' = 'earliest';
SET 'commit.interval.ms' = '100';
CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE c AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY k;";

/// One more row of the stream, counted and committed: a pull query sees what is committed.
async fn count(server: &Server, rows: &mut i64) {
    let insert = format!("INSERT INTO s (k, v) VALUES ('a', {rows});");
    server.cli().ok(&["sql", "-e", &insert], "");
    *rows += 1;
    until_counted(server, *rows).await;
}

async fn until_counted(server: &Server, rows: i64) {
    let expected = [json!({"N": rows, "TOTAL": (0..rows).sum::<i64>()})];
    until("each row is counted once", SOON, async || {
        let found = server.cli().json(&["sql", "-e", "SELECT n, total FROM c;"]);
        (found == expected).then_some(())
    })
    .await;
}

/// Where the batches of a SQL changelog lie in the journal: file, place of the last byte, offset. They are compressed,
/// have one record each and, other than all that producers write, no producer.
fn changelog_batches(data: &Path) -> Vec<(i64, PathBuf, usize)> {
    const HEADER: usize = 61;
    let mut found = Vec::new();
    for file in std::fs::read_dir(data.join("journal")).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for (at, header) in bytes.windows(HEADER).enumerate() {
            let (magic, attributes, last_delta) = (header[16], &header[21..23], &header[23..27]);
            let (producer, count) = (&header[43..51], &header[57..61]);
            if magic == 2
                && attributes == [0, 4]
                && last_delta == [0; 4]
                && producer == [0xff; 8]
                && count == [0, 0, 0, 1]
            {
                let length = u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize;
                let offset = i64::from_be_bytes(header[..8].try_into().unwrap());
                found.push((offset, path.clone(), at + 12 + length - 1));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_goes_on_from_the_last_whole_commit_before_the_damage() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let identity = server.identity();
    server.cli().ok(&["sql", "-e", TABLE], "");
    let mut rows = 0;
    while rows < 8 {
        count(&server, &mut rows).await;
    }
    server.kill();
    let batches = changelog_batches(&work.data());
    let offsets: Vec<i64> = batches.iter().map(|it| it.0).collect();
    assert!(offsets.len() > 8, "{offsets:?}");
    assert!(offsets.is_sorted_by(|a, b| a + 1 == *b), "{offsets:?}");
    // Neither the first commit nor the last.
    let (lost, path, place) = &batches[batches.len() - 4];
    let mut bytes = std::fs::read(path).unwrap();
    bytes[*place] ^= 1;
    std::fs::write(path, bytes).unwrap();

    // Without the operator's word it does not open, and says so.
    let server = Server::again(&work, Start::service(), &identity);
    let refused = server.cli().refused(&["sql", "-e", "SELECT n, total FROM c;"]);
    assert!(refused.contains("the changelog is not available"), "{refused}");
    let log = server.log();
    assert!(log.contains("the tenant's queries do not start yet: "), "{log}");
    server.kill();

    let server = Server::again(&work, Start::service().args(&["--recover-groups"]), &identity);
    until_counted(&server, rows).await;
    let log = server.log();
    let gap = format!("topic=__sql_changelog partition=0 from={lost} to={lost} count=1");
    assert!(
        log.lines()
            .any(|it| it.starts_with("journal lost ") && it.ends_with(&gap)),
        "{log}"
    );
    let passed = "the shard goes on with what precedes the damage, as the operator asked: ";
    assert!(log.contains(passed), "{log}");
    count(&server, &mut rows).await;
    // The word is needed once.
    server.kill();
    let server = Server::again(&work, Start::service(), &identity);
    until_counted(&server, rows).await;
    count(&server, &mut rows).await;
}
