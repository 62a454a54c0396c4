//! Those who have shown no key: silent ones are cut, none keeps others out, and health is always answered.
#![allow(clippy::unwrap_used)]

use axum::Router;
use axum::extract::{Extension, Path};
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use millstream_listener::{Connection, Handle, Metrics, Settings, TooManyConnections, bind, serve};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCertUsingSni;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The end of every wait: nothing is measured with it.
const AN_END: Duration = Duration::from_secs(60);

/// As good as never, for what a test does not ask.
const NEVER: Duration = Duration::from_secs(3600);

/// What an HTTP/2 client says first: its preface and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn settings() -> Settings {
    Settings {
        head_timeout: NEVER,
        idle_timeout: NEVER,
        reserve_timeout: NEVER,
        drain_timeout: NEVER,
        ..Settings::default()
    }
}

/// `/livez`; `/number` of the connection; `/key/N`, which shows a key of owner N.
fn router() -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive" }))
        .route(
            "/number",
            get(|Extension(it): Extension<Connection>| async move { it.id().to_string() }),
        )
        .route("/key/{owner}", get(show_key))
}

async fn show_key(Extension(connection): Extension<Connection>, Path(owner): Path<u64>) -> String {
    match connection.known(owner.into(), || Ok::<_, TooManyConnections>(())) {
        Ok(()) => connection.id().to_string(),
        Err(error) => error.to_string(),
    }
}

async fn port(settings: Settings) -> Handle {
    let listener = bind("127.0.0.1:0", "--http-listen").await.unwrap();
    serve(listener, router(), settings).unwrap()
}

async fn say(handle: &Handle, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(handle.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Ends when the server closes.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = timeout(AN_END, stream.read_to_end(&mut rest))
        .await
        .expect("the server closes");
    rest
}

/// One request on a connection that stays open.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() == length.unwrap().parse::<usize>().unwrap() {
                return format!("{} {body}", head.split(' ').nth(1).unwrap());
            }
        }
        let mut bytes = [0; 1024];
        let count = timeout(AN_END, stream.read(&mut bytes)).await.unwrap().unwrap();
        assert!(count > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
}

fn h2() -> Client<HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}

async fn get_text(client: &Client<HttpConnector, Empty<Bytes>>, handle: &Handle, path: &str) -> String {
    let address = format!("http://{}{path}", handle.address()).parse().unwrap();
    let answer = timeout(AN_END, client.get(address)).await.unwrap().unwrap();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_head_is_due_from_accepting_on_whatever_precedes_it() {
    let mut registry = Registry::default();
    let short = Settings {
        head_timeout: Duration::from_millis(200),
        metrics: Metrics::register(&mut registry),
        ..settings()
    };
    let resolver = Arc::new(ResolvesServerCertUsingSni::new());
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    let secure = port(Settings {
        tls: Some(Arc::new(tls)),
        ..short.clone()
    })
    .await;
    let plain = port(short).await;
    let mut silent = vec![
        say(&plain, b"").await,
        say(&plain, b"GET /livez HT").await,
        say(&plain, &PREFACE[..10]).await,
        say(&plain, PREFACE).await,
        // The head of a request that goes on in a frame that does not come.
        say(&plain, &[PREFACE, b"\0\0\x01\x01\0\0\0\0\x01\x82"].concat()).await,
        say(&secure, b"").await,
        say(&secure, &[0x16, 3, 1, 2, 0]).await,
    ];
    for stream in &mut silent {
        closed(stream).await;
    }
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(
        text.contains("http_connections_closed_total{reason=\"head_timeout\"} 7"),
        "{text}"
    );
    plain.stop().await;
    secure.stop().await;
}

#[tokio::test]
async fn strangers_are_kept_while_they_ask_and_those_with_a_key_as_long_as_they_like() {
    let handle = port(Settings {
        idle_timeout: Duration::from_millis(200),
        ..settings()
    })
    .await;
    let (stranger, known) = (h2(), h2());
    let number = get_text(&known, &handle, "/key/7").await;
    let before = get_text(&stranger, &handle, "/number").await;
    let mut silent = say(&handle, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(closed(&mut silent).await.ends_with(b"alive"));
    // The stranger's connection is gone or going; its client makes another.
    while get_text(&stranger, &handle, "/number").await == before {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(
        get_text(&known, &handle, "/number").await,
        number,
        "the same connection"
    );
}

#[tokio::test]
async fn the_oldest_strangers_of_an_address_leave_for_who_comes() {
    let handle = port(Settings {
        connections_max: 40,
        ..settings()
    })
    .await;
    let mut known = say(&handle, b"").await;
    ask(&mut known, "/key/7").await;
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(say(&handle, b"").await);
    }
    let mut newest = say(&handle, b"").await;
    assert!(ask(&mut newest, "/livez").await.starts_with("200"));
    // A quarter of forty places, of which the newest has one.
    for stream in &mut silent[..21] {
        closed(stream).await;
    }
    for stream in &mut silent[21..] {
        assert_eq!(
            ask(stream, "/livez").await,
            "200 alive",
            "who is within the limit stays"
        );
    }
    assert!(ask(&mut known, "/number").await.starts_with("200"));
}

#[tokio::test]
async fn health_is_answered_when_every_place_is_taken_by_keys() {
    let handle = port(Settings {
        connections_max: 4,
        reserve: 8,
        ..settings()
    })
    .await;
    let mut known = Vec::new();
    for owner in [1, 1, 2, 2] {
        let mut stream = say(&handle, b"").await;
        assert!(
            ask(&mut stream, &format!("/key/{owner}"))
                .await
                .starts_with("200")
        );
        known.push(stream);
    }
    // Silent ones in the reserve do not help.
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(say(&handle, b"").await);
    }
    let mut late = say(&handle, b"").await;
    assert_eq!(ask(&mut late, "/livez").await, "200 alive");
    assert_eq!(get_text(&h2(), &handle, "/livez").await, "alive");
    let refused = ask(&mut late, "/key/3").await;
    assert!(
        refused.starts_with("503") && refused.contains("only health"),
        "{refused}"
    );
    drop(known.pop());
    // Its place is free as soon as the server has seen that it is gone.
    loop {
        let mut next = say(&handle, b"").await;
        if ask(&mut next, "/key/3").await.starts_with("200") {
            break;
        }
    }
}

#[tokio::test]
async fn one_owner_of_keys_has_half_of_the_places() {
    let handle = port(Settings {
        connections_max: 8,
        ..settings()
    })
    .await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut stream = say(&handle, b"").await;
        ask(&mut stream, "/key/1").await;
        kept.push(stream);
    }
    let mut more = say(&handle, b"").await;
    let refused = ask(&mut more, "/key/1").await;
    assert!(refused.contains("there are 4 connections"), "{refused}");
    assert_eq!(ask(&mut more, "/key/2").await, ask(&mut more, "/number").await);
}

#[tokio::test]
async fn who_has_said_nothing_does_not_hold_up_the_end() {
    let handle = port(settings()).await;
    let resolver = Arc::new(ResolvesServerCertUsingSni::new());
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    let secure = port(Settings {
        tls: Some(Arc::new(tls)),
        ..settings()
    })
    .await;
    let mut silent = vec![
        say(&handle, b"").await,
        say(&handle, b"GET /livez HT").await,
        say(&handle, &PREFACE[..10]).await,
        say(&secure, b"").await,
    ];
    let idle = h2();
    get_text(&idle, &handle, "/key/1").await;
    // Draining would last an hour.
    timeout(AN_END, async { tokio::join!(handle.stop(), secure.stop()) })
        .await
        .expect("it ends");
    for stream in &mut silent {
        closed(stream).await;
    }
}

#[tokio::test]
async fn a_burst_of_connections_is_queued() {
    let listener = bind("127.0.0.1:0", "--http-listen").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts: all of them wait in the system's queue, which a short one would not let them.
    let connects = (0..600).map(|_| TcpStream::connect(address));
    let connected = timeout(AN_END, futures::future::join_all(connects))
        .await
        .expect("they connect");
    assert!(connected.iter().all(Result::is_ok));
    drop(listener);
}

/// One HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The server closes while the client goes on to send.
async fn is_cut_while_sending(handle: &Handle, next: impl Fn(u32) -> Vec<u8> + Send + 'static) {
    let stream = say(handle, PREFACE).await;
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        for number in 0..1_000_000 {
            if writer.write_all(&next(number)).await.is_err() {
                return;
            }
        }
    });
    let mut rest = Vec::new();
    let _ = timeout(AN_END, reader.read_to_end(&mut rest))
        .await
        .expect("the server closes");
    sending.abort();
}

#[tokio::test]
async fn floods_of_an_http2_client_end_its_connection() {
    let handle = port(settings()).await;
    // Asked and taken back, again and again: GET / and RST_STREAM, stream after stream.
    is_cut_while_sending(&handle, |number| {
        let stream = 2 * number + 1;
        let mut bytes = frame(1, 5, stream, &[0x82, 0x86, 0x84]);
        bytes.extend(frame(3, 0, stream, &8u32.to_be_bytes()));
        bytes
    })
    .await;
    // A head without an end: HEADERS, and then CONTINUATION for ever, each with a header of 250 bytes.
    let header = [&[0, 1, b'a', 250][..], &[b'x'; 250]].concat();
    is_cut_while_sending(&handle, move |number| match number {
        0 => frame(1, 0, 1, &[0x82, 0x86, 0x84]),
        _ => frame(9, 0, 1, &header.repeat(8)),
    })
    .await;
    assert_eq!(get_text(&h2(), &handle, "/livez").await, "alive");
}
