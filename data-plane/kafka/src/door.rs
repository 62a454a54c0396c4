//! Listening: binds, accepts, counts, drains.

use crate::connection::{self, Limits};
use crate::metrics::Metrics;
use crate::session::Shared;
use crate::settings::Settings;
use millstream_broker::Broker;
use millstream_door::{LoginSettings, Logins, NoPlace, Place, Places, Quotas, Rooms};
use millstream_model::limits::LOGIN_DEBT_WAIT_MS_MAX;
use millstream_model::{Backoff, Waits};
use prometheus_client::registry::Registry;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that the system keeps for us until we accept them.
const BACKLOG: i32 = 1024;

/// How long accepting rests after errors such as "too many open files".
const ACCEPT_PAUSE: Waits = Waits::new(Duration::from_millis(50), Duration::from_millis(500));

/// One in so many refused connections has a line in the log.
const REFUSALS_PER_LINE: u64 = 1000;

/// The address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for Kafka clients on {address}: {source}; choose another address with --kafka-listen")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The system's words.
    pub source: std::io::Error,
}

/// A bound door that nobody is let through yet: its port can be made known before the broker starts.
pub struct Bound {
    settings: Settings,
    listener: TcpListener,
    address: SocketAddr,
}

/// An open door.
pub struct Handle {
    address: SocketAddr,
    drain: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
    drain_timeout: Duration,
}

/// Binds the door's address. Must be called within a tokio runtime.
///
/// # Errors
/// When the address cannot be had.
pub fn bind(settings: Settings) -> Result<Bound, BindError> {
    let address = settings.listen;
    let listen = || -> std::io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    let listener = listen().map_err(|source| BindError { address, source })?;
    let address = listener
        .local_addr()
        .map_err(|source| BindError { address, source })?;
    Ok(Bound {
        settings,
        listener,
        address,
    })
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets clients in until `shutdown`, or [`Handle::shutdown`]. Rooms and quotas are those of all doors.
    pub fn serve(
        self,
        broker: Broker,
        rooms: Rooms,
        quotas: Quotas,
        registry: &mut Registry,
        shutdown: CancellationToken,
    ) -> Handle {
        let settings = LoginSettings {
            refusal_delay: self.settings.refusal_delay,
            patience: Duration::from_millis(LOGIN_DEBT_WAIT_MS_MAX).min(self.settings.debt_patience),
        };
        let roots = Arc::clone(broker.roots());
        let logins = Logins::new(settings, broker.image_watch(), roots, quotas.clone());
        let shared = Arc::new(Shared {
            broker,
            metrics: Metrics::register(registry),
            quotas,
            logins,
            debt_patience: self.settings.debt_patience,
        });
        let door = Arc::new(Door {
            drain: shutdown.clone(),
            stop: CancellationToken::new(),
            places: Places::new(self.settings.connections_max, self.settings.strangers_max),
            rooms,
            tls: self.settings.tls.clone().map(TlsAcceptor::from),
            refusals: AtomicU64::new(0),
            settings: self.settings,
            shared,
        });
        let tasks = TaskTracker::new();
        let watch = door.shared.logins.clone().watch();
        let stop = door.stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(watch).await });
        let handle = Handle {
            address: self.address,
            drain: shutdown,
            stop: door.stop.clone(),
            tasks: tasks.clone(),
            drain_timeout: door.settings.drain_timeout,
        };
        tasks.spawn(door.accept(self.listener, tasks.clone()));
        handle
    }
}

impl Handle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the door: nobody new, no new requests; what is under way gets a few seconds.
    pub async fn shutdown(self) {
        self.drain.cancel();
        self.tasks.close();
        let patience = tokio::time::sleep(self.drain_timeout);
        tokio::pin!(patience);
        let mut is_late = false;
        // The watch on images ends with `stop`, so connections are what the wait is for.
        while self.tasks.len() > 1 {
            tokio::select! {
                () = &mut patience => {
                    is_late = true;
                    break;
                }
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
        if is_late {
            let address = self.address;
            tracing::warn!(%address, "Kafka connections were still busy when draining ended and are cut");
        }
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

struct Door {
    settings: Settings,
    shared: Arc<Shared>,
    places: Places,
    rooms: Rooms,
    tls: Option<TlsAcceptor>,
    refusals: AtomicU64,
    drain: CancellationToken,
    stop: CancellationToken,
}

impl Door {
    async fn accept(self: Arc<Self>, listener: TcpListener, tasks: TaskTracker) {
        let mut pause = Backoff::new(ACCEPT_PAUSE);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.drain.cancelled() => return,
                () = self.stop.cancelled() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => {
                    pause.reset();
                    accepted
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a Kafka connection");
                    tokio::time::sleep(pause.next(rand::random())).await;
                    continue;
                }
            };
            match self.places.enter(peer.ip()) {
                Ok(place) => {
                    tasks.spawn(Arc::clone(&self).connection(stream, peer, place));
                }
                Err(why) => self.refuse(peer, why),
            }
        }
    }

    /// Counts a connection that has no place; the log is told of one in a while, as they come in floods.
    fn refuse(&self, peer: SocketAddr, why: NoPlace) {
        self.shared.metrics.closed(why.label());
        if self
            .refusals
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(REFUSALS_PER_LINE)
        {
            tracing::warn!(%peer, %why, "refused a Kafka connection, and does so for others without a line");
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, place: Place) {
        let metrics = &self.shared.metrics;
        metrics.connections.inc();
        let close = self.stop.child_token();
        let end = tokio::select! {
            end = self.serve(stream, peer, &close, &place) => end,
            () = close.cancelled() => Err(connection::End::Closed),
            why = place.leaves() => Err(why.into()),
        };
        metrics.connections.dec();
        match end {
            Ok(()) => metrics.closed("client"),
            Err(connection::End::NoPlace(why)) => self.refuse(peer, why),
            Err(end) => {
                metrics.closed(end.label());
                end.log(peer);
            }
        }
    }

    async fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        close: &CancellationToken,
        place: &Place,
    ) -> Result<(), connection::End> {
        stream.set_nodelay(true).map_err(connection::End::Io)?;
        let limits = Limits {
            settings: &self.settings,
            rooms: &self.rooms,
            shared: &self.shared,
            place,
            drain: &self.drain,
            close,
        };
        match &self.tls {
            None => {
                let (reader, writer) = stream.into_split();
                connection::run(limits, reader, writer, peer).await
            }
            Some(tls) => {
                let shaken = tokio::time::timeout(self.settings.login_timeout, tls.accept(stream));
                let Some(shaken) = self.drain.run_until_cancelled(shaken).await else {
                    return Ok(());
                };
                let stream = shaken
                    .map_err(|_| connection::End::LoginTimeout)?
                    .map_err(connection::End::Tls)?;
                let (reader, writer) = tokio::io::split(stream);
                connection::run(limits, reader, writer, peer).await
            }
        }
    }
}
