//! A running `millstream`, as a person would start it: a process, its log, its doors.

use super::cli::Cli;
use millstream_rust::{Client, Credentials};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a process may take to be ready or to stop, on a busy machine with a debug build.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_millstream");

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// The addresses of the doors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doors {
    pub kafka: String,
    pub http: String,
    /// Metrics, and health with its reasons.
    pub admin: String,
}

/// How a process is started.
#[derive(Clone, Debug)]
pub struct Start {
    command: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    under: Vec<String>,
}

impl Start {
    /// `millstream start` with defaults that suit tests.
    pub fn service() -> Start {
        Start::command(&["start"])
    }

    /// Another command that serves, such as `demo`.
    pub fn command(command: &[&str]) -> Start {
        Start {
            command: command.iter().map(|it| (*it).to_owned()).collect(),
            args: Vec::new(),
            env: Vec::new(),
            under: Vec::new(),
        }
    }

    /// Adds arguments.
    pub fn args(mut self, args: &[&str]) -> Start {
        self.args.extend(args.iter().map(|it| (*it).to_owned()));
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Start {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it under another program, which starts it and writes its process id to the file `pid` of the work folder.
    pub fn under(mut self, program: &[String]) -> Start {
        self.under = program.to_vec();
        self
    }
}

/// A folder for one test: the data, the logs, ready files.
pub struct Work {
    folder: TempDir,
}

impl Work {
    pub fn new() -> Work {
        let folder = tempfile::Builder::new()
            .prefix("millstream-e2e-")
            .tempdir()
            .unwrap();
        Work { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }
}

/// A process that is ready to serve. Killed when dropped.
pub struct Server {
    child: Child,
    /// The served process: the child itself, or the one that it runs.
    pid: u32,
    pub doors: Doors,
    pub key: Key,
    log: PathBuf,
}

impl Server {
    /// Starts a service on the folder for the first time.
    pub fn first(work: &Work, start: Start) -> Server {
        Server::run(work, start, None, None)
    }

    /// Starts it again at the same addresses, with the key of the first start.
    pub fn again(work: &Work, start: Start, before: &(Doors, Key)) -> Server {
        Server::run(work, start, Some(&before.0), Some(before.1.clone()))
    }

    fn run(work: &Work, start: Start, doors: Option<&Doors>, key: Option<Key>) -> Server {
        let (mut child, log) = spawn(work, &start, doors);
        let ready = work.path("ready.json");
        let begun = Instant::now();
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                break text;
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!(
                    "{start:?} ended with {status} before it was ready:\n{}",
                    tail(&log)
                );
            }
            if begun.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("{start:?} was not ready within {PATIENCE:?}:\n{}", tail(&log));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let told: Value = serde_json::from_str(&text).expect("the ready file is whole and JSON");
        let word = |value: &Value| value.as_str().expect("a string in the ready file").to_owned();
        let doors = Doors {
            kafka: word(&told["kafka"]),
            http: word(&told["http"]),
            admin: word(&told["admin"]),
        };
        let shown = told.get("key").filter(|it| !it.is_null());
        let shown = shown.map(|it| Key {
            id: word(&it["id"]),
            secret: word(&it["secret"]),
        });
        let key = match (key, shown) {
            (None, Some(key)) => key,
            (Some(key), None) => key,
            (None, None) => panic!("the first start tells no key: {text}"),
            (Some(_), Some(_)) => panic!("a later start shows a key again: {text}"),
        };
        let pid = if start.under.is_empty() {
            child.id()
        } else {
            std::fs::read_to_string(work.path("pid"))
                .unwrap()
                .trim()
                .parse()
                .unwrap()
        };
        Server {
            child,
            pid,
            doors,
            key,
            log,
        }
    }

    /// Addresses and key, for [`Server::again`].
    pub fn identity(&self) -> (Doors, Key) {
        (self.doors.clone(), self.key.clone())
    }

    /// `kill -9`, and waits until the process (and the program that it ran under) is gone.
    pub fn kill(mut self) {
        signal(self.pid, "KILL");
        self.child.wait().unwrap();
    }

    /// Sends a SIGTERM and waits for the end, which has to come by itself.
    pub fn stop(mut self) -> ExitStatus {
        signal(self.pid, "TERM");
        wait(&mut self.child, &self.log)
    }

    /// Waits for an end that comes without being asked for.
    pub fn wait(mut self) -> ExitStatus {
        wait(&mut self.child, &self.log)
    }

    /// Sends a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// Makes a topic with default settings.
    pub async fn make_topic(&self, name: &str, partitions: u32) {
        let client = self.client();
        let made = client
            .admin()
            .create_topic(name, partitions, BTreeMap::new())
            .await;
        made.unwrap();
    }

    /// The SDK with the server's own key.
    pub fn client(&self) -> Client {
        self.client_as(&self.key)
    }

    /// The SDK with another key.
    pub fn client_as(&self, key: &Key) -> Client {
        Client::connect(&self.doors.http, Credentials::key(&key.id, &key.secret)).unwrap()
    }

    /// The command line with the server's own key.
    pub fn cli(&self) -> Cli {
        Cli::new(&self.doors.http, &self.key)
    }

    /// What `/metrics` says under `name`; the sum over its labels, unless they are named.
    pub fn metric(&self, name: &str) -> f64 {
        let text = super::http::get(&self.doors.admin, "/metrics").unwrap().1;
        let values: Vec<f64> = text
            .lines()
            .filter_map(|line| line.strip_prefix("millstream_"))
            .filter(|line| match name.contains('{') {
                true => line.starts_with(name),
                false => line.split(['{', ' ']).next() == Some(name),
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        assert!(!values.is_empty(), "/metrics has no {name}:\n{text}");
        values.iter().sum()
    }

    /// Waits until a metric is as wanted.
    pub fn wait_for_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        let begun = Instant::now();
        loop {
            let value = self.metric(name);
            if wanted(value) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} is still {value}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it wrote to standard output and standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has written this, beyond what it had written before; answers all that it has written since then.
    pub fn wait_for_log(&self, before: usize, wanted: &str) -> String {
        let begun = Instant::now();
        loop {
            let written = self.log().get(before..).unwrap_or_default().to_owned();
            if written.contains(wanted) {
                return written;
            }
            assert!(begun.elapsed() < PATIENCE, "there is no '{wanted}' in\n{written}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.pid
    }

    /// Its resident memory, bytes.
    pub fn resident(&self) -> u64 {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.pid)).unwrap();
        pages
            .split(' ')
            .nth(1)
            .and_then(|it| it.parse::<u64>().ok())
            .unwrap()
            * 4096
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            signal(self.pid, "KILL");
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the end of the server's log ---\n{}\n---", tail(&self.log));
        }
    }
}

/// Starts the process and answers it with its log file.
pub fn spawn(work: &Work, start: &Start, doors: Option<&Doors>) -> (Child, PathBuf) {
    let ready = work.path("ready.json");
    let _ = std::fs::remove_file(&ready);
    let mut words: Vec<String> = start.under.clone();
    words.push(BINARY.to_owned());
    words.extend(start.command.iter().cloned());
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let kafka = doors.map_or("127.0.0.1:0", |it| &it.kafka);
    let http = doors.map_or("127.0.0.1:0", |it| &it.http);
    let admin = doors.map_or("127.0.0.1:0", |it| &it.admin);
    let data = path(&work.data());
    let usual = [
        ("--kafka-listen", kafka),
        ("--http-listen", http),
        ("--admin-listen", admin),
        ("--data-dir", data.as_str()),
    ];
    for (flag, value) in usual {
        if !start.args.iter().any(|it| it == flag) {
            words.extend([flag.to_owned(), value.to_owned()]);
        }
    }
    words.extend(["--ready-file".to_owned(), path(&ready)]);
    words.extend(start.args.iter().cloned());
    let log = work.path("server.log");
    let out = File::options().create(true).append(true).open(&log).unwrap();
    let mut command = Command::new(&words[0]);
    clean(&mut command);
    command.args(&words[1..]).envs(start.env.iter().cloned());
    command
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out);
    (command.spawn().unwrap(), log)
}

/// Nothing of the person's own settings reaches the process.
pub fn clean(command: &mut Command) {
    for (name, _) in std::env::vars() {
        if name.starts_with("MILLSTREAM_") || name.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
        .env("MILLSTREAM_ADMIN_LISTEN", "127.0.0.1:0")
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("HOME", "/nonexistent");
}

/// Waits for an end that has to come by itself.
pub fn wait(child: &mut Child, log: &Path) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("the process did not end within {PATIENCE:?}:\n{}", tail(log));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal, such as `TERM`.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .stderr(Stdio::null())
        .status();
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
