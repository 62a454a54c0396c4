//! Statement by statement, what is answered and what is written.

use crate::world::{Given, Way, World};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

const STREAM: &str = "CREATE STREAM s (k STRING KEY, v INT) \
    WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);";

pub fn given(key: &str, value: Value, time: i64) -> Given {
    (Some(key.to_owned()), Some(value.to_string()), time, None)
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(Value::to_string);
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_filtered_and_projected() {
    for way in Way::ALL {
        let mut world = World::new(way, 7).await;
        world.sql(STREAM).await;
        world
            .sql("CREATE STREAM o AS SELECT k, v * 2 AS d FROM s WHERE v > 1;")
            .await;
        let rows = [
            given("a", json!({"v": 1}), 10),
            given("b", json!({"v": 2}), 20),
            given("c", json!({}), 30),
        ];
        world.produce("s", &rows).await;
        let held = world.held("O", 0);
        assert!(!held.is_empty(), "{way:?}");
        assert!(
            held.iter()
                .all(|r| *r == (Some(b"b".to_vec()), Some(json!({"D": 4})), 20)),
            "{way:?}: {held:?}"
        );
        assert!(way == Way::Killed || held.len() == 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_a_table_is_written_and_the_last_is_pulled() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(STREAM).await;
    world.sql("CREATE TABLE t AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY k HAVING SUM(v) < 10;").await;
    let rows = [("a", 1, 10), ("b", 2, 20), ("a", 3, 5), ("a", 9, 30)];
    world
        .produce("s", &rows.map(|(k, v, t)| given(k, json!({"v": v}), t)))
        .await;
    let (a, b) = (Some(b"a".to_vec()), Some(b"b".to_vec()));
    let expected = vec![
        (a.clone(), Some(json!({"N": 1, "TOTAL": 1})), 10),
        (b, Some(json!({"N": 1, "TOTAL": 2})), 20),
        (a.clone(), Some(json!({"N": 2, "TOTAL": 4})), 10),
        (a, None, 30),
    ];
    assert_eq!(world.held("T", 0), expected);
    assert_eq!(
        world.sql("SELECT * FROM t;").await,
        [json!({"K": "b", "N": 1, "TOTAL": 2})]
    );
    assert_eq!(
        world.sql("SELECT n FROM t WHERE k = 'a';").await,
        Vec::<Value>::new()
    );
    assert_eq!(
        world.sql("SELECT n + 1 AS m FROM t WHERE k = 'b';").await,
        [json!({"M": 2})]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windowed_keys_and_late_rows() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(STREAM).await;
    world
        .sql("CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 10 SECONDS, RETENTION 1 DAY, GRACE PERIOD 0 SECONDS) GROUP BY k;")
        .await;
    // 9,999 still belongs to the first window; after 10,000 a row for it is late.
    let times = [0, 9_999, 10_000, 5_000, 25_000, 20_000];
    world
        .produce("s", &times.map(|t| given("a", json!({"v": 1}), t)))
        .await;
    let key = |start: i64| Some([b"a".as_slice(), &start.to_be_bytes()].concat());
    let expected = vec![
        (key(0), Some(json!({"N": 1})), 0),
        (key(0), Some(json!({"N": 2})), 9_999),
        (key(10_000), Some(json!({"N": 1})), 10_000),
        (key(20_000), Some(json!({"N": 1})), 25_000),
        (key(20_000), Some(json!({"N": 2})), 25_000),
    ];
    assert_eq!(world.held("T", 0), expected);
    let pulled = world
        .sql("SELECT k, WINDOWSTART AS f, n FROM t WHERE k = 'a' AND WINDOWSTART >= 10000;")
        .await;
    assert_eq!(
        sorted(pulled),
        [
            json!({"K":"a","F":10_000,"N":1}),
            json!({"K":"a","F":20_000,"N":2})
        ]
    );
    let reports = world.engine.reports().await.unwrap();
    assert_eq!((reports[0].late_rows, reports[0].partitions[0].lag()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_resume_by_themselves_and_drops_stay_dropped() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(STREAM).await;
    world
        .sql("CREATE TABLE t AS SELECT k, SUM(v) AS n FROM s GROUP BY k;")
        .await;
    world.sql("CREATE STREAM o AS SELECT k, v + 1 AS w FROM s;").await;
    world
        .sql("CREATE TABLE u AS SELECT k, MAX(w) AS m FROM o GROUP BY k;")
        .await;
    world.produce("s", &[given("a", json!({"v": 1}), 1)]).await;
    world.restart().await;
    world.produce("s", &[given("a", json!({"v": 5}), 2)]).await;
    assert_eq!(
        world.sql("SELECT n FROM t WHERE k = 'a';").await,
        [json!({"N": 6})]
    );
    assert_eq!(
        world.sql("SELECT m FROM u WHERE k = 'a';").await,
        [json!({"M": 6})]
    );
    // Nobody may drop what a query reads.
    assert!(world.ask("DROP STREAM o;").await.is_err());
    world.sql("DROP TABLE t DELETE TOPIC;").await;
    world.kill().await;
    assert!(world.ask("SELECT n FROM t;").await.is_err());
    assert_eq!(world.sql("SHOW QUERIES;").await.len(), 2);
    // A new table of that name begins anew.
    world
        .sql("CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;")
        .await;
    world.settle().await;
    assert_eq!(
        world.sql("SELECT n FROM t WHERE k = 'a';").await,
        [json!({"N": 2})]
    );
    world.sql("TERMINATE ALL;").await;
    assert_eq!(world.sql("SHOW QUERIES;").await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latest_reads_only_what_comes_and_a_kill_does_not_move_it() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(STREAM).await;
    world.produce("s", &[given("a", json!({"v": 1}), 1)]).await;
    world.sql("SET 'auto.offset.reset'='latest';").await;
    world
        .sql("CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;")
        .await;
    world.engine.kill().await;
    world.sql("INSERT INTO s (k, v) VALUES ('a', 2);").await;
    world.kill().await;
    world.settle().await;
    assert_eq!(world.sql("SELECT n FROM t;").await, [json!({"N": 1})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn push_queries_end_at_their_limit() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(STREAM).await;
    world
        .sql("INSERT INTO s (k, v, ROWTIME) VALUES ('a', 1, 100), ('b', 2, 200), ('a', 3, 300);")
        .await;
    let rows = world
        .sql("SELECT k, v, ROWTIME FROM s WHERE v <> 2 EMIT CHANGES LIMIT 2;")
        .await;
    assert_eq!(
        rows,
        [
            json!({"K":"a","V":1,"ROWTIME":100}),
            json!({"K":"a","V":3,"ROWTIME":300})
        ]
    );
    let rows = world
        .sql("SELECT k, COUNT(*) AS n FROM s GROUP BY k EMIT CHANGES LIMIT 3;")
        .await;
    assert_eq!(
        rows,
        [
            json!({"K":"a","N":1}),
            json!({"K":"b","N":1}),
            json!({"K":"a","N":2})
        ]
    );
    let rows = world.sql("SELECT v FROM s WHERE k = 'a';").await;
    assert_eq!(rows, [json!({"V":1}), json!({"V":3})]);
    let rows = world.sql("PRINT s FROM BEGINNING LIMIT 1;").await;
    assert_eq!(rows[0]["KEY"], json!("a"));
    assert_eq!(rows[0]["VALUE"], json!("{\"V\":1}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_over_a_topic_is_pushed_as_it_changes() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql("CREATE TABLE p (id STRING PRIMARY KEY, name STRING) WITH (KAFKA_TOPIC='p', VALUE_FORMAT='JSON', PARTITIONS=1);").await;
    let gone: Given = (Some("x".to_owned()), None, 3, None);
    world
        .produce(
            "p",
            &[
                given("x", json!({"name": "A"}), 1),
                given("x", json!({"name": "B"}), 2),
                gone,
            ],
        )
        .await;
    let rows = world.sql("SELECT * FROM p EMIT CHANGES LIMIT 3;").await;
    assert_eq!(
        rows,
        [
            json!({"ID":"x","NAME":"A"}),
            json!({"ID":"x","NAME":"B"}),
            json!({"ID":"x","NAME":null})
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_with_a_mistake_changes_nothing() {
    let mut world = World::new(Way::Plain, 1).await;
    let script = format!(
        "{STREAM}\nCREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;\nSELECT nope FROM t;"
    );
    let error = world.ask(&script).await.unwrap_err();
    assert_eq!((error.line, error.column), (Some(3), Some(8)), "{error}");
    assert!(world.sql("SHOW STREAMS;").await.is_empty());
    assert!(world.sql("SHOW TOPICS;").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_shown() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(STREAM).await;
    world
        .sql("CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;")
        .await;
    world
        .produce(
            "s",
            &[
                given("a", json!({"v": 1}), 1),
                (Some("b".into()), Some("{bad".into()), 2, None),
            ],
        )
        .await;
    assert_eq!(world.sql("SHOW STREAMS;").await[0]["STREAM"], json!("S"));
    assert_eq!(world.sql("SHOW TABLES;").await[0]["TOPIC"], json!("T"));
    assert_eq!(world.sql("SHOW TOPICS;").await.len(), 2);
    assert!(world.sql("SHOW FUNCTIONS;").await.len() > 20);
    let queries = world.sql("SHOW QUERIES EXTENDED;").await;
    assert_eq!(
        (&queries[0]["STATE"], &queries[0]["ERRORS"]),
        (&json!("RUNNING"), &json!(1))
    );
    let described = world.sql("DESCRIBE t EXTENDED;").await;
    let offsets = described
        .iter()
        .find(|row| row.get("COMMITTED").is_some())
        .unwrap();
    assert_eq!((&offsets["COMMITTED"], &offsets["LAG"]), (&json!(2), &json!(0)));
    let plan = world
        .sql("EXPLAIN SELECT k, COUNT(*) AS n FROM s GROUP BY k EMIT CHANGES;")
        .await;
    assert!(
        plan.iter()
            .any(|row| row["PLAN"].as_str().unwrap().contains("aggregate"))
    );
    let id = queries[0]["QUERY"].as_str().unwrap();
    assert!(world.sql(&format!("EXPLAIN {id};")).await.len() > 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbouring_inserts_are_written_together_and_in_order() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(STREAM).await;
    let two = STREAM.replace("s (k", "z (k").replace("'s'", "'z'");
    world.sql(&two).await;
    let insert = |topic: &str, v: u32| format!("INSERT INTO {topic} (k, v) VALUES ('a', {v});");
    let mut script: String = (0..300).map(|v| insert("s", v)).collect();
    script += &insert("z", 1);
    script += "SET 'auto.offset.reset'='earliest';";
    script += &insert("z", 2);
    script += "SELECT v FROM z;";
    let before = world.streams.writes.load(Ordering::Relaxed);
    // Rows of an INSERT are there for the statement behind it.
    assert_eq!(world.sql(&script).await, [json!({"V": 1}), json!({"V": 2})]);
    assert_eq!(world.streams.writes.load(Ordering::Relaxed) - before, 3);
    let held: Vec<Value> = world
        .held("s", 0)
        .into_iter()
        .filter_map(|(_, value, _)| value)
        .collect();
    assert_eq!(held, (0..300).map(|v| json!({"V": v})).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_without_a_key_go_to_the_partitions_in_turn() {
    let mut world = World::new(Way::Plain, 1).await;
    world
        .sql("CREATE STREAM n (v INT) WITH (KAFKA_TOPIC='n', VALUE_FORMAT='JSON', PARTITIONS=3);")
        .await;
    for v in 0..6 {
        world.sql(&format!("INSERT INTO n VALUES ({v});")).await;
    }
    for partition in 0..3 {
        assert_eq!(world.held("n", partition).len(), 2);
    }
}
