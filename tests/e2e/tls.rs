//! TLS at both doors: Kafka with SASL, gRPC and HTTP, the command line; and what is told to who comes without.

use crate::harness::{Server, Start, Work, http, text_of, tools};
use crate::wire::{Outcome, Wire};
use std::process::Command;

/// An authority, a certificate of it for 127.0.0.1 and somebody else's authority, in the test's folder.
fn certificates(work: &Work) -> Option<String> {
    let folder = work.path("tls");
    std::fs::create_dir(&folder).unwrap();
    tools::run_ok(tools::script("tls.py")?.arg("certificate").arg(&folder));
    Some(folder.to_str().unwrap().to_owned())
}

/// A service with TLS and the folder of its certificates.
fn served(work: &Work) -> Option<(Server, String)> {
    let folder = certificates(work)?;
    let (certificate, key) = (format!("{folder}/server.pem"), format!("{folder}/server.key"));
    let start = Start::service().args(&["--tls-certificate", &certificate, "--tls-key", &key]);
    Some((Server::first(work, start), folder))
}

#[test]
fn every_door_speaks_tls() {
    let work = Work::new();
    let Some((server, folder)) = served(&work) else {
        return;
    };
    let authority = format!("{folder}/authority.pem");
    let (doors, key) = server.identity();
    let mut script = tools::script("tls.py").unwrap();
    script.args(["use", &doors.kafka, &doors.http, &key.id, &key.secret, &authority]);
    assert_eq!(tools::run_ok(&mut script).trim(), "ok");

    if let Some(kcat) = tools::program("kcat") {
        let mut kcat = Command::new(kcat);
        kcat.args(["-b", &doors.kafka, "-X", "security.protocol=SASL_SSL"]);
        kcat.args([
            "-X",
            &format!("ssl.ca.location={authority}"),
            "-X",
            "sasl.mechanisms=PLAIN",
        ]);
        kcat.args(["-X", &format!("sasl.username={}", key.id)]);
        kcat.args(["-X", &format!("sasl.password={}", key.secret)]);
        let read = tools::run_ok(kcat.args(["-C", "-t", "tls", "-o", "beginning", "-e", "-q"]));
        assert_eq!(read.lines().count(), 1000);
    }
    assert!(server.stop().success(), "draining ends TLS connections too");
}

#[test]
fn the_command_line_trusts_who_it_is_told_to_trust() {
    let work = Work::new();
    let Some((server, folder)) = served(&work) else {
        return;
    };
    let cli = server.cli();
    let address = format!("https://{}", server.doors.http);
    let trusting = |who: &str| {
        let file = format!("{folder}/{who}");
        let args = [
            "--address",
            &address,
            "--ca-certificate",
            &file,
            "topic",
            "create",
            "t",
        ];
        cli.run(&args, "")
    };
    assert!(trusting("authority.pem").status.success());
    for (who, told) in [
        ("stranger.pem", "--ca-certificate"),
        ("nowhere.pem", "nowhere.pem"),
        ("server.key", "PEM"),
    ] {
        let output = trusting(who);
        let err = text_of(&output.stderr);
        assert!(!output.status.success() && err.contains(told), "{who}: {err}");
        assert_eq!(err.lines().count(), 1, "one line: {err}");
    }
    let told = cli.refused(&["--address", &address, "topic", "list"]);
    assert!(
        told.contains("--ca-certificate"),
        "the system's authorities did not sign it: {told}"
    );
    let told = cli.refused(&["--address", &server.doors.http, "topic", "list"]);
    assert!(told.contains("https://") && told.lines().count() == 1, "{told}");
}

#[test]
fn who_comes_without_tls_is_turned_away_and_nobody_else_notices() {
    let work = Work::new();
    let Some((server, folder)) = served(&work) else {
        return;
    };
    let mut wire = Wire::connect(&server.doors.kafka);
    // ApiVersions in the clear.
    wire.send(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff]);
    let outcome = wire.outcome();
    let alert = |bytes: &[u8]| bytes.first() == Some(&0x15);
    assert!(
        match &outcome {
            Outcome::Closed => true,
            Outcome::Answer(bytes) => alert(bytes),
        },
        "{outcome:?}"
    );
    assert!(
        http::get(&server.doors.http, "/readyz").is_err(),
        "HTTP in the clear is not answered"
    );
    let address = format!("https://{}", server.doors.http);
    let authority = format!("{folder}/authority.pem");
    let args = ["--address", &address, "--ca-certificate", &authority, "whoami"];
    server.cli().ok(&args, "");
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let work = Work::new();
    let Some(folder) = certificates(&work) else {
        return;
    };
    let (good, other) = (format!("{folder}/server.pem"), format!("{folder}/authority.pem"));
    let key = format!("{folder}/server.key");
    for (certificate, key, told) in [
        ("/nowhere/server.pem", key.as_str(), "/nowhere/server.pem"),
        (&good, "/nowhere/server.key", "/nowhere/server.key"),
        (&good, &good, "server.pem"),
        (&other, &key, "certificate and the key"),
    ] {
        let start = Start::service().args(&["--tls-certificate", certificate, "--tls-key", key]);
        let line = crate::startup::fails(&work, start);
        assert!(line.contains(told), "{line}");
    }
    let line = crate::startup::fails(&work, Start::service().args(&["--tls-key", &key]));
    assert!(line.contains("--tls-certificate"), "{line}");
    // None of these starts has made a key that nobody was shown.
    let start = Start::service().args(&["--tls-certificate", &good, "--tls-key", &key]);
    assert!(!Server::first(&work, start).key.secret.is_empty());
}
