//! Everything that hostile tenants and strangers do, at once, while a quiet tenant's day goes on.

use crate::harness::{Server, Start, Work};
use crate::hostile::bystander::Quiet;
use crate::hostile::crowds::{raise_open_files, silent_frames, strangers};
use crate::hostile::debts::{reconnecting_producer, reconnecting_reader, set_quota};
use crate::hostile::http::{health_and_sql_go_on, silent_sockets, unfinished_produces};
use crate::tenants::tenant;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Silent sockets at each door; the tests of each door alone have as many as were found.
const CROWD: usize = 3_000;

const TOPIC: &str = "hostile";

#[tokio::test(flavor = "multi_thread")]
async fn all_at_once_they_stop_nobody() {
    if !raise_open_files(3 * CROWD as u64) {
        println!("left out: the hard limit of open files is below {}", 3 * CROWD);
        return;
    }
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let mut quiet = Quiet::new(&server, "quiet").await;
    let (account, hostile) = tenant(&server.client(), "hostile").await;
    for quota in ["producer_byte_rate", "consumer_byte_rate"] {
        set_quota(&server, &account, quota, 50_000.0).await;
    }
    let topics = server.client_as(&hostile).admin();
    topics.create_topic(TOPIC, 1, BTreeMap::new()).await.unwrap();

    let frames = silent_frames(&server, &hostile, 6, 100 << 20);
    let kafka = strangers(&server, Ipv4Addr::LOCALHOST.into(), CROWD).await;
    let http = silent_sockets(&server, CROWD).await;
    let bodies = unfinished_produces(&server, &hostile, 100 << 20).await;
    let mut debtors = Vec::new();
    for attack in [reconnecting_producer, reconnecting_reader] {
        let (kafka, key) = (server.doors.kafka.clone(), hostile.clone());
        let during = Duration::from_secs(10);
        debtors.push(tokio::task::spawn_blocking(move || {
            attack(&kafka, &key, TOPIC, during)
        }));
    }
    for _ in 0..5 {
        quiet.goes_on().await;
        health_and_sql_go_on(&server).await;
    }
    let used = server.metric("requests_room_used_bytes");
    assert!(used <= f64::from(640 << 20), "{used} bytes are held by requests");
    let resident = server.resident() >> 20;
    assert!(resident < 1400, "{resident} MiB are resident");
    for debtor in debtors {
        debtor.await.unwrap();
    }
    for call in bodies {
        call.abort();
    }
    drop((frames, kafka, http));
    quiet.goes_on().await;
    health_and_sql_go_on(&server).await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
