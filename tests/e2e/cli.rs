//! The command line as people and scripts use it: profiles, JSON, errors in one line, bytes as they are.

use crate::harness::server::{BINARY, clean};
use crate::harness::{Server, Start, Work, json_lines, text_of, tools};
use serde_json::json;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

fn bare(home: &Work, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    clean(&mut command);
    command.env("HOME", home.path(".")).env_remove("XDG_CONFIG_HOME");
    command.args(args);
    command
}

#[test]
fn a_profile_knows_the_address_and_the_key() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let run = |args: &[&str]| tools::run(&mut bare(&work, args));
    let told = text_of(&run(&["topic", "list"]).stderr);
    assert!(
        told.contains("--key") && told.contains("profile set") && told.lines().count() == 1,
        "without a key it is said how to give one: {told}"
    );
    let (address, key) = (&server.doors.http, &server.key);
    let set = [
        "profile",
        "set",
        "here",
        "--address",
        address,
        "--key",
        &key.id,
        "--secret",
        &key.secret,
    ];
    assert!(run(&set).status.success());
    let file = work.path(".config/millstream/config.toml");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "only its owner reads the secret");
    let listed = json_lines(&text_of(&run(&["profile", "list", "--output", "json"]).stdout));
    assert_eq!(
        listed,
        [json!({"name": "here", "current": true, "address": address, "key": key.id})],
        "no secret is shown"
    );
    assert!(run(&["topic", "create", "t"]).status.success());
    assert!(
        run(&[
            "profile",
            "set",
            "nowhere",
            "--address",
            "127.0.0.1:1",
            "--key",
            "K",
            "--secret",
            "S"
        ])
        .status
        .success()
    );
    let told = text_of(&run(&["--profile", "nowhere", "topic", "list"]).stderr);
    assert!(
        told.contains("127.0.0.1:1") && told.lines().count() == 1,
        "{told}"
    );
    assert!(run(&["profile", "use", "nowhere"]).status.success());
    assert!(!run(&["topic", "list"]).status.success());
    // A flag wins over the profile.
    let flags = [
        "topic",
        "list",
        "--address",
        address,
        "--key",
        &key.id,
        "--secret",
        &key.secret,
    ];
    assert!(run(&flags).status.success());
    assert!(run(&["profile", "remove", "nowhere"]).status.success());
    let told = text_of(&run(&["--profile", "nowhere", "topic", "list"]).stderr);
    assert!(told.contains("profile set nowhere"), "{told}");
}

#[test]
fn every_mistake_is_one_line() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    cli.ok(&["topic", "create", "t", "--partitions", "2"], "");
    let table: &[(&[&str], &str)] = &[
        (&["topik"], "topic"),
        (&["topic", "create"], "<NAME>"),
        (&["topic", "create", "t"], "already exists"),
        (&["topic", "create", "a/b"], "letters"),
        (&["topic", "create", "u", "--partitions", "x"], "--partitions"),
        (&["topic", "create", "u", "--partitions", "100000"], "10000"),
        (
            &["topic", "create", "u", "--config", "retention.ms"],
            "NAME=VALUE",
        ),
        (&["topic", "create", "u", "--config", "no.such=1"], "no.such"),
        (&["topic", "describe", "nowhere"], "nowhere"),
        (&["topic", "delete", "nowhere"], "nowhere"),
        (&["group", "describe", "nowhere"], "nowhere"),
        (&["org", "create", "default"], "already exists"),
        (&["org", "list-environments", "--org", "x"], "x"),
        (&["key", "revoke", "x"], "x"),
        (&["key", "create", "k", "--role", "king"], "king"),
        (
            &["key", "create", "k", "--account", "000000000000"],
            "000000000000",
        ),
        (&["quota", "set", "request_rate", "1"], "account"),
        (&["produce", "nowhere"], "nowhere"),
        (&["produce", "t", "--partition", "2"], "2"),
        (&["produce", "t", "--key-separator", ""], "--key-separator"),
        (&["consume", "nowhere"], "nowhere"),
        (&["consume", "t", "--offset", "1"], "--partition"),
        (
            &[
                "consume",
                "t",
                "--partition",
                "0",
                "--offset",
                "7",
                "--exit-at-end",
            ],
            "7",
        ),
        (&["sql", "-f", "/nowhere.sql"], "/nowhere.sql"),
        (&["sql", "--set", "x", "-e", "SHOW TOPICS;"], "NAME=VALUE"),
        (&["whoami", "--output", "xml"], "json"),
        (&["whoami", "--address", "not an address"], "not an address"),
    ];
    for (args, told) in table {
        let output = cli.run(args, "line\n");
        let err = text_of(&output.stderr);
        assert!(!output.status.success(), "{args:?} worked");
        assert!(output.stdout.is_empty(), "{args:?}: {}", text_of(&output.stdout));
        assert!(
            err.starts_with("millstream: ") && err.lines().count() == 1 && err.contains(told),
            "{args:?}: {err}"
        );
    }
}

#[test]
fn records_are_bytes_and_come_back_as_they_were() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    cli.ok(&["topic", "create", "t"], "");
    let mut produce = bare(&work, &["produce", "t", "--key-separator", "::"]);
    let produce = produce
        .env("MILLSTREAM_ADDRESS", &server.doors.http)
        .env("MILLSTREAM_KEY", &server.key.id)
        .env("MILLSTREAM_SECRET", &server.key.secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = produce.spawn().unwrap();
    let bytes = b"k::v::w\n\xff\x00::\xfe\nno key\n\n";
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), bytes).unwrap();
    assert!(child.wait().unwrap().success());
    let lines = cli.ok(
        &[
            "consume",
            "t",
            "--from-beginning",
            "--exit-at-end",
            "--output",
            "json",
        ],
        "",
    );
    assert!(
        lines.starts_with(r#"{"partition":0,"offset":0,"timestamp":"#),
        "fields are in order: {lines}"
    );
    let read: Vec<_> = json_lines(&lines)
        .into_iter()
        .map(|line| (line["key"].clone(), line["value"].clone()))
        .collect();
    let expected = [
        (json!("k"), json!("v::w")),
        (json!("base64:/wA="), json!("base64:/g==")),
        (json!(null), json!("no key")),
        (json!(null), json!("")),
    ];
    assert_eq!(read, expected);
}

/// As in `millstream consume t | head -1`: whoever reads has enough, and nothing is said of it.
#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    cli.ok(&["topic", "create", "t"], "");
    let lines: String = (0..20_000)
        .map(|it| format!("a line that fills the pipe {it}\n"))
        .collect();
    cli.ok(&["produce", "t"], &lines);
    let mut consume = bare(&work, &["consume", "t", "--from-beginning"]);
    let consume = consume
        .env("MILLSTREAM_ADDRESS", &server.doors.http)
        .env("MILLSTREAM_KEY", &server.key.id)
        .env("MILLSTREAM_SECRET", &server.key.secret)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = consume.spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    assert_eq!(first, "a line that fills the pipe 0\n");
    drop(reader);
    let status = child.wait().unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(status.success() && told.is_empty(), "{status}: {told}");
}
