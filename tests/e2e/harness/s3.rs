//! A double of S3, and a proxy before it that errs and hangs.

use super::tools::{self, Running};
use super::{Start, Work};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A proxy in front of the store that can be told to misbehave.
pub struct Proxy {
    pub address: String,
    mode: Arc<AtomicU8>,
    task: tokio::task::JoinHandle<()>,
}

pub const PASS: u8 = 0;
pub const REFUSE: u8 = 1;
pub const HANG: u8 = 2;
/// Reads pass; a request that would write ends its connection, as on a disk that is full.
pub const READS: u8 = 3;

impl Proxy {
    pub async fn before(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mode = Arc::new(AtomicU8::new(PASS));
        let shared = Arc::clone(&mode);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, port, Arc::clone(&shared)));
            }
        });
        Proxy { address, mode, task }
    }

    pub fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes requests on until one comes that would write, or the mode changes. A request comes in a read of its own.
async fn forward_reads(client: TcpStream, port: u16, mode: &AtomicU8) {
    let Ok(store) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let ((mut asked, mut told), (mut answers, mut requests)) = (client.into_split(), store.into_split());
    let upwards = async {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(length) = asked.read(&mut chunk).await {
            let request = &chunk[..length];
            let reads = request.starts_with(b"GET ") || request.starts_with(b"HEAD ");
            if !reads || mode.load(Ordering::SeqCst) != READS || requests.write_all(request).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = upwards => {}
        _ = tokio::io::copy(&mut answers, &mut told) => {}
    }
}

/// Passes bytes on while the mode allows; a connection ends or stands still as soon as it does not.
async fn forward(mut client: TcpStream, port: u16, mode: Arc<AtomicU8>) {
    let changed = async {
        while mode.load(Ordering::SeqCst) == PASS {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if mode.load(Ordering::SeqCst) == PASS {
        let Ok(mut store) = TcpStream::connect(("127.0.0.1", port)).await else {
            return;
        };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut store) => return,
            () = changed => {}
        }
    }
    if mode.load(Ordering::SeqCst) == READS {
        return forward_reads(client, port, &mode).await;
    }
    // Held open without an answer while the store hangs; dropped when it refuses.
    while mode.load(Ordering::SeqCst) == HANG {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An S3 double with the bucket `millstream`.
pub struct S3 {
    moto: Running,
    told: BufReader<ChildStdout>,
    pub port: u16,
}

impl S3 {
    pub fn start() -> Option<S3> {
        let mut moto = Running::start(&mut tools::script("s3.py")?);
        let mut told = BufReader::new(moto.child.stdout.take().unwrap());
        let port = line(&mut told).parse();
        Some(S3 {
            port: port.expect("the S3 double tells its port"),
            moto,
            told,
        })
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Gives the bucket these lifecycle rules, as the API writes them.
    pub fn set_lifecycle(&mut self, rules: &Value) {
        let stdin = self.moto.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{rules}").unwrap();
        assert_eq!(line(&mut self.told), "done");
    }
}

fn line(told: &mut impl BufRead) -> String {
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Stores on the double, or on a proxy before it, below `one`.
pub fn on_s3(start: Start, work: &Work, endpoint: &str) -> Start {
    stored_at("s3://millstream/one", start, work, endpoint)
}

/// Stores at a place of the double.
pub fn stored_at(place: &str, start: Start, work: &Work, endpoint: &str) -> Start {
    let root_key = work.path("root.key");
    if !root_key.exists() {
        std::fs::write(&root_key, format!("1:{}\n", "5a".repeat(32))).unwrap();
    }
    start
        .args(&["--store", place, "--root-key-file", root_key.to_str().unwrap()])
        .env("AWS_ENDPOINT_URL", &format!("http://{endpoint}"))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
}
