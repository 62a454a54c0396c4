//! SQL beside other clients, and what it may not do: keys that another hash placed, rows that no topic takes, state without
//! end, a caller who may only read.

use crate::harness::cli::Cli;
use crate::harness::{Key, Server, Start, Work, tools, until};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// Sends `key:value` lines with kcat, with these settings beside the login.
fn kcat(server: &Server, topic: &str, settings: &[&str], lines: &str) -> Option<()> {
    let mut command = Command::new(tools::program("kcat")?);
    let key = &server.key;
    command
        .args(["-b", &server.doors.kafka, "-P", "-t", topic, "-K", ":"])
        .args([
            "-X",
            "security.protocol=SASL_PLAINTEXT",
            "-X",
            "sasl.mechanisms=PLAIN",
        ])
        .args(["-X", &format!("sasl.username={}", key.id)])
        .args(["-X", &format!("sasl.password={}", key.secret)]);
    for setting in settings {
        command.args(["-X", setting]);
    }
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    Some(())
}

fn count(cli: &Cli, table: &str) -> Option<i64> {
    let rows = cli.json(&["sql", "-e", &format!("SELECT * FROM {table};")]);
    let of = |row: &Value| row["N"].as_i64().unwrap();
    (!rows.is_empty()).then(|| rows.iter().map(of).sum())
}

/// README's kcat line names the partitioner: without it librdkafka's own hash splits keys, and SQL says so.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_kcat_placed_by_its_own_hash_are_told_of() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    let create = |name: &str| {
        format!(
            "CREATE STREAM {name} (k STRING KEY, v INT) WITH (KAFKA_TOPIC='{name}', VALUE_FORMAT='JSON', PARTITIONS=4);
             CREATE TABLE {name}_n AS SELECT k, COUNT(*) AS n FROM {name} GROUP BY k;"
        )
    };
    let lines: String = (0..40).map(|n| format!("user-{n}:{{\"v\":{n}}}\n")).collect();
    for (name, settings) in [("split", vec![]), ("whole", vec!["partitioner=murmur2_random"])] {
        cli.ok(
            &["sql", "--set", "auto.offset.reset=earliest", "-e", &create(name)],
            "",
        );
        if kcat(&server, name, &settings, &lines).is_none() {
            return;
        }
        until("all rows are counted", SOON, async || {
            (count(&cli, &format!("{name}_n")) == Some(40)).then_some(())
        })
        .await;
        let described = cli.ok(&["sql", "-e", &format!("DESCRIBE {name} EXTENDED;")], "");
        let warned = described.contains("partitioner=murmur2_random");
        assert_eq!(warned, name == "split", "{described}");
    }
    let misplaced = server.metric("sql_query_misplaced_keys_total");
    assert!((1.0..=40.0).contains(&misplaced), "{misplaced}");
}

/// A result that the broker refuses for its size is left out; the query goes on, over a restart too.
#[tokio::test(flavor = "multi_thread")]
async fn results_larger_than_their_topic_takes_are_skipped() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    cli.ok(
        &["topic", "create", "small", "--config", "max.message.bytes=2000"],
        "",
    );
    cli.ok(
        &[
            "sql",
            "--set",
            "auto.offset.reset=earliest",
            "-e",
            "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
             CREATE STREAM cut WITH (KAFKA_TOPIC='small') AS SELECT k, RPAD('', n, 'x') AS v FROM s;
             CREATE STREAM wide AS SELECT k, RPAD('', n, 'x') AS v FROM s;",
        ],
        "",
    );
    let lengths = [10, 3_000, 1_000, 3_000_000, 1_500, 20, 9_000_000, 30];
    let lines: String = lengths
        .iter()
        .enumerate()
        .map(|(n, length)| format!("{n}|{{\"n\":{length}}}\n"))
        .collect();
    cli.ok(&["produce", "s", "--key-separator", "|"], &lines);
    let seen = |stream: &str| {
        let text = format!("SELECT k, LEN(v) AS l FROM {stream};");
        let rows = cli.json(&["sql", "-e", &text]);
        let row = |row: &Value| (row["K"].as_str().unwrap().to_owned(), row["L"].as_i64());
        rows.iter().map(row).collect::<Vec<_>>()
    };
    let some = |all: &[usize]| -> Vec<(String, Option<i64>)> {
        all.iter()
            .map(|at| (at.to_string(), Some(lengths[*at])))
            .collect()
    };
    // A value beyond 8 MiB is null, and its row small; a row of 3 MB goes where the query made the topic.
    let mut wide = some(&[0, 1, 2, 3, 4, 5, 6, 7]);
    wide[6].1 = None;
    until("the wide topic has them", SOON, async || {
        (seen("wide") == wide).then_some(())
    })
    .await;
    let mut cut = some(&[0, 2, 4, 5, 6, 7]);
    cut[4].1 = None;
    until("the small topic has what it takes", SOON, async || {
        (seen("cut") == cut).then_some(())
    })
    .await;
    let queries = cli.ok(&["sql", "-e", "SHOW QUERIES;"], "");
    assert!(!queries.contains("PARKED"), "{queries}");
    let described = cli.ok(&["sql", "-e", "DESCRIBE cut EXTENDED;"], "");
    assert!(described.contains("MESSAGE_TOO_LARGE"), "{described}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_state_outgrows_the_limit_is_parked() {
    let work = Work::new();
    let server = Server::first(&work, Start::service().args(&["--sql-state-bytes", "256KiB"]));
    let cli = server.cli();
    cli.ok(
        &[
            "sql",
            "--set",
            "auto.offset.reset=earliest",
            "-e",
            "CREATE STREAM s (k STRING KEY, id STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
             CREATE TABLE few AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;
             CREATE TABLE many AS SELECT id, COUNT(*) AS n FROM s GROUP BY id;",
        ],
        "",
    );
    let lines: String = (0..5_000)
        .map(|n| format!("a|{{\"id\":\"{n:0>60}\"}}\n"))
        .collect();
    cli.ok(&["produce", "s", "--key-separator", "|"], &lines);
    until("the other query has counted all", SOON, async || {
        (count(&cli, "few") == Some(5_000)).then_some(())
    })
    .await;
    let queries = cli.json(&["sql", "-e", "SHOW QUERIES;"]);
    let state = |sink: &str| {
        let row = queries.iter().find(|row| row["SINK"] == json!(sink)).unwrap();
        row["STATE"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("FEW"), "RUNNING");
    assert!(state("MANY").contains("262144 are allowed"), "{}", state("MANY"));
    let described = cli.ok(&["sql", "-e", "DESCRIBE few EXTENDED;"], "");
    assert!(
        described.contains("state allowed, bytes") && described.contains("262144"),
        "{described}"
    );
}

/// A key of role sql-reader asks and changes nothing; what it may not do it may not do at the other doors either.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_sql_reads_and_no_more() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    cli.ok(
        &[
            "sql",
            "--set",
            "auto.offset.reset=earliest",
            "-e",
            "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
             CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;
             INSERT INTO s VALUES ('a', 1);",
        ],
        "",
    );
    let made = &cli.json(&["key", "create", "bi", "--role", "sql-reader"])[0];
    assert_eq!(made["role"], json!("sql-reader"));
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let reader = Cli::new(
        &server.doors.http,
        &Key {
            id: text("id"),
            secret: text("secret"),
        },
    );
    until("the row is counted", SOON, async || {
        (count(&reader, "t") == Some(1)).then_some(())
    })
    .await;
    let push = "SELECT v FROM s EMIT CHANGES LIMIT 1;";
    let pushed = reader.json(&["sql", "--set", "auto.offset.reset=earliest", "-e", push]);
    assert_eq!(pushed, [json!({"V": 1})]);
    for read in [
        "SHOW QUERIES;",
        "DESCRIBE t EXTENDED;",
        "PRINT s FROM BEGINNING LIMIT 1;",
    ] {
        reader.ok(&["sql", "-e", read], "");
    }
    for write in [
        "INSERT INTO s VALUES ('b', 2);",
        "TERMINATE ALL;",
        "DROP TABLE t;",
    ] {
        let told = reader.refused(&["sql", "-e", write]);
        assert!(told.contains("may only read"), "{told}");
    }
    reader.refused(&["topic", "create", "z"]);
    reader.refused(&["topic", "delete", "s"]);
    reader.refused(&["key", "create", "more", "--role", "sql-reader"]);
    reader.refused_with(&["produce", "s"], "x\n");
    assert_eq!(count(&cli, "t"), Some(1));
}

/// What the command line takes as a statement, and how long one may be.
#[test]
fn statements_may_begin_with_dashes_and_have_a_limit_that_is_told() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    cli.ok(&["sql", "-e", "-- what is there\nSHOW TOPICS;"], "");
    cli.ok(&["sql", "-e", "-- nothing"], "");
    let long = format!("SELECT '{}' FROM s;", "x".repeat(256 * 1024));
    let told = cli.refused_with(&["sql"], &long);
    let (has, most) = (format!("has {} bytes", long.len()), "at most 262144");
    assert!(told.contains(&has) && told.contains(most), "{told}");
}
