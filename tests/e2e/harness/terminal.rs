//! Somebody at a terminal.

use super::server::{BINARY, clean};
use super::{Server, text_of, tools};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Ctrl-C and Ctrl-D as a terminal sends them, and the key that goes back in the history.
pub const CTRL_C: &str = "\u{3}";
pub const CTRL_D: &str = "\u{4}";
pub const UP: &str = "\u{1b}[A";

/// One thing that the person does.
pub enum Step<'a> {
    /// Types; `\r` is the enter key.
    Send(&'a str),
    /// Waits until something is shown: a regular expression.
    Expect(&'a str),
    /// Waits for the program's end.
    End,
}

/// Runs the binary in a terminal of so many columns; what was shown, and what the program ended with. None when the
/// machine lacks what that needs.
pub fn run(
    columns: usize,
    home: &Path,
    server: Option<&Server>,
    args: &[&str],
    steps: &[Step<'_>],
) -> Option<(String, i64)> {
    let mut command: Command = tools::script("terminal.py")?;
    clean(&mut command);
    command
        .env("HOME", home)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_STATE_HOME");
    if let Some(server) = server {
        command
            .env("MILLSTREAM_ADDRESS", &server.doors.http)
            .env("MILLSTREAM_KEY", &server.key.id)
            .env("MILLSTREAM_SECRET", &server.key.secret);
    }
    command.args([&columns.to_string(), "40", BINARY]).args(args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let steps: Vec<Value> = steps
        .iter()
        .map(|step| match step {
            Step::Send(text) => serde_json::json!(["send", text]),
            Step::Expect(pattern) => serde_json::json!(["expect", pattern]),
            Step::End => serde_json::json!(["wait_for_end"]),
        })
        .collect();
    let input = Value::from(steps).to_string();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text_of(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    Some((
        told["text"].as_str().unwrap().to_owned(),
        told["status"].as_i64().unwrap(),
    ))
}
