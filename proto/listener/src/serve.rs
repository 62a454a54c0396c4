//! Accepting connections, serving a router on each, and draining them at the end.

use crate::connection::{Asking, Connection, Patience, Visit, Visitors};
use crate::metrics::Metrics;
use crate::pace::Paced;
use crate::places::Limits;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, Version, header};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use millstream_model::limits::{
    CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_MS_MAX, HTTP_RESERVE, HTTP2_CONNECTION_WINDOW_BYTES,
    HTTP2_RESETS_MAX, HTTP2_SEND_BUFFER_BYTES, HTTP2_STREAM_WINDOW_BYTES, HTTP2_STREAMS_MAX,
};
use millstream_model::{Backoff, Waits};
use rustls::ServerConfig;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{BoxError, Service};

/// How long accepting rests when the system has no descriptor to give, again and again.
const ACCEPT_PAUSE: Waits = Waits::new(Duration::from_millis(50), Duration::from_millis(500));

/// How often such a rest is told.
const ACCEPT_TELL: Duration = Duration::from_secs(10);

/// How long a connection that is asked to close and has nothing to be answered is waited for.
const DRAIN_PAUSE: Duration = Duration::from_secs(1);

/// How the port behaves.
#[derive(Clone)]
pub struct Settings {
    /// TLS, or none for plain TCP.
    pub tls: Option<Arc<ServerConfig>>,
    /// Connections served at once, beside the reserve. A quarter of them may be strangers from one address, half of
    /// them one organisation's; when all are taken, the oldest stranger leaves for who comes.
    pub connections_max: usize,
    /// Connections that are let in when all others have shown a key; only [`Settings::health_paths`] are answered.
    pub reserve: usize,
    /// What can be asked in the reserve.
    pub health_paths: &'static [&'static str],
    /// How long a client may take from connecting to the end of its first request's head, TLS included.
    pub head_timeout: Duration,
    /// How long a connection that has shown no key is kept after its last request; over HTTP/1, any connection.
    pub idle_timeout: Duration,
    /// The life of a connection in the reserve.
    pub reserve_timeout: Duration,
    /// How long draining may take before connections are cut.
    pub drain_timeout: Duration,
    /// What the port counts.
    pub metrics: Metrics,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tls: None,
            connections_max: CONNECTIONS_MAX,
            reserve: HTTP_RESERVE,
            health_paths: &["/livez", "/readyz"],
            head_timeout: Duration::from_millis(HTTP_HEAD_MS_MAX),
            idle_timeout: Duration::from_secs(60),
            reserve_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(5),
            metrics: Metrics::default(),
        }
    }
}

/// A port that is being served.
pub struct Handle {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    drain_timeout: Duration,
}

impl Handle {
    /// The bound address, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, lets requests under way finish within the drain timeout, then cuts what is left.
    pub async fn stop(self) {
        self.stop.cancel();
        if timeout(self.drain_timeout, self.tasks.wait()).await.is_err() {
            tracing::warn!(address = %self.address, "connections were still busy when draining ended and are cut");
        }
    }
}

/// Serves `router` on `listener` until the handle stops it. Every request has its [`Connection`] in its extensions.
///
/// # Errors
/// When the listener has no local address.
pub fn serve(listener: TcpListener, router: Router, settings: Settings) -> io::Result<Handle> {
    let address = listener.local_addr()?;
    let handle = Handle {
        address,
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
        drain_timeout: settings.drain_timeout,
    };
    let patience = Patience {
        head: settings.head_timeout,
        idle: settings.idle_timeout,
        reserved: settings.reserve_timeout,
    };
    let limits = Limits::of(settings.connections_max, settings.reserve);
    let port = Arc::new(Port {
        visitors: Visitors::new(limits, patience, settings.metrics.clone()),
        router,
        settings,
        stop: handle.stop.clone(),
    });
    handle.tasks.spawn(port.accept(listener, handle.tasks.clone()));
    handle.tasks.close();
    Ok(handle)
}

struct Port {
    visitors: Arc<Visitors>,
    router: Router,
    settings: Settings,
    stop: CancellationToken,
}

impl Port {
    async fn accept(self: Arc<Self>, listener: TcpListener, tasks: TaskTracker) {
        let mut told: Option<Instant> = None;
        let mut pause = Backoff::new(ACCEPT_PAUSE);
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause.reset();
                    let visit = self.visitors.admit(peer.ip());
                    tasks.spawn(Arc::clone(&self).connection(stream, peer, visit));
                }
                Err(error) => {
                    // Out of file descriptors and the like: somebody leaves, and it goes on, but does not spin.
                    self.visitors.metrics().accept_error();
                    self.visitors.make_room();
                    if told.is_none_or(|at| at.elapsed() >= ACCEPT_TELL) {
                        tracing::warn!(%error, "connections cannot be accepted");
                        told = Some(Instant::now());
                    }
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = tokio::time::sleep(pause.next(rand::random())) => {}
                    }
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, visit: Visit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "no TCP_NODELAY");
        }
        let outcome = tokio::select! {
            outcome = self.conversation(stream, visit.connection().clone()) => outcome,
            cut = visit.connection().overdue() => {
                self.visitors.metrics().closed(cut);
                tracing::debug!(%peer, reason = cut.word(), "an HTTP connection is closed");
                return;
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%peer, %error, "an HTTP connection ended early");
        }
    }

    async fn conversation(&self, stream: TcpStream, connection: Connection) -> Result<(), BoxError> {
        let Some(config) = &self.settings.tls else {
            return self.http(stream, connection).await;
        };
        let handshake = TlsAcceptor::from(Arc::clone(config)).accept(stream);
        tokio::select! {
            () = self.stop.cancelled() => Ok(()),
            stream = handshake => self.http(stream?, connection).await,
        }
    }

    async fn http<S>(&self, stream: S, connection: Connection) -> Result<(), BoxError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let builder = builder(&self.settings);
        let answering = Answering {
            router: self.router.clone(),
            connection: connection.clone(),
            health_paths: self.settings.health_paths,
        };
        let stream = TokioIo::new(Paced::new(stream, connection.clone()));
        let serving = builder.serve_connection(stream, TowerToHyperService::new(answering));
        tokio::pin!(serving);
        tokio::select! {
            outcome = serving.as_mut() => return outcome,
            () = self.stop.cancelled() => {}
        }
        serving.as_mut().graceful_shutdown();
        tokio::select! {
            outcome = timeout(self.settings.drain_timeout, serving) => outcome.unwrap_or(Ok(())),
            // Who has nothing to be answered and does not close is not waited for.
            () = connection.rests(DRAIN_PAUSE) => Ok(()),
        }
    }
}

/// What one connection may hold of memory: everything that its client decides has an end here.
fn builder(settings: &Settings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .header_read_timeout(settings.idle_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(HTTP_HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(HTTP2_RESETS_MAX)
        .max_local_error_reset_streams(HTTP2_RESETS_MAX)
        .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// The router as one connection reaches it.
#[derive(Clone)]
struct Answering {
    router: Router,
    connection: Connection,
    health_paths: &'static [&'static str],
}

impl<B> Service<Request<B>> for Answering
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let asking = self.connection.asks();
        if self.connection.is_reserved() && !self.health_paths.contains(&request.uri().path()) {
            return Box::pin(std::future::ready(Ok(every_place_is_taken(request.version()))));
        }
        request.extensions_mut().insert(self.connection.clone());
        let answer = self.router.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| {
                Body::new(Answer {
                    body,
                    _asking: asking,
                })
            }))
        })
    }
}

fn every_place_is_taken(version: Version) -> Response<Body> {
    let mut response = Response::new(Body::from("every connection is taken; only health is answered\n"));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    if version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// A body that is part of a request as long as it is sent.
struct Answer {
    body: Body,
    _asking: Asking,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
