//! Starting and stopping: what is wrong is said in one line that tells what to do.

use crate::harness::server::{BINARY, Server, clean, spawn, tail, wait};
use crate::harness::{Start, Work, text_of, tools};
use std::net::TcpListener;
use std::process::Command;

/// Starts it and expects it to give up: the one line that it says.
fn fails(work: &Work, start: Start) -> String {
    let _ = std::fs::remove_file(work.path("server.log"));
    let (mut child, log) = spawn(work, &start, None);
    let status = wait(&mut child, &log);
    let told = tail(&log);
    assert!(!status.success(), "{start:?} ended well:\n{told}");
    assert_eq!(status.code(), Some(1), "{start:?} ended with {status}:\n{told}");
    assert!(!told.contains("panicked"), "{told}");
    let errors: Vec<&str> = told
        .lines()
        .filter(|line| line.starts_with("millstream: "))
        .collect();
    assert_eq!(errors.len(), 1, "one line says what is wrong:\n{told}");
    errors[0].to_owned()
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--kafka-listen", "--http-listen"] {
        let work = Work::new();
        let mut command = Command::new(BINARY);
        clean(&mut command);
        command.args(["start", "--data-dir", work.data().to_str().unwrap()]);
        let other = if flag == "--kafka-listen" {
            "--http-listen"
        } else {
            "--kafka-listen"
        };
        command.args([flag, &address, other, "127.0.0.1:0"]);
        let output = tools::run(&mut command);
        let told = text_of(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let last = told.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("millstream: ") && last.contains(&address) && last.contains(flag),
            "{told}"
        );
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let work = Work::new();
    let file = work.path("file");
    std::fs::write(&file, "not a folder").unwrap();
    let below = file.join("data");
    for path in [file.to_str().unwrap(), below.to_str().unwrap()] {
        let told = fails(&work, Start::service().args(&["--data-dir", path]));
        assert!(told.contains(path) && told.contains("--data-dir"), "{told}");
    }
    let told = fails(&work, Start::service().args(&["--store", "ftp://x"]));
    assert!(told.contains("ftp://x"), "{told}");
}

#[test]
fn a_second_process_on_the_folder_is_refused() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let second = Work::new();
    let data = work.data();
    let told = fails(
        &second,
        Start::service().args(&["--data-dir", data.to_str().unwrap()]),
    );
    assert!(
        told.contains(data.to_str().unwrap()) && told.contains("another"),
        "{told}"
    );
    server.cli().ok(&["topic", "list"], "");
}

#[test]
fn an_unknown_setting_is_named() {
    let work = Work::new();
    let file = work.path("millstream.toml");
    std::fs::write(&file, "log = \"info\"\nkafka-lisen = \"127.0.0.1:1\"\n").unwrap();
    let told = fails(
        &work,
        Start::service().args(&["--config", file.to_str().unwrap()]),
    );
    assert!(
        told.contains("kafka-lisen") && told.contains("2"),
        "the key and its line: {told}"
    );
    let told = fails(&work, Start::service().args(&["--config", "/nonexistent.toml"]));
    assert!(told.contains("/nonexistent.toml"), "{told}");
    let mut command = Command::new(BINARY);
    let output = tools::run(command.args(["start", "--no-such-flag"]));
    assert!(!output.status.success() && text_of(&output.stderr).contains("--no-such-flag"));
}

#[test]
fn settings_come_from_file_environment_and_flags_in_this_order() {
    let work = Work::new();
    let file = work.path("millstream.toml");
    let elsewhere = work.path("elsewhere");
    std::fs::write(
        &file,
        format!("data-dir = {elsewhere:?}\nlog-format = \"json\"\n"),
    )
    .unwrap();
    let start = Start::service()
        .args(&["--config", file.to_str().unwrap()])
        .env("MILLSTREAM_LOG_FORMAT", "text");
    let server = Server::first(&work, start);
    assert!(!elsewhere.exists(), "the flag wins over the file");
    assert!(work.data().exists());
    let log = server.log();
    assert!(
        !log.lines().any(|line| line.starts_with('{')),
        "the environment wins over the file:\n{log}"
    );
    assert!(server.stop().success());
}

#[test]
fn help_documents_every_flag() {
    let output = tools::run(Command::new(BINARY).args(["start", "--help"]));
    let text = text_of(&output.stdout);
    assert!(output.status.success());
    for flag in [
        "--data-dir",
        "--store",
        "--kafka-listen",
        "--http-listen",
        "--kafka-advertise",
        "--roles",
        "--journal-size",
        "--log-format",
        "--ready-file",
        "--config",
    ] {
        assert!(text.contains(flag), "--help does not document {flag}:\n{text}");
    }
}

#[test]
fn the_first_start_tells_a_key_once_and_a_lost_one_can_be_replaced() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let (doors, key) = server.identity();
    let log = server.log();
    assert!(
        log.contains(&doors.kafka) && log.contains(&doors.http) && log.contains(&key.id),
        "{log}"
    );
    assert!(log.contains(&key.secret), "the secret is shown once");
    assert!(server.stop().success());
    let told = std::fs::read_to_string(work.path("server.log")).unwrap().len();
    let server = Server::again(&work, Start::service(), &(doors.clone(), key.clone()));
    let later = server.log()[told..].to_owned();
    assert!(
        !later.contains(&key.secret),
        "the secret is not shown again:\n{later}"
    );
    assert!(later.contains(&doors.kafka), "the addresses are");
    assert!(server.stop().success());
    let mut command = Command::new(BINARY);
    clean(&mut command);
    let fresh = tools::run_ok(command.args(["admin-key", "--data-dir", work.data().to_str().unwrap()]));
    assert!(!fresh.contains(&key.secret));
    let words: Vec<&str> = fresh
        .split(|it: char| !it.is_ascii_alphanumeric() && !"-_+/=".contains(it))
        .collect();
    let id = words.iter().find(|it| {
        it.len() == 20
            && it
                .chars()
                .all(|c| c.is_ascii_uppercase() || ('2'..='7').contains(&c))
    });
    assert!(id.is_some_and(|it| *it != key.id), "a new key is told: {fresh}");
}

#[test]
fn a_stop_is_clean_and_quick_when_clients_hang_on() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let _wire = crate::wire::Wire::authenticated(&server.doors.kafka, &server.key);
    let _half = std::net::TcpStream::connect(&server.doors.http).unwrap();
    assert!(server.stop().success());
}
