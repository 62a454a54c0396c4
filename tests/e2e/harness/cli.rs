//! The command line, run as a person runs it.

use super::server::{BINARY, Key, clean};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// The command line with an address and a key.
pub struct Cli {
    address: String,
    key: Key,
}

impl Cli {
    pub fn new(address: &str, key: &Key) -> Cli {
        Cli {
            address: address.to_owned(),
            key: key.clone(),
        }
    }

    /// Runs a command; it may fail.
    pub fn run(&self, args: &[&str], input: &str) -> Output {
        let mut command = Command::new(BINARY);
        clean(&mut command);
        command.args(args);
        command.env("MILLSTREAM_ADDRESS", &self.address);
        command
            .env("MILLSTREAM_KEY", &self.key.id)
            .env("MILLSTREAM_SECRET", &self.key.secret);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let input = input.to_owned();
        // A command that fails early does not read its input.
        let writer = std::thread::spawn(move || pipe.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join();
        output
    }

    /// Runs a command that has to work; its standard output.
    pub fn ok(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{args:?}: {}\n{text}\n{}",
            output.status,
            text_of(&output.stderr)
        );
        text
    }

    /// Runs a command with `--output json`; its lines.
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let mut all = vec!["--output", "json"];
        all.extend(args);
        json_lines(&self.ok(&all, ""))
    }

    /// Runs a command that has to fail; its standard error.
    pub fn refused(&self, args: &[&str]) -> String {
        self.refused_with(args, "")
    }

    /// Runs a command that has to fail on its input; its standard error.
    pub fn refused_with(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input);
        assert!(
            !output.status.success(),
            "{args:?} worked:\n{}",
            text_of(&output.stdout)
        );
        text_of(&output.stderr)
    }
}

/// Standard output as JSON lines.
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

pub fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
