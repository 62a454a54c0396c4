//! `/livez` and `/readyz` where tenants come, `/metrics` and reasons where operators do.

use crate::harness::{Server, Start, Work, http};
use crate::wire::Wire;
use bytes::Bytes;
use millstream_cli::kafka::produce_request;
use serde_json::Value;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

#[test]
fn health_and_metrics_tell_the_truth() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    for address in [&server.doors.http, &server.doors.admin] {
        assert_eq!(http::get(address, "/livez").unwrap().0, 200);
        assert_eq!(http::get(address, "/readyz").unwrap().0, 200);
        assert_eq!(http::get(address, "/nothing").unwrap().0, 404);
    }
    assert_eq!(server.metric("broker_produced_records_total"), 0.0);
    assert_eq!(server.metric("broker_journal_damaged"), 0.0);
    let cli = server.cli();
    cli.ok(&["topic", "create", "t"], "");
    cli.ok(&["produce", "t"], "one\ntwo\nthree\n");
    assert_eq!(server.metric("broker_produced_records_total"), 3.0);
    assert!(server.metric("broker_produced_bytes_total") > 3.0);
    let (status, text) = http::get(&server.doors.http, "/metrics").unwrap();
    assert_eq!(
        status, 404,
        "tenants and strangers learn nothing of each other:\n{text}"
    );
    let (status, text) = http::get(&server.doors.admin, "/metrics").unwrap();
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"), "OpenMetrics ends with EOF:\n{text}");
    assert!(
        !text.contains(&server.key.id) && !text.contains(&server.key.secret),
        "metrics tell no keys"
    );
}

#[test]
fn an_idle_service_is_small_and_starts_quickly() {
    let work = Work::new();
    let begun = std::time::Instant::now();
    let server = Server::first(&work, Start::service());
    // Figures belong to release builds (docs/performance.md); this only notices a runaway.
    println!(
        "ready after {:?}, {} MiB resident",
        begun.elapsed(),
        server.resident() >> 20
    );
    assert!(
        server.resident() < 400 << 20,
        "{} MiB are resident when idle",
        server.resident() >> 20
    );
}

/// Log lines as JSON, and in each what the spans around it know.
#[test]
fn log_lines_are_json_and_say_whose_topic_and_partition() {
    let work = Work::new();
    let start = Start::service().args(&["--log", "info,millstream_broker=debug", "--log-format", "json"]);
    let server = Server::first(&work, start);
    server
        .cli()
        .ok(&["topic", "create", "t", "--partitions", "3"], "");
    let account = server.cli().json(&["whoami"])[0]["account"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut wire = Wire::authenticated(&server.doors.kafka, &server.key);
    let answer = wire.call(
        9,
        &produce_request("t", vec![(2, Bytes::from_static(b"no batch"))]),
    );
    assert_ne!(answer.responses[0].partition_responses[0].error_code, 0);
    let log = server.log();
    let lines: Vec<Value> = log
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let refused = lines
        .iter()
        .find(|line| line["fields"]["message"] == "refused" && line["span"]["name"] == "produce")
        .unwrap_or_else(|| panic!("no refused produce in\n{log}"));
    assert_eq!(refused["span"]["topic"], "t", "{refused}");
    assert_eq!(refused["span"]["partition"], 2, "{refused}");
    let tenant = refused["span"]["tenant"].as_str().unwrap();
    assert!(
        account.ends_with(tenant) || tenant.ends_with(&account),
        "{account}: {refused}"
    );
}

/// What gRPC's health service says of the whole.
async fn grpc_health(server: &Server) -> ServingStatus {
    let address = format!("http://{}", server.doors.http);
    let channel = tonic::transport::Endpoint::new(address).unwrap().connect().await;
    let mut health = HealthClient::new(channel.unwrap());
    let answer = health.check(HealthCheckRequest::default()).await.unwrap();
    answer.into_inner().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_who_decides_and_ends_with_the_process() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    assert_eq!(grpc_health(&server).await, ServingStatus::Serving);
    let short = http::get(&server.doors.http, "/readyz").unwrap();
    assert_eq!(short, (200, "ready\n".to_owned()), "a word and codes, no names");
    let (status, text) = http::get(&server.doors.admin, "/readyz").unwrap();
    assert!(status == 200 && text.contains("controller in term 1"), "{text}");
    let doors = server.doors.clone();
    assert!(server.stop().success());
    assert!(
        http::get(&doors.http, "/readyz").is_err(),
        "nobody answers for a stopped service"
    );
}

/// Bits flip in the middle of the journal while the service is down: what precedes them is served, and every door for
/// operators says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_told_by_readiness_and_metrics() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    cli.ok(&["topic", "create", "t"], "");
    for number in 0..20 {
        cli.ok(&["produce", "t"], &format!("line {number} of this test\n"));
    }
    let identity = server.identity();
    server.kill();
    flip(&work.data().join("journal"), b"line 10 of this test");
    let server = Server::again(&work, Start::service(), &identity);
    let (status, text) = http::get(&server.doors.http, "/readyz").unwrap();
    assert_eq!(status, 503);
    assert!(text.starts_with("unready journal-damaged"), "{text}");
    let (status, text) = http::get(&server.doors.admin, "/readyz").unwrap();
    assert!(status == 503 && text.contains("--recover-groups"), "{text}");
    assert_eq!(
        http::get(&server.doors.http, "/livez").unwrap().0,
        200,
        "a restart helps nothing"
    );
    assert_eq!(server.metric("broker_journal_damaged"), 1.0);
    assert_eq!(
        grpc_health(&server).await,
        ServingStatus::NotServing,
        "gRPC health says the same"
    );
    let read = server
        .cli()
        .ok(&["consume", "t", "--from-beginning", "--exit-at-end"], "");
    assert_eq!(
        read.lines().count(),
        10,
        "what precedes the damage is served: {read}"
    );
    let refused = server.cli().refused_with(&["produce", "t"], "one line more\n");
    assert!(
        refused.contains("the service's journal is damaged") && refused.contains("--recover-groups"),
        "{refused}"
    );
}

/// Flips a bit of what is found in one of the folder's files.
fn flip(folder: &std::path::Path, what: &[u8]) {
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(what.len()).position(|it| it == what);
        if let Some(at) = found {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            return;
        }
    }
    panic!("the record is not in the journal");
}
