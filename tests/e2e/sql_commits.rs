//! Commits of SQL queries over the real service: what a killed server left behind is counted once, and at rest nothing
//! is left to do.

use crate::harness::{Server, Start, Work, until};
use millstream_rust::{ProducerSettings, Record};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(120);

/// How often the server is killed: far more often one meets every moment of a commit.
const ROUNDS: u64 = 6;
const RECORDS: u64 = 1_500;

const CHAIN: &str = "
SET 'auto.offset.reset' = 'earliest';
SET 'commit.interval.ms' = '100';
CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
CREATE STREAM t WITH (KAFKA_TOPIC = 't', PARTITIONS = 2) AS SELECT k, v FROM s;
CREATE TABLE c AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM t GROUP BY k;";

async fn produce(server: &Server, round: u64) {
    let producer = server.client().producer(ProducerSettings::default());
    let mut deliveries = Vec::new();
    for at in 0..RECORDS {
        let (key, value) = (format!("k{}", at % 3), format!("{{\"v\":{}}}", round + at % 7));
        let record = Record::new().key(key).value(value);
        deliveries.push(producer.enqueue("s", record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
}

fn counted(server: &Server) -> Vec<(String, i64, i64)> {
    let rows = server.cli().json(&["sql", "-e", "SELECT k, n, total FROM c;"]);
    let row = |row: &Value| {
        let number = |name: &str| row[name].as_i64().unwrap();
        (
            row["K"].as_str().unwrap().to_owned(),
            number("N"),
            number("TOTAL"),
        )
    };
    let mut rows: Vec<_> = rows.iter().map(row).collect();
    rows.sort();
    rows
}

/// One round after the other, each killed a little later in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_over_a_stream_counts_each_result_once_whenever_the_server_is_killed() {
    let work = Work::new();
    let mut server = Server::first(&work, Start::service());
    let identity = server.identity();
    server.cli().ok(&["sql", "-e", CHAIN], "");
    let mut expected = vec![
        ("k0".to_owned(), 0, 0),
        ("k1".to_owned(), 0, 0),
        ("k2".to_owned(), 0, 0),
    ];
    for round in 0..ROUNDS {
        produce(&server, round).await;
        for at in 0..RECORDS {
            let row = &mut expected[usize::try_from(at % 3).unwrap()];
            row.1 += 1;
            row.2 += i64::try_from(round + at % 7).unwrap();
        }
        // Somewhere on the way of these records through both queries.
        tokio::time::sleep(Duration::from_millis(40 * round)).await;
        server.kill();
        server = Server::again(&work, Start::service(), &identity);
        until("every result is counted once", SOON, async || {
            let found = counted(&server);
            let total: i64 = found.iter().map(|row| row.1).sum();
            let wanted: i64 = expected.iter().map(|row| row.1).sum();
            assert!(total <= wanted, "{found:?} in round {round}, not {expected:?}");
            (found == expected).then_some(())
        })
        .await;
    }
    // The changelog is the tenant's, and no tenant sees it.
    let topics = server.cli().json(&["topic", "list"]);
    let names: Vec<&Value> = topics.iter().map(|topic| &topic["name"]).collect();
    assert!(
        !names.is_empty() && !names.contains(&&json!("__sql_changelog")),
        "{names:?}"
    );
}
