//! D and N: what the disk and the loopback can do without us.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MIB: usize = 1 << 20;
const FILE_MIB: u64 = 256;

/// D: 1 MiB pwrite + fdatasync into an already written file, MB/s.
pub fn disk_mb_per_second(seconds: f64) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probe");
    let file: File = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)
        .unwrap();
    let block = vec![7u8; MIB];
    for at in 0..FILE_MIB {
        file.write_all_at(&block, at * MIB as u64).unwrap();
    }
    file.sync_all().unwrap();
    let begun = Instant::now();
    let mut written = 0u64;
    while begun.elapsed().as_secs_f64() < seconds {
        file.write_all_at(&block, (written % FILE_MIB) * MIB as u64)
            .unwrap();
        file.sync_data().unwrap();
        written += 1;
    }
    written as f64 * MIB as f64 / 1e6 / begun.elapsed().as_secs_f64()
}

/// N: batches to a loopback socket that sends them back, MB/s one way.
pub async fn echo_mb_per_second(batch_bytes: usize, seconds: f64) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0u8; MIB];
        loop {
            let read = stream.read(&mut buffer).await.unwrap();
            if read == 0 || stream.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    });
    let (mut back, mut forth) = TcpStream::connect(address).await.unwrap().into_split();
    let reader = tokio::spawn(async move {
        let mut buffer = vec![0u8; MIB];
        let mut total = 0u64;
        while let Ok(read) = back.read(&mut buffer).await {
            if read == 0 {
                break;
            }
            total += read as u64;
        }
        total
    });
    let batch = vec![7u8; batch_bytes];
    let begun = Instant::now();
    while begun.elapsed().as_secs_f64() < seconds {
        forth.write_all(&batch).await.unwrap();
    }
    forth.shutdown().await.unwrap();
    let total = reader.await.unwrap();
    let elapsed = begun.elapsed().as_secs_f64();
    echo.abort();
    total as f64 / 1e6 / elapsed
}
