//! The demo: its table is what a batch computation over the same rows says, whatever happens on the way.

use crate::batch;
use crate::harness::server::{BINARY, clean};
use crate::harness::{Server, Start, Work, json_lines, text_of, tools, until};
use std::process::Command;
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
    let first = out.lines().next().unwrap();
    assert!(
        first.starts_with(r#"{"carrier":"#) || first.contains(r#""hour":"2013-01-01T"#),
        "{first}"
    );
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

#[test]
fn its_table_is_right_after_a_kill_in_the_middle() {
    let work = Work::new();
    // About six seconds for the month.
    let start = Start::command(&["demo", "--once", "--output", "json"]).args(&["--speed", "450000"]);
    let server = Server::first(&work, start);
    server.wait_for_metric("broker_produced_records_total", |it| it >= 6000.0);
    server.kill();
    let (out, _) = once(&work, &["--speed", AT_ONCE]);
    is_right(&out);
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
