//! The port over real sockets: both HTTP versions, draining, and errors that say what to do.
#![allow(clippy::unwrap_used)]

use axum::Router;
use axum::routing::get;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use millstream_listener::{BindError, Settings, bind, serve};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

async fn port(router: Router, settings: Settings) -> millstream_listener::Handle {
    serve(
        bind("127.0.0.1:0", "--http-listen").await.unwrap(),
        router,
        settings,
    )
    .unwrap()
}

fn hello() -> Router {
    Router::new().route("/hello", get(|| async { "hello" }))
}

#[tokio::test]
async fn http1_and_h2_with_prior_knowledge_share_the_port() {
    let handle = port(hello(), Settings::default()).await;
    for h2 in [false, true] {
        let client = Client::builder(TokioExecutor::new())
            .http2_only(h2)
            .build_http::<Empty<bytes::Bytes>>();
        let answer = client
            .get(format!("http://{}/hello", handle.address()).parse().unwrap())
            .await
            .unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
    handle.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_refused_with_advice() {
    let first = bind("127.0.0.1:0", "--http-listen").await.unwrap();
    let address = first.local_addr().unwrap().to_string();
    let error = bind(&address, "--http-listen").await.unwrap_err();
    assert!(matches!(error, BindError::Taken { .. }), "{error}");
    assert!(error.to_string().contains("--http-listen"), "{error}");
    let error = bind("nowhere", "--http-listen").await.unwrap_err();
    assert!(error.to_string().contains("HOST:PORT"), "{error}");
}

#[tokio::test]
async fn a_silent_client_is_cut_and_stopping_lets_requests_finish() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (saw, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    let slow = Router::new().route(
        "/slow",
        get(move || async move {
            saw.notify_one();
            wait.notified().await;
            "done"
        }),
    );
    let settings = Settings {
        head_timeout: Duration::from_millis(100),
        ..Settings::default()
    };
    let handle = port(slow, settings).await;
    let mut silent = TcpStream::connect(handle.address()).await.unwrap();
    silent.write_all(b"GET /slow HT").await.unwrap();
    let mut rest = Vec::new();
    // Ends because the server closes, not because the test gives up.
    silent.read_to_end(&mut rest).await.unwrap();

    let mut busy = TcpStream::connect(handle.address()).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    begun.notified().await;
    let stopping = tokio::spawn(handle.stop());
    go_on.notify_one();
    stopping.await.unwrap();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
}
