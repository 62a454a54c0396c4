//! What README shows to copy is run as it stands there: cut out of the file, with this server's address and key in the
//! places of the example's.

use crate::harness::server::{BINARY, clean};
use crate::harness::terminal::{CTRL_C, CTRL_D, Step, run};
use crate::harness::{Key, Server, Start, Work, http, tools, until};
use millstream_rust::{
    Client, Compression, ConsumedRecord, ConsumerSettings, ProducerSettings, Record, Start as From,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const README: &str = include_str!("../../README.md");
const SOON: Duration = Duration::from_secs(60);

/// The fenced blocks of a language, without their fences.
fn blocks(language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in README.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(of)) => open = Some((of.to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, text)), None) => text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of README has no end");
    let of_it = found.into_iter().filter(|(of, _)| of == language);
    of_it.map(|(_, text)| text).collect()
}

/// The one block of a language that has this word.
fn block(language: &str, word: &str) -> String {
    let mut found = blocks(language);
    found.retain(|text| text.contains(word));
    let [text] = &found[..] else {
        panic!("README has {} blocks of '{language}' with '{word}'", found.len())
    };
    text.clone()
}

/// The block with this server's addresses and key.
fn filled(block: &str, server: &Server) -> String {
    let Key { id, secret } = &server.key;
    block
        .replace("127.0.0.1:9092", &server.doors.kafka)
        .replace("127.0.0.1:8080", &server.doors.http)
        .replace("KEY", id)
        .replace("SECRET", secret)
}

/// Runs lines of a shell, with the binary and kcat on the path, in a home of its own.
fn shell(work: &Work, script: &str, programs: &[&Path]) -> String {
    let mut path = vec![Path::new(BINARY).parent().unwrap().to_owned()];
    path.extend(
        programs
            .iter()
            .map(|program| program.parent().unwrap().to_owned()),
    );
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut command = Command::new("bash");
    clean(&mut command);
    command
        .args(["-euo", "pipefail", "-c", script])
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("HOME", work.path("home"))
        .env("XDG_CONFIG_HOME", work.path("home/config"));
    tools::run_ok(&mut command)
}

/// README's lines of Rust; the test below holds them against README.
async fn sdk(address: &str, key: &str, secret: &str) -> Result<(), millstream_rust::Error> {
    // README begins
    use millstream_rust::{Client, Credentials, ProducerSettings, Record};

    let client = Client::connect(address, Credentials::key(key, secret))?;
    let producer = client.producer(ProducerSettings::default());
    producer
        .send("hello", Record::new().key("k").value("a third record"))
        .await?;
    // README ends
    Ok(())
}

#[test]
fn the_lines_of_rust_are_those_that_are_run() {
    let written = block("rust", "millstream_rust")
        .replace("\"http://127.0.0.1:8080\"", "address")
        .replace("\"KEY\", \"SECRET\"", "key, secret");
    let source = include_str!("readme.rs");
    let (_, rest) = source.split_once("    // README begins\n").unwrap();
    let (run, _) = rest.split_once("    // README ends\n").unwrap();
    // Where lines are broken is the formatter's matter.
    let words = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(words(run), words(&written));
}

async fn records(client: &Client, topic: &str, count: usize) -> Vec<ConsumedRecord> {
    let mut consumer = client.consumer(ConsumerSettings::new(topic, From::Earliest));
    let mut found = Vec::new();
    for _ in 0..count {
        let next = tokio::time::timeout(SOON, consumer.next()).await;
        found.push(next.expect("a record in time").unwrap());
    }
    found
}

/// A number of partitions among which librdkafka's own hash and Kafka's place this key differently.
fn telling_partitions(key: &[u8]) -> (u32, u32) {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, key);
    let mut counts = (2..20).map(|count| (count, millstream_runtime::partition_for(key, count).0));
    let differs = |(count, murmur): &(u32, u32)| crc % u64::from(*count) != u64::from(*murmur);
    counts.find(differs).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_readme_write_records_where_sql_looks_for_them() {
    let (kcat, python) = (tools::program("kcat"), tools::python());
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let (partitions, place) = telling_partitions(b"k");
    server.make_topic("hello", partitions).await;
    let mut expected = vec!["a third record"];
    let line = block("", "kcat -b");
    assert!(line.contains("-X partitioner=murmur2_random"), "{line}");
    if let Some(program) = &kcat {
        shell(&work, &filled(&line, &server), &[program]);
        expected.push("a first record");
    }
    if let Some(program) = &python {
        let script = filled(&block("python", "Producer("), &server);
        tools::run_ok(Command::new(program).args(["-c", &script]));
        expected.push("a second record");
    }
    let address = format!("http://{}", server.doors.http);
    sdk(&address, &server.key.id, &server.key.secret).await.unwrap();
    expected.sort_unstable();
    let found = records(&server.client(), "hello", expected.len()).await;
    let mut values: Vec<String> = Vec::new();
    for record in &found {
        values.push(String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap());
        let is_keyed = record.key.as_deref() == Some(b"k");
        assert!(
            !is_keyed || record.partition == place,
            "the key of {record:?} belongs into partition {place} of {partitions}"
        );
    }
    values.sort();
    assert_eq!(values, expected);
}

/// The statements of a block, each as it is typed.
fn statements(block: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in block.lines().filter(|line| !line.is_empty()) {
        let last = all.last_mut().unwrap();
        last.extend([line, "\r"]);
        if line.split("--").next().unwrap().trim_end().ends_with(';') {
            all.push(String::new());
        }
    }
    all.pop();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_and_the_sql_of_readme_do_what_is_said() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let home = work.path("home");
    std::fs::create_dir(&home).unwrap();
    let written = shell(&work, &filled(&block("", "millstream profile"), &server), &[]);
    assert!(
        written.contains("{\"amount\": 12}") && written.contains("reporting"),
        "{written}"
    );
    let [queries, processing_log] = &blocks("sql")[..] else {
        panic!("README has two blocks of SQL")
    };
    // Typed, statement by statement.
    let typed = statements(queries);
    assert!(typed.len() > 6, "{typed:?}");
    let mut steps = vec![Step::Expect("sql> ")];
    for statement in &typed {
        steps.push(Step::Send(statement));
        let shown = match statement {
            it if it.starts_with("CREATE STREAM") => "Stream ORDERS created",
            it if it.starts_with("CREATE TABLE") => "Table SPENT created",
            it if it.starts_with("INSERT") => "1 row inserted",
            it if it.contains("EMIT CHANGES") => r"bob +\| 1 +\| 30",
            it if it.starts_with("DESCRIBE") => "┆ LAG",
            _ => "sql> ",
        };
        steps.push(Step::Expect(shown));
        if statement.contains("EMIT CHANGES") {
            steps.extend([Step::Send(CTRL_C), Step::Expect("Query ended")]);
        }
    }
    steps.extend([Step::Expect("sql> "), Step::Send(CTRL_D), Step::End]);
    let Some((shown, status)) = run(120, &home, Some(&server), &["sql"], &steps) else {
        return;
    };
    assert_eq!(status, 0, "{shown}");
    let cli = server.cli();
    until("bob and alice are counted", SOON, async || {
        let rows = cli.json(&["sql", "-e", "SELECT customer, orders, total FROM spent;"]);
        let has =
            |name: &str, total: i64| rows.contains(&json!({"CUSTOMER": name, "ORDERS": 1, "TOTAL": total}));
        (rows.len() == 2 && has("bob", 30) && has("alice", 12)).then_some(())
    })
    .await;
    // The processing log tells of a row that fails.
    cli.ok(&["sql", "-e", processing_log], "");
    cli.ok(&["produce", "orders", "--key-separator", ":"], "carl:no json\n");
    let log = records(&server.client(), "ksql_processing_log", 1).await;
    let told = String::from_utf8(log[0].value.clone().unwrap().to_vec()).unwrap();
    assert!(told.contains("errorMessage"), "{told}");
}

/// "There is a commit a second": who writes sees it in the table that soon.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_a_second_behind_at_default_settings() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let client = server.client();
    let run = async |text: &str| client.sql_rows(text, &Default::default()).await.unwrap();
    for statement in statements(&blocks("sql")[0]).iter().take(3) {
        run(statement).await;
    }
    let (mut behind, insert) = (
        Vec::new(),
        "INSERT INTO orders (customer, amount) VALUES ('bob', 30);",
    );
    for number in 1..=30 {
        run(insert).await;
        let begun = Instant::now();
        let select = format!("SELECT orders FROM spent WHERE customer = 'bob' AND orders = {number};");
        while run(&select).await.iter().all(|rows| rows.num_rows() == 0) {
            assert!(begun.elapsed() < SOON, "{select}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        behind.push(begun.elapsed());
    }
    behind.sort();
    println!("a table was behind by {behind:?}");
    assert!(behind[15] < Duration::from_secs(2), "{behind:?}");
}

/// README's words in backticks, without labels.
fn words(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|word| word.split('{').next()).collect()
}

/// Every metric that README names; SQL's are named in one paragraph, without what they begin with.
fn metrics() -> BTreeSet<String> {
    const OF_SQL: &str = "SQL's figures begin with `millstream_sql_`";
    let (_, sql) = README.split_once(OF_SQL).unwrap();
    let (sql, _) = sql.split_once("\n\n").unwrap();
    let mut named: BTreeSet<String> = words(sql)
        .iter()
        .map(|name| format!("millstream_sql_{name}"))
        .collect();
    assert!(named.len() > 15, "{named:?}");
    let prose = README.split("```").step_by(2).flat_map(words);
    let whole = prose.filter(|name| name.starts_with("millstream_") && *name != "millstream_sql_");
    let before = named.len();
    named.extend(whole.map(str::to_owned));
    assert!(named.len() > before + 3, "{named:?}");
    named
}

/// What a name of OpenMetrics is without the suffix that says of which kind it is.
fn family(name: &str) -> &str {
    let suffixes = ["_total", "_count", "_sum", "_bucket"];
    let found = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
    found.unwrap_or(name)
}

/// Every metric that README names has a value once there was a query, a pull, a push and some records.
#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_readme_are_there() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let client = server.client();
    let run = async |text: &str| client.sql_rows(text, &Default::default()).await.unwrap();
    // A node that takes nothing lasts for ever, of which a year stands for.
    const FOR_EVER: f64 = 8_760.0;
    assert_eq!(server.metric("broker_journal_outage_hours"), FOR_EVER);
    for statement in statements(&blocks("sql")[0]).iter().take(3) {
        run(statement).await;
    }
    run("INSERT INTO orders (customer, amount) VALUES ('bob', 30);").await;
    run("SELECT * FROM spent WHERE customer = 'bob';").await;
    let push = "SELECT * FROM spent EMIT CHANGES;";
    let _push = client.sql(push, &Default::default()).await.unwrap();
    server.wait_for_metric("sql_commits_total", |it| it >= 1.0);
    server.make_topic("filled", 1).await;
    let producer = client.producer(ProducerSettings {
        compression: Compression::None,
        ..ProducerSettings::default()
    });
    for _ in 0..20 {
        let record = Record::new().value("x".repeat(100_000));
        producer.send("filled", record).await.unwrap();
    }
    server.wait_for_metric("broker_journal_outage_hours", |it| it > 0.0 && it < FOR_EVER);
    let text = http::get(&server.doors.admin, "/metrics").unwrap().1;
    let values = text.lines().filter(|line| !line.starts_with('#'));
    let there: BTreeSet<&str> = values.filter_map(|line| line.split(['{', ' ']).next()).collect();
    let families: BTreeSet<&str> = there.iter().map(|name| family(name)).collect();
    // One that is named with its suffix has just that one.
    let has = |name: &String| there.contains(name.as_str()) || families.contains(name.as_str());
    let missing: Vec<String> = metrics().into_iter().filter(|name| !has(name)).collect();
    assert_eq!(missing, [""; 0], "not in /metrics:\n{text}");
}
