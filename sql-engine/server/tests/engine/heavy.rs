//! Heavy queries beside light ones of their tenant: what they take is bounded, and nobody waits for them.

use crate::world::{Way, World};
use millstream_model::{Offset, PartitionIndex, TimestampMs, TopicName};
use millstream_runtime::{StreamRecord, Streams};
use millstream_server::StatementErrorKind;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a pull may take while others of its tenant work, and where a machine is slow, which part of that work.
const ANSWERED: Duration = Duration::from_secs(1);
const PART: u32 = 4;

/// Writes into the first partition, and waits for nobody.
async fn write(world: &World, topic: &str, values: impl Iterator<Item = Value>) {
    let name: TopicName = topic.parse().unwrap();
    let record = |value: Value| StreamRecord {
        offset: Offset(-1),
        timestamp: TimestampMs(1),
        key: Some("a".into()),
        value: Some(value.to_string().into()),
    };
    let placed = vec![(PartitionIndex(0), values.map(record).collect())];
    world.streams.inner.produce(&name, placed).await.unwrap();
}

/// Has the query work on heavy rows and asks another table meanwhile; how long the work took, how often the other was
/// asked, and how long its slowest answer took.
async fn ask_beside(query: &str, rows: i64) -> (Duration, u32, Duration) {
    let mut world = World::new(Way::Plain, 1).await;
    world
        .sql(&format!(
            "CREATE STREAM light (k STRING KEY, v INT) WITH (KAFKA_TOPIC='light', VALUE_FORMAT='JSON', PARTITIONS=1);
             CREATE TABLE n AS SELECT k, COUNT(*) AS n FROM light GROUP BY k;
             CREATE STREAM s (k STRING KEY, g INT, m INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
             {query}"
        ))
        .await;
    write(&world, "light", (0..3).map(|v| json!({ "v": v }))).await;
    world.settle().await;
    let begun = Instant::now();
    write(&world, "s", (0..rows).map(|g| json!({"g": g, "m": 8_000_000}))).await;
    let engine = world.engine.clone();
    let work = tokio::spawn(async move {
        engine.settle().await.unwrap();
        begun.elapsed()
    });
    let (mut asked, mut slowest) = (0, Duration::ZERO);
    while !work.is_finished() {
        let began = Instant::now();
        assert_eq!(world.sql("SELECT n FROM n;").await, [json!({"N": 3})]);
        (asked, slowest) = (asked + 1, slowest.max(began.elapsed()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (work.await.unwrap(), asked, slowest)
}

fn columns(length: &str) -> String {
    let column = |n: i32| format!("LEN(LPAD('x', {length}, 'y')) AS c{n}");
    (1..=8).map(column).collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_does_not_wait_for_heavy_expressions_of_its_tenant() {
    let queries = [
        format!("CREATE STREAM o AS SELECT k, {} FROM s;", columns("m")),
        // Behind a repartition and an aggregate, where rows come in batches of a query's own.
        format!(
            "CREATE TABLE o AS SELECT g, COUNT(*) AS n, {} FROM s GROUP BY g;",
            columns("MAX(m)")
        ),
    ];
    for query in queries {
        // As many rows as are work for a while on this machine.
        let mut rows = 300;
        let (worked, asked, slowest) = loop {
            let (worked, asked, slowest) = ask_beside(&query, rows).await;
            println!("{worked:?} of work, {asked} answers beside it, the slowest after {slowest:?}");
            if worked > ANSWERED * 2 {
                break (worked, asked, slowest);
            }
            rows *= 3;
        };
        let most = ANSWERED.max(worked / PART);
        assert!(
            asked >= 3 && slowest < most,
            "{asked} answers, the slowest after {slowest:?}: {query}"
        );
    }
}

/// The state of a push query counts like that of any other: it ends with words, and the tenant's tables go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_query_that_outgrows_the_tenants_state_is_ended() {
    let mut world = World::with(Way::Plain, 1, |shard| shard.state_bytes_max = 100_000).await;
    world
        .sql(
            "CREATE STREAM s (k STRING KEY, id STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
             CREATE TABLE n AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;",
        )
        .await;
    let id = |n: i32| json!({"id": format!("{n}-{}", "x".repeat(100))});
    write(&world, "s", (0..2_000).map(id)).await;
    world.settle().await;
    let few = world
        .sql("SELECT k, COUNT(*) AS n FROM s GROUP BY k EMIT CHANGES LIMIT 1;")
        .await;
    assert_eq!(few.len(), 1, "one that keeps little is answered");
    let error = world
        .ask("SELECT id, COUNT(*) AS n FROM s GROUP BY id EMIT CHANGES LIMIT 100000;")
        .await
        .unwrap_err();
    assert!(
        error.message.contains("100000 are allowed") && error.message.contains("--sql-state-bytes"),
        "{error}"
    );
    assert_ne!(error.kind, StatementErrorKind::Internal, "{error}");
    assert_eq!(world.sql("SELECT n FROM n;").await, [json!({"N": 2_000})]);
    let queries = world.sql("SHOW QUERIES;").await;
    assert!(
        queries.iter().all(|row| row["STATE"] == json!("RUNNING")),
        "{queries:?}"
    );
}
