//! Reading a log whose answers are bounded, has offsets without records, or cannot answer for one partition.

use crate::statements::given;
use crate::world::{Given, Way, World};
use futures::StreamExt;
use millstream_model::TenantId;
use millstream_planner::CommitToken;
use millstream_server::{Access, Answer, Engine, Request, StatementError, StatementErrorKind};
use serde_json::json;
use std::time::Duration;

const SETUP: &str = "
CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE st AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY k;";

fn rows(values: std::ops::RangeInclusive<i64>) -> Vec<Given> {
    values.map(|v| given("a", json!({"v": v}), v)).collect()
}

/// Offsets that a lost journal left without records are passed over; every record behind them counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_without_records_hide_nothing_behind_them() {
    for way in Way::ALL {
        let mut world = World::new(way, 3).await;
        world.streams.dig(10..20);
        world.sql(SETUP).await;
        world.produce("s", &rows(0..=39)).await;
        let total: i64 = (0..40).sum::<i64>() - (10..20).sum::<i64>();
        let expected = [json!({"N": 30, "TOTAL": total})];
        assert_eq!(world.sql("SELECT n, total FROM st;").await, expected, "{way:?}");
        assert_eq!(world.sql("SELECT v FROM s;").await.len(), 30, "{way:?}");
        assert_eq!(
            world.sql("SELECT v FROM s EMIT CHANGES LIMIT 30;").await.len(),
            30
        );
        assert_eq!(world.sql("PRINT 's' FROM BEGINNING LIMIT 30;").await.len(), 30);
    }
}

/// A partition that the log cannot read holds up its own readers only, and they go on by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_cannot_be_read_holds_up_its_readers_only() {
    let mut world = World::new(Way::Plain, 3).await;
    world.sql(SETUP).await;
    world
        .sql(
            "CREATE STREAM z (k STRING KEY, v INT) WITH (KAFKA_TOPIC='z', VALUE_FORMAT='JSON', PARTITIONS=2);
             CREATE TABLE zt AS SELECT k, COUNT(*) AS n FROM z GROUP BY k;",
        )
        .await;
    world.streams.mute(Some(("s", 0)));
    world.sql("INSERT INTO s (k, v) VALUES ('a', 7);").await;
    world
        .sql("INSERT INTO z (k, v) VALUES ('a', 1), ('b', 1), ('c', 1), ('d', 1);")
        .await;
    let others = async |world: &mut World| {
        while world.sql("SELECT n FROM zt;").await.len() < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), others(&mut world))
        .await
        .expect("the query over z goes on");
    assert!(world.sql("SELECT n FROM st;").await.is_empty());
    world.streams.mute(None);
    world.settle().await;
    assert_eq!(
        world.sql("SELECT n, total FROM st;").await,
        [json!({"N": 1, "TOTAL": 7})]
    );
}

/// The token that a pull query ended with when it asked for at least the commit of another, or why it did not end.
async fn commit(engine: Engine, commit_min: String) -> Result<String, StatementError> {
    let properties = [("pull.commit.min".to_owned(), commit_min)];
    let mut answers = engine.execute(Request {
        text: "SELECT * FROM st WHERE k = 'nobody';".to_owned(),
        properties: properties.into(),
        validate_only: false,
        access: Access::Manage,
    });
    while let Some((_, answer)) = answers.next().await {
        if let Answer::Finished { commit, .. } = answer? {
            return Ok(commit.expect("a pull query of a table has a commit"));
        }
    }
    panic!("the query did not finish");
}

/// A token of the tenant's shard 0.
fn token(commit: u64) -> String {
    CommitToken::new(TenantId(1), [(0, commit)]).to_string()
}

/// The commit of the tenant's shard 0 that a token names.
fn number(token: &str) -> u64 {
    CommitToken::read(token)
        .unwrap()
        .commit_min(TenantId(1), 0)
        .unwrap()
}

/// sql.md 21: commits only grow, in all lives of the shard, and a client may ask for one that is still to come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_query_names_its_commit_and_may_ask_for_one() {
    let mut world = World::new(Way::Plain, 3).await;
    world.sql(SETUP).await;
    world.produce("s", &rows(1..=3)).await;
    let first = commit(world.engine.clone(), String::new()).await.unwrap();
    assert!(number(&first) >= 1, "{first}");
    world.kill().await;
    let second = commit(world.engine.clone(), first.clone()).await.unwrap();
    assert!(number(&second) >= number(&first));
    world.restart().await;
    let next = number(&second) + 1;
    let waiting = tokio::spawn(commit(world.engine.clone(), token(next)));
    world.produce("s", &rows(4..=6)).await;
    assert!(number(&waiting.await.unwrap().unwrap()) >= next);
}

/// sql.md 21: what a token says of other shards is not asked for; another tenant's is refused, and what is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_asks_for_commits_of_the_tenants_shards_only() {
    let mut world = World::new(Way::Plain, 3).await;
    world.sql(SETUP).await;
    world.produce("s", &rows(1..=3)).await;
    let gone = CommitToken::new(TenantId(1), [(1, u64::MAX), (9, u64::MAX)]);
    commit(world.engine.clone(), gone.to_string()).await.unwrap();
    for (given, says) in [
        (
            CommitToken::new(TenantId(2), [(0, 1)]).to_string(),
            "another virtual cluster's",
        ),
        ("17".to_owned(), "is not a commit token"),
        ("A".repeat(5_000), "at most 4096 bytes"),
    ] {
        let refused = commit(world.engine.clone(), given).await.unwrap_err();
        assert_eq!(refused.kind, StatementErrorKind::Invalid);
        assert!(refused.message.starts_with("pull.commit.min: "), "{refused}");
        assert!(refused.message.contains(says), "{refused}");
    }
}
