//! SQL by the command line: scripts, continuous queries that outlive a kill, errors with their place.

use crate::harness::{Server, Start, Work, until, until_some};
use millstream_cli::kafka::KafkaClient;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::CreatePartitionsRequest;
use millstream_kafka_wire::messages::create_partitions_request::CreatePartitionsTopic;
use millstream_rust::{ProducerSettings, Record};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

const SETUP: &str = "
SET 'auto.offset.reset' = 'earliest';
CREATE STREAM orders (who STRING KEY, item STRING, price DOUBLE) WITH (
    KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', KEY_FORMAT = 'KAFKA', PARTITIONS = 3);
CREATE STREAM dear AS SELECT who, item, price FROM orders WHERE price > 10;
CREATE TABLE spent AS SELECT who, COUNT(*) AS orders, SUM(price) AS total FROM orders GROUP BY who;
";

fn columns(row: &Value, names: &[&str]) -> Vec<Value> {
    let cells = row.as_object().unwrap();
    let find = |name: &&str| {
        let found = cells.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone()).unwrap_or(Value::Null)
    };
    names.iter().map(find).collect()
}

fn spent(server: &Server) -> Vec<Vec<Value>> {
    let rows = server
        .cli()
        .json(&["sql", "-e", "SELECT who, orders, total FROM spent;"]);
    let mut rows: Vec<_> = rows
        .iter()
        .map(|row| columns(row, &["who", "orders", "total"]))
        .collect();
    rows.sort_by_key(|row| row[0].to_string());
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn continuous_queries_answer_and_outlive_a_kill() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let identity = server.identity();
    let cli = server.cli();
    let script = work.path("setup.sql");
    std::fs::write(&script, SETUP).unwrap();
    cli.ok(&["sql", "-f", script.to_str().unwrap()], "");
    cli.ok(
        &[
            "sql",
            "-e",
            "INSERT INTO orders (who, item, price) VALUES ('ann', 'pen', 2.5);",
        ],
        "",
    );
    cli.ok(
        &["produce", "orders", "--key-separator", "|"],
        "ann|{\"item\":\"desk\",\"price\":100}\nbob|{\"item\":\"cup\",\"price\":5}\nbob|not json\n",
    );
    let expected = [
        vec![json!("ann"), json!(2), json!(102.5)],
        vec![json!("bob"), json!(1), json!(5.0)],
    ];
    until("both customers are counted", SOON, async || {
        (spent(&server) == expected).then_some(())
    })
    .await;

    server.kill();
    let server = Server::again(&work, Start::service(), &identity);
    let cli = server.cli();
    cli.ok(
        &["produce", "orders", "--key-separator", "|"],
        "bob|{\"item\":\"tv\",\"price\":500}\n",
    );
    let expected = [
        vec![json!("ann"), json!(2), json!(102.5)],
        vec![json!("bob"), json!(2), json!(505.0)],
    ];
    until("the query goes on where it was", SOON, async || {
        (spent(&server) == expected).then_some(())
    })
    .await;

    let by_key = cli.json(&["sql", "-e", "SELECT total FROM spent WHERE who = 'bob';"]);
    assert_eq!(columns(&by_key[0], &["total"]), [json!(505.0)]);
    let push = "SELECT who, item FROM dear EMIT CHANGES LIMIT 2;";
    let dear = cli.json(&["sql", "--set", "auto.offset.reset=earliest", "-e", push]);
    let mut items: Vec<_> = dear
        .iter()
        .map(|row| columns(row, &["item"])[0].to_string())
        .collect();
    items.sort();
    assert_eq!(items, ["\"desk\"", "\"tv\""]);
    let lag = until_some("the queries have read everything", SOON, async || {
        let text = cli.ok(&["sql", "-e", "DESCRIBE spent EXTENDED;"], "");
        text.to_ascii_lowercase().contains("lag").then_some(text)
    })
    .await;
    assert!(lag.contains("orders"), "{lag}");
    for statement in [
        "SHOW STREAMS;",
        "SHOW TABLES;",
        "SHOW QUERIES;",
        "SHOW TOPICS;",
        "DESCRIBE dear;",
    ] {
        assert!(
            cli.ok(&["sql", "-e", statement], "").lines().count() > 2,
            "{statement}"
        );
    }
    let queries = cli.json(&["sql", "-e", "SHOW QUERIES;"]);
    assert_eq!(queries.len(), 2, "{queries:?}");
    let id = queries[0]
        .as_object()
        .unwrap()
        .values()
        .next()
        .and_then(Value::as_str)
        .unwrap()
        .to_owned();
    cli.ok(&["sql", "-e", &format!("TERMINATE {id};")], "");
    assert_eq!(cli.json(&["sql", "-e", "SHOW QUERIES;"]).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_topic_is_deleted_is_parked_alone_and_goes_on() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    let setup = "
        SET 'auto.offset.reset' = 'earliest';
        SET 'commit.interval.ms' = '200';
        CREATE STREAM ksql_processing_log (query STRING KEY, message STRUCT<recordProcessingError STRUCT<errorMessage STRING>>)
            WITH (KAFKA_TOPIC = 'ksql_processing_log', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
        CREATE STREAM a (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 'a', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
        CREATE STREAM b (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 'b', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
        CREATE TABLE of_a AS SELECT k, SUM(v) AS n FROM a GROUP BY k;
        CREATE TABLE of_b AS SELECT k, SUM(v) AS n FROM b GROUP BY k;";
    cli.ok(&["sql", "-e", setup], "");
    let produce = |topic: &str, value: &str| {
        let record = format!("x|{{\"v\":{value}}}\n");
        cli.ok(&["produce", topic, "--key-separator", "|"], &record);
    };
    let sum = async |table: &str, wanted: i64| {
        let query = format!("SELECT n FROM {table};");
        until(&format!("{table} has {wanted}"), SOON, async || {
            let rows = cli.json(&["sql", "-e", &query]);
            rows.first()
                .is_some_and(|row| row["N"] == json!(wanted))
                .then_some(())
        })
        .await;
    };
    produce("a", "1");
    produce("b", "\"no number\"");
    produce("b", "10");
    sum("of_a", 1).await;
    sum("of_b", 10).await;
    let logged =
        "SELECT query, message->recordProcessingError->errorMessage AS told FROM ksql_processing_log;";
    let logged = cli.json(&["sql", "-e", logged]);
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(logged[0]["QUERY"], json!("CTAS_OF_B_2"));
    cli.ok(&["topic", "delete", "a"], "");
    server.wait_for_metric("sql_queries_parked_total", |parked| parked >= 1.0);
    produce("b", "20");
    sum("of_b", 30).await;
    let told = format!("{:?}", cli.json(&["sql", "-e", "DESCRIBE of_a EXTENDED;"]));
    assert!(
        told.contains("PARKED") && told.contains("tried again in"),
        "{told}"
    );
    cli.ok(&["topic", "create", "a", "--partitions", "2"], "");
    produce("a", "100");
    sum("of_a", 101).await;
    assert!(server.metric("sql_query_retries_total") >= 1.0);
    assert_eq!(server.metric("sql_row_errors_total"), 2.0);
    cli.ok(&["sql", "-e", "TERMINATE ALL;"], "");
    server.wait_for_metric("sql_queries", |running| running == 0.0);
}

#[test]
fn errors_point_at_their_place() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    let told = cli.refused(&["sql", "-e", "SHOW TOPICS;\nSELECT *\nFRM x;"]);
    assert!(told.contains("line 3"), "{told}");
    let told = cli.refused(&["sql", "-e", "SELECT * FROM nowhere EMIT CHANGES;"]);
    assert!(told.to_ascii_lowercase().contains("nowhere"), "{told}");
    assert!(!told.contains("panicked") && !told.contains("Error {"), "{told}");
}

#[test]
fn the_command_line_says_what_to_do() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    let topics = |cli: &crate::harness::cli::Cli| cli.json(&["topic", "list"]).len();
    assert_eq!(topics(&cli), 0);
    cli.ok(
        &[
            "topic",
            "create",
            "t",
            "--partitions",
            "2",
            "--config",
            "retention.ms=-1",
        ],
        "",
    );
    assert_eq!(topics(&cli), 1);
    cli.ok(&["produce", "t", "--key-separator", ":"], "a:1\nb:2\n");
    let mut read = cli.json(&["consume", "t", "--from-beginning", "--exit-at-end"]);
    read.sort_by_key(|it| it["value"].to_string());
    assert_eq!(
        read.iter().map(|it| it["key"].clone()).collect::<Vec<_>>(),
        [json!("a"), json!("b")]
    );
    assert_eq!(
        cli.json(&["consume", "t", "--from-beginning", "--limit", "1"])
            .len(),
        1
    );
    for (command, word) in [
        (vec!["topic", "create", "t"], "t"),
        (vec!["topic", "describe", "nowhere"], "nowhere"),
        (vec!["topic", "create", "a/b"], "topic name"),
        (
            vec!["topic", "alter", "t", "--set", "retention.ms=soon"],
            "retention.ms",
        ),
        (vec!["group", "describe", "nobody"], "nobody"),
        (
            vec!["key", "revoke", "AAAAAAAAAAAAAAAAAAAA"],
            "AAAAAAAAAAAAAAAAAAAA",
        ),
        (vec!["whoami", "--address", "127.0.0.1:1"], "127.0.0.1:1"),
    ] {
        let told = cli.refused(&command);
        assert_eq!(told.trim().lines().count(), 1, "{command:?}: one line: {told}");
        assert!(told.contains(word), "{command:?} names what is wrong: {told}");
    }
    cli.ok(&["topic", "delete", "t"], "");
    assert_eq!(topics(&cli), 0);
    assert_eq!(cli.json(&["key", "list"]).len(), 1);
    assert!(!cli.ok(&["whoami"], "").contains(&server.key.secret));
}

/// sql.md 5: keys stay in the partitions where a query has their state.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_a_query_relies_on_does_not_grow() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let (doors, key) = server.identity();
    let cli = server.cli();
    cli.ok(&["sql", "-e", SETUP], "");
    let mut client = KafkaClient::connect(&doors.kafka, &key.id, &key.secret)
        .await
        .unwrap();
    let mut grow = async |name: &str| {
        let topic = CreatePartitionsTopic {
            name: name.to_owned(),
            count: 6,
            assignments: None,
        };
        let request = CreatePartitionsRequest {
            topics: vec![topic],
            timeout_ms: 10_000,
            ..CreatePartitionsRequest::default()
        };
        let answer = client.call(3, &request).await.unwrap();
        let result = answer.results.into_iter().next().unwrap();
        (result.error_code, result.error_message.unwrap_or_default())
    };
    for (topic, query) in [("orders", "CSAS_DEAR_1"), ("SPENT", "CTAS_SPENT_2")] {
        let (code, told) = grow(topic).await;
        assert_eq!(code, ErrorCode::InvalidPartitions.number(), "{told}");
        assert!(told.contains(query), "{told}");
    }
    cli.ok(&["sql", "-e", "TERMINATE ALL;"], "");
    assert_eq!(grow("orders").await, (0, String::new()));
}

/// What the partitions of one topic hold together is more than an answer of the log may: none is passed over.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_over_more_than_one_answer_holds_counts_every_record() {
    const PARTITIONS: u32 = 32;
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    let source = format!(
        "CREATE STREAM wide (k INT, pad STRING) WITH (KAFKA_TOPIC = 'wide', VALUE_FORMAT = 'JSON', \
         PARTITIONS = {PARTITIONS});"
    );
    cli.ok(&["sql", "-e", &source], "");
    let producer = server.client().producer(ProducerSettings::default());
    let value = format!("{{\"k\":1,\"pad\":\"{}\"}}", "x".repeat(300_000));
    let mut deliveries = Vec::new();
    for number in 0..PARTITIONS * 3 {
        let record = Record {
            partition: Some(number % PARTITIONS),
            ..Record::new().value(value.clone())
        };
        deliveries.push(producer.enqueue("wide", record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let query = "SET 'auto.offset.reset' = 'earliest';
        CREATE TABLE counted AS SELECT k, COUNT(*) AS n FROM wide GROUP BY k;";
    cli.ok(&["sql", "-e", query], "");
    until("every record is counted", SOON, async || {
        let rows = cli.json(&["sql", "-e", "SELECT n FROM counted;"]);
        let counted = rows.first().map(|row| row["N"].clone());
        (counted == Some(json!(PARTITIONS * 3))).then_some(())
    })
    .await;
}
