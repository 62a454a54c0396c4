//! A tenant whose statements need all the processor that they can get, with a quiet tenant beside.

use crate::harness::{Key, Server, Start, Work};
use crate::hostile::bystander::Quiet;
use crate::tenants::tenant;
use millstream_rust::Client;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Sessions with heavy statements: more than there are processors.
const SESSIONS: usize = 6;

const SETUP: &str =
    "CREATE STREAM w (k STRING KEY, v INT) WITH (KAFKA_TOPIC='w', PARTITIONS=1, VALUE_FORMAT='JSON');
    INSERT INTO w (k, v) VALUES ('k', 1);
    INSERT INTO w (k, v) VALUES ('k', 2);";

/// Some megabytes, several times over, out of one row.
const HEAVY: &str = "SELECT
    LEN(REPLACE(REVERSE(REPEAT('ab', 1000000)), 'a', 'zz')) AS c1,
    LEN(REPLACE(REVERSE(REPEAT('bb', 1000000)), 'b', 'zz')) AS c2,
    LEN(REPLACE(REVERSE(REPEAT('cb', 1000000)), 'c', 'zz')) AS c3,
    LEN(REPLACE(REVERSE(REPEAT('db', 1000000)), 'd', 'zz')) AS c4
    FROM w;";

/// Runs a statement again and again until it is told to stop, whatever comes of it; the client does not wait long.
async fn again_and_again(client: Client, text: String, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let properties = BTreeMap::new();
        let running = client.sql_rows(&text, &properties);
        let _ = tokio::time::timeout(Duration::from_secs(5), running).await;
    }
}

/// Sessions of a tenant with heavy expressions, long scripts and wide plans.
pub async fn heavy_statements(
    server: &Server,
    key: &Key,
    stop: &CancellationToken,
) -> Vec<tokio::task::JoinHandle<()>> {
    let client = server.client_as(key);
    client.sql_rows(SETUP, &BTreeMap::new()).await.unwrap();
    let inserts = "INSERT INTO w (k, v) VALUES ('k', 3);\n".repeat(1_000);
    let columns: Vec<String> = (0..2_000).map(|number| format!("c{number} INT")).collect();
    let wide = format!(
        "CREATE STREAM wide ({}) WITH (KAFKA_TOPIC='wide', PARTITIONS=1, VALUE_FORMAT='JSON'); DROP STREAM wide;",
        columns.join(", ")
    );
    let mut texts = vec![inserts, wide];
    texts.resize(SESSIONS, HEAVY.to_owned());
    let begin = |text| tokio::spawn(again_and_again(server.client_as(key), text, stop.clone()));
    texts.into_iter().map(begin).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_statements_stop_nobody() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let mut quiet = Quiet::new(&server, "quiet").await;
    let (_, hostile) = tenant(&server.client(), "hostile").await;
    let stop = CancellationToken::new();
    let sessions = heavy_statements(&server, &hostile, &stop).await;
    for _ in 0..10 {
        quiet.goes_on().await;
    }
    assert!(sessions.iter().all(|session| !session.is_finished()));
    stop.cancel();
    quiet.kept_its_times();
    for session in sessions {
        session.await.unwrap();
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
