//! What can be set about the door.

use millstream_model::limits::{CONNECTIONS_MAX, DEBT_WAIT_MS_MAX, STRANGERS_MAX};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::ServerConfig;

/// What can be set about the door. Where clients reach it is said by the node's row in the catalog.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen; port 0 is a free one.
    pub listen: SocketAddr,
    /// TLS, if the door speaks it.
    pub tls: Option<Arc<ServerConfig>>,
    /// Connections at once; half of them for each organisation.
    pub connections_max: usize,
    /// Connections at once that nobody has logged in on, half of all at most; a quarter of them for each address.
    pub strangers_max: usize,
    /// A connection without a request for this long is closed: Kafka's `connections.max.idle.ms`.
    pub idle_timeout: Duration,
    /// How long a client may take to authenticate, TLS included.
    pub login_timeout: Duration,
    /// How long a begun frame may take for each 64 KiB, or its rest, when nobody waits for room: it costs no more than
    /// an idle connection then. Before login, the login's timeout ends it sooner.
    pub frame_timeout: Duration,
    /// How long a client may refuse to take bytes of an answer.
    pub write_timeout: Duration,
    /// How long a request may wait for its caller's debts; what moves no bytes waits at most a third of the
    /// shortest session timeout.
    pub debt_patience: Duration,
    /// How long a refused login waits for its answer, so that guessing is slow.
    pub refusal_delay: Duration,
    /// How long requests under way may take to finish when the door closes.
    pub drain_timeout: Duration,
}

impl Settings {
    /// The usual settings at an address.
    pub fn new(listen: SocketAddr) -> Settings {
        Settings {
            listen,
            tls: None,
            connections_max: CONNECTIONS_MAX,
            strangers_max: STRANGERS_MAX,
            idle_timeout: Duration::from_secs(600),
            login_timeout: Duration::from_secs(30),
            frame_timeout: Duration::from_secs(600),
            write_timeout: Duration::from_secs(60),
            debt_patience: Duration::from_millis(DEBT_WAIT_MS_MAX),
            refusal_delay: Duration::from_millis(100),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
