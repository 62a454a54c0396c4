//! Secrets are derived, shown once and never stored: after a run with keys of every role, used at every door, none of them
//! is in the data folder, in the store below it, in the log or in the metrics.

use crate::harness::cli::Cli;
use crate::harness::{Key, Server, Start, Work, http, text_of};
use crate::wire::Wire;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use millstream_kafka_wire::messages::{ListGroupsRequest, SaslAuthenticateRequest, SaslHandshakeRequest};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

const ROLES: [&str; 7] = [
    "producer",
    "consumer",
    "developer",
    "sql-reader",
    "admin",
    "organization-admin",
    "operator",
];

/// The files that have one of these words, at these places and below.
fn found(places: &[PathBuf], words: &[String]) -> Vec<String> {
    let mut command = Command::new("grep");
    command.args(["-rlaF"]);
    for word in words {
        command.args(["-e", word]);
    }
    let output = command.arg("--").args(places).output().unwrap();
    let code = output.status.code();
    assert!(code == Some(0) || code == Some(1), "{output:?}");
    text_of(&output.stdout).lines().map(str::to_owned).collect()
}

/// A login that is refused although its secret is nearly right.
fn refused_login(server: &Server, key: &Key) {
    let mut wire = Wire::connect(&server.doors.kafka);
    let handshake = SaslHandshakeRequest {
        mechanism: "PLAIN".into(),
    };
    assert_eq!(wire.call(1, &handshake).error_code, 0);
    let auth_bytes = format!("\0{}\0{}x", key.id, key.secret).into();
    assert_ne!(
        wire.call(2, &SaslAuthenticateRequest { auth_bytes }).error_code,
        0
    );
}

fn use_everywhere(server: &Server, key: &Key) {
    let mut wire = Wire::authenticated(&server.doors.kafka, key);
    wire.call(4, &ListGroupsRequest::default());
    refused_login(server, key);
    let cli = Cli::new(&server.doors.http, key);
    cli.ok(&["whoami"], "");
    // May or may not: what is refused is logged, too.
    cli.run(&["produce", "t"], "a record\n");
    cli.run(&["consume", "t", "--from-beginning", "--exit-at-end"], "");
    cli.run(&["sql", "-e", "SHOW TOPICS;"], "");
    let wrong = Key {
        secret: format!("{}x", key.secret),
        ..key.clone()
    };
    Cli::new(&server.doors.http, &wrong).refused(&["whoami"]);
}

#[test]
fn no_secret_is_in_the_folder_the_store_or_the_log() {
    let work = Work::new();
    let start = || {
        Start::service().args(&[
            "--log",
            "debug",
            "--flush-age-ms",
            "200",
            "--flush-bytes",
            "64KiB",
            "--journal-size",
            "64MiB",
        ])
    };
    let server = Server::first(&work, start());
    server.cli().ok(&["topic", "create", "t"], "");
    let mut keys = vec![server.key.clone()];
    for role in ROLES {
        let made = &server.cli().json(&["key", "create", role, "--role", role])[0];
        let word = |name: &str| made[name].as_str().unwrap().to_owned();
        keys.push(Key {
            id: word("id"),
            secret: word("secret"),
        });
    }
    let sql = "SET 'auto.offset.reset' = 'earliest';
        CREATE STREAM s (v STRING) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON');
        CREATE STREAM copy AS SELECT v FROM s;";
    server.cli().ok(&["sql", "-e", sql], "");
    keys.iter().for_each(|key| use_everywhere(&server, key));
    server.cli().ok(&["key", "revoke", &keys[1].id], "");
    let listed: Vec<Value> = server.cli().json(&["key", "list"]);
    let mut told = format!("{listed:?}");
    told += &http::get(&server.doors.admin, "/metrics").unwrap().1;
    told += &http::get(&server.doors.admin, "/readyz").unwrap().1;
    server.wait_for_metric("broker_flushed_objects_total", |objects| objects >= 1.0);
    // Once as a killed process leaves it, and once as one that stops.
    let identity = server.identity();
    server.kill();
    let server = Server::again(&work, start(), &identity);
    keys.iter().skip(2).for_each(|key| use_everywhere(&server, key));
    assert!(server.stop().success());
    let operators = work.path("told-to-operators");
    std::fs::write(&operators, told).unwrap();
    let places = [work.data(), work.path("server.log"), operators];
    for key in &keys {
        assert_eq!(key.secret.len(), 40, "whole secrets are looked for");
        let header = BASE64_STANDARD.encode(format!("{}:{}", key.id, key.secret));
        let header = header.trim_end_matches('=').to_owned();
        let secret = [key.secret.clone(), key.secret[4..36].to_owned(), header];
        assert_eq!(found(&places, &secret), Vec::<String>::new(), "of key {}", key.id);
        // What is no secret is found that way, in the catalog at least.
        assert!(!found(&places[..1], std::slice::from_ref(&key.id)).is_empty());
    }
    assert!(work.data().join("store").is_dir());
}
