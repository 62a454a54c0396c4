//! kcat: metadata, produce and consume with an API key; a clear refusal with a wrong one.

use crate::harness::{Key, Server, Start, Work, tools};
use millstream_rust::rpc::control::Quota;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs kcat with a key.
pub fn kcat(program: &Path, server: &Server, key: &Key, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(program);
    command.args([
        "-b",
        &server.doors.kafka,
        "-X",
        "security.protocol=SASL_PLAINTEXT",
    ]);
    command.args([
        "-X",
        "sasl.mechanisms=PLAIN",
        "-X",
        &format!("sasl.username={}", key.id),
    ]);
    command
        .args(["-X", &format!("sasl.password={}", key.secret), "-m", "10"])
        .args(args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What kcat reads of a partition from an offset to its end, a line per record.
pub fn read(server: &Server, topic: &str, partition: u32, from: &str) -> Option<String> {
    let program = tools::program("kcat")?;
    let partition = partition.to_string();
    let args = ["-C", "-t", topic, "-p", &partition, "-o", from, "-e", "-q"];
    Some(works(&kcat(&program, server, &server.key, &args, "")))
}

fn works(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "kcat: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

#[test]
fn kcat_works_with_the_first_key_at_once() {
    let Some(program) = tools::program("kcat") else {
        return;
    };
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let key = server.key.clone();
    // The default virtual cluster makes topics when asked for.
    let lines: String = (0..1000).map(|it| format!("key {it}:value {it}\n")).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        works(&kcat(
            &program,
            &server,
            &key,
            &["-P", "-t", "kcat", "-K", ":", "-z", codec],
            &lines,
        ));
    }
    let read = works(&kcat(
        &program,
        &server,
        &key,
        &["-C", "-t", "kcat", "-o", "beginning", "-e", "-q", "-K", ":"],
        "",
    ));
    let mut read: Vec<&str> = read.lines().collect();
    let mut expected: Vec<&str> = lines.lines().flat_map(|line| [line; 5]).collect();
    read.sort_unstable();
    expected.sort_unstable();
    assert_eq!(read, expected);
    let metadata = works(&kcat(&program, &server, &key, &["-L", "-J"], ""));
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(
        metadata["brokers"][0]["name"],
        server.doors.kafka.as_str(),
        "{metadata}"
    );
    let topics = metadata["topics"].as_array().unwrap();
    assert!(topics.iter().any(|it| it["topic"] == "kcat"), "{metadata}");
    assert!(
        topics
            .iter()
            .all(|it| !it["topic"].as_str().unwrap().starts_with("__")),
        "internal topics show: {metadata}"
    );
    let last = works(&kcat(
        &program,
        &server,
        &key,
        &["-C", "-t", "kcat", "-p", "0", "-o", "-1", "-e", "-q"],
        "",
    ));
    assert_eq!(last.lines().count(), 1, "{last}");
}

#[test]
fn kcat_with_a_wrong_key_is_refused_clearly() {
    let Some(program) = tools::program("kcat") else {
        return;
    };
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let good = server.key.clone();
    for key in [
        Key {
            secret: "wrong".into(),
            ..good.clone()
        },
        Key {
            id: "AAAAAAAAAAAAAAAAAAAA".into(),
            ..good.clone()
        },
        Key {
            id: "nonsense".into(),
            secret: String::from("x"),
        },
    ] {
        let output = kcat(&program, &server, &key, &["-L", "-m", "2"], "");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{key:?} was let in");
        assert!(
            err.contains("uthentication"),
            "the refusal of {key:?} says why: {err}"
        );
        assert!(!err.contains(&good.secret), "the right secret is told: {err}");
    }
    works(&kcat(&program, &server, &good, &["-L"], ""));
}

/// A producer that sends more than its quota allows is slowed down, not refused: all arrives, once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn kcat_over_its_quota_delivers_all() {
    let Some(program) = tools::program("kcat") else {
        return;
    };
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    server.make_topic("slow", 1).await;
    let quota = Quota {
        key_id: server.key.id.clone(),
        name: "producer_byte_rate".into(),
        value: 40_000.0,
        ..Quota::default()
    };
    server.client().admin().set_quota(quota, false).await.unwrap();
    let lines: String = (0..1500).map(|it| format!("{it:0>100}\n")).collect();
    let sent = tokio::task::block_in_place(|| {
        let args = ["-P", "-t", "slow", "-p", "0"];
        let small = ["-X", "batch.num.messages=100", "-X", "enable.idempotence=true"];
        kcat(
            &program,
            &server,
            &server.key,
            &[&args[..], &small].concat(),
            &lines,
        )
    });
    works(&sent);
    assert!(server.metric("quota_delays_total") > 0.0, "it was slowed down");
    let read = tokio::task::block_in_place(|| read(&server, "slow", 0, "beginning"));
    assert_eq!(read.as_deref(), Some(lines.as_str()));
}
