//! `/metrics`, `/livez` and `/readyz`, and one port for gRPC and HTTP.

use crate::harness::{Server, Start, Work, http};

#[test]
fn health_and_metrics_tell_the_truth() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    assert_eq!(http::get(&server.doors.http, "/livez").unwrap().0, 200);
    assert_eq!(http::get(&server.doors.http, "/readyz").unwrap().0, 200);
    assert_eq!(http::get(&server.doors.http, "/nothing").unwrap().0, 404);
    assert_eq!(server.metric("broker_produced_records_total"), 0.0);
    assert_eq!(server.metric("broker_journal_damaged"), 0.0);
    let cli = server.cli();
    cli.ok(&["topic", "create", "t"], "");
    cli.ok(&["produce", "t"], "one\ntwo\nthree\n");
    assert_eq!(server.metric("broker_produced_records_total"), 3.0);
    assert!(server.metric("broker_produced_bytes_total") > 3.0);
    let (status, text) = http::get(&server.doors.http, "/metrics").unwrap();
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
