//! Many connections that announce much and send nothing.

use crate::harness::tools::leave_out;
use crate::harness::{Key, Server, Start, Work};
use crate::hostile::bystander::Quiet;
use crate::tenants::tenant;
use crate::wire::{Outcome, Wire};
use millstream_kafka_wire::messages::MetadataRequest;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::net::{IpAddr, SocketAddr};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// Connections with a key that each send the length of a frame and fall silent.
pub fn silent_frames(server: &Server, key: &Key, count: usize, length: u32) -> Vec<Wire> {
    let silent = (0..count).map(|_| {
        let mut wire = Wire::authenticated(&server.doors.kafka, key);
        wire.send(&length.to_be_bytes());
        wire
    });
    silent.collect()
}

/// Connections without a key, from an address of this machine, that each announce a frame of 64 KiB and fall silent.
pub async fn strangers(kafka: &str, from: IpAddr, count: usize) -> Vec<TcpStream> {
    let address: SocketAddr = kafka.parse().unwrap();
    let mut strangers = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        if let Ok(mut stream) = socket.connect(address).await {
            let _ = stream.write_all(&(64 * 1024u32).to_be_bytes()).await;
            strangers.push(stream);
        }
    }
    strangers
}

/// Addresses of this machine that are not the quiet tenant's: as many as have a share of the strangers' places each.
pub fn four_addresses() -> [IpAddr; 4] {
    [2, 3, 4, 5].map(|last| IpAddr::from([127, 0, 0, last]))
}

/// Lets this process, and those that it starts, have so many files; false where the system does not allow it.
pub fn raise_open_files(count: u64) -> bool {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < count) {
        return false;
    }
    if limit.current.is_some_and(|current| current < count) {
        limit.current = Some(count);
        return setrlimit(Resource::Nofile, limit).is_ok();
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn six_silent_frames_of_100_mib_stop_nobody() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let mut quiet = Quiet::new(&server, "quiet").await;
    let (_, hostile) = tenant(&server.client(), "hostile").await;
    let silent = silent_frames(&server, &hostile, 6, 100 << 20);
    for _ in 0..3 {
        quiet.goes_on().await;
    }
    // The tenant's own other connections go on as well, and what is silent is only that.
    let mut other = Wire::authenticated(&server.doors.kafka, &hostile);
    assert_eq!(other.call(12, &MetadataRequest::default()).brokers.len(), 1);
    quiet.kept_its_times();
    let used = server.metric("requests_room_used_bytes");
    assert!(used < 1e6, "{used} bytes are held for what was only announced");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_strangers_stop_nobody() {
    const STRANGERS: usize = 8_300;
    const FILES: u64 = 12_000;
    // Each end is a process of its own: the crowd here, those who are let in there.
    if !raise_open_files(FILES) {
        leave_out(&format!(
            "left out: thousands of strangers, for a process may not have {FILES} open files"
        ));
        return;
    }
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let mut quiet = Quiet::new(&server, "quiet").await;
    let mut begun = strangers(&server.doors.kafka, four_addresses()[0], STRANGERS).await;
    assert!(begun.len() > STRANGERS / 2, "only {} connected", begun.len());
    for _ in 0..2 {
        quiet.goes_on().await;
    }
    // Two thousand from each of four addresses: all places of strangers, and more.
    begun.clear();
    for address in four_addresses() {
        begun.extend(strangers(&server.doors.kafka, address, STRANGERS / 4).await);
        quiet.goes_on().await;
    }
    for _ in 0..2 {
        quiet.goes_on().await;
    }
    quiet.kept_its_times();
    let refused = server.metric("kafka_connections_closed_total");
    assert!(
        refused > (STRANGERS / 2) as f64,
        "{refused} connections were closed"
    );
    // Each is told by an end, not by silence.
    let mut stranger = Wire::connect(&server.doors.kafka);
    stranger.send(&(1u32 << 20).to_be_bytes());
    assert_eq!(stranger.outcome(), Outcome::Closed);
}
