//! The figures of `docs/performance.md`: ratios against probes and a peer, interleaved in one run.
//!
//! `cargo bench --bench figures -- [--peer KAFKA_SCRIPT] [--rounds 5] [--seconds 5] [--only NAME,…]`
//!
//! Probes: D = 1 MiB pwrite + fdatasync into an already written file; N = loopback echo of the same batches. The load
//! generator speaks Kafka's protocol with prebuilt batches, so that it hardly costs CPU. The peer is Apache Kafka,
//! started by the script that `--peer` names (`start DIR [property=value …]` prints its address, `stop DIR` ends it).
//! Nothing here asserts a time.
#![allow(clippy::unwrap_used)]

#[path = "figures/arguments.rs"]
mod arguments;
#[path = "figures/latency.rs"]
mod latency;
#[path = "figures/load.rs"]
mod load;
#[path = "figures/probe.rs"]
mod probe;
#[path = "figures/process.rs"]
mod process;
#[path = "figures/server.rs"]
mod server;
#[path = "figures/sql.rs"]
mod sql;
#[path = "figures/table.rs"]
mod table;

use arguments::Arguments;
use load::{Load, Produced};
use server::Server;
use table::{Column, median};

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(&arguments));
}

async fn run(arguments: &Arguments) {
    if arguments.wants("start") {
        start_and_idle(arguments).await;
    }
    for (name, partitions) in [("produce-16", 16), ("produce-1000", 1000)] {
        if arguments.wants(name) {
            produce(arguments, name, partitions).await;
        }
    }
    if arguments.wants("group-commit") {
        group_commit(arguments).await;
    }
    if arguments.wants("tail") {
        tail(arguments).await;
    }
    if arguments.wants("sql") {
        sql::measure(arguments).await;
    }
}

/// Time from the process's start to its ready file, and what it holds in memory when nobody talks to it.
async fn start_and_idle(arguments: &Arguments) {
    let (mut ready, mut resident) = (
        Column::new("start to ready, s"),
        Column::new("resident when idle, MB"),
    );
    for _ in 0..arguments.rounds {
        let server = Server::ours(&[]).await;
        ready.add(server.ready_after.as_secs_f64());
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        resident.add(process::resident_mb(server.pid()));
        server.stop().await;
    }
    table::print("start", &[ready, resident]);
}

/// Produce and consume, ours and the peer's, beside both probes.
async fn produce(arguments: &Arguments, name: &str, partitions: u32) {
    let batch_bytes = if partitions > 100 { 16 * 1024 } else { 256 * 1024 };
    let load = Load {
        partitions,
        batch_bytes,
        record_bytes: 1024,
        connections: 4,
        in_flight: 8,
        seconds: arguments.seconds,
    };
    let mut columns: Vec<Column> = [
        "D, MB/s",
        "N, MB/s",
        "ours in, MB/s",
        "ours / min(D, 0.7 N)",
        "ours CPU s/GB in",
        "ours CPU s/GB out",
        "Kafka in, MB/s",
        "Kafka CPU s/GB in",
        "Kafka CPU s/GB out",
        "Kafka fsync in, MB/s",
        "Kafka fsync CPU s/GB in",
    ]
    .map(Column::new)
    .into();
    for _ in 0..arguments.rounds {
        let disk = probe::disk_mb_per_second(arguments.seconds);
        let net = probe::echo_mb_per_second(batch_bytes, arguments.seconds).await;
        let ours = measured(Server::ours(&[]).await, &load).await;
        columns[0].add(disk);
        columns[1].add(net);
        columns[2].add(ours.mb_per_second);
        columns[3].add(ours.mb_per_second / disk.min(0.7 * net));
        columns[4].add(ours.cpu_in);
        columns[5].add(ours.cpu_out);
        if let Some(peer) = &arguments.peer {
            let kafka = measured(Server::peer(peer, &[]).await, &load).await;
            columns[6].add(kafka.mb_per_second);
            columns[7].add(kafka.cpu_in);
            columns[8].add(kafka.cpu_out);
            let fsync = measured(
                Server::peer(peer, &["log.flush.interval.messages=1"]).await,
                &load,
            )
            .await;
            columns[9].add(fsync.mb_per_second);
            columns[10].add(fsync.cpu_in);
        }
    }
    table::print(name, &columns);
}

struct Measured {
    mb_per_second: f64,
    cpu_in: f64,
    cpu_out: f64,
}

/// A warm server's throughput and CPU. What a produce leaves to be done in the background (moving it to the object
/// store, recycling files) counts as its CPU: it is waited for.
async fn measured(server: Server, load: &Load) -> Measured {
    load.create_topic(&server, "warm-up").await;
    load.create_topic(&server, "load").await;
    load.produce(&server, "warm-up").await;
    let before = process::settled_cpu_seconds(server.pid()).await;
    let Produced { bytes, seconds, .. } = load.produce(&server, "load").await;
    let after = process::settled_cpu_seconds(server.pid()).await;
    let read = load.consume(&server, "load", bytes.min(2 << 30)).await;
    let end = process::settled_cpu_seconds(server.pid()).await;
    server.stop().await;
    let gb = |bytes: u64| bytes as f64 / 1e9;
    Measured {
        mb_per_second: bytes as f64 / 1e6 / seconds,
        cpu_in: (after - before) / gb(bytes),
        cpu_out: (end - after) / gb(read),
    }
}

/// With an fdatasync of 4 ms: how many journal commits 1,000 requests of 64 producers take.
async fn group_commit(arguments: &Arguments) {
    let mut column = Column::new("fdatasyncs per 1,000 requests");
    for _ in 0..arguments.rounds {
        let server = Server::ours(&["--sync-delay-ms", "4"]).await;
        let load = Load {
            partitions: 16,
            batch_bytes: 1024,
            record_bytes: 1024,
            connections: 64,
            in_flight: 1,
            seconds: arguments.seconds,
        };
        load.create_topic(&server, "load").await;
        let before = server.metric("millstream_broker_journal_commits_total").await;
        let produced = load.produce(&server, "load").await;
        let commits = server.metric("millstream_broker_journal_commits_total").await - before;
        server.stop().await;
        column.add(commits * 1000.0 / produced.requests as f64);
    }
    table::print("group-commit", &[column]);
}

/// How long after a producer's acknowledgement a consumer that waits has the record.
async fn tail(arguments: &Arguments) {
    let mut columns = ["ack p50, ms", "seen p50, ms", "seen / ack"].map(Column::new);
    for _ in 0..arguments.rounds {
        let server = Server::ours(&[]).await;
        let seen = latency::measure(&server, arguments.seconds).await;
        server.stop().await;
        let (ack, seen) = (median(seen.ack_ms), median(seen.seen_ms));
        columns[0].add(ack);
        columns[1].add(seen);
        columns[2].add(seen / ack);
    }
    table::print("tail", &columns);
}
