//! Hostile input: each gets an error or an end, everybody else goes on, and nothing acknowledged is lost.

pub mod bystander;
pub mod crowds;
pub mod debts;
pub mod http;
mod statements;
mod times;
mod together;

use crate::forge::{at, batch, old_messages, sealed, with};
use crate::harness::{Server, Start, Work};
use crate::wire::{Outcome, Wire, frame};
use bytes::Bytes;
use millstream_cli::kafka::produce_request;
use millstream_kafka_wire::messages::{
    MetadataRequest, ProduceRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use millstream_kafka_wire::records::Records;
use millstream_rust::rpc::data::data_client::DataClient;
use millstream_rust::rpc::data::{Partition, ProducePartition, ProduceRequest as GrpcProduce};
use millstream_rust::{ConsumerSettings, Error, Position, ProducerSettings, Record, Start as From};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

const TOPIC: &str = "t";

/// A few kilobytes that unfold to a gigabyte.
fn bomb() -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..1024 {
        std::io::Write::write_all(&mut encoder, &zeros).unwrap();
    }
    let packed = encoder.finish().unwrap();
    let mut batch = with(batch(), at::ATTRIBUTES, &4i16.to_be_bytes());
    batch.truncate(at::RECORDS);
    batch.extend(packed);
    sealed(batch)
}

/// What is sent before anybody has shown a key.
fn before_a_key() -> Vec<(&'static str, Vec<u8>)> {
    let long = |length: u32| length.to_be_bytes().to_vec();
    let mut metadata = frame(3, 1, &(-1i32).to_be_bytes());
    let mut garbage: Vec<u8> = (0..5000u32)
        .map(|it| (it.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    garbage.splice(0..4, 4996u32.to_be_bytes());
    metadata.extend(b"more");
    vec![
        ("a length of 2 GiB", long(0x7fff_ffff)),
        ("a negative length", long(0xffff_ffff)),
        ("a length of nothing", long(0)),
        ("a length of one byte", vec![0, 0, 0, 1, 9]),
        ("a frame before SASL larger than any handshake", long(1 << 20)),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        (
            "a TLS hello",
            [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 600]].concat(),
        ),
        ("garbage", garbage),
        ("an API key that nobody knows", frame(999, 0, &[])),
        ("a negative API key", frame(-3, 0, &[])),
        ("Metadata without SASL", metadata),
        ("SASL without a handshake", frame(36, 1, &[0, 0, 0, 3, 0, 0, 0])),
        (
            "a handshake for nothing that we know",
            frame(17, 1, &[0, 3, b'X', b'Y', b'Z']),
        ),
        (
            "a handshake with a hostile length",
            frame(17, 1, &[0x7f, 0xff, b'P']),
        ),
        ("half a frame", vec![0, 0, 0, 100, 0, 18, 0, 0]),
    ]
}

/// What somebody with a key sends.
fn with_a_key() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "a frame larger than allowed",
            0x0700_0000u32.to_be_bytes().to_vec(),
        ),
        ("a negative length", 0xffff_fffeu32.to_be_bytes().to_vec()),
        ("two billion topics", frame(3, 1, &i32::MAX.to_be_bytes())),
        (
            "two billion topics in a compact array",
            frame(3, 12, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ),
        (
            "a varint that does not end",
            frame(3, 12, &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ),
        ("an API key that nobody knows", frame(999, 0, &[])),
        ("a version that nobody knows", frame(0, 99, &[])),
        (
            "a Produce that breaks off",
            frame(0, 7, &[0xff, 0xff, 0xff, 0xff, 0, 0]),
        ),
        (
            "a Fetch of a hostile length",
            frame(1, 11, &[[0xff; 4], [0x7f; 4], [0x7f; 4], [0x7f; 4]].concat()),
        ),
        ("half a frame", vec![0, 0, 1, 0, 0, 3, 0, 12]),
    ]
}

/// Batches that must not be taken.
fn bad_batches() -> Vec<(&'static str, Vec<u8>)> {
    let mut flipped = batch();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let truncated = batch()[..70].to_vec();
    vec![
        ("a wrong checksum", flipped),
        ("half a batch", truncated),
        ("a few bytes", b"hello".to_vec()),
        (
            "a length beyond the end",
            with(batch(), at::LENGTH, &i32::MAX.to_be_bytes()),
        ),
        (
            "a negative length",
            with(batch(), at::LENGTH, &(-1i32).to_be_bytes()),
        ),
        ("magic 7", with(batch(), at::MAGIC, &[7])),
        ("magic 0", old_messages(0)),
        ("magic 1", old_messages(1)),
        (
            "two billion records",
            sealed(with(batch(), at::COUNT, &i32::MAX.to_be_bytes())),
        ),
        (
            "minus one record",
            sealed(with(batch(), at::COUNT, &(-1i32).to_be_bytes())),
        ),
        (
            "an unknown codec",
            sealed(with(batch(), at::ATTRIBUTES, &7i16.to_be_bytes())),
        ),
        (
            "a control batch",
            sealed(with(batch(), at::ATTRIBUTES, &0x20i16.to_be_bytes())),
        ),
    ]
}

/// Batches whose outside is right: only who opens them meets the mistake.
fn poisoned_batches() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "gzip that is none",
            sealed(with(batch(), at::ATTRIBUTES, &1i16.to_be_bytes())),
        ),
        (
            "a record of hostile length",
            sealed(with(batch(), at::RECORDS, &[0xfe, 0xff, 0xff, 0xff, 0x0f])),
        ),
        ("a zstd bomb", bomb()),
    ]
}

pub fn produce(topic: &str, bytes: Vec<u8>) -> ProduceRequest {
    let mut request = produce_request(topic, vec![(0, Bytes::new())]);
    request.topic_data[0].partition_data[0].records = Some(Records::from(Bytes::from(bytes)));
    request
}

/// The codes of the answer, or none when the connection was closed.
fn try_produce(server: &Server, topic: &str, bytes: Vec<u8>) -> Option<i16> {
    let mut wire = Wire::authenticated(&server.doors.kafka, &server.key);
    let request = produce(topic, bytes);
    let framed = millstream_kafka_wire::frame::encode_request(9, 5, Some("hostile"), &request).unwrap();
    wire.send(&framed.into_bytes());
    match wire.outcome() {
        Outcome::Closed => None,
        Outcome::Answer(frame) => {
            let decoded = millstream_kafka_wire::frame::decode_response::<ProduceRequest>(frame, 9).unwrap();
            Some(decoded.1.responses[0].partition_responses[0].error_code)
        }
    }
}

/// Records that a well-behaved neighbour has sent: all of them stay.
async fn neighbour(server: &Server, sent: &mut i64) {
    let client = server.client();
    let producer = client.producer(ProducerSettings::default());
    let delivered = producer
        .send(TOPIC, Record::new().value(format!("good {sent}")))
        .await;
    let delivered =
        delivered.unwrap_or_else(|error| panic!("a neighbour suffers: {error}\n{}", server.log()));
    assert_eq!(
        delivered.offset, *sent,
        "nothing of the hostile input was written"
    );
    *sent += 1;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_frames_and_batches_hurt_only_their_sender() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    server.make_topic(TOPIC, 1).await;
    let mut sent = 0;
    neighbour(&server, &mut sent).await;
    for (what, bytes) in before_a_key() {
        let mut wire = Wire::connect(&server.doors.kafka);
        wire.send(&bytes);
        wire.end();
        let outcome = wire.outcome();
        println!("{what}: {outcome:?}");
    }
    neighbour(&server, &mut sent).await;
    for (what, bytes) in with_a_key() {
        let mut wire = Wire::authenticated(&server.doors.kafka, &server.key);
        wire.send(&bytes);
        wire.end();
        let outcome = wire.outcome();
        println!("{what}: {outcome:?}");
    }
    neighbour(&server, &mut sent).await;
    for (what, bytes) in bad_batches() {
        let code = try_produce(&server, TOPIC, bytes);
        assert_ne!(code, Some(0), "{what} was taken");
        println!("{what}: {code:?}");
        neighbour(&server, &mut sent).await;
    }
    for (number, (what, bytes)) in poisoned_batches().into_iter().enumerate() {
        poison(&server, &format!("poisoned{number}"), what, bytes).await;
        neighbour(&server, &mut sent).await;
    }
    assert_eq!(
        try_produce(&server, TOPIC, batch()),
        Some(0),
        "a good batch is taken"
    );
    let resident = server.resident() >> 20;
    assert!(resident < 1024, "{resident} MiB are resident after hostile input");
    let end = server
        .client()
        .list_offsets(TOPIC, &[0], Position::Latest)
        .await
        .unwrap();
    assert_eq!(end, [sent + 3]);
    // What was taken reads back after a kill.
    let identity = server.identity();
    server.kill();
    let server = Server::again(&work, Start::service(), &identity);
    let end = server
        .client()
        .list_offsets(TOPIC, &[0], Position::Latest)
        .await
        .unwrap();
    assert_eq!(end, [sent + 3]);
}

/// Sends the batch to a topic of its own; if it is taken, its readers hear of it and nobody dies of it.
async fn poison(server: &Server, topic: &str, what: &str, bytes: Vec<u8>) {
    let client = server.client();
    server.make_topic(topic, 1).await;
    if try_produce(server, topic, bytes) != Some(0) {
        return;
    }
    let mut consumer = client.consumer(ConsumerSettings::new(topic, From::Earliest));
    let read = timeout(Duration::from_secs(20), consumer.poll())
        .await
        .expect("the reader hears of it");
    assert!(matches!(read, Err(Error::Protocol(_))), "{what}: {read:?}");
    let statements = format!(
        "CREATE STREAM {topic} (v STRING) WITH (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON');
         CREATE STREAM {topic}_read AS SELECT v FROM {topic};"
    );
    let properties = BTreeMap::from([("auto.offset.reset".to_owned(), "earliest".to_owned())]);
    client.sql_rows(&statements, &properties).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_frames_without_an_end_are_cut_off() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    // The sender keeps its side open: the server has to close.
    for length in [0x7fff_ffffu32, 0xffff_ffff, 1 << 20] {
        let mut wire = Wire::connect(&server.doors.kafka);
        wire.send(&length.to_be_bytes());
        assert_eq!(wire.outcome(), Outcome::Closed, "a length of {length}");
    }
    let mut wire = Wire::connect(&server.doors.kafka);
    wire.send(&frame(18, 99, &[0]));
    let Outcome::Answer(answer) = wire.outcome() else {
        panic!("ApiVersions of an unknown version is answered")
    };
    assert_eq!(
        answer[4..6],
        35i16.to_be_bytes(),
        "UNSUPPORTED_VERSION, in version 0's form"
    );
    assert_ne!(
        wire.call(
            1,
            &SaslHandshakeRequest {
                mechanism: "GSSAPI".into()
            }
        )
        .error_code,
        0
    );
    for token in ["", "\0", "\0\0", "a\0b\0c\0d", "\0id", &"x".repeat(10_000)] {
        let mut wire = Wire::connect(&server.doors.kafka);
        wire.call(
            1,
            &SaslHandshakeRequest {
                mechanism: "PLAIN".into(),
            },
        );
        let token = Bytes::copy_from_slice(token.as_bytes());
        assert_eq!(
            wire.call(2, &SaslAuthenticateRequest { auth_bytes: token })
                .error_code,
            58
        );
        assert_eq!(wire.outcome(), Outcome::Closed, "a refused client is not kept");
    }
    let mut wire = Wire::authenticated(&server.doors.kafka, &server.key);
    assert_eq!(wire.call(12, &MetadataRequest::default()).brokers.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_grpc_messages_are_refused() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    server.make_topic(TOPIC, 1).await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.doors.http)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut client = DataClient::new(channel).max_encoding_message_size(usize::MAX);
    let partition = Some(Partition {
        topic: TOPIC.into(),
        index: 0,
    });
    let batch = Bytes::from(vec![0; 40 << 20]);
    let mut request = tonic::Request::new(GrpcProduce {
        partitions: vec![ProducePartition {
            partition,
            batch,
            owner_epoch: 0,
        }],
        ..GrpcProduce::default()
    });
    let token = format!("{}:{}", server.key.id, server.key.secret);
    let value = format!("Basic {}", base64(token.as_bytes()));
    request
        .metadata_mut()
        .insert("authorization", value.parse().unwrap());
    let status = client.produce(request).await.unwrap_err();
    let refused = [
        tonic::Code::OutOfRange,
        tonic::Code::ResourceExhausted,
        tonic::Code::InvalidArgument,
    ];
    assert!(refused.contains(&status.code()), "{status:?}");
    let mut sent = 0;
    neighbour(&server, &mut sent).await;
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .enumerate()
            .fold(0u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_nonsense_is_refused_with_its_place() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let client = server.client();
    let deep = format!(
        "SELECT {}1{} FROM t EMIT CHANGES;",
        "(".repeat(5000),
        ")".repeat(5000)
    );
    let long = format!("SELECT '{}' FROM t EMIT CHANGES;", "x".repeat(1 << 20));
    let chain = format!("SELECT {}1 FROM t EMIT CHANGES;", "1 + ".repeat(50_000));
    let nonsense = [
        "SELEC 1;",
        "SELECT",
        "CREATE STREAM;",
        "CREATE STREAM s (a NOTYPE) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');",
        "CREATE STREAM s (a INT) WITH (VALUE_FORMAT='XML');",
        "SELECT * FROM nowhere EMIT CHANGES;",
        "DROP STREAM nowhere;",
        "'; DROP TABLE students; --",
        "SELECT \u{0} FROM t;",
        "SELECT \u{1F4A9} FROM \u{202E};",
        "INSERT INTO nowhere VALUES (1);",
        &deep,
        &long,
        &chain,
    ];
    for text in nonsense {
        let shown: String = text.chars().take(60).collect();
        match client.sql_rows(text, &BTreeMap::new()).await {
            Err(Error::Sql {
                message,
                line,
                column,
                ..
            }) => {
                assert!(
                    !message.is_empty() && line <= 1 && (line == 0) == (column == 0),
                    "{shown}: {message}"
                );
            }
            Err(Error::Invalid(message) | Error::Exhausted(message)) => {
                assert!(!message.is_empty(), "{shown}")
            }
            other => panic!("{shown}: {other:?}\n{}", server.log()),
        }
    }
    client.sql_rows("SHOW TOPICS;", &BTreeMap::new()).await.unwrap();
}
