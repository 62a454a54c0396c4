//! Windowed tables against a few lines that go over the rows one by one, whatever the engine goes through.

use crate::world::{Given, Way, World};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SIZE: i64 = 1000;

#[derive(Clone, Debug)]
struct Row {
    key: String,
    value: Option<i64>,
    time: i64,
    partition: u32,
}

#[derive(Clone, Debug, Default)]
struct Expected {
    rows: i64,
    sum: i64,
    count: i64,
    min: Option<i64>,
    max: Option<i64>,
}

impl Expected {
    fn take(&mut self, value: Option<i64>) {
        self.rows += 1;
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
            self.min = Some(self.min.map_or(value, |min| min.min(value)));
            self.max = Some(self.max.map_or(value, |max| max.max(value)));
        }
    }

    fn json(&self, key: &str, start: i64) -> Value {
        #[allow(clippy::cast_precision_loss)]
        let mean = if self.count == 0 {
            0.0
        } else {
            self.sum as f64 / self.count as f64
        };
        json!({"G": key, "F": start, "N": self.rows, "S": self.sum, "A": mean, "LO": self.min, "HI": self.max})
    }
}

/// Rows in about the order of time, some late, over some partitions.
fn rows(random: &mut StdRng, partitions: u32, count: usize) -> Vec<Row> {
    let mut now = 0;
    let row = |_| {
        now += random.random_range(0..60);
        let late = if random.random_bool(0.2) {
            random.random_range(0..2500)
        } else {
            0
        };
        Row {
            key: format!("k{}", random.random_range(0..5)),
            value: random.random_bool(0.9).then(|| random.random_range(-100..100)),
            time: (now - late).max(0),
            partition: random.random_range(0..partitions),
        }
    };
    (0..count).map(row).collect()
}

fn given(row: &Row, keyed: bool) -> Given {
    let value = json!({"g": row.key, "v": row.value}).to_string();
    match keyed {
        true => (Some(row.key.clone()), Some(value), row.time, None),
        false => (None, Some(value), row.time, Some(row.partition)),
    }
}

/// The table, by going over the rows of each task in order: `grace` ms behind the latest time, a window is closed.
fn batch(rows: &[Row], grace: i64, task_of: impl Fn(&Row) -> u32) -> Vec<Value> {
    let mut times: BTreeMap<u32, i64> = BTreeMap::new();
    let mut groups: BTreeMap<(String, i64), Expected> = BTreeMap::new();
    for row in rows {
        let latest = times.entry(task_of(row)).or_insert(0);
        *latest = (*latest).max(row.time);
        let start = row.time - row.time % SIZE;
        if start + SIZE + grace > *latest {
            groups
                .entry((row.key.clone(), start))
                .or_default()
                .take(row.value);
        }
    }
    let mut all: Vec<Value> = groups
        .iter()
        .map(|((key, start), group)| group.json(key, *start))
        .collect();
    all.sort_by_key(Value::to_string);
    all
}

/// Returns how often the engine was killed.
async fn check(way: Way, seed: u64, keyed: bool, grace: i64) -> u32 {
    let mut random = StdRng::seed_from_u64(seed);
    let partitions = if keyed { 3 } else { 4 };
    let rows = rows(&mut random, partitions, 160);
    let mut world = World::new(way, seed).await;
    let key = if keyed { "g STRING KEY" } else { "g STRING" };
    world
        .sql(&format!(
            "CREATE STREAM s ({key}, v BIGINT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS={partitions});
             CREATE TABLE t AS SELECT g, COUNT(*) AS n, SUM(v) AS s, AVG(v) AS a, MIN(v) AS lo, MAX(v) AS hi FROM s
             WINDOW TUMBLING (SIZE {SIZE} MILLISECONDS, RETENTION 1 DAY, GRACE PERIOD {grace} MILLISECONDS) GROUP BY g;"
        ))
        .await;
    for part in rows.chunks(60) {
        let records: Vec<Given> = part.iter().map(|row| given(row, keyed)).collect();
        world.produce("s", &records).await;
    }
    let mut got = world
        .sql("SELECT g, WINDOWSTART AS f, n, s, a, lo, hi FROM t;")
        .await;
    got.sort_by_key(Value::to_string);
    let expected = if keyed {
        let partition = |row: &Row| millstream_runtime::partition_for(row.key.as_bytes(), partitions).0;
        batch(&rows, grace, partition)
    } else {
        // With a grace that nothing exceeds, the order in which partitions are merged does not matter.
        batch(&rows, i64::MAX / 2, |_| 0)
    };
    assert_eq!(
        got, expected,
        "{way:?}, seed {seed}, keyed {keyed}, {} kills",
        world.kills
    );
    world.kills
}

async fn check_all(seeds: std::ops::Range<u64>, keyed: bool, grace: i64) {
    for way in Way::ALL {
        let mut kills = 0;
        for seed in seeds.clone() {
            kills += check(way, seed, keyed, grace).await;
        }
        assert_eq!(kills > 0, way == Way::Killed, "{way:?} was killed {kills} times");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keyed_rows_without_grace() {
    check_all(1..4, true, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unkeyed_rows_are_repartitioned() {
    check_all(11..14, false, 100_000).await;
}
