//! An object that is damaged: every reader is told so instead of waiting for ever, metrics and `millstream store check`
//! name it, and all goes on once it is whole again.

use crate::harness::server::{BINARY, clean};
use crate::harness::{Server, Start, Work, http, json_lines, text_of, tools, until};
use crate::kcat::kcat;
use millstream_rust::{Compression, ConsumerSettings, Error, ProducerSettings, Record};
use serde_json::{Value, json};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const TOPIC: &str = "kept";
const SOON: Duration = Duration::from_secs(60);

/// README: how long it takes until a good copy is noticed.
const NOTICED: Duration = Duration::from_secs(30);

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

/// Three records, each a batch and a block of its own.
async fn fill(server: &Server) {
    server.make_topic(TOPIC, 2).await;
    let producer = server.client().producer(ProducerSettings {
        compression: Compression::None,
        ..ProducerSettings::default()
    });
    for number in 0..3 {
        let value = json!({ "v": number, "x": format!("mark-{number}-{}", "x".repeat(200_000)) });
        let record = Record::new().key("k").value(value.to_string()).partition(0);
        producer.enqueue(TOPIC, record).await.unwrap().await.unwrap();
    }
    let other = Record::new().key("other").value(r#"{"v":9}"#).partition(1);
    producer.enqueue(TOPIC, other).await.unwrap().await.unwrap();
}

/// The object whose bytes have this text, and where; what goes away meanwhile is passed over.
fn place_of(folder: &Path, text: &[u8]) -> Option<(PathBuf, u64)> {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let found = if path.is_dir() {
            place_of(&path, text)
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let at = bytes.windows(text.len()).position(|window| window == text);
            at.map(|at| (path, at as u64))
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Changes a byte of a file.
fn write(path: &Path, at: u64, byte: u8) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[byte], at).unwrap();
}

fn check(work: &Work, output: &str) -> Output {
    let mut command = Command::new(BINARY);
    clean(&mut command);
    command.args(["--output", output, "store", "check", "--data-dir"]);
    command.arg(work.data());
    command.output().unwrap()
}

/// What is found, and the summary.
fn found(output: &Output) -> (Vec<Value>, Value) {
    let mut lines = json_lines(&text_of(&output.stdout));
    let summary = lines.pop().unwrap()["summary"].clone();
    (lines, summary)
}

/// A service of which the second record is damaged in the store and in no memory; where, and what the byte was.
async fn damaged(work: &Work) -> (Server, PathBuf, u64) {
    let server = Server::first(work, eager());
    fill(&server).await;
    let store = work.data().join("store");
    until("all three are in the store", SOON, async || {
        (0..3)
            .all(|number| place_of(&store, format!("mark-{number}-").as_bytes()).is_some())
            .then_some(())
    })
    .await;
    let snapshots = server.metric("broker_snapshots_total");
    server.wait_for_metric("broker_snapshots_total", |taken| taken > snapshots);
    let identity = server.identity();
    assert!(server.stop().success());
    let whole = check(work, "json");
    assert!(whole.status.success(), "{whole:?}");
    let (findings, summary) = found(&whole);
    assert_eq!((findings.len(), &summary["damaged"]), (0, &json!(0)), "{summary}");
    let (path, at) = place_of(&store, b"mark-1-").unwrap();
    write(&path, at + 1_000, b'!');
    (Server::again(work, eager(), &identity), path, at + 1_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_is_told_to_everybody_until_it_is_whole() {
    let work = Work::new();
    let (server, path, at) = damaged(&work).await;
    // The gRPC door: what precedes it, what other partitions have, and an error that nobody repeats.
    let mut consumer = server
        .client()
        .consumer(ConsumerSettings::new(TOPIC, millstream_rust::Start::Earliest));
    for _ in 0..2 {
        assert_eq!(consumer.next().await.unwrap().offset, 0);
    }
    let error = consumer.next().await.unwrap_err();
    let mut settings = ConsumerSettings::new(TOPIC, millstream_rust::Start::Offsets(vec![0, 1]));
    settings.partitions = vec![1, 0];
    let mut both = server.client().consumer(settings);
    assert_eq!(
        both.next().await.unwrap().partition,
        1,
        "read beside the damage, so it counts"
    );
    assert!(both.next().await.is_err());
    assert!(!error.is_retriable(), "{error}");
    assert!(
        matches!(&error, Error::Partition { code, .. } if code == "CORRUPT_MESSAGE"),
        "{error}"
    );
    assert!(server.metric("broker_damaged_objects") >= 1.0);
    assert!(server.metric("broker_damaged_reads_total") >= 1.0);
    // Probes get the code, operators the story.
    until("readiness tells of it", SOON, async || {
        let short = http::get(&server.doors.http, "/readyz").ok()?;
        (short == (503, "unready object-damaged\n".to_owned())).then_some(())
    })
    .await;
    let (status, told) = http::get(&server.doors.admin, "/readyz").unwrap();
    assert!(status == 503 && told.contains("object-damaged: "), "{told}");
    // The command that looks at all of it, beside the service.
    let checked = check(&work, "json");
    assert_eq!(checked.status.code(), Some(1));
    let (findings, summary) = found(&checked);
    assert_eq!(summary["damaged"], 1, "{summary}");
    let [finding] = &findings[..] else {
        panic!("{findings:?}")
    };
    assert_eq!(
        (
            &finding["topic"],
            &finding["partition"],
            &finding["first_offset"],
            &finding["last_offset"]
        ),
        (&json!(TOPIC), &json!(0), &json!(1), &json!(1)),
        "{finding}"
    );
    let object = finding["object"].as_str().unwrap();
    assert!(path.ends_with(object), "{object}");
    let checked = check(&work, "table");
    let (out, err) = (text_of(&checked.stdout), text_of(&checked.stderr));
    assert!(out.contains("kept partition 0 offsets 1 to 1"), "{out}");
    assert!(err.contains("1 objects are damaged or missing"), "{err}");
    // SQL: the query waits behind what precedes the damage, and says why.
    let sql = |text: &str| server.cli().ok(&["sql", "-e", text], "");
    sql("SET 'auto.offset.reset' = 'earliest';
        CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='kept', VALUE_FORMAT='JSON');
        CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;");
    server.wait_for_metric("sql_queries_parked_total", |parked| parked >= 1.0);
    let told = sql("DESCRIBE t EXTENDED;");
    assert!(told.contains("PARKED") && told.contains("damaged"), "{told}");
    // A good copy in its place: all goes on by itself.
    write(&path, at, b'x');
    until("the good copy is noticed", NOTICED, async || {
        let ready = http::get(&server.doors.http, "/readyz").ok()?.0 == 200;
        (ready && server.metric("broker_damaged_objects") == 0.0).then_some(())
    })
    .await;
    let mut settings = ConsumerSettings::new(TOPIC, millstream_rust::Start::Offsets(vec![1]));
    settings.partitions = vec![0];
    let repaired = server.client().consumer(settings).next().await.unwrap();
    assert_eq!((repaired.partition, repaired.offset), (0, 1));
    until("the table has all", SOON, async || {
        let rows = server.cli().json(&["sql", "-e", "SELECT n FROM t;"]);
        rows.iter().any(|row| row["N"] == 3).then_some(())
    })
    .await;
    assert!(check(&work, "table").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_object_is_found_by_the_check() {
    let work = Work::new();
    let (server, path, at) = damaged(&work).await;
    write(&path, at, b'x');
    assert!(server.stop().success());
    std::fs::remove_file(&path).unwrap();
    let checked = check(&work, "json");
    assert_eq!(checked.status.code(), Some(1));
    let (findings, summary) = found(&checked);
    assert_eq!(summary["damaged"], 1, "{summary}");
    assert!(
        findings
            .iter()
            .all(|finding| finding["reason"] == "the object is not in the store")
    );
    assert!(findings.iter().any(|finding| finding["topic"] == TOPIC));
    // Neither another folder nor a foreign store is taken for a whole one, and nothing is made there.
    let nowhere = work.path("nowhere");
    for (folder, store, told) in [
        (&nowhere, None, "holds no service"),
        (&work.data(), Some(&nowhere), "there is no folder"),
    ] {
        let mut command = Command::new(BINARY);
        clean(&mut command);
        command.args(["store", "check", "--data-dir"]).arg(folder);
        if let Some(store) = store {
            command.arg("--store").arg(format!("file://{}", store.display()));
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text_of(&output.stderr).contains(told), "{output:?}");
        assert!(!nowhere.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_clients_are_told_of_damage() {
    let kcat_program = tools::program("kcat");
    let python = tools::script("damaged.py");
    let java = (tools::program("javac"), tools::program("java"), tools::jars());
    if kcat_program.is_none() && python.is_none() && java.0.is_none() {
        return;
    }
    let work = Work::new();
    let (server, _, _) = damaged(&work).await;
    let (kafka, key) = (server.doors.kafka.as_str(), &server.key);
    if let Some(program) = kcat_program {
        let output = kcat(
            &program,
            &server,
            key,
            &["-C", "-t", TOPIC, "-p", "0", "-o", "1", "-e", "-q"],
            "",
        );
        let err = text_of(&output.stderr);
        assert!(!output.status.success(), "{err}");
        assert!(
            err.contains("Invalid message"),
            "librdkafka's words for CORRUPT_MESSAGE: {err}"
        );
    }
    if let Some(mut script) = python {
        let told = tools::run_ok(script.args([kafka, &key.id, &key.secret, TOPIC, "0"]));
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told, json!({ "read": [0], "code": 2 }));
    }
    if let (Some(javac), Some(java), Some(jars)) = java {
        let (classes, path) = (work.path("classes"), format!("{}/*", jars.display()));
        tools::run_ok(
            Command::new(javac)
                .args(["-cp", &path, "-d"])
                .arg(&classes)
                .arg(tools::source("clients/java/Client.java"))
                .arg(tools::source("clients/java/Damaged.java")),
        );
        let told = tools::run_ok(
            Command::new(java)
                .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp"])
                .arg(format!("{}:{path}", classes.display()))
                .args(["Damaged", kafka, &key.id, &key.secret, TOPIC]),
        );
        assert!(told.starts_with("[0] Encountered corrupt message"), "{told}");
    }
}
