//! Starting and stopping: what is wrong is said in one line that tells what to do.

use crate::harness::cli::Cli;
use crate::harness::server::{BINARY, Server, clean, signal, spawn, tail, wait};
use crate::harness::{Key, Start, Work, text_of, tools};
use serde_json::Value;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Starts it and expects it to give up: the one line that it says.
pub fn fails(work: &Work, start: Start) -> String {
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
    let flags = ["--kafka-listen", "--http-listen", "--admin-listen"];
    for flag in flags {
        let work = Work::new();
        let mut command = Command::new(BINARY);
        clean(&mut command);
        command.args(["start", "--data-dir", work.data().to_str().unwrap()]);
        for other in flags {
            let address = if other == flag { &address } else { "127.0.0.1:0" };
            command.args([other, address]);
        }
        let output = tools::run(&mut command);
        let told = text_of(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let last = told.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("millstream: ")
                && last.contains(&format!("{address} is taken by another process"))
                && last.contains(flag),
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

/// log.md 40, 41, 43: who may join which cluster, and with what.
#[test]
fn a_node_joins_only_where_it_belongs() {
    let (work, other) = (Work::new(), Work::new());
    let server = Server::first(&work, Start::service());
    let identity = server.identity();
    assert!(server.stop().success());
    let root_key = work.data().join("root.key");
    let mode = std::fs::metadata(&root_key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "made on the first start, for its owner only");
    let store = format!("file://{}", work.data().join("store").display());
    let joining = |args: &[&str]| Start::service().args(&["--store", &store]).args(args);
    let told = fails(&other, joining(&[]));
    assert!(told.contains("--cluster millstream"), "{told}");
    let told = fails(&other, joining(&["--cluster", "other"]));
    assert!(told.contains("'millstream', not 'other'"), "{told}");
    let told = fails(&other, joining(&["--cluster", "millstream"]));
    assert!(
        told.contains("root key is missing") && told.contains("root.key"),
        "{told}"
    );
    assert!(
        !other.data().join("root.key").exists(),
        "none is made for a cluster that has one"
    );
    let foreign = other.path("foreign.key");
    std::fs::write(&foreign, format!("1:{}\n", "ab".repeat(32))).unwrap();
    let foreign = foreign.to_str().unwrap();
    let told = fails(
        &other,
        joining(&["--cluster", "millstream", "--root-key-file", foreign]),
    );
    assert!(told.contains("root key is not this cluster's"), "{told}");
    let inner = format!("{store}/inner");
    let told = fails(&other, Start::service().args(&["--store", &inner]));
    assert!(told.contains("inside the store of another cluster"), "{told}");
    let bucket = fails(&Work::new(), Start::service().args(&["--store", "s3://bucket"]));
    assert!(bucket.contains("--root-key-file"), "{bucket}");
    // The node's own folder knows its cluster, and its form.
    let file = work.data().join("node.json");
    let node: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    for (field, value, says) in [
        (
            "cluster",
            Value::from("00000000-0000-0000-0000-000000000007"),
            "belongs to cluster",
        ),
        ("format", Value::from(99), "newer release"),
        ("format", Value::from(1), "format 1, of an earlier release"),
    ] {
        let mut changed = node.clone();
        changed[field] = value;
        std::fs::write(&file, changed.to_string()).unwrap();
        let told = fails(&work, Start::service());
        assert!(told.contains(says), "{told}");
    }
    std::fs::write(&file, node.to_string()).unwrap();
    let cluster = work.data().join("store/cluster.json");
    let text = std::fs::read_to_string(&cluster).unwrap();
    for (format, says) in [(99, "newer release"), (1, "format 1, of an earlier release")] {
        let changed = text.replace("\"format\": 2", &format!("\"format\": {format}"));
        assert_ne!(changed, text);
        std::fs::write(&cluster, changed).unwrap();
        let told = fails(&work, Start::service());
        assert!(told.contains(says), "{told}");
    }
    std::fs::write(&cluster, text).unwrap();
    let server = Server::again(&work, Start::service(), &identity);
    assert!(server.stop().success());
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
        "--admin-listen",
    ] {
        assert!(text.contains(flag), "--help does not document {flag}:\n{text}");
    }
    // Every flag of the service has its environment variable, but for the one that is meant for a single start.
    let service = text.split("Client options").next().unwrap_or_default();
    let flags = service.matches("\n      --").count();
    assert_eq!(
        service.matches("[env: MILLSTREAM_").count(),
        flags - 1,
        "{service}"
    );
}

#[test]
fn the_first_start_tells_a_key_once_and_a_lost_one_can_be_replaced() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let (doors, key) = server.identity();
    // The ready file comes first, what is printed right behind it.
    let log = server.wait_for_log(0, &key.id);
    assert!(log.contains(&doors.kafka) && log.contains(&doors.http), "{log}");
    assert!(
        !log.contains(&key.secret) && log.contains("ready.json"),
        "the ready file has the secret, and nobody else: {log}"
    );
    assert!(server.stop().success());
    let told = std::fs::read_to_string(work.path("server.log")).unwrap().len();
    let server = Server::again(&work, Start::service(), &(doors.clone(), key.clone()));
    server.wait_for_log(told, &doors.kafka);
    let log = work.path("server.log");
    assert!(server.stop().success());
    let later = std::fs::read_to_string(log).unwrap()[told..].to_owned();
    assert!(
        !later.contains(&key.secret),
        "the secret is not shown again:\n{later}"
    );
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
fn a_start_that_fails_makes_no_key_that_nobody_is_shown() {
    let work = Work::new();
    let told = fails(&work, Start::service().args(&["--kafka-advertise", "nowhere"]));
    assert!(told.contains("--kafka-advertise"), "{told}");
    let mut command = Command::new(BINARY);
    clean(&mut command);
    command.args(["start", "--data-dir", work.data().to_str().unwrap()]);
    command.args(["--kafka-listen", "0.0.0.0:0", "--http-listen", "127.0.0.1:0"]);
    let told = text_of(&tools::run(&mut command).stderr);
    assert!(told.contains("--kafka-advertise"), "{told}");
    // Fails unless the key is told.
    let server = Server::first(
        &work,
        Start::service().args(&["--kafka-advertise", "example.org:0"]),
    );
    let port = server.doors.kafka.strip_prefix("example.org:").unwrap();
    assert_ne!(
        port, "0",
        "port 0 of the advertised address stands for the bound one"
    );
}

#[test]
fn a_start_that_waits_for_its_store_can_be_stopped() {
    let work = Work::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let root_key = work.path("root.key");
    std::fs::write(&root_key, format!("1:{}\n", "ab".repeat(32))).unwrap();
    let start = Start::service()
        .args(&[
            "--store",
            "s3://bucket/prefix",
            "--root-key-file",
            root_key.to_str().unwrap(),
        ])
        .env(
            "AWS_ENDPOINT",
            &format!("http://{}", silent.local_addr().unwrap()),
        )
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1");
    let (mut child, log) = spawn(&work, &start, None);
    // It has begun to ask, and gets no answer.
    let _asked = silent.accept().unwrap();
    let begun = Instant::now();
    signal(child.id(), "TERM");
    let status = wait(&mut child, &log);
    assert!(status.success(), "{status}:\n{}", tail(&log));
    // The store's own timeouts are longer.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn the_ready_file_speaks_of_this_run_only() {
    let work = Work::new();
    let ready = work.path("ready.json");
    let server = Server::first(&work, Start::service());
    let text = std::fs::read_to_string(&ready).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["kafka"], server.doors.kafka.as_str());
    assert_eq!(told["key"]["secret"], server.key.secret.as_str());
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&ready).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "only its owner reads the secret");
    assert!(server.stop().success());
    // A start that does not become ready takes the old one's word back.
    std::fs::write(&ready, "old").unwrap();
    let path = ready.to_str().unwrap();
    let mut command = Command::new(BINARY);
    clean(&mut command);
    command.args([
        "start",
        "--data-dir",
        work.data().to_str().unwrap(),
        "--ready-file",
        path,
    ]);
    command.args(["--kafka-listen", "127.0.0.1:0", "--http-listen", "nonsense"]);
    assert!(!tools::run(&mut command).status.success());
    assert!(!ready.exists(), "a supervisor would believe it");
    let told = fails(
        &work,
        Start::service()
            .args(&["--store", "file:///x"])
            .args(&["--log", "a=b=c"]),
    );
    assert!(told.contains("--log"), "{told}");
}

#[test]
fn a_mistyped_folder_is_not_made_by_asking_for_a_key() {
    let work = Work::new();
    let nowhere = work.path("nowhere");
    let mut command = Command::new(BINARY);
    clean(&mut command);
    let output = tools::run(command.args(["admin-key", "--data-dir", nowhere.to_str().unwrap()]));
    let told = text_of(&output.stderr);
    assert!(
        !output.status.success() && told.contains("--data-dir") && told.lines().count() == 1,
        "{told}"
    );
    assert!(!nowhere.exists());
}

#[test]
fn a_stop_is_clean_and_quick_when_clients_hang_on() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let _wire = crate::wire::Wire::authenticated(&server.doors.kafka, &server.key);
    let _half = std::net::TcpStream::connect(&server.doors.http).unwrap();
    let begun = Instant::now();
    assert!(server.stop().success());
    // Each door would be patient with a busy client for 5 s.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn it_serves_on_when_nobody_reads_its_log() {
    let work = Work::new();
    let ready = work.path("ready.json");
    let mut command = Command::new(BINARY);
    clean(&mut command);
    command.args([
        "start",
        "--log",
        "debug",
        "--data-dir",
        work.data().to_str().unwrap(),
    ]);
    command.args(["--kafka-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
    command.args(["--ready-file", ready.to_str().unwrap()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The readers go away at once, as `head` does.
    drop((child.stdout.take(), child.stderr.take()));
    let begun = Instant::now();
    while !ready.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        assert!(begun.elapsed() < Duration::from_secs(60), "it is not ready");
        std::thread::sleep(Duration::from_millis(20));
    }
    let told: Value = serde_json::from_str(&std::fs::read_to_string(&ready).unwrap()).unwrap();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let key = Key {
        id: word(&told["key"]["id"]),
        secret: word(&told["key"]["secret"]),
    };
    let cli = Cli::new(&word(&told["http"]), &key);
    cli.ok(&["topic", "create", "t"], "");
    cli.ok(&["produce", "t"], "a\nb\n");
    assert_eq!(
        cli.ok(&["consume", "t", "--from-beginning", "--exit-at-end"], ""),
        "a\nb\n"
    );
    signal(child.id(), "TERM");
    let status = wait(&mut child, &work.path("no log"));
    assert!(status.success(), "{status}");
}
