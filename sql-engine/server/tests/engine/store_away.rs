//! The object store errs, hangs or refuses under a running engine, and the changelog loses a piece.

use crate::faults::Fault;
use crate::statements::given;
use crate::world::{Way, World};
use millstream_model::limits::SQL_FLUSH_AFTER_MS;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How much faster time goes for flushes: one comes each 150 ms.
const PACE: u32 = 200;

const SETUP: &str = "
CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE t AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY k;";

/// Another table, made while it goes on.
const LATER: &str = "CREATE TABLE later AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;";

const WAIT_MAX: Duration = Duration::from_secs(30);

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(WAIT_MAX, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} does not come true");
}

/// A row more, committed, and what the table says then.
async fn count(world: &mut World, rows: &mut i64) {
    world
        .produce("s", &[given("a", json!({"v": *rows}), *rows)])
        .await;
    *rows += 1;
    assert_eq!(world.sql("SELECT n, total FROM t;").await, [counted(*rows)]);
}

async fn late(world: &mut World) -> Vec<Value> {
    world.sql("SELECT n FROM later;").await
}

fn counted(rows: i64) -> Value {
    json!({"N": rows, "TOTAL": (0..rows).sum::<i64>()})
}

async fn fast() -> World {
    let mut world = World::with(Way::Plain, 1, |shard| {
        shard.pace = PACE;
        shard.commit_interval = Duration::from_millis(2);
    })
    .await;
    world.sql(SETUP).await;
    world
}

async fn until_trimmed(world: &World) {
    until("all is flushed and the changelog trimmed", async || {
        world.streams.inner.changelog_pieces(0) == 0
    })
    .await;
}

/// Counts on while the store has a fault, until several flushes would have been due and one has met it.
async fn weather(world: &mut World, fault: Fault, rows: &mut i64) {
    for _ in 0..3 {
        count(world, rows).await;
    }
    until_trimmed(world).await;
    let (flushes, commits) = (world.counter("sql_flushes"), world.counter("sql_commits"));
    world.faults.set(fault);
    let (before, begun) = (*rows, Instant::now());
    let flush_time = Duration::from_millis(SQL_FLUSH_AFTER_MS) / PACE;
    while begun.elapsed() < 4 * flush_time || world.faults.met() == 0 || *rows < before + 20 {
        count(world, rows).await;
        assert!(begun.elapsed() < WAIT_MAX, "{fault:?}: no flush meets it");
    }
    let made = u64::try_from(*rows - before).unwrap();
    assert!(
        world.counter("sql_commits") >= commits + made,
        "{fault:?}: each row was committed by itself"
    );
    assert_eq!(
        world.counter("sql_flushes"),
        flushes,
        "{fault:?}: nothing was flushed"
    );
    let pieces = world.streams.inner.changelog_pieces(0);
    assert!(
        pieces as u64 >= made,
        "{fault:?}: {pieces} pieces of {made} commits"
    );
}

/// Commits, reads and a new table under the fault; then it passes, with the engine killed meanwhile or not.
async fn goes_on_under(fault: Fault) {
    for killed in [false, true] {
        let (mut world, mut rows) = (fast().await, 0);
        weather(&mut world, fault, &mut rows).await;
        if fault == Fault::Refuses {
            // It said so for good: the database gave up, and is opened again for the next try.
            until("a failed flush is counted", async || {
                world.counter("sql_flush_failures") > 0
            })
            .await;
            count(&mut world, &mut rows).await;
        } else {
            world.sql(LATER).await;
            count(&mut world, &mut rows).await;
            assert_eq!(late(&mut world).await, [json!({"N": rows})], "{fault:?}");
        }
        if killed {
            world.engine.kill().await;
            world.faults.set(Fault::None);
            world.reopen().await;
            world.settle().await;
        }
        world.faults.set(Fault::None);
        if fault == Fault::Refuses {
            world.sql(LATER).await;
            world.settle().await;
        }
        until_trimmed(&world).await;
        assert_eq!(world.sql("SELECT n, total FROM t;").await, [counted(rows)]);
        // What came of the flushes is right, too: nothing else is left to read it from.
        world.kill().await;
        world.settle().await;
        assert_eq!(world.sql("SELECT n, total FROM t;").await, [counted(rows)]);
        assert_eq!(late(&mut world).await, [json!({"N": rows})], "{fault:?}");
        count(&mut world, &mut rows).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_and_reads_go_on_while_the_store_errs() {
    goes_on_under(Fault::Errs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_and_reads_go_on_while_the_store_hangs() {
    goes_on_under(Fault::Hangs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_and_reads_go_on_while_the_store_takes_nothing() {
    goes_on_under(Fault::Refuses).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changelog_that_lost_a_commit_opens_for_an_operator_only() {
    let mut world = World::new(Way::Plain, 1).await;
    world.sql(SETUP).await;
    let mut rows = 0;
    while rows < 10 {
        count(&mut world, &mut rows).await;
    }
    let pieces = i64::try_from(world.streams.inner.changelog_pieces(0)).unwrap();
    assert!(pieces > rows, "nothing was flushed");
    // Neither the first commit nor the last.
    world.streams.lose_piece(Some(pieces / 2));
    world.engine.kill().await;
    for _ in 0..2 {
        let refused = world.try_open().await.err().expect("it does not open");
        let message = refused.message;
        assert!(message.contains("the others are lost"), "{message}");
    }
    assert_eq!(
        i64::try_from(world.streams.inner.changelog_pieces(0)).unwrap(),
        pieces,
        "nothing is changed without the operator's word"
    );
    world.accept_loss(true);
    world.reopen().await;
    // It goes on from the last whole commit before the damage, and reads its input again from there.
    world.settle().await;
    assert_eq!(world.sql("SELECT n, total FROM t;").await, [counted(rows)]);
    count(&mut world, &mut rows).await;
    // The word is needed once.
    world.accept_loss(false);
    world.kill().await;
    world.settle().await;
    count(&mut world, &mut rows).await;
}
