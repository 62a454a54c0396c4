//! What one query, one row or one caller may not do to the others of its tenant.

use crate::statements::given;
use crate::world::{Given, Way, World};
use millstream_model::limits::SQL_SINK_MESSAGE_BYTES;
use millstream_model::{PartitionIndex, TopicName};
use millstream_runtime::{NewStreamTopic, Streams, partition_for};
use millstream_server::{Access, StatementErrorKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

async fn queries(world: &mut World) -> BTreeMap<String, String> {
    let rows = world.sql("SHOW QUERIES;").await;
    let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
    rows.iter()
        .map(|row| (text(row, "SINK"), text(row, "STATE")))
        .collect()
}

/// The query that fills the tenant's memory is parked; what others count goes on, and it goes on when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_query_that_outgrows_the_tenants_state_is_parked_and_the_others_go_on() {
    let mut world = World::with(Way::Plain, 1, |shard| shard.state_bytes_max = 100_000).await;
    world
        .sql(
            "CREATE STREAM s (k STRING KEY, id STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=2);
             CREATE TABLE few AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;
             CREATE TABLE many AS SELECT id, COUNT(*) AS n FROM s GROUP BY id;",
        )
        .await;
    for round in 0..4_i64 {
        let row = |n: i64| {
            let id = format!("{round}-{n}-{}", "x".repeat(100));
            given("a", json!({"id": id}), round * 250 + n)
        };
        let rows: Vec<Given> = (0..250).map(row).collect();
        world.produce("s", &rows).await;
    }
    let states = queries(&mut world).await;
    assert_eq!(states["FEW"], "RUNNING");
    assert!(
        states["MANY"].starts_with("PARKED: the state of the tenant's queries would take")
            && states["MANY"].contains("100000 are allowed"),
        "{states:?}"
    );
    assert!(
        states["MANY"].ends_with("(tried again when there is room)"),
        "{states:?}"
    );
    assert_eq!(world.sql("SELECT n FROM few;").await, [json!({"N": 1000})]);
    let error = world.ask("SELECT n FROM many;").await.unwrap_err();
    assert_eq!(error.kind, StatementErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("is parked"), "{error}");
    let described = world.sql("DESCRIBE few EXTENDED;").await;
    let fact = |name: &str| {
        let found = described.iter().find(|row| row["FACT"] == json!(name));
        found.map(|row| row["VALUE"].as_str().unwrap().parse::<usize>().unwrap())
    };
    assert_eq!(fact("state allowed, bytes"), Some(100_000));
    let (own, all) = (
        fact("state, bytes").unwrap(),
        fact("state of all queries, bytes").unwrap(),
    );
    assert!(0 < own && own <= all && all < 100_000, "{own} {all}");

    // Killed and opened again, it has what it had, and meets the limit again.
    world.kill().await;
    world.settle().await;
    assert_eq!(world.sql("SELECT n FROM few;").await, [json!({"N": 1000})]);
    assert!(queries(&mut world).await["MANY"].starts_with("PARKED"));
}

/// A parked query is tried again once another has left its room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_was_parked_for_room_goes_on_when_there_is_some() {
    let mut world = World::with(Way::Plain, 1, |shard| shard.state_bytes_max = 150_000).await;
    let row = |n: i64| given(&format!("{n}-{}", "x".repeat(100)), json!({"v": n}), n);
    world
        .sql(
            "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
              CREATE TABLE one AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;",
        )
        .await;
    world.produce("s", &(0..300).map(row).collect::<Vec<_>>()).await;
    world
        .sql("CREATE TABLE two AS SELECT k, SUM(v) AS n FROM s GROUP BY k;")
        .await;
    world.settle().await;
    let states = queries(&mut world).await;
    assert_eq!(states["ONE"], "RUNNING");
    assert!(states["TWO"].starts_with("PARKED"), "{states:?}");
    world.sql("DROP TABLE one;").await;
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while queries(&mut world).await["TWO"] != "RUNNING" {
        assert!(
            std::time::Instant::now() < until,
            "{:?}",
            queries(&mut world).await
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.settle().await;
    assert_eq!(world.sql("SELECT n FROM two;").await.len(), 300);
}

/// What a query's topic does not take is a failed row of the query, which goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_its_topic_does_not_take_is_left_out_and_counted() {
    for way in [Way::Plain, Way::Split] {
        let mut world = World::new(way, 5).await;
        let small = NewStreamTopic {
            name: topic("small"),
            partitions: 1,
            config: BTreeMap::from([("max.message.bytes".to_owned(), "100".to_owned())]),
        };
        world.streams.inner.create_topic(small).await.unwrap();
        world
            .sql("CREATE STREAM s (k STRING KEY, v STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
                  CREATE STREAM o WITH (KAFKA_TOPIC='small') AS SELECT * FROM s;")
            .await;
        let rows = [("a", 1), ("b", 200), ("c", 2), ("d", 300), ("e", 3)];
        let rows = rows.map(|(k, length)| given(k, json!({"v": "x".repeat(length)}), 1));
        world.produce("s", &rows).await;
        let keys: Vec<_> = world
            .held("small", 0)
            .into_iter()
            .filter_map(|(key, ..)| key)
            .collect();
        assert_eq!(keys, [b"a", b"c", b"e"]);
        let reports = world.engine.reports().await.unwrap();
        assert_eq!((reports[0].errors, reports[0].rows_out), (2, 3), "{reports:?}");
        let said = &reports[0].recent[0].message;
        assert!(said.contains("larger than the 100 allowed"), "{said}");
        assert_eq!(queries(&mut world).await["O"], "RUNNING");
        // An INSERT of such a row is an error, for there is somebody to tell.
        let insert = format!("INSERT INTO o VALUES ('f', '{}');", "x".repeat(200));
        let error = world.ask(&insert).await.unwrap_err();
        assert_eq!(error.kind, StatementErrorKind::Refused, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_by_a_query_takes_the_largest_rows() {
    let mut world = World::new(Way::Plain, 1).await;
    world
        .sql("CREATE STREAM s (k STRING KEY, v STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
              CREATE STREAM o AS SELECT k, REPEAT(v, 2) AS w FROM s;")
        .await;
    let config = |found: Option<millstream_runtime::StreamTopic>| found.unwrap().config;
    let of = async |name: &str| config(world.streams.inner.topic(&topic(name)).await.unwrap());
    assert_eq!(
        of("O").await["max.message.bytes"],
        SQL_SINK_MESSAGE_BYTES.to_string()
    );
    assert!(!of("s").await.contains_key("max.message.bytes"));
    world
        .produce("s", &[given("a", json!({"v": "x".repeat(900_000)}), 1)])
        .await;
    let held = world.held("O", 0);
    assert_eq!(
        held[0].1.as_ref().unwrap()["W"].as_str().unwrap().len(),
        1_800_000
    );
}

/// One row's expressions have a budget; what is beyond it fails that row alone, whatever stands around it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_expressions_fail_their_row_and_hold_up_nobody() {
    let mut world = World::new(Way::Plain, 1).await;
    let heavy = |n: usize| format!("LEN(LPAD('x', m, CONCAT(k, 'y'))) AS c{n}");
    let columns: Vec<String> = (1..=8).map(heavy).collect();
    world
        .sql(&format!(
            "CREATE STREAM s (k STRING KEY, m INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
             CREATE TABLE n AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;
             CREATE STREAM o AS SELECT k, {} FROM s;",
            columns.join(", ")
        ))
        .await;
    let length = |n: i64| if n % 3 == 0 { 8_000_000 } else { 10 };
    let rows: Vec<Given> = (0..9).map(|n| given("a", json!({"m": length(n)}), n)).collect();
    world.produce("s", &rows).await;
    assert_eq!(world.sql("SELECT n FROM n;").await, [json!({"N": 9})]);
    let held = world.held("O", 0);
    assert_eq!(held.len(), 9);
    for (n, (_, value, _)) in held.into_iter().enumerate() {
        let value = value.unwrap();
        let expected = |column: usize| match (n % 3, column) {
            (0, 1..=4) => json!(8_000_000),
            (0, _) => Value::Null,
            _ => json!(10),
        };
        for column in 1..=8 {
            assert_eq!(
                value[format!("C{column}")],
                expected(column),
                "row {n}, column {column}"
            );
        }
    }
    let reports = world.engine.reports().await.unwrap();
    let report = reports
        .iter()
        .find(|report| report.id.starts_with("CSAS_O"))
        .unwrap();
    // Three rows, four columns each.
    assert_eq!(report.errors, 12);
    let pulled = world
        .sql("SELECT LEN(LPAD('x', m, k)) AS n FROM s WHERE LEN(LPAD('y', m, k)) > 100;")
        .await;
    assert_eq!(
        pulled,
        [
            json!({"N": 8_000_000}),
            json!({"N": 8_000_000}),
            json!({"N": 8_000_000})
        ]
    );
}

/// librdkafka places keys by another hash unless told otherwise: what it has split is counted, and what to do is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_outside_their_murmur2_partition_are_counted_and_warned_of() {
    let mut world = World::new(Way::Plain, 1).await;
    world
        .sql(
            "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=2);
              CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY k;
              CREATE TABLE u AS SELECT COUNT(*) AS n, v FROM s GROUP BY v;",
        )
        .await;
    let PartitionIndex(right) = partition_for(b"bob", 2);
    let at = |partition: u32, key: Option<&str>, v: i64| {
        let value = Some(json!({"v": v}).to_string());
        (key.map(str::to_owned), value, v, Some(partition))
    };
    let warning = |rows: &[Value]| {
        let found = rows.iter().find(|row| row["FACT"] == json!("warning"));
        found.map(|row| row["VALUE"].as_str().unwrap().to_owned())
    };
    let rows = [at(right, Some("bob"), 1), at(0, None, 2), at(1, None, 3)];
    world.produce("s", &rows).await;
    assert_eq!(warning(&world.sql("DESCRIBE s EXTENDED;").await), None);
    world.produce("s", &[at(1 - right, Some("bob"), 4)]).await;
    let said = warning(&world.sql("DESCRIBE s EXTENDED;").await).unwrap();
    assert!(
        said.starts_with("2 records of topic s") && said.contains("partitioner=murmur2_random"),
        "{said}"
    );
    let reports = world.engine.reports().await.unwrap();
    let count = |sink: &str| {
        let report = reports.iter().find(|report| report.id.contains(sink)).unwrap();
        report.misplaced_keys
    };
    assert_eq!((count("CTAS_T_"), count("CTAS_U_")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_of_a_query_that_is_gone_is_never_given_out_again() {
    let mut world = World::new(Way::Plain, 1).await;
    world
        .sql("CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);")
        .await;
    let mut seen = Vec::new();
    for round in 0..4 {
        world
            .sql("CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;")
            .await;
        seen.push(
            world.sql("SHOW QUERIES;").await[0]["QUERY"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
        match round {
            0 => world.sql("DROP TABLE t DELETE TOPIC;").await,
            1 => {
                world.sql("DROP TABLE t DELETE TOPIC;").await;
                world.restart().await;
                Vec::new()
            }
            _ => world.sql("TERMINATE ALL; DROP TABLE t DELETE TOPIC;").await,
        };
    }
    assert_eq!(seen, ["CTAS_T_1", "CTAS_T_2", "CTAS_T_3", "CTAS_T_4"]);
}

/// Which statements a caller may run who may only read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_read_changes_nothing() {
    let mut world = World::new(Way::Plain, 1).await;
    world
        .sql(
            "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
              CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;",
        )
        .await;
    world.produce("s", &[given("a", json!({"v": 1}), 1)]).await;
    for read in [
        "SELECT * FROM t;",
        "SELECT * FROM s;",
        "SELECT * FROM s EMIT CHANGES LIMIT 1;",
        "SELECT k, COUNT(*) FROM s GROUP BY k EMIT CHANGES LIMIT 1;",
        "PRINT s FROM BEGINNING LIMIT 1;",
        "SHOW STREAMS; SHOW TABLES; SHOW TOPICS; SHOW QUERIES EXTENDED; SHOW FUNCTIONS; SHOW PROPERTIES;",
        "DESCRIBE t EXTENDED; DESCRIBE FUNCTION LEN;",
        "EXPLAIN SELECT k FROM s EMIT CHANGES; SET 'auto.offset.reset' = 'latest'; UNSET 'auto.offset.reset';",
    ] {
        let answered = world.ask_with(read, Access::Read).await;
        assert!(answered.is_ok(), "{read}: {answered:?}");
    }
    let before = world.catalog_rows().await;
    for write in [
        "CREATE STREAM z (v INT) WITH (KAFKA_TOPIC='z', VALUE_FORMAT='JSON', PARTITIONS=1);",
        "CREATE STREAM IF NOT EXISTS s (v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');",
        "CREATE OR REPLACE STREAM s (k STRING KEY, v INT, w INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');",
        "CREATE STREAM z AS SELECT * FROM s;",
        "CREATE TABLE z AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;",
        "INSERT INTO s VALUES ('b', 2);",
        "TERMINATE ctas_t_1;",
        "TERMINATE ALL;",
        "DROP TABLE t;",
        "DROP STREAM IF EXISTS nope;",
    ] {
        for text in [write.to_owned(), format!("SELECT * FROM t;\n{write}")] {
            let error = world.ask_with(&text, Access::Read).await.unwrap_err();
            assert_eq!(error.kind, StatementErrorKind::Refused, "{text}: {error}");
            assert_eq!(error.line, Some(text.matches('\n').count() as u32 + 1), "{text}");
            assert!(error.message.contains("may only read"), "{error}");
        }
    }
    assert_eq!(world.catalog_rows().await, before);
    assert_eq!(world.held("s", 0).len(), 1);
}
