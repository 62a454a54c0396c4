//! The demo: its table is what a batch computation over the same rows says, whatever happens on the way.

use crate::batch;
use crate::harness::server::{BINARY, clean};
use crate::harness::terminal::{CTRL_C, Step, run};
use crate::harness::{Server, Start, Work, json_lines, text_of, tools, until};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Runs the demo to its end; what it printed to standard output and standard error.
fn once(work: &Work, args: &[&str]) -> (String, String) {
    let mut command = Command::new(BINARY);
    clean(&mut command);
    command.args([
        "demo",
        "--once",
        "--output",
        "json",
        "--data-dir",
        work.data().to_str().unwrap(),
    ]);
    command
        .args(["--kafka-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
        .args(args);
    let output = tools::run(&mut command);
    let (out, err) = (text_of(&output.stdout), text_of(&output.stderr));
    assert!(
        output.status.success(),
        "the demo ended with {}:\n{out}\n{err}",
        output.status
    );
    (out, err)
}

fn is_right(out: &str) {
    batch::assert_same(&batch::printed(&json_lines(out)), &batch::answer(&batch::rows()));
}

/// Faster than anything can follow: all rows are due at once.
const AT_ONCE: &str = "100000000";

#[test]
fn its_table_is_the_batch_answer() {
    let work = Work::new();
    let (out, _) = once(&work, &["--speed", AT_ONCE]);
    is_right(&out);
    // Each line has these fields, in this order, and no others.
    for line in out.lines() {
        let names = [
            "\"carrier\":\"",
            ",\"hour\":\"2013-0",
            ",\"departures\":",
            ",\"mean_delay\":",
        ];
        let places: Vec<_> = names.iter().map(|name| line.find(name)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{line}");
        assert_eq!(
            serde_json::from_str::<Value>(line)
                .unwrap()
                .as_object()
                .unwrap()
                .len(),
            4,
            "{line}"
        );
    }
    // A second run on the same folder has nothing to send and the same answer.
    let (again, _) = once(&work, &["--speed", AT_ONCE]);
    assert_eq!(again, out, "a demo that was finished answers the same");
}

#[test]
fn its_table_is_right_without_grace() {
    let (out, _) = once(&Work::new(), &["--speed", AT_ONCE, "--grace-period", "0 SECONDS"]);
    is_right(&out);
}

#[test]
fn its_table_is_right_when_rows_have_no_key() {
    let (out, _) = once(&Work::new(), &["--speed", AT_ONCE, "--unkeyed"]);
    is_right(&out);
}

/// Kills the demo in the middle and lets another one go on.
fn is_right_after_a_kill(variant: &[&str]) {
    let work = Work::new();
    // About six seconds for the month.
    let start = Start::command(&["demo", "--once", "--output", "json", "--speed", "450000"]).args(variant);
    let server = Server::first(&work, start);
    server.wait_for_metric("broker_produced_records_total", |it| it >= 6000.0);
    server.kill();
    let (out, _) = once(&work, &[&["--speed", AT_ONCE], variant].concat());
    is_right(&out);
}

#[test]
fn its_table_is_right_after_a_kill_in_the_middle() {
    is_right_after_a_kill(&[]);
}

#[test]
fn its_table_is_right_without_grace_after_a_kill_in_the_middle() {
    is_right_after_a_kill(&["--grace-period", "0 SECONDS"]);
}

#[test]
fn its_table_is_right_when_rows_have_no_key_after_a_kill_in_the_middle() {
    is_right_after_a_kill(&["--unkeyed"]);
}

#[test]
fn one_folder_holds_runs_that_differ() {
    let work = Work::new();
    let rows = ["--speed", AT_ONCE, "--rows", "2000"];
    let (keyed, _) = once(&work, &rows);
    let (unkeyed, _) = once(&work, &[&rows[..], &["--unkeyed"]].concat());
    let sums = batch::answer(&batch::rows()[..2000]);
    batch::assert_same(&batch::printed(&json_lines(&keyed)), &sums);
    batch::assert_same(&batch::printed(&json_lines(&unkeyed)), &sums);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_statements_pasted_elsewhere_give_the_same_table() {
    let (_, err) = once(&Work::new(), &["--speed", AT_ONCE, "--rows", "10"]);
    let begin = err
        .find("SET 'auto.offset.reset'")
        .expect("the demo prints its statements");
    let end = err.find("GROUP BY carrier;").expect("to their end") + "GROUP BY carrier;".len();
    let statements = &err[begin..end];

    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    cli.ok(&["sql"], statements);
    let rows = batch::rows();
    let lines: String = rows
        .iter()
        .map(|row| format!("{}|{}\n", row.carrier(), row.json()))
        .collect();
    cli.ok(&["produce", "flights", "--key-separator", "|"], &lines);
    let expected = batch::answer(&rows);
    let select = "SELECT carrier, windowstart, departures, mean_delay FROM departures;";
    let departed: i64 = expected.values().map(|it| it.0).sum();
    let ask = || batch::selected(&cli.json(&["sql", "-e", select]));
    until("every flight is counted", Duration::from_secs(90), async || {
        (ask().values().map(|it| it.0).sum::<i64>() >= departed).then_some(())
    })
    .await;
    batch::assert_same(&ask(), &expected);
}

#[test]
fn it_serves_until_it_is_interrupted() {
    let work = Work::new();
    let start = Start::command(&["demo"]).args(&["--speed", AT_ONCE, "--rows", "500"]);
    let server = Server::first(&work, start);
    server.wait_for_metric("broker_produced_records_total", |it| it >= 500.0);
    server.signal("INT");
    let log = work.path("server.log");
    let status = server.wait();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(status.success(), "Ctrl-C ended the demo with {status}:\n{log}");
}

/// A printed block, as it is pasted into a shell: what follows the heading up to an empty line.
fn block<'a>(log: &'a str, heading: &str) -> &'a str {
    let at = log.find(&format!("\n# {heading}"));
    let rest = &log[at.unwrap_or_else(|| panic!("no {heading} in\n{log}")) + 1..];
    let rest = rest.split_once('\n').unwrap().1;
    rest.split("\n\n").next().unwrap()
}

/// Pastes a block into a shell in the folder where the demo was started, with the installed clients on the path.
fn paste(block: &str, folders: &[std::path::PathBuf]) -> Command {
    let mut folders = folders.to_vec();
    folders.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let mut command = Command::new("bash");
    for (name, _) in std::env::vars() {
        if name.starts_with("MILLSTREAM_") {
            command.env_remove(name);
        }
    }
    command.env("PATH", std::env::join_paths(folders).unwrap());
    command.args(["-c", block]);
    command
}

#[test]
fn the_lines_that_it_prints_work_when_they_are_pasted() {
    let work = Work::new();
    let start = Start::command(&["demo"]).args(&["--speed", AT_ONCE, "--rows", "2000"]);
    let server = Server::first(&work, start);
    let begun = std::time::Instant::now();
    while !server.log().contains("# the Rust SDK") || !server.log().ends_with(" flights\n\n") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = server.log();
    if let Some(kcat) = tools::program("kcat") {
        let folder = kcat.parent().unwrap().to_owned();
        let read = tools::run_ok(&mut paste(block(&log, "kcat"), &[folder]));
        let last = read.lines().filter(|line| line.contains("\"carrier\":")).count();
        assert_eq!(last, 20, "five of each partition:\n{read}");
    }
    if let Some(python) = tools::python() {
        let folder = python.parent().unwrap().to_owned();
        let read = tools::run_ok(&mut paste(block(&log, "Python"), &[folder]));
        assert_eq!(read.lines().count(), 5, "{read}");
    }
    // The statement that is printed with it, typed into the shell.
    let heading = log
        .lines()
        .find(|line| line.starts_with("# the SQL shell"))
        .unwrap();
    let statement = &heading[heading.find("SELECT").unwrap()..=heading.find(';').unwrap()];
    let mut shell = paste(block(&log, "the SQL shell"), &[]);
    let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), statement.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let answer = text_of(&output.stdout);
    assert!(output.status.success() && answer.lines().count() == 6, "{answer}");

    let cargo = std::path::Path::new(env!("CARGO")).parent().unwrap().to_owned();
    let mut tail = paste(block(&log, "the Rust SDK"), &[cargo]);
    let mut child = tail.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    let _ = child.kill();
    let _ = child.wait();
    assert!(first.contains("\"carrier\":"), "{first}");
}

#[test]
fn a_terminal_shows_a_bar_and_the_answer_as_it_changes() {
    let work = Work::new();
    let data = work.data().to_str().unwrap().to_owned();
    let args = ["demo", "--rows", "3000", "--data-dir", &data];
    let steps = [
        Step::Expect("CREATE TABLE IF NOT EXISTS departures"),
        Step::Expect("█+.* [0-9]+/3000 flights"),
        Step::Expect("2013-01-0[0-9]T[0-9]{2}:00:00Z ┆ [A-Z0-9]{2} "),
        Step::Expect("2013-01-0[3-9]T[0-9]{2}:00:00Z ┆ [A-Z0-9]{2} "),
        Step::Expect("The last hours of"),
        Step::Expect("kcat -b"),
        Step::Expect("the Rust SDK"),
        Step::Send(CTRL_C),
        Step::Expect("Draining"),
        Step::End,
    ];
    let Some((shown, status)) = run(100, &work.path("."), None, &args, &steps) else {
        return;
    };
    assert_eq!(status, 0, "{shown}");
    // Everything is kept: the service itself knows the demo's key and topic again.
    let fresh = tools::run_ok(Command::new(BINARY).args(["admin-key", "--data-dir", &data]));
    assert!(fresh.starts_with("key "), "{fresh}");
}
