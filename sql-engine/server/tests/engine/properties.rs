//! The session's properties: each does what it says, or is refused.

use crate::statements::given;
use crate::world::{Way, World};
use serde_json::json;
use std::time::Duration;

const STREAM: &str =
    "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);";
const TABLE: &str = "CREATE TABLE t AS SELECT k, SUM(v) AS n FROM s GROUP BY k;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_commits_at_its_own_interval_for_as_long_as_it_lives() {
    let mut world = World::with(Way::Plain, 1, |shard| {
        shard.commit_interval = Duration::from_secs(3600)
    })
    .await;
    world.sql(STREAM).await;
    for name in ["commit.interval.ms", "ksql.streams.commit.interval.ms"] {
        world.sql(&format!("SET '{name}' = '100'; {TABLE}")).await;
        world.produce("s", &[given("a", json!({"v": 1}), 1)]).await;
        world.kill().await;
        world.produce("s", &[given("a", json!({"v": 2}), 2)]).await;
        assert!(!world.sql("SELECT n FROM t;").await.is_empty());
        world.sql("DROP TABLE t;").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_cache_every_change_is_written_and_a_full_one_does_not_wait() {
    let rows: Vec<_> = (1..=40).map(|v| given("a", json!({"v": v}), v)).collect();
    let hour = |shard: &mut millstream_server::ShardSettings| {
        (shard.commit_interval, shard.coalesce) = (Duration::from_secs(3600), true);
    };
    let mut world = World::with(Way::Plain, 1, hour).await;
    world.sql(STREAM).await;
    world
        .sql(&format!(
            "SET 'commit.interval.ms' = '100'; SET 'cache.max.bytes.buffering' = '0'; {TABLE}"
        ))
        .await;
    world.produce("s", &rows).await;
    assert_eq!(world.held("T", 0).len(), 40);
    world
        .sql("DROP TABLE t DELETE TOPIC; UNSET 'commit.interval.ms'; SET 'statestore.cache.max.bytes' = '1';")
        .await;
    // No clock commits it: only that its cache is full.
    world.sql(TABLE).await;
    world.produce("s", &rows).await;
    assert_eq!(world.sql("SELECT n FROM t;").await, [json!({"N": 1640})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_sends_along_is_checked() {
    let mut world = World::new(Way::Plain, 1).await;
    for (name, value, told) in [
        (
            "auto.offset.reset",
            "latst",
            "auto.offset.reset must be earliest or latest, not 'latst'",
        ),
        (
            "comit.interval.ms",
            "1000",
            "unknown property 'comit.interval.ms' (did you mean 'commit.interval.ms'?)",
        ),
        (
            "commit.interval.ms",
            "1",
            "commit.interval.ms must be a whole number from 100 to 600000, not '1'",
        ),
    ] {
        let kept = world.properties.clone();
        world.properties.insert(name.to_owned(), value.to_owned());
        let refused = world.ask("SHOW TOPICS;").await.unwrap_err();
        assert_eq!(refused.message, told);
        world.properties = kept;
    }
}
