//! The loops of the soak, each of one tenant.

use super::{PATIENCE, Part};
use crate::batch;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use millstream_cli::demo::Statements;
use millstream_rust::{Client, ConsumerSettings, ProducerSettings, Record, SqlAnswer, Start as From};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

fn no_properties() -> BTreeMap<String, String> {
    BTreeMap::new()
}

/// Runs statements that have to succeed.
async fn run(client: &Client, text: &str) -> Vec<RecordBatch> {
    let answered = timeout(PATIENCE, client.sql_rows(text, &no_properties())).await;
    let answered = answered.unwrap_or_else(|_| panic!("no answer within {PATIENCE:?}: {text}"));
    answered.unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The single number of an answer; 0 without a row.
fn number(rows: &[RecordBatch]) -> i64 {
    let row = rows.iter().find(|it| it.num_rows() > 0);
    row.map_or(0, |it| it.column(0).as_primitive::<Int64Type>().value(0))
}

/// Asks until the answer has come to `wanted`; one that goes beyond is wrong.
async fn until_is(client: &Client, select: &str, wanted: i64) {
    let begun = Instant::now();
    loop {
        let found = number(&run(client, select).await);
        assert!(
            found <= wanted,
            "{select}: {found}, of {wanted} that were written"
        );
        if found == wanted {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{select}: {found} for {PATIENCE:?}, {wanted} were written"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// The demo's queries over flights that never end.
pub async fn flights(client: Client, part: Arc<Part>, until: Instant) {
    run(&client, &Statements::new(false, None).setup).await;
    let producer = client.producer(ProducerSettings::default());
    let rows = batch::rows();
    for chunk in rows.chunks(50).cycle() {
        if Instant::now() >= until {
            return;
        }
        let begun = Instant::now();
        for row in chunk {
            let record = Record::new()
                .key(row.carrier())
                .value(row.json().to_string())
                .timestamp_ms(0);
            producer.enqueue("flights", record).await.unwrap();
        }
        producer.flush().await;
        run(
            &client,
            "SELECT departures FROM departures WHERE carrier = 'UA' LIMIT 1;",
        )
        .await;
        part.answered(begun);
        sleep(Duration::from_millis(250)).await;
    }
}

/// The README's orders, two a second: what was written is seen in the table, each time anew.
pub async fn orders(client: Client, part: Arc<Part>, commit_ms: Option<u64>, until: Instant) {
    let set = commit_ms.map_or_else(String::new, |ms| format!("SET 'commit.interval.ms' = '{ms}';"));
    let setup = format!(
        "SET 'auto.offset.reset' = 'earliest'; {set}
         CREATE STREAM orders (customer STRING KEY, amount INT)
           WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 4);
         CREATE TABLE spent AS SELECT customer, COUNT(*) AS orders, SUM(amount) AS total
           FROM orders GROUP BY customer;"
    );
    run(&client, &setup).await;
    let mut written = 0;
    while Instant::now() < until {
        let begun = Instant::now();
        run(
            &client,
            "INSERT INTO orders (customer, amount) VALUES ('bob', 30);",
        )
        .await;
        written += 1;
        until_is(
            &client,
            "SELECT orders FROM spent WHERE customer = 'bob';",
            written,
        )
        .await;
        part.answered(begun);
        sleep(Duration::from_millis(500)).await;
    }
    let total = "SELECT CAST(total AS BIGINT) AS total FROM spent WHERE customer = 'bob';";
    until_is(&client, total, written * 30).await;
}

/// Push queries that end after a row, one after the other, beside the orders of the same tenant.
pub async fn pushes(client: Client, part: Arc<Part>, until: Instant) {
    let properties = BTreeMap::from([("auto.offset.reset".to_owned(), "earliest".to_owned())]);
    let text = "SELECT * FROM orders EMIT CHANGES LIMIT 1;";
    // The stream is made by the tenant's other loop.
    let begun = Instant::now();
    while client.sql_rows("DESCRIBE orders;", &properties).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "there is no stream to read");
        sleep(Duration::from_millis(100)).await;
    }
    while Instant::now() < until {
        let begun = Instant::now();
        let read = async {
            let mut answers = client.sql(text, &properties).await?;
            let mut rows = 0;
            while let Some(answer) = answers.next_answer().await? {
                if let SqlAnswer::Rows(batch) = answer {
                    rows += batch.num_rows();
                }
            }
            Ok::<usize, millstream_rust::Error>(rows)
        };
        let rows = timeout(PATIENCE, read).await;
        let rows = rows.unwrap_or_else(|_| panic!("a push query gave no row within {PATIENCE:?}"));
        assert_eq!(rows.unwrap(), 1);
        part.answered(begun);
    }
}

/// Records in, the same records out, in order and once.
pub async fn records(client: Client, part: Arc<Part>, until: Instant) {
    client
        .admin()
        .create_topic("records", 1, BTreeMap::new())
        .await
        .unwrap();
    let producer = client.producer(ProducerSettings::default());
    let mut consumer = client.consumer(ConsumerSettings::new("records", From::Earliest));
    let mut next = 0u64;
    while Instant::now() < until {
        let begun = Instant::now();
        let first = next;
        for number in first..first + 20 {
            let record = Record::new().value(format!("{number} {}", "x".repeat(1_000)));
            producer.enqueue("records", record).await.unwrap();
            next += 1;
        }
        producer.flush().await;
        for number in first..next {
            let read = timeout(PATIENCE, consumer.next()).await;
            let read = read.unwrap_or_else(|_| panic!("record {number} did not come within {PATIENCE:?}"));
            let value = read.unwrap().value.unwrap();
            assert!(
                value.starts_with(format!("{number} ").as_bytes()),
                "at {number}: {value:?}"
            );
        }
        part.answered(begun);
        sleep(Duration::from_millis(100)).await;
    }
}
