//! Accepting connections, serving a router on each, and draining them at the end.

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use millstream_model::limits::CONNECTIONS_MAX;
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How the port behaves.
#[derive(Clone)]
pub struct Settings {
    /// TLS, or none for plain TCP.
    pub tls: Option<Arc<ServerConfig>>,
    /// Connections served at once; more wait in the system's queue.
    pub connections_max: usize,
    /// How long a client may take for its TLS handshake and for each request's head.
    pub head_timeout: Duration,
    /// How long draining may take before connections are cut.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tls: None,
            connections_max: CONNECTIONS_MAX,
            head_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
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

/// Serves `router` on `listener` until the handle stops it.
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
    let (stop, tasks) = (handle.stop.clone(), handle.tasks.clone());
    handle
        .tasks
        .spawn(accept_loop(listener, router, settings, stop, tasks));
    handle.tasks.close();
    Ok(handle)
}

async fn accept_loop(
    listener: TcpListener,
    router: Router,
    settings: Settings,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let slots = Arc::new(Semaphore::new(settings.connections_max));
    let settings = Arc::new(settings);
    loop {
        let slot = tokio::select! {
            () = stop.cancelled() => return,
            slot = Arc::clone(&slots).acquire_owned() => match slot {
                Ok(slot) => slot,
                Err(_) => return,
            },
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, settings, stop) = (router.clone(), Arc::clone(&settings), stop.clone());
                tasks.spawn(connection(stream, peer, router, settings, stop, slot));
            }
            Err(error) => {
                // Out of file descriptors and the like: pass on, but do not spin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    settings: Arc<Settings>,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no TCP_NODELAY");
    }
    let outcome = match &settings.tls {
        None => http(stream, router, &settings, stop).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(Arc::clone(config)).accept(stream);
            match timeout(settings.head_timeout, handshake).await {
                Ok(Ok(stream)) => http(stream, router, &settings, stop).await,
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err("the TLS handshake took too long".into()),
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%peer, %error, "an HTTP connection ended early");
    }
}

async fn http<S>(
    stream: S,
    router: Router,
    settings: &Settings,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(1024)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    let connection =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        outcome = connection.as_mut() => return outcome,
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    match timeout(settings.drain_timeout, connection).await {
        Ok(outcome) => outcome,
        Err(_) => Ok(()),
    }
}
