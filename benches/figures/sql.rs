//! Events per CPU second of a filter and of a windowed count.

use crate::arguments::Arguments;
use crate::process;
use crate::server::Server;
use crate::table::{self, Column};
use millstream_cli::kafka::produce_request;
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
use millstream_model::TimestampMs;
use millstream_rust::{Client, Credentials};
use std::collections::BTreeMap;
use std::time::Duration;

const EVENTS: u64 = 2_000_000;
const PARTITIONS: u32 = 4;
const BATCH_EVENTS: u64 = 20_000;

const STREAM: &str = "CREATE STREAM events (user STRING KEY, page STRING, took INT, at BIGINT)
  WITH (KAFKA_TOPIC='events', VALUE_FORMAT='JSON', TIMESTAMP='at', PARTITIONS=4, RETENTION_MS=-1);";

const FILTER: &str = "CREATE STREAM slow AS SELECT user, page, took FROM events WHERE took > 990;";

const COUNT: &str = "CREATE TABLE visits AS SELECT user, COUNT(*) AS visits, AVG(took) AS mean
  FROM events WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY user;";

/// Starts a service, loads the events, and takes the CPU that one query needs for all of them.
pub async fn measure(arguments: &Arguments) {
    let mut columns = ["filter, events per CPU s", "windowed count, events per CPU s"].map(Column::new);
    for _ in 0..arguments.rounds {
        for (column, (query, source)) in columns.iter_mut().zip([(FILTER, "slow"), (COUNT, "visits")]) {
            column.add(one(query, source).await);
        }
    }
    table::print("sql", &columns);
}

async fn one(query: &str, source: &str) -> f64 {
    let server = Server::ours(&[]).await;
    let (id, secret) = server.key.clone().unwrap();
    let client = Client::connect(&server.http, Credentials::key(id, secret)).unwrap();
    let properties = BTreeMap::from([("auto.offset.reset".to_owned(), "earliest".to_owned())]);
    client.sql_rows(STREAM, &properties).await.unwrap();
    load(&server).await;
    let before = process::cpu_seconds(server.pid());
    client.sql_rows(query, &properties).await.unwrap();
    let describe = format!("DESCRIBE {source} EXTENDED;");
    loop {
        let rows = client.sql_rows(&describe, &properties).await.unwrap();
        if millstream_cli::demo::total_lag(&rows) == Some(0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let cpu = process::cpu_seconds(server.pid()) - before;
    server.stop().await;
    EVENTS as f64 / cpu
}

async fn load(server: &Server) {
    let mut client = server.connect().await;
    let mut event = 0;
    while event < EVENTS {
        let mut builders: Vec<BatchBuilder> = (0..PARTITIONS).map(|_| BatchBuilder::new()).collect();
        for _ in 0..BATCH_EVENTS {
            let user = format!("user-{}", event * 7 % 1000);
            let at = 1_700_000_000_000 + i64::try_from(event).unwrap() * 5;
            let value = format!(
                "{{\"PAGE\":\"/page/{}\",\"TOOK\":{},\"AT\":{at},\"AGENT\":\"a browser of some kind\"}}",
                event % 50,
                event % 1000
            );
            let partition =
                millstream_kafka_wire::partitioner::partition_for_key(user.as_bytes(), PARTITIONS);
            let record = NewRecord {
                timestamp: TimestampMs(at),
                key: Some(user.as_bytes()),
                value: Some(value.as_bytes()),
                headers: &[],
            };
            builders[partition as usize].push(record).unwrap();
            event += 1;
        }
        let batches = builders
            .into_iter()
            .enumerate()
            .filter(|(_, it)| !it.is_empty())
            .map(|(index, it)| (index as u32, it.build().unwrap()))
            .collect();
        let answer = client.call(9, &produce_request("events", batches)).await.unwrap();
        assert!(
            answer
                .responses
                .iter()
                .flat_map(|it| &it.partition_responses)
                .all(|it| it.error_code == 0)
        );
    }
}
