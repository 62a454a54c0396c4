//! A process under load: ours, or the peer that a script starts.

use millstream_cli::kafka::KafkaClient;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long the disk is left alone after gigabytes were removed from it.
const DISK_REST: Duration = Duration::from_secs(3);

pub struct Server {
    kind: Kind,
    folder: TempDir,
    pub kafka: String,
    pub http: String,
    pub admin: String,
    pub key: Option<(String, String)>,
    pub ready_after: Duration,
}

enum Kind {
    Ours(Child),
    Peer { script: PathBuf, pid: u32 },
}

impl Server {
    /// This release's binary on embedded defaults, with more flags.
    pub async fn ours(flags: &[&str]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready.json");
        let begun = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_millstream"))
            .args([
                "start",
                "--kafka-listen",
                "127.0.0.1:0",
                "--http-listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                "--log",
                "warn",
            ])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .args(flags)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                break text;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the service did not become ready"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let ready_after = begun.elapsed();
        let ready: Value = serde_json::from_str(&text).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Server {
            kind: Kind::Ours(child),
            folder,
            kafka: text(&ready["kafka"]),
            http: text(&ready["http"]),
            admin: text(&ready["admin"]),
            key: Some((text(&ready["key"]["id"]), text(&ready["key"]["secret"]))),
            ready_after,
        }
    }

    /// The peer, with broker properties.
    pub async fn peer(script: &Path, properties: &[&str]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("peer");
        let begun = Instant::now();
        let out = Command::new(script)
            .arg("start")
            .arg(&place)
            .args(properties)
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "the peer did not start: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let pid = std::fs::read_to_string(place.join("pid"))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        Server {
            kind: Kind::Peer {
                script: script.to_owned(),
                pid,
            },
            kafka: String::from_utf8(out.stdout).unwrap().trim().to_owned(),
            http: String::new(),
            admin: String::new(),
            key: None,
            ready_after: begun.elapsed(),
            folder,
        }
    }

    pub fn pid(&self) -> u32 {
        match &self.kind {
            Kind::Ours(child) => child.id(),
            Kind::Peer { pid, .. } => *pid,
        }
    }

    /// An authenticated connection to the Kafka door.
    pub async fn connect(&self) -> KafkaClient {
        match &self.key {
            Some((id, secret)) => KafkaClient::connect(&self.kafka, id, secret).await.unwrap(),
            None => KafkaClient::connect_plain(&self.kafka).await.unwrap(),
        }
    }

    /// A counter or gauge from /metrics; 0 when it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(&self.admin).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0.0)
    }

    /// Ends it, removes what it stored, and gives the disk time to do so: the next measurement is not to pay for it.
    pub async fn stop(self) {
        match self.kind {
            Kind::Ours(mut child) => {
                let pid = child.id().to_string();
                Command::new("kill").args(["-TERM", &pid]).status().unwrap();
                tokio::task::spawn_blocking(move || child.wait())
                    .await
                    .unwrap()
                    .unwrap();
            }
            Kind::Peer { script, .. } => {
                Command::new(script)
                    .arg("stop")
                    .arg(self.folder.path().join("peer"))
                    .status()
                    .unwrap();
            }
        }
        drop(self.folder);
        Command::new("sync").status().unwrap();
        tokio::time::sleep(DISK_REST).await;
    }
}
