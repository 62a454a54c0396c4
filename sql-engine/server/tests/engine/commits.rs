//! What commits promise: they go on whatever the store does, reads never wait for them, and what a killed shard left in
//! a stream is counted once by its own readers.

use crate::statements::given;
use crate::world::{Given, Way, World};
use millstream_model::PartitionIndex;
use millstream_runtime::Streams;
use serde_json::{Value, json};
use std::time::Duration;

const CHAIN: &str = "
CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE STREAM t WITH (KAFKA_TOPIC='t', PARTITIONS=2) AS SELECT k, v FROM s WHERE v >= 0;
CREATE TABLE c AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM t GROUP BY k;";

const WAIT_MAX: Duration = Duration::from_secs(30);

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(WAIT_MAX, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} does not come true");
}

async fn counted(world: &mut World) -> Vec<Value> {
    let mut rows = world.sql("SELECT k, n, total FROM c;").await;
    rows.sort_by_key(Value::to_string);
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_over_a_stream_that_a_query_writes_counts_once_whenever_it_is_killed() {
    let (mut kills, mut repeats) = (0, 0);
    for seed in 0..12 {
        let mut world = World::new(Way::Killed, seed).await;
        world.sql(CHAIN).await;
        let (mut n, mut total) = ([0; 3], [0; 3]);
        for round in 0..4 {
            let row = |at: i64| {
                given(
                    ["a", "b", "c"][usize::try_from(at % 3).unwrap()],
                    json!({"v": at}),
                    at,
                )
            };
            let rows: Vec<Given> = (round * 10..round * 10 + 10).map(row).collect();
            for at in round * 10..round * 10 + 10 {
                n[usize::try_from(at % 3).unwrap()] += 1;
                total[usize::try_from(at % 3).unwrap()] += at;
            }
            world.produce("s", &rows).await;
            // Somebody else writes into the stream, too: that counts.
            world.sql("INSERT INTO t (k, v) VALUES ('a', 1000);").await;
            (n[0], total[0]) = (n[0] + 1, total[0] + 1000);
        }
        world.kill().await;
        world.settle().await;
        let row = |(at, key): (usize, &str)| json!({"K": key, "N": n[at], "TOTAL": total[at]});
        let expected: Vec<Value> = ["a", "b", "c"].into_iter().enumerate().map(row).collect();
        assert_eq!(
            counted(&mut world).await,
            expected,
            "seed {seed}, {} kills",
            world.kills
        );
        kills += world.kills;
        let written: usize = (0..2).map(|partition| world.held("t", partition).len()).sum();
        repeats += written - 44;
    }
    assert!(
        kills > 24 && repeats > 0,
        "{kills} kills left {repeats} repeats: this tests nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_do_not_wait_for_a_commit_and_commits_go_on_when_the_changelog_does() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(CHAIN).await;
    world.produce("s", &[given("a", json!({"v": 1}), 1)]).await;
    let one = [json!({"K": "a", "N": 1, "TOTAL": 1})];
    assert_eq!(counted(&mut world).await, one);
    world.streams.close_changelog(true);
    let name = "s".parse().unwrap();
    let record = millstream_runtime::StreamRecord {
        offset: millstream_model::Offset(0),
        timestamp: millstream_model::TimestampMs(2),
        key: Some("a".into()),
        value: Some("{\"v\": 5}".into()),
    };
    let partition = millstream_runtime::partition_for(b"a", 2);
    let placed = vec![(partition, vec![record])];
    world.streams.inner.produce(&name, placed).await.unwrap();
    let t: millstream_model::TopicName = "t".parse().unwrap();
    until("the result is written", async || {
        (0..2)
            .map(|at| world.streams.inner.records(&t, PartitionIndex(at)).len())
            .sum::<usize>()
            == 2
    })
    .await;
    // The commit that counts it cannot be made: what is committed is answered, as before.
    for _ in 0..20 {
        assert_eq!(counted(&mut world).await, one);
    }
    let pushed = world.sql("SELECT v FROM s EMIT CHANGES LIMIT 2;").await;
    assert_eq!(pushed.len(), 2, "push queries go on");
    world.streams.close_changelog(false);
    world.settle().await;
    let two = [json!({"K": "a", "N": 2, "TOTAL": 6})];
    assert_eq!(counted(&mut world).await, two);
    // Whatever became of the pieces whose answer was refused, a restart finds each once.
    world.kill().await;
    world.settle().await;
    assert_eq!(counted(&mut world).await, two);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_query_costs_no_table_and_a_statement_one_commit_or_two() {
    let mut world = World::new(Way::Plain, 1).await;
    world
        .sql("CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);")
        .await;
    world.sql("INSERT INTO s (k, v) VALUES ('a', 1);").await;
    for _ in 0..150 {
        let rows = world.sql("SELECT v FROM s EMIT CHANGES LIMIT 1;").await;
        assert_eq!(rows, [json!({"V": 1})]);
    }
    assert_eq!(world.objects("").await, 0, "nothing was asked of the store");
    assert_eq!(world.streams.inner.changelog_pieces(0), 0);
    for at in 0..40 {
        world
            .sql(&format!(
                "CREATE TABLE c{at} AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;"
            ))
            .await;
    }
    world.settle().await;
    assert_eq!(world.objects("compacted").await, 0, "no table was written");
    // Each has its own start, and what it counted; many share a commit.
    let pieces = world.streams.inner.changelog_pieces(0);
    assert!((40..=160).contains(&pieces), "{pieces} commits for 40 statements");
    // What is in the changelog only is there after a kill.
    world.kill().await;
    world.settle().await;
    for at in [0, 17, 39] {
        let rows = world.sql(&format!("SELECT n FROM c{at};")).await;
        assert_eq!(rows, [json!({"N": 1})]);
    }
}

/// Statements in a loop that open and close the shard: the changelog does not grow without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_closes_often_leaves_a_short_changelog() {
    let mut world = World::new(Way::Plain, 1).await;
    world
        .sql("CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);")
        .await;
    let mut most = 0;
    for _ in 0..140 {
        world
            .sql("CREATE TABLE c AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;")
            .await;
        world.sql("DROP TABLE c DELETE TOPIC;").await;
        most = most.max(world.streams.inner.changelog_pieces(0));
    }
    let limit = usize::try_from(millstream_model::limits::SQL_CLOSE_RUNS_MAX).unwrap();
    assert!((limit / 2..=limit + 10).contains(&most), "{most} pieces");
    assert!(world.streams.inner.changelog_pieces(0) < most, "it was trimmed");
}

/// How long the soak goes on: a command runs it for an hour (`MILLSTREAM_SOAK_SECONDS`).
fn soak_seconds() -> u64 {
    let told = std::env::var("MILLSTREAM_SOAK_SECONDS").ok();
    told.and_then(|it| it.parse().ok()).unwrap_or(10)
}

/// A trickle with a commit each 100 ms, and a loop of push queries: nothing stalls, nothing grows, answers stay right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_of_commits_each_100_ms() {
    let mut world = World::with(Way::Plain, 1, |shard| {
        shard.commit_interval = Duration::from_millis(100)
    })
    .await;
    world.sql(CHAIN).await;
    let until = std::time::Instant::now() + Duration::from_secs(soak_seconds());
    let (mut rows, mut total, mut most) = (0_i64, 0, 0);
    while std::time::Instant::now() < until {
        world
            .produce("s", &[given("a", json!({"v": rows % 100}), rows)])
            .await;
        (rows, total) = (rows + 1, total + rows % 100);
        assert_eq!(
            counted(&mut world).await,
            [json!({"K": "a", "N": rows, "TOTAL": total})]
        );
        if rows % 10 == 0 {
            world.sql("SELECT v FROM s EMIT CHANGES LIMIT 1;").await;
        }
        most = most.max(world.streams.inner.changelog_pieces(0));
    }
    // Each row is two commits, one of each query; half a minute of them is in the changelog, and what a flush takes.
    assert!(
        rows > i64::try_from(soak_seconds()).unwrap(),
        "only {rows} rows went through"
    );
    assert!(most < 2_000, "{most} pieces are in the changelog");
    let tables = world.objects("compacted").await;
    let flushes = usize::try_from(soak_seconds() / 30).unwrap();
    assert!(
        tables <= flushes + 2 + 40,
        "{tables} tables after {flushes} flushes"
    );
    world.kill().await;
    world.settle().await;
    assert_eq!(
        counted(&mut world).await,
        [json!({"K": "a", "N": rows, "TOTAL": total})]
    );
}
