//! Commits of SQL queries over the real service: what a killed server left behind is counted once, and at rest nothing
//! is left to do.

use crate::harness::{Server, Start, Work, text_of, until, until_some};
use crate::tenants::tenant;
use millstream_rust::{Client, Error, ProducerSettings, Record, SqlAnswer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
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

/// Runs a pull query that sees at least the commits of a token; the token that it ends with.
async fn commit_of(client: &Client, query: &str, commit_min: &str) -> Result<String, Error> {
    let properties = BTreeMap::from([("pull.commit.min".to_owned(), commit_min.to_owned())]);
    let mut answers = client.sql(query, &properties).await?;
    while let Some(answer) = answers.next_answer().await? {
        if let SqlAnswer::Finished { commit_token, .. } = answer {
            return Ok(commit_token);
        }
    }
    panic!("the query did not finish");
}

/// sql.md 21: what one client has seen another may ask for, over a kill; no other virtual cluster can make sense of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_query_ends_with_a_token_that_later_ones_may_ask_for() {
    const QUERY: &str = "SELECT * FROM c;";
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let identity = server.identity();
    server.cli().ok(&["sql", "-e", CHAIN], "");
    produce(&server, 0).await;
    let token = commit_of(&server.client(), QUERY, "").await.unwrap();
    assert!(!token.is_empty());
    server.kill();

    let server = Server::again(&work, Start::service(), &identity);
    let asks = format!("pull.commit.min={token}");
    let told = until_some("the query goes on", SOON, async || {
        let args = ["--output", "json", "sql", "--set", &asks, "-e", QUERY];
        let output = server.cli().run(&args, "");
        output.status.success().then(|| text_of(&output.stderr))
    })
    .await;
    let (_, later) = told
        .trim()
        .split_once("pull.commit.min=")
        .expect("the token is told");
    commit_of(&server.client(), QUERY, later).await.unwrap();
    // A query over a stream sees no commit.
    assert_eq!(
        commit_of(&server.client(), "SELECT * FROM s LIMIT 1;", later)
            .await
            .unwrap(),
        ""
    );

    let (_, key) = tenant(&server.client(), "stranger").await;
    let stranger = server.client_as(&key);
    stranger.sql_rows(CHAIN, &BTreeMap::new()).await.unwrap();
    for (given, says) in [
        (later, "another virtual cluster's"),
        ("17", "is not a commit token"),
    ] {
        let Err(Error::Sql {
            code,
            message,
            retriable,
            ..
        }) = commit_of(&stranger, QUERY, given).await
        else {
            panic!("{given} is no token of this virtual cluster");
        };
        assert_eq!((code.as_str(), retriable), ("INVALID", false));
        assert!(message.contains(says), "{message}");
    }
}
