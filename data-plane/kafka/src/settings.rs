//! What can be set about the door.

use millstream_model::limits::{CONNECTIONS_MAX, KAFKA_REQUESTS_BYTES_MAX};
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
    /// Connections at once.
    pub connections_max: usize,
    /// A connection without a request for this long is closed: Kafka's `connections.max.idle.ms`.
    pub idle_timeout: Duration,
    /// How long a client may take to authenticate, TLS included.
    pub login_timeout: Duration,
    /// How long a begun frame may take to arrive; large ones get a second more per 256 KiB.
    pub frame_timeout: Duration,
    /// How long a client may refuse to take bytes of an answer.
    pub write_timeout: Duration,
    /// Bytes of requests not yet answered, over all connections.
    pub requests_bytes_max: usize,
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
            idle_timeout: Duration::from_secs(600),
            login_timeout: Duration::from_secs(30),
            frame_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            requests_bytes_max: KAFKA_REQUESTS_BYTES_MAX,
            refusal_delay: Duration::from_millis(100),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
