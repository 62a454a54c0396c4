//! What a tenant's tables may take in memory: who is parked for it, and who is not.

use crate::statements::given;
use crate::world::{Given, Way, World};
use bytes::Bytes;
use millstream_model::{Offset, PartitionIndex, TimestampMs};
use millstream_runtime::{StreamRecord, Streams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

const WAIT_MAX: Duration = Duration::from_secs(30);

/// The keys that the sizes below are shares of.
const KEYS: i64 = 300;

fn key(n: i64) -> String {
    format!("{n}-{}", "x".repeat(100))
}

fn rows(keys: Range<i64>) -> Vec<Given> {
    keys.map(|n| given(&key(n), json!({"v": n}), n)).collect()
}

fn stream(name: &str) -> String {
    format!(
        "CREATE STREAM {name} (k STRING KEY, v INT) WITH (KAFKA_TOPIC='{name}', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
}

fn table(name: &str, over: &str) -> String {
    format!("CREATE TABLE {name} AS SELECT k, COUNT(*) AS n FROM {over} GROUP BY k;")
}

/// Writes, and waits for nobody.
async fn write(world: &World, topic: &str, keys: Range<i64>) {
    let record = |n: i64| StreamRecord {
        offset: Offset(-1),
        timestamp: TimestampMs(n),
        key: Some(key(n).into()),
        value: Some(Bytes::from_static(b"{}")),
    };
    let placed = vec![(PartitionIndex(0), keys.map(record).collect())];
    let streams = &world.streams.inner;
    streams.produce(&topic.parse().unwrap(), placed).await.unwrap();
}

/// What a table of so many keys takes.
async fn bytes_of(keys: i64) -> usize {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(&(stream("s") + &table("t", "s"))).await;
    world.produce("s", &rows(0..keys)).await;
    let reports = world.engine.reports().await.unwrap();
    assert!(reports[0].state_bytes > 0);
    assert_eq!(reports[0].tenant_state_bytes, reports[0].state_bytes);
    reports[0].state_bytes
}

async fn states(world: &mut World) -> BTreeMap<String, String> {
    let rows = world.sql("SHOW QUERIES;").await;
    let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
    rows.iter()
        .map(|row| (text(row, "SINK"), text(row, "STATE")))
        .collect()
}

async fn until_running(world: &mut World, table: &str) {
    let began = Instant::now();
    while states(world).await[table] != "RUNNING" {
        assert!(began.elapsed() < WAIT_MAX, "{:?}", states(world).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.settle().await;
}

/// Changes of keys that are there already are in memory twice until the commit, which comes early for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_over_keys_that_are_there_commits_early_and_parks_nobody() {
    let size = bytes_of(KEYS).await;
    let mut world = World::with(Way::Plain, 1, |shard| {
        shard.state_bytes_max = size * 3 / 2;
        // The clock alone commits what is left below the budget.
        shard.commit_interval = Duration::from_secs(5);
    })
    .await;
    world.sql(&(stream("s") + &table("t", "s"))).await;
    world.produce("s", &rows(0..KEYS)).await;
    let twice = "SELECT n FROM t WHERE n = 2;";
    assert!(world.sql(twice).await.is_empty());
    write(&world, "s", 0..KEYS).await;
    let began = Instant::now();
    while !matches!(world.ask(twice).await, Ok(rows) if !rows.is_empty()) {
        assert!(began.elapsed() < WAIT_MAX, "{:?}", states(&mut world).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.settle().await;
    assert_eq!(states(&mut world).await["T"], "RUNNING");
    assert_eq!(world.sql(twice).await.len(), KEYS as usize);
    let reports = world.engine.reports().await.unwrap();
    assert_eq!(reports[0].state_bytes, size, "no key is new");
}

/// A tenant with a table that has outgrown the limit, beside one that is small.
async fn outgrown(size: usize, tables: [&str; 2]) -> World {
    let mut world = World::with(Way::Plain, 1, |shard| shard.state_bytes_max = size * 3 / 2).await;
    world.sql(&(stream("a") + &stream("b"))).await;
    for name in tables {
        let over = if name == "one" { "a" } else { "b" };
        world.sql(&table(name, over)).await;
    }
    world.produce("a", &rows(0..KEYS * 4 / 10)).await;
    world.produce("b", &rows(0..KEYS * 9 / 10)).await;
    let both = states(&mut world).await;
    assert!(both.values().all(|state| state == "RUNNING"), "{both:?}");
    // Every key once more, then new ones, for which there is no room.
    world.produce("b", &rows(0..KEYS * 12 / 10)).await;
    let both = states(&mut world).await;
    assert_eq!(both["ONE"], "RUNNING");
    assert!(both["TWO"].starts_with("PARKED"), "{both:?}");
    world
}

async fn goes_on_without_the_other(world: &mut World) {
    world.sql("DROP TABLE one;").await;
    until_running(world, "TWO").await;
    let counts = world.sql("SELECT n FROM two;").await;
    assert_eq!(counts.len() as i64, KEYS * 12 / 10);
    let twice = counts.iter().filter(|row| row["N"] == json!(2)).count();
    assert_eq!(twice as i64, KEYS * 9 / 10);
}

/// What it needs is what it would take once committed, not what it took while its changes were in memory twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_fits_alone_goes_on_when_the_other_has_left() {
    let size = bytes_of(KEYS).await;
    let mut world = outgrown(size, ["one", "two"]).await;
    goes_on_without_the_other(&mut world).await;
}

/// A restart finds less in memory than there was: it must not let in whom there is no room for, at the cost of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_has_not_grown_is_not_parked_after_a_kill() {
    let size = bytes_of(KEYS).await;
    for tables in [["one", "two"], ["two", "one"]] {
        let mut world = outgrown(size, tables).await;
        // What the other has given up is in use by now.
        world.produce("a", &rows(0..KEYS)).await;
        for _ in 0..3 {
            // Uncommitted changes of keys that are there.
            write(&world, "a", 0..KEYS).await;
            world.kill().await;
            world.settle().await;
            let both = states(&mut world).await;
            assert_eq!(both["ONE"], "RUNNING", "{tables:?}: {both:?}");
            assert!(both["TWO"].starts_with("PARKED"), "{tables:?}: {both:?}");
            assert_eq!(world.sql("SELECT k FROM one;").await.len() as i64, KEYS);
        }
        goes_on_without_the_other(&mut world).await;
    }
}
