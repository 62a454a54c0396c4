//! What a tenant's shard asks of the object store: at most six writes a minute under a trickle, nothing at rest. Time goes
//! 400 times faster for all that goes by the clock.

use crate::statements::given;
use crate::world::{Way, World};
use millstream_model::{Offset, TimestampMs, TopicName};
use millstream_runtime::{StreamRecord, Streams, partition_for};
use serde_json::json;
use std::time::{Duration, Instant};

const PACE: u32 = 400;

/// Requests that write: an upload is begun, has a part and is completed.
const WRITES: [&str; 5] = ["put", "upload", "part", "complete", "copy"];

/// Two rows a second, on the fast clock about.
async fn trickle(world: &World, rows: &mut i64) {
    let topic: TopicName = "s".parse().unwrap();
    let record = StreamRecord {
        offset: Offset(-1),
        timestamp: TimestampMs(*rows),
        key: Some("bob".into()),
        value: Some(json!({"v": *rows}).to_string().into()),
    };
    let placed = vec![(partition_for(b"bob", 1), vec![record])];
    world.streams.inner.produce(&topic, placed).await.unwrap();
    *rows += 1;
    tokio::time::sleep(Duration::from_millis(500) / PACE).await;
}

/// Minutes on the fast clock.
fn minutes(real: Duration) -> f64 {
    real.as_secs_f64() * f64::from(PACE) / 60.0
}

/// So many seconds of the fast clock.
async fn pass(seconds: u32) {
    tokio::time::sleep(Duration::from_secs(1) * seconds / PACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trickle_costs_at_most_six_puts_a_minute_and_a_tenant_at_rest_none() {
    let mut world = World::with(Way::Plain, 1, |shard| {
        shard.pace = PACE;
        shard.commit_interval = Duration::from_secs(1) / PACE;
    })
    .await;
    world
        .sql(
            "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
             CREATE TABLE spent AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY k;",
        )
        .await;
    world.produce("s", &[given("bob", json!({"v": 0}), 0)]).await;
    // Twenty minutes of it.
    let (mut rows, begun, before) = (1, Instant::now(), world.requests(&WRITES));
    while minutes(begun.elapsed()) < 20.0 {
        trickle(&world, &mut rows).await;
    }
    let (ran, writes) = (minutes(begun.elapsed()), world.requests(&WRITES) - before);
    println!("{writes} writes in {ran:.1} minutes, {rows} rows");
    assert!(
        writes as f64 >= ran,
        "it is flushed: {writes} writes in {ran} minutes"
    );
    assert!(writes as f64 <= ran * 6.0, "{writes} writes in {ran} minutes");
    assert!(rows > 200, "only {rows} rows: this was no trickle");
    // The tenant goes quiet. By itself the shard flushes what is left and lets its database rest.
    world.settle().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let asked = world.requests(&[]);
        // Longer than anything that a database at work does by itself.
        pass(900).await;
        if world.requests(&[]) == asked {
            break;
        }
        assert!(Instant::now() < deadline, "a tenant at rest still asks the store");
    }
    let count = json!({"N": rows, "TOTAL": (0..rows).sum::<i64>()});
    assert_eq!(world.sql("SELECT n, total FROM spent;").await, [count]);
    // Who comes back goes on where it was.
    world.produce("s", &[given("bob", json!({"v": 0}), 1)]).await;
    world.kill().await;
    world.settle().await;
    assert_eq!(world.sql("SELECT n FROM spent;").await, [json!({"N": rows + 1})]);
}
