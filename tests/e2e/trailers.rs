//! Errors that come before the first message of a streamed answer: one frame of headers that ends the stream. Clients on
//! gRPC's C core (Python, C++, C#) look for the status there, or else report "Stream removed".

use crate::harness::{Key, Server, Start, Work, tools};
use base64::Engine as _;
use millstream_rust::rpc::control::Role;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Kinds and flags of HTTP/2 frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = length[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A header field that no table knows, in plain letters (RFC 7541, section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0];
    for text in [name, value] {
        out.push(u8::try_from(text.len()).ok().filter(|it| *it < 127).unwrap());
        out.extend(text.as_bytes());
    }
    out
}

/// Kind and flags of the first frame that answers a call.
fn first_frame(address: &str, path: &str, key: Option<&Key>, message: &[u8]) -> (u8, u8) {
    let mut fields: Vec<u8> = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", address),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    .iter()
    .flat_map(|(name, value)| field(name, value))
    .collect();
    if let Some(key) = key {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", key.id, key.secret));
        fields.extend(field("authorization", &format!("Basic {pair}")));
    }
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let mut connection = TcpStream::connect(address).unwrap();
    connection
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    sent.extend(frame(HEADERS, END_HEADERS, 1, &fields));
    sent.extend(frame(DATA, END_STREAM, 1, &body));
    connection.write_all(&sent).unwrap();
    loop {
        let mut head = [0; 9];
        connection.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        connection.read_exact(&mut payload).unwrap();
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if stream == 1 && matches!(head[3], DATA | HEADERS) {
            return (head[3], head[4]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_before_the_first_message_is_one_frame() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let made = server
        .client()
        .admin()
        .create_key("", "p", Role::Producer)
        .await
        .unwrap();
    let producer = Key {
        id: made.key.unwrap().id,
        secret: made.secret,
    };
    let admin = Some(&server.key);
    // A field whose number and length are nonsense: no message reads so.
    let nonsense: &[u8] = &[0xff; 8];
    let calls: [(&str, Option<&Key>, &[u8]); 8] = [
        ("/millstream.sql.v1.Sql/Execute", None, &[]),
        ("/millstream.sql.v1.Sql/Execute", Some(&producer), &[]),
        ("/millstream.sql.v1.Sql/Execute", admin, nonsense),
        ("/millstream.data.v1.Data/Watch", None, &[]),
        ("/millstream.data.v1.Data/Watch", admin, &[]),
        ("/millstream.data.v1.Data/Watch", admin, nonsense),
        (
            "/millstream.control.v1.Cluster/WatchCatalog",
            Some(&producer),
            &[],
        ),
        ("/millstream.control.v1.Cluster/WatchCatalog", admin, nonsense),
    ];
    for (path, key, message) in calls {
        let address = server.doors.http.clone();
        let key = key.cloned();
        let message = message.to_vec();
        let (kind, flags) =
            tokio::task::spawn_blocking(move || first_frame(&address, path, key.as_ref(), &message))
                .await
                .unwrap();
        assert_eq!((kind, flags & END_STREAM), (HEADERS, END_STREAM), "{path}");
    }
    // What a script says is a message, and its status comes behind it.
    let address = server.doors.http.clone();
    let key = server.key.clone();
    let answered = move || {
        first_frame(
            &address,
            "/millstream.sql.v1.Sql/Execute",
            Some(&key),
            b"\x0a\x0cSHOW TOPICS;",
        )
    };
    let (kind, flags) = tokio::task::spawn_blocking(answered).await.unwrap();
    assert_eq!((kind, flags & END_STREAM), (HEADERS, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_sees_the_status_of_every_error() {
    let Some(mut script) = tools::script("grpc_errors.py") else {
        return;
    };
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let made = server
        .client()
        .admin()
        .create_key("", "p", Role::Producer)
        .await
        .unwrap();
    let producer = made.key.unwrap().id;
    let stubs = work.path("stubs");
    std::fs::create_dir(&stubs).unwrap();
    script
        .args([server.doors.http.as_str(), &server.key.id, &server.key.secret])
        .args([&producer, &made.secret])
        .arg(tools::source("../../proto/rpc/proto"))
        .arg(stubs);
    let told = tokio::task::spawn_blocking(move || tools::run_ok(&mut script))
        .await
        .unwrap();
    assert_eq!(told.trim(), "ok");
}
