//! The Rust SDK over the wire: topics, produce, fetch, watch, consume, SQL.

use crate::harness::server::BINARY;
use crate::harness::{Server, Start, Work, text_of, tools};
use futures::StreamExt;
use millstream_rust::{
    Compression, ConsumerSettings, Error, Position, ProducerSettings, Record, SqlAnswer, Start as From,
};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_produces_fetches_and_watches() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let client = server.client();
    let topic = client
        .admin()
        .create_topic("sdk", 3, BTreeMap::new())
        .await
        .unwrap();
    assert_eq!(topic.partitions, 3);
    let places: Vec<(String, u32)> = (0..3).map(|it| ("sdk".to_owned(), it)).collect();
    let mut watch = client.watch(&places).await.unwrap();
    for _ in 0..3 {
        let mark = timeout(SOON, watch.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(
            (mark.high_watermark, mark.log_start),
            (0, 0),
            "the present state comes first"
        );
    }

    let mut sent = 0;
    for compression in [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let producer = client.producer(ProducerSettings {
            compression,
            ..ProducerSettings::default()
        });
        let mut deliveries = Vec::new();
        for number in 0..2000 {
            let record = Record::new()
                .key(format!("key {}", number % 50))
                .value(format!("{compression:?} {number}"))
                .header("a", "1")
                .header("a", "2");
            deliveries.push(producer.enqueue("sdk", record).await.unwrap());
            sent += 1;
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    }
    let ends = client
        .list_offsets("sdk", &[0, 1, 2], Position::Latest)
        .await
        .unwrap();
    assert_eq!(ends.iter().sum::<i64>(), sent);
    // The watch comes to the same ends by itself.
    let mut marks = vec![0; 3];
    while marks != ends {
        let mark = timeout(SOON, watch.next())
            .await
            .expect("the watch tells the ends")
            .unwrap()
            .unwrap();
        let at = usize::try_from(mark.partition).unwrap();
        assert!(mark.high_watermark >= marks[at], "a high watermark went back");
        marks[at] = mark.high_watermark;
    }

    let mut consumer = client.consumer(ConsumerSettings::new("sdk", From::Earliest));
    let mut last: BTreeMap<(u32, String), i64> = BTreeMap::new();
    for _ in 0..sent {
        let record = timeout(SOON, consumer.next()).await.unwrap().unwrap();
        assert_eq!(record.headers.len(), 2, "repeated header keys are kept");
        let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
        let (codec, number) = value.split_once(' ').unwrap();
        let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
        let number: i64 = number.parse().unwrap();
        let before = last
            .insert((record.partition, format!("{codec} {key}")), number)
            .unwrap_or(-1);
        assert!(before < number, "{key} of {codec}: {number} after {before}");
    }
    assert_eq!(last.len(), 5 * 50, "a key has one partition");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_tells_what_went_wrong() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let client = server.client();
    let unknown = client.list_offsets("nowhere", &[0], Position::Latest).await;
    assert!(
        matches!(&unknown, Err(Error::Partition { code, retriable: _, .. }) if code == "UNKNOWN_TOPIC_OR_PARTITION"),
        "{unknown:?}"
    );
    let wrong = server.client_as(&crate::harness::Key {
        secret: "wrong".into(),
        ..server.key.clone()
    });
    let refused = wrong.admin().list_topics().await;
    assert!(matches!(refused, Err(Error::Unauthenticated(_))), "{refused:?}");
    server.make_topic("once", 1).await;
    let again = client.admin().create_topic("once", 1, BTreeMap::new()).await;
    assert!(matches!(again, Err(Error::AlreadyExists(_))), "{again:?}");
    let many = client
        .admin()
        .create_topic("many", 1_000_000, BTreeMap::new())
        .await;
    assert!(
        matches!(many, Err(Error::Invalid(_) | Error::Exhausted(_))),
        "{many:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_follows_a_push_query() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let client = server.client();
    let properties = BTreeMap::new();
    let create = "CREATE STREAM clicks (who STRING KEY, page STRING) WITH (KAFKA_TOPIC='clicks', VALUE_FORMAT='JSON', \
        KEY_FORMAT='KAFKA', PARTITIONS=2);";
    client.sql_rows(create, &properties).await.unwrap();
    let mut answers = client
        .sql("SELECT who, page FROM clicks EMIT CHANGES LIMIT 3;", &properties)
        .await
        .unwrap();
    // The schema comes when the query runs: what is sent from here on is seen.
    loop {
        match timeout(SOON, answers.next_answer())
            .await
            .unwrap()
            .unwrap()
            .expect("a schema comes first")
        {
            SqlAnswer::Schema { schema, changes, .. } => {
                assert!(changes);
                assert_eq!(schema.fields().len(), 2);
                break;
            }
            _ => continue,
        }
    }
    let producer = client.producer(ProducerSettings::default());
    for number in 0..3 {
        let value = format!(r#"{{"page": "page {number}"}}"#);
        producer
            .send("clicks", Record::new().key("me").value(value))
            .await
            .unwrap();
    }
    let mut rows = 0;
    while let Some(answer) = timeout(SOON, answers.next_answer())
        .await
        .expect("the query answers")
        .unwrap()
    {
        if let SqlAnswer::Rows(batch) = answer {
            rows += batch.num_rows();
        }
    }
    assert_eq!(rows, 3, "LIMIT ends the query");
}

/// A producer and a consumer that were there before a `kill -9` go on after it, at the same address, as if nothing was.
#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_outlives_the_server() {
    const TOPIC: &str = "outlived";
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let identity = server.identity();
    let client = server.client();
    server.make_topic(TOPIC, 1).await;
    let producer = client.producer(ProducerSettings::default());
    let mut consumer = client.consumer(ConsumerSettings::new(TOPIC, From::Earliest));
    let enqueue = async |numbers: std::ops::Range<u32>| {
        let mut deliveries = Vec::new();
        for number in numbers {
            let record = Record::new().value(number.to_string());
            deliveries.push(producer.enqueue(TOPIC, record).await.unwrap());
        }
        deliveries
    };
    let mut deliveries = enqueue(0..100).await;
    let first = timeout(SOON, consumer.next()).await.unwrap().unwrap();
    assert_eq!(first.value.as_deref(), Some(&b"0"[..]));
    server.kill();
    // Nobody is there to take these.
    deliveries.extend(enqueue(100..200).await);
    let _server = Server::again(&work, Start::service(), &identity);
    deliveries.extend(enqueue(200..300).await);
    for (number, delivery) in (0..).zip(deliveries) {
        let delivered = timeout(SOON, delivery).await.unwrap().unwrap();
        assert_eq!(delivered.offset, number, "none lost, none doubled, in order");
    }
    for number in 1..300 {
        let read = loop {
            match timeout(SOON, consumer.next()).await.unwrap() {
                Ok(record) => break record,
                Err(error) => assert!(error.is_retriable(), "{error}"),
            }
        };
        let text = String::from_utf8(read.value.unwrap().to_vec()).unwrap();
        assert_eq!(text, number.to_string());
    }
}

/// The examples do what they say.
#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_examples_run() {
    let (Some(produce), Some(tail), Some(query)) = (example("produce"), example("tail"), example("query"))
    else {
        return;
    };
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    server.make_topic("shown", 2).await;
    let run = |program: &Path, last: &str| {
        let mut command = Command::new(program);
        command.args([&server.doors.http, &server.key.id, &server.key.secret, last]);
        command
    };
    let output = run(&produce, "shown").output().unwrap();
    assert_eq!(text_of(&output.stdout), "1000 records are on disk\n");
    let mut tail = run(&tail, "shown").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let lines: Vec<String> = lines.take(10).map(Result::unwrap).collect();
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert!(
        lines.iter().all(|line| line.contains(" value ")),
        "the last five of each of two partitions: {lines:?}"
    );
    let statements = "CREATE STREAM shown (v STRING) WITH (KAFKA_TOPIC='shown', VALUE_FORMAT='JSON');
        SHOW STREAMS;";
    let output = run(&query, statements).output().unwrap();
    assert!(output.status.success(), "{}", text_of(&output.stderr));
    assert!(
        text_of(&output.stdout).contains("1 rows of "),
        "{}",
        text_of(&output.stdout)
    );
}

/// An example of the SDK: `cargo test --workspace` builds them beside the binary.
fn example(name: &str) -> Option<PathBuf> {
    let folder = Path::new(BINARY).parent().unwrap().join("examples");
    tools::built(&folder.join(name))
}
