//! Secrets are derived, shown once and never stored: after a run with keys of every role, used at every door, none of them
//! is in the data folder, in the store below it, in the log or in the metrics.

use crate::harness::cli::Cli;
use crate::harness::{Key, Server, Start, Work, http};
use crate::wire::Wire;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use millstream_kafka_wire::messages::{ListGroupsRequest, SaslAuthenticateRequest, SaslHandshakeRequest};
use serde_json::Value;
use std::path::{Path, PathBuf};

const ROLES: [&str; 7] = [
    "producer",
    "consumer",
    "developer",
    "sql-reader",
    "admin",
    "organization-admin",
    "operator",
];

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

fn holds(bytes: &[u8], what: &str) -> bool {
    bytes.windows(what.len()).any(|window| window == what.as_bytes())
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
        CREATE STREAM s (v STRING) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'KAFKA');
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
    told += &server.log();
    assert!(server.stop().success());
    let files = files(&work.data());
    assert!(
        files
            .iter()
            .any(|path| path.starts_with(work.data().join("store")))
    );
    let mut places: Vec<(String, Vec<u8>)> = files
        .iter()
        .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
        .collect();
    places.push((
        "the log and what operators are told".to_owned(),
        told.into_bytes(),
    ));
    for key in &keys {
        assert_eq!(key.secret.len(), 40, "whole secrets are looked for");
        let header = BASE64_STANDARD.encode(format!("{}:{}", key.id, key.secret));
        let forms = [&key.secret[..], &key.secret[4..36], header.trim_end_matches('=')];
        for (place, bytes) in &places {
            for form in forms {
                assert!(!holds(bytes, form), "the secret of {} is in {place}", key.id);
            }
        }
        // What is no secret is found that way.
        assert!(places.iter().any(|(_, bytes)| holds(bytes, &key.id)));
    }
}
