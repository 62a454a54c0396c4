//! What operators are told: for whom a start waits, what is missing, who may read what, and what is wrong with a
//! certificate.

use crate::harness::server::{spawn, wait};
use crate::harness::{Server, Start, Work, http, tools, until};
use crate::startup::fails;
use crate::wire::{Outcome, Wire};
use millstream_kafka_wire::frame::{decode_response, encode_request};
use millstream_kafka_wire::messages::FetchRequest;
use millstream_kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// An address that nobody listens on.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Waits until a log says something, and gives what it says in all.
async fn says(log: &Path, what: &str) -> String {
    until(&format!("the log says '{what}'"), SOON, async || {
        fs::read_to_string(log)
            .ok()
            .filter(|text| text.contains(what))
            .map(drop)
    })
    .await;
    fs::read_to_string(log).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_says_at_once_for_whom_it_waits() {
    let (work, other) = (Work::new(), Work::new());
    let first = Server::first(&work, Start::service());
    let store = format!("file://{}", work.data().join("store").display());
    let key = work.data().join("root.key");
    let admin = free_address();
    let start = Start::service().args(&[
        "--store",
        &store,
        "--cluster",
        "millstream",
        "--root-key-file",
        key.to_str().unwrap(),
        "--log",
        "error",
        "--admin-listen",
        &admin,
    ]);
    let (mut second, log) = spawn(&other, &start, None);
    // Also when the log is quieter than warnings.
    let told = says(&log, "millstream: waits for ").await;
    assert!(
        told.contains(&first.doors.http) && told.contains("in term 1"),
        "{told}"
    );
    // Who waits is alive, and probes are told so.
    assert_eq!(http::get(&admin, "/livez").unwrap().0, 200);
    let (status, text) = http::get(&admin, "/readyz").unwrap();
    assert_eq!((status, text.as_str()), (503, "unready starting\n"));
    assert!(first.metric("controller_lease_held") == 1.0 && first.metric("controller_lease_term") == 1.0);
    assert!(first.stop().success());
    let ready = other.path("ready.json");
    until("the second takes over", SOON, async || {
        ready.exists().then_some(())
    })
    .await;
    crate::harness::server::signal(second.id(), "TERM");
    assert!(wait(&mut second, &log).success());
}

#[test]
fn a_lost_root_key_is_missed_and_none_is_made() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let identity = server.identity();
    assert!(server.stop().success());
    let (key, kept) = (work.data().join("root.key"), work.path("kept.key"));
    fs::rename(&key, &kept).unwrap();
    let told = fails(&work, Start::service());
    assert!(
        told.contains("root.key is missing") && told.contains("is part of cluster"),
        "{told}"
    );
    assert!(!key.exists(), "another one would only hide the loss");
    fs::rename(&kept, &key).unwrap();
    assert!(Server::again(&work, Start::service(), &identity).stop().success());
}

/// A store that answers every request alike.
fn answering(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let mut request = [0; 8192];
            let _ = client.read(&mut request);
            let length = body.len();
            let _ = write!(
                client,
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
        }
    });
    address
}

fn on_bucket(work: &Work, endpoint: &str) -> Start {
    let key = work.path("root.key");
    fs::write(&key, format!("1:{}\n", "5a".repeat(32))).unwrap();
    Start::service()
        .args(&[
            "--store",
            "s3://kept/one",
            "--root-key-file",
            key.to_str().unwrap(),
        ])
        .env("AWS_ENDPOINT", &format!("http://{endpoint}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1")
}

#[test]
fn what_a_bucket_refuses_is_named_as_that() {
    let work = Work::new();
    let secrets = |start: Start| {
        start
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
    };
    let denied = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
    let told = fails(
        &work,
        secrets(on_bucket(&work, &answering("403 Forbidden", denied))),
    );
    for part in ["refuses permission", "kept", "cluster.json", "403"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("is it up"), "{told}");
    let missing = "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>";
    let told = fails(
        &work,
        secrets(on_bucket(&work, &answering("404 Not Found", missing))),
    );
    assert!(told.contains("bucket kept does not exist"), "{told}");
    // Nobody answers where the machine's own credentials would be.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let start =
        on_bucket(&work, &answering("200 OK", "")).env("AWS_METADATA_ENDPOINT", &format!("http://{closed}"));
    let told = fails(&work, start);
    assert!(
        told.contains("no credentials") && told.contains("AWS_ACCESS_KEY_ID") && told.contains("bucket kept"),
        "{told}"
    );
}

/// Everything below a folder that somebody else than its owner may read.
fn open_to_others(folder: &Path, found: &mut Vec<String>) {
    let mode = fs::metadata(folder).unwrap().permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        found.push(format!("{} {mode:o}", folder.display()));
    }
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            open_to_others(&path, found);
        } else if let Ok(read) = fs::metadata(&path)
            && read.permissions().mode() & 0o077 != 0
        {
            found.push(format!(
                "{} {:o}",
                path.display(),
                read.permissions().mode() & 0o777
            ));
        }
    }
}

#[test]
fn nobody_else_on_the_machine_reads_tenants_data() {
    let work = Work::new();
    let start = || Start::service().args(&["--flush-age-ms", "200"]);
    let server = Server::first(&work, start());
    let cli = server.cli();
    cli.ok(&["topic", "create", "t"], "");
    cli.ok(&["produce", "t"], "one\ntwo\n");
    server.wait_for_metric("broker_flushed_objects_total", |it| it >= 1.0);
    let mut found = Vec::new();
    open_to_others(&work.data(), &mut found);
    assert_eq!(found, Vec::<String>::new());
    let identity = server.identity();
    assert!(server.stop().success());
    // As an older release left it.
    let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    open(&work.data(), 0o755);
    open(&work.data().join("journal"), 0o755);
    open(&work.data().join("node.json"), 0o644);
    let server = Server::again(&work, start(), &identity);
    let mut found = Vec::new();
    open_to_others(&work.data(), &mut found);
    assert_eq!(found, Vec::<String>::new());
    assert!(
        server.log().contains("is its owner's alone from here on"),
        "{}",
        server.log()
    );
}

#[test]
fn what_is_open_to_strangers_or_means_nothing_is_said() {
    let work = Work::new();
    let start = Start::service()
        .args(&["--http-listen", "0.0.0.0:0"])
        .env("MILLSTREAM_KAFKA_LISEN", "127.0.0.1:1")
        .env("MILLSTREAM_PORT", "tcp://10.0.0.1:8080")
        .env("MILLSTREAM_SERVICE_HOST", "10.0.0.1");
    let server = Server::first(&work, start);
    let log = server.log();
    assert!(
        log.contains("gRPC and HTTP on 0.0.0.0:") && log.contains("without TLS"),
        "{log}"
    );
    assert!(
        log.contains("MILLSTREAM_KAFKA_LISEN means nothing; is MILLSTREAM_KAFKA_LISTEN meant"),
        "{log}"
    );
    assert!(
        !log.contains("MILLSTREAM_PORT") && !log.contains("MILLSTREAM_SERVICE_HOST"),
        "{log}"
    );
}

#[test]
fn operators_see_process_store_lease_and_calls() {
    let work = Work::new();
    let server = Server::first(&work, Start::service().args(&["--flush-age-ms", "200"]));
    let cli = server.cli();
    cli.ok(&["topic", "create", "t"], "");
    cli.ok(&["produce", "t"], "one\n");
    let sql = "CREATE STREAM s (v STRING) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');
               CREATE STREAM o AS SELECT v FROM s;";
    cli.ok(&["sql", "-e", sql], "");
    server.wait_for_metric("broker_flushed_objects_total", |it| it >= 1.0);
    let text = http::get(&server.doors.admin, "/metrics").unwrap().1;
    let value = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(name) && !line.starts_with('#'));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
    };
    for (name, least) in [
        ("process_cpu_seconds_total", 0.01),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 10.0),
        ("process_start_time_seconds", 1.7e9),
        ("millstream_controller_lease_held", 1.0),
        ("millstream_controller_lease_term", 1.0),
        ("millstream_controller_lease_age_seconds", 0.0),
        (
            "millstream_store_requests_total{client=\"tier\",operation=\"put\",outcome=\"ok\"}",
            1.0,
        ),
        (
            "millstream_store_requests_total{client=\"lease\",operation=\"put\",outcome=\"ok\"}",
            1.0,
        ),
        (
            "millstream_store_requests_total{client=\"sql\",operation=\"put\",outcome=\"ok\"}",
            1.0,
        ),
        (
            "millstream_store_requests_total{client=\"catalog\",operation=\"put\",outcome=\"ok\"}",
            1.0,
        ),
        (
            "millstream_store_request_seconds_count{client=\"tier\",operation=\"put\"}",
            1.0,
        ),
        (
            "millstream_grpc_requests_total{method=\"millstream.control.v1.Topics/CreateTopic\",code=\"OK\"}",
            1.0,
        ),
        ("millstream_broker_unserved_partitions", 0.0),
    ] {
        assert!(value(name) >= least, "{name} is {}", value(name));
    }
    assert_eq!(value("millstream_broker_unserved_partitions"), 0.0);
}

/// A long poll that waits when the service is told to stop is answered with what is there, not cut.
#[test]
fn a_parked_fetch_is_answered_at_the_end() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    server.cli().ok(&["topic", "create", "t"], "");
    let mut wire = Wire::authenticated(&server.doors.kafka, &server.key);
    let request = FetchRequest {
        replica_id: -1,
        max_wait_ms: 60_000,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: "t".into(),
            partitions: vec![FetchPartition {
                current_leader_epoch: -1,
                last_fetched_epoch: -1,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    wire.send(
        &encode_request(12, 1, Some("wire"), &request)
            .unwrap()
            .into_bytes(),
    );
    server.wait_for_metric("broker_fetches_parked", |parked| parked == 1.0);
    server.signal("TERM");
    let Outcome::Answer(frame) = wire.outcome() else {
        panic!("cut instead of answered");
    };
    let answer = decode_response::<FetchRequest>(frame, 12).unwrap().1;
    assert_eq!(answer.responses[0].partitions[0].error_code, 0);
    assert!(server.wait().success());
}

/// Certificates of an authority of their own, in a folder of the test's.
fn certificates(work: &Work, name: &str, kind: &str) -> Option<String> {
    let folder = work.path(name);
    fs::create_dir(&folder).unwrap();
    tools::run_ok(tools::script("tls.py")?.arg(kind).arg(&folder));
    Some(folder.to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_has_the_certificate_read_again() {
    let work = Work::new();
    let Some(shown) = certificates(&work, "shown", "expired") else {
        return;
    };
    let fresh = certificates(&work, "fresh", "certificate").unwrap();
    let (certificate, key) = (format!("{shown}/server.pem"), format!("{shown}/server.key"));
    let start = Start::service().args(&["--tls-certificate", &certificate, "--tls-key", &key]);
    let server = Server::first(&work, start);
    // Nobody accepts it, and that is said.
    says(&work.path("server.log"), "expired").await;
    let (status, text) = http::get(&server.doors.admin, "/readyz").unwrap();
    assert!(status == 503 && text.contains("certificate-expired"), "{text}");
    let expired = server.metric("certificate_expiry_seconds");
    let trusts_fresh = || {
        let address = format!("https://{}", server.doors.http);
        let authority = format!("{fresh}/authority.pem");
        let args = [
            "--address",
            &address,
            "--ca-certificate",
            &authority,
            "topic",
            "list",
        ];
        server.cli().run(&args, "").status.success()
    };
    assert!(!trusts_fresh());
    // Junk keeps the last one.
    fs::write(
        &certificate,
        "-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    server.signal("HUP");
    let log = says(&work.path("server.log"), "the certificate stays the last one").await;
    assert!(log.contains("line 1 is not base64"), "{log}");
    assert_eq!(server.metric("certificate_expiry_seconds"), expired);
    for file in ["server.pem", "server.key"] {
        fs::copy(format!("{fresh}/{file}"), format!("{shown}/{file}")).unwrap();
    }
    server.signal("HUP");
    says(&work.path("server.log"), "are shown the certificate as it is now").await;
    assert!(server.metric("certificate_expiry_seconds") > expired);
    assert!(trusts_fresh(), "{}", server.log());
    let (status, text) = http::get(&server.doors.admin, "/readyz").unwrap();
    assert_eq!(status, 200, "{text}");
    assert!(server.stop().success(), "it has served on");
}

/// Where there is no certificate SIGHUP has nothing to do, and ends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_without_tls_ends_nothing() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    server.make_topic("t", 1).await;
    server.signal("HUP");
    says(
        &work.path("server.log"),
        "there is no certificate to be read again",
    )
    .await;
    server.cli().ok(&["produce", "t"], "one\n");
    let read = server
        .cli()
        .ok(&["consume", "t", "--from-beginning", "--exit-at-end"], "");
    assert_eq!(read.trim(), "one");
    assert!(server.stop().success(), "it has served on");
}
