//! Attacks on the HTTP port, with a quiet tenant beside: its produce, login, SQL and `/readyz` go on.

use crate::harness::tools::leave_out;
use crate::harness::{Key, Server, Start, Work, until};
use crate::hostile::bystander::Quiet;
use crate::hostile::crowds::raise_open_files;
use crate::tenants::tenant;
use bytes::Bytes;
use futures::future::{join_all, select_all};
use futures::stream::{self, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

const MIB: usize = 1 << 20;
pub const CREATE_KEY: &str = "/millstream.control.v1.Keys/CreateKey";
pub const PRODUCE: &str = "/millstream.data.v1.Data/Produce";

/// An end for every wait on a busy machine; nothing is measured with it.
const AN_END: Duration = Duration::from_secs(120);

async fn channel(http: &str) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{http}")).unwrap();
    // Nothing in the client holds the bodies back.
    let endpoint = endpoint.initial_connection_window_size(64 << 20);
    endpoint.connect().await
}

/// A call whose message is announced with `bytes` and sent up to its last byte, which never comes. What is sent is
/// counted at the other end of the channel.
fn unfinished(
    path: &str,
    bytes: usize,
    key: Option<&Key>,
    sent: &mpsc::UnboundedSender<usize>,
) -> ::http::Request<Body> {
    let mut prefix = vec![0];
    prefix.extend(u32::try_from(bytes).unwrap().to_be_bytes());
    let piece = Bytes::from(vec![0; 64 * 1024]);
    let pieces = stream::iter(std::iter::repeat_n(piece, bytes / (64 * 1024) - 1));
    let sent = sent.clone();
    let frames = stream::iter([Bytes::from(prefix)])
        .chain(pieces)
        .map(move |piece| {
            let _ = sent.send(piece.len());
            Ok::<_, Status>(http_body::Frame::data(piece))
        });
    let body = Body::new(StreamBody::new(frames.chain(stream::pending())));
    let mut request = ::http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {}:{}", key.id, key.secret));
    }
    request.body(body).unwrap()
}

/// The status that ends a call.
async fn status(mut channel: Channel, request: ::http::Request<Body>) -> Status {
    let gone = |error: &dyn std::fmt::Display| Status::unavailable(error.to_string());
    let ready = match channel.ready().await {
        Ok(ready) => ready,
        Err(error) => return gone(&error),
    };
    let response = match ready.call(request).await {
        Ok(response) => response,
        Err(error) => return gone(&error),
    };
    if let Some(status) = Status::from_header_map(response.headers()) {
        return status;
    }
    let body = match response.into_body().collect().await {
        Ok(body) => body,
        Err(error) => return gone(&error),
    };
    let trailers = body.trailers().cloned().unwrap_or_default();
    Status::from_header_map(&trailers).unwrap_or_else(|| Status::ok(""))
}

/// Thirty unfinished calls on one connection: how each ends, and how much was sent.
async fn thirty(server: &Server, path: &str, key: Option<&Key>) -> (Vec<Status>, usize) {
    let (sender, mut sent) = mpsc::unbounded_channel();
    let channel = channel(&server.doors.http).await.unwrap();
    let calls = (0..30).map(|_| status(channel.clone(), unfinished(path, 31 * MIB, key, &sender)));
    let ends = timeout(AN_END, join_all(calls)).await.expect("every call ends");
    drop(sender);
    let mut bytes = 0;
    while let Ok(count) = sent.try_recv() {
        bytes += count;
    }
    (ends, bytes)
}

/// Thirty produces of 31 MiB over three connections, none of which ends; returns when so many bytes were taken.
async fn unfinished_produces(server: &Server, key: &Key, bytes: usize) -> Vec<JoinHandle<Status>> {
    let (sender, mut sent) = mpsc::unbounded_channel();
    let mut attack = Vec::new();
    for _ in 0..3 {
        let channel = channel(&server.doors.http).await.unwrap();
        for _ in 0..10 {
            let request = unfinished(PRODUCE, 31 * MIB, Some(key), &sender);
            attack.push(tokio::spawn(status(channel.clone(), request)));
        }
    }
    drop(sender);
    let mut arrived = 0;
    while arrived < bytes {
        let more = timeout(AN_END, sent.recv()).await.expect("it goes on sending");
        arrived += more.expect("there is more to send");
    }
    attack
}

/// Thirty unfinished calls over one connection, again and again until it is told to stop. Whatever becomes of them, none
/// succeeds.
pub async fn unfinished_calls(http: String, path: &'static str, key: Option<Key>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let (sender, _sent) = mpsc::unbounded_channel();
        let Ok(channel) = channel(&http).await else {
            continue;
        };
        let calls =
            (0..30).map(|_| status(channel.clone(), unfinished(path, 31 * MIB, key.as_ref(), &sender)));
        let ends = stop.run_until_cancelled(join_all(calls)).await;
        for end in ends.unwrap_or_default() {
            assert_ne!(end.code(), Code::Ok, "{path}");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_calls_of_strangers_and_of_tenants_take_nothing_from_others() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let (account, hostile) = tenant(&server.client(), "hostile").await;
    let mut quiet = Quiet::new(&server, "quiet").await;
    quiet.goes_on().await;
    let before = server.resident();

    for path in [CREATE_KEY, PRODUCE, "/millstream.sql.v1.Sql/Execute"] {
        let (ends, sent) = thirty(&server, path, None).await;
        for end in ends {
            assert_eq!(end.code(), Code::Unauthenticated, "{path}: {end}");
        }
        println!("{path} without a key: {} KiB were sent", sent / 1024);
    }
    let (ends, sent) = thirty(&server, CREATE_KEY, Some(&hostile)).await;
    for end in ends {
        assert_eq!(end.code(), Code::ResourceExhausted, "{end}");
        assert!(
            end.message().contains("Keys/CreateKey has at most 1048576 bytes"),
            "{end}"
        );
    }
    println!("too large: {} KiB were sent", sent / 1024);
    quiet.goes_on().await;

    // Produce may be that large: what was begun and does not end stays within the room, and has an end itself.
    let attack = unfinished_produces(&server, &hostile, 200 * MIB).await;
    for _ in 0..5 {
        quiet.goes_on().await;
    }
    let grown = server.resident().saturating_sub(before) >> 20;
    assert!(grown < 900, "{grown} MiB more are resident");
    // They hold up one another, too: the first is ended by the server, the others leave with what they hold.
    let (end, _, others) = timeout(AN_END, select_all(attack)).await.expect("one ends");
    let end = end.unwrap();
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    assert!(end.message().contains("no memory for this request"), "{end}");
    // Operators are told whose they are.
    let log = server.log();
    let mut told = log.lines().filter(|line| line.contains("requests wait for room"));
    assert!(
        told.any(|line| line.contains(&format!("largest_holder=tenant {account}"))),
        "{log}"
    );
    for call in others {
        call.abort();
    }
    server.wait_for_metric("requests_room_used_bytes", |bytes| bytes == 0.0);
    quiet.goes_on().await;
    quiet.kept_its_times();
}

/// Connections to the HTTP port that say nothing, half a head, or HTTP/2's preface and no request.
pub async fn silent_sockets(http: &str, count: usize) -> Vec<TcpStream> {
    let address = http.to_owned();
    let silent = tokio::task::spawn_blocking(move || {
        let connect = |number| {
            let mut stream = TcpStream::connect(&address).ok()?;
            let said: &[u8] = match number % 3 {
                0 => b"",
                1 => b"GET /livez HTTP/1.1\r\nhost",
                _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            };
            // One that was sent away already does not take it.
            let _ = stream.write_all(said);
            Some(stream)
        };
        (0..count).filter_map(connect).collect()
    });
    silent.await.unwrap()
}

/// Whether the other side has closed.
fn is_closed(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
        Ok(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_sockets_close_the_door_to_nobody() {
    const SILENT: usize = 10_100;
    if !raise_open_files(SILENT as u64 + 2_000) {
        leave_out("left out: 10,100 silent sockets, for a process may not have 12,100 open files");
        return;
    }
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let mut quiet = Quiet::new(&server, "quiet").await;
    quiet.goes_on().await;
    let mut silent = Vec::with_capacity(SILENT);
    while silent.len() < SILENT {
        silent.extend(silent_sockets(&server.doors.http, 2_020).await);
        quiet.goes_on().await;
    }
    for _ in 0..3 {
        quiet.goes_on().await;
    }
    for stream in &silent {
        stream.set_nonblocking(true).unwrap();
    }
    // From one address, a quarter of the places is left to them, and that for a while only.
    let open = || silent.iter().filter(|stream| !is_closed(stream)).count();
    until("most are sent away", AN_END, async || {
        (open() <= 2_500).then_some(())
    })
    .await;
    until("the silent are cut", AN_END, async || (open() == 0).then_some(())).await;
    quiet.goes_on().await;
    quiet.kept_its_times();
    drop(silent);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Sends frames that belong to no request, as fast as they are taken, until it is told to stop.
async fn pings(http: String, stop: CancellationToken) {
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    let ping = b"\0\0\x08\x06\0\0\0\0\0pingpong";
    while !stop.is_cancelled() {
        let Ok(mut stream) = tokio::net::TcpStream::connect(&http).await else {
            continue;
        };
        let flood = async {
            while stream.write_all(&frames).await.is_ok() {
                frames = ping.repeat(1_000);
            }
        };
        stop.run_until_cancelled(flood).await;
        frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_control_frames_stop_nobody() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let mut quiet = Quiet::new(&server, "quiet").await;
    let stop = CancellationToken::new();
    let begin = |_| tokio::spawn(pings(server.doors.http.clone(), stop.clone()));
    let floods: Vec<_> = (0..64).map(begin).collect();
    for _ in 0..10 {
        quiet.goes_on().await;
    }
    assert!(floods.iter().all(|flood| !flood.is_finished()));
    stop.cancel();
    quiet.kept_its_times();
    for flood in floods {
        flood.await.unwrap();
    }
}
