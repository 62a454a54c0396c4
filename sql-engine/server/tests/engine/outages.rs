//! What a query lacks may come back: it is parked alone, says why, and goes on by itself.

use crate::statements::given;
use crate::world::{Way, World};
use futures::FutureExt;
use millstream_model::TopicName;
use millstream_runtime::{NewStreamTopic, Streams};
use millstream_server::{QueryState, SqlCatalog, SqlChange, SqlRowKind};
use serde_json::{Value, json};
use std::time::Duration;

const SETUP: &str = "
CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM z (k STRING KEY, v INT) WITH (KAFKA_TOPIC='z', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE st AS SELECT k, SUM(v) AS n FROM s GROUP BY k;
CREATE TABLE zt AS SELECT k, SUM(v) AS n FROM z GROUP BY k;";

const WAIT_MAX: Duration = Duration::from_secs(30);

fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

async fn delete(world: &World, name: &str) {
    world.streams.inner.delete_topic(&topic(name)).await.unwrap();
}

async fn make(world: &World, name: &str, partitions: u32) {
    let new = NewStreamTopic {
        name: topic(name),
        partitions,
        config: Default::default(),
    };
    world.streams.inner.create_topic(new).await.unwrap();
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(WAIT_MAX, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} does not come true");
}

/// Why the query that writes a table is parked, if it is.
async fn parked(world: &World, writes: &str) -> Option<(String, Option<Duration>)> {
    let reports = world.engine.reports().await.unwrap();
    let query = format!("CTAS_{writes}_");
    let report = reports
        .into_iter()
        .find(|report| report.id.starts_with(&query))
        .unwrap();
    match report.state {
        QueryState::Running => None,
        QueryState::Parked { reason, retry_in } => Some((reason, retry_in)),
    }
}

async fn totals(world: &mut World, table: &str) -> Vec<Value> {
    world.sql(&format!("SELECT n FROM {table};")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_topic_stops_its_own_queries_only() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(SETUP).await;
    world.produce("s", &[given("a", json!({"v": 1}), 1)]).await;
    world.produce("z", &[given("a", json!({"v": 10}), 1)]).await;
    delete(&world, "s").await;
    until("the query over s is parked", async || {
        parked(&world, "ST").await.is_some()
    })
    .await;
    let (reason, _) = parked(&world, "ST").await.unwrap();
    assert_eq!(reason, "its topic 's' does not exist any more");
    let described = world.sql("DESCRIBE st EXTENDED;").await;
    let state = described.iter().find_map(|row| row["STATE"].as_str()).unwrap();
    assert!(
        state.starts_with("PARKED: its topic 's' does not exist any more (tried again in"),
        "{state}"
    );
    // The other goes on, and what the parked one had committed is still there.
    world.produce("z", &[given("a", json!({"v": 20}), 2)]).await;
    assert_eq!(totals(&mut world, "zt").await, [json!({"N": 30})]);
    assert_eq!(totals(&mut world, "st").await, [json!({"N": 1})]);
    // Also a service that starts meanwhile keeps what it has.
    world.restart().await;
    assert!(parked(&world, "ST").await.is_some());
    assert_eq!(totals(&mut world, "st").await, [json!({"N": 1})]);
    world.produce("z", &[given("a", json!({"v": 5}), 3)]).await;
    assert_eq!(totals(&mut world, "zt").await, [json!({"N": 35})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_again_is_read_from_its_first_record() {
    for restart in [false, true] {
        let mut world = World::new(Way::Plain, 1).await;
        world.sql(SETUP).await;
        let rows = [1, 2, 3].map(|v| given("a", json!({"v": v}), 1));
        world.produce("s", &rows).await;
        delete(&world, "s").await;
        make(&world, "s", 1).await;
        if restart {
            world.restart().await;
        }
        // Fewer records than the old topic had, so that nothing seems to be new.
        world.produce("s", &[given("a", json!({"v": 100}), 2)]).await;
        until("the new topic is read", async || {
            totals(&mut world, "st").await == [json!({"N": 106})]
        })
        .await;
        assert_eq!(parked(&world, "ST").await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_with_other_partitions_is_not_waited_for() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(SETUP).await;
    delete(&world, "s").await;
    make(&world, "s", 3).await;
    let lasting = async || matches!(parked(&world, "ST").await, Some((_, None)));
    until("the query is parked for good", lasting).await;
    let (reason, _) = parked(&world, "ST").await.unwrap();
    assert!(
        reason.contains("3 partitions now, it was planned for 1"),
        "{reason}"
    );
}

/// What was made again between a query's start and its watch is another topic all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_again_before_it_is_watched_is_noticed() {
    let mut world = World::new(Way::Plain, 1).await;
    let (streams, tables) = SETUP.split_at(SETUP.find("CREATE TABLE").unwrap());
    world.sql(streams).await;
    *world.streams.before_watch.lock() = Some(Box::new(|streams| {
        let new = NewStreamTopic {
            name: topic("s"),
            partitions: 3,
            config: Default::default(),
        };
        let at_once = "memory does not wait";
        streams
            .delete_topic(&topic("s"))
            .now_or_never()
            .expect(at_once)
            .unwrap();
        streams.create_topic(new).now_or_never().expect(at_once).unwrap();
    }));
    world.sql(tables).await;
    let lasting = async || matches!(parked(&world, "ST").await, Some((_, None)));
    until("the query is parked for good", lasting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_that_cannot_be_written_are_written_later() {
    for way in Way::ALL {
        let mut world = World::new(way, 5).await;
        world.sql(SETUP).await;
        delete(&world, "ST").await;
        let rows: Vec<_> = (1..=50).map(|v| given("a", json!({"v": v}), v)).collect();
        // The query over z is settled meanwhile, the parked one is not counted.
        world.produce("s", &rows).await;
        until("the query is parked", async || {
            parked(&world, "ST").await.is_some()
        })
        .await;
        make(&world, "ST", 1).await;
        until("it goes on", async || parked(&world, "ST").await.is_none()).await;
        world.settle().await;
        until("every row counts once", async || {
            totals(&mut world, "st").await == [json!({"N": 1275})]
        })
        .await;
        let last = world.held("ST", 0).pop().unwrap();
        assert_eq!(last.1, Some(json!({"N": 1275})), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_committed_before_the_results_of_all_are_written() {
    let mut world = World::with(Way::Plain, 1, |shard| {
        shard.commit_interval = Duration::from_secs(3600)
    })
    .await;
    world.sql(SETUP).await;
    // In one commit, the results of one query are refused and those of the other must wait.
    world.sql("SET 'commit.interval.ms' = '100';").await;
    world.sql("CREATE STREAM clock AS SELECT k, v FROM z;").await;
    delete(&world, "ST").await;
    world.streams.sicken(Some("ZT"));
    for name in ["s", "z"] {
        let record = millstream_runtime::StreamRecord {
            offset: millstream_model::Offset(0),
            timestamp: millstream_model::TimestampMs(1),
            key: Some("a".into()),
            value: Some("{\"V\":1}".into()),
        };
        let placed = vec![(millstream_model::PartitionIndex(0), vec![record])];
        world.streams.inner.produce(&topic(name), placed).await.unwrap();
    }
    until("the one is parked", async || parked(&world, "ST").await.is_some()).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.kill().await;
    world.streams.sicken(None);
    make(&world, "ST", 1).await;
    world.sql("INSERT INTO z (k, v) VALUES ('b', 2);").await;
    world.settle().await;
    let keys: Vec<_> = world.held("ZT", 0).into_iter().map(|(key, ..)| key).collect();
    assert!(keys.contains(&Some(b"a".to_vec())), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_does_not_fit_is_not_tried_again_and_not_shown_as_empty() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(SETUP).await;
    world.produce("s", &[given("a", json!({"v": 1}), 1)]).await;
    let stored = world.catalog.load().await.unwrap();
    let is_query =
        |row: &&millstream_server::SqlRow| row.kind == SqlRowKind::Query && row.name.starts_with("CTAS_ST_");
    let mut row = stored.rows.iter().find(is_query).unwrap().clone();
    row.body = row.body.replace("SUM(v)", "AVG(v)");
    world.catalog.commit(vec![SqlChange::Put(row)]).await.unwrap();
    world.restart().await;
    let (reason, retry_in) = parked(&world, "ST").await.unwrap();
    assert!(reason.contains("does not fit this query"), "{reason}");
    assert_eq!(retry_in, None);
    let refused = world.ask("SELECT * FROM st;").await.unwrap_err();
    assert!(refused.message.contains("is parked"), "{refused}");
    world.produce("z", &[given("a", json!({"v": 10}), 1)]).await;
    assert_eq!(totals(&mut world, "zt").await, [json!({"N": 10})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_without_queries_has_nothing_open() {
    let mut world = World::new(Way::Plain, 1).await;
    assert!(!world.engine.is_active().await);
    world.sql(SETUP).await;
    assert!(world.engine.is_active().await);
    world.sql("DROP TABLE st;").await;
    assert!(world.engine.is_active().await);
    world.sql("DROP TABLE zt;").await;
    assert!(!world.engine.is_active().await);
    world.sql("INSERT INTO s (k, v) VALUES ('a', 1);").await;
    assert!(!world.engine.is_active().await);
    assert_eq!(
        world.sql("SELECT v FROM s EMIT CHANGES LIMIT 1;").await,
        [json!({"V": 1})]
    );
    until("the push query's shard is closed", async || {
        !world.engine.is_active().await
    })
    .await;
    // A new table of the old name keeps nothing of the old one.
    world
        .sql("CREATE TABLE st AS SELECT k, SUM(v) AS n FROM s GROUP BY k;")
        .await;
    world.settle().await;
    assert_eq!(totals(&mut world, "st").await, [json!({"N": 1})]);
    assert!(
        world
            .ask("CREATE TABLE st AS SELECT k, SUM(v) AS n FROM s GROUP BY k;")
            .await
            .is_err()
    );
    world.sql("TERMINATE ALL;").await;
    assert!(!world.engine.is_active().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_records_park_their_query_behind_what_precedes_them() {
    for way in [Way::Plain, Way::Split] {
        let mut world = World::new(way, 1).await;
        world.sql(SETUP).await;
        world.streams.damage(Some(("s", 0, 2)));
        for (value, time) in [(1, 1), (2, 2), (4, 3)] {
            world.produce("s", &[given("a", json!({"v": value}), time)]).await;
        }
        until("the query over s is parked", async || {
            parked(&world, "ST").await.is_some()
        })
        .await;
        let (reason, retry_in) = parked(&world, "ST").await.unwrap();
        assert_eq!(reason, "'s' partition 0 cannot be read: bits have flipped");
        assert!(retry_in.is_some(), "somebody may repair it");
        assert_eq!(totals(&mut world, "st").await, [json!({"N": 3})]);
        // Others go on meanwhile.
        world.produce("z", &[given("a", json!({"v": 20}), 2)]).await;
        assert_eq!(totals(&mut world, "zt").await, [json!({"N": 20})]);
        world.streams.damage(None);
        until("the query over s goes on", async || {
            totals(&mut world, "st").await == [json!({"N": 7})]
        })
        .await;
    }
}

/// Enough of it that a flush comes at once (16 MiB).
const LARGE_ROWS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_whose_stored_state_is_damaged_is_parked_alone() {
    let mut world = World::new(Way::Plain, 1).await;
    world
        .sql(
            "CREATE STREAM s (k STRING KEY, v STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
             CREATE TABLE other AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;
             CREATE TABLE st AS SELECT k, COUNT(*) AS n, LATEST_BY_OFFSET(v) AS v FROM s GROUP BY k;",
        )
        .await;
    let large = "x".repeat(1_000_000);
    for at in 0..LARGE_ROWS {
        world
            .produce("s", &[given(&format!("k{at}"), json!({"v": large}), 1)])
            .await;
    }
    until("a flush", async || world.objects("compacted").await > 0).await;
    world.settle().await;
    world.damage_state().await;
    world.kill().await;
    let (reason, retry_in) = parked(&world, "ST").await.unwrap();
    let damaged = "the stored state is damaged; the operator's log says where";
    assert_eq!(reason, damaged, "and no name of an object");
    assert!(retry_in.is_some());
    let error = world.ask("SELECT n FROM st WHERE k = 'k0';").await.unwrap_err();
    assert!(
        error.to_string().ends_with(&format!("is parked: {damaged}")),
        "{error}"
    );
    assert!(!error.to_string().contains("not available"), "{error}");
    world.damage_state().await;
    until("the query goes on", async || parked(&world, "ST").await.is_none()).await;
    assert_eq!(totals(&mut world, "st").await.len(), LARGE_ROWS);
    // It can be dropped, and does not keep the others from starting.
    world.damage_state().await;
    world.kill().await;
    assert!(parked(&world, "ST").await.is_some());
    world.sql("DROP TABLE st;").await;
    assert_eq!(totals(&mut world, "other").await.len(), LARGE_ROWS);
    world.kill().await;
    world.produce("s", &[given("k0", json!({"v": "y"}), 2)]).await;
    let rows = world.sql("SELECT n FROM other WHERE k = 'k0';").await;
    assert_eq!(rows, [json!({"N": 2})]);
}
