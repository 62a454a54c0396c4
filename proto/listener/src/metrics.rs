//! What the port counts: connections by state, and those that were closed by reason.

use crate::places::Shortage;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type ByState = [(&'static str, &'static str); 1];

/// The port's metrics; those of a default are shown by nobody.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    connections: Family<ByState, Gauge>,
    closed: Family<ByState, Counter>,
    accept_errors: Counter,
}

impl Metrics {
    /// Metrics that the registry shows.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        registry.register(
            "http_connections",
            "Connections at the HTTP port: silent (no request yet), stranger (none with a key), known, reserved (health only)",
            metrics.connections.clone(),
        );
        registry.register(
            "http_connections_closed",
            "Connections that the HTTP port closed by itself, by reason",
            metrics.closed.clone(),
        );
        registry.register(
            "http_accept_errors",
            "Connections that the system could not hand over, for want of file descriptors for one",
            metrics.accept_errors.clone(),
        );
        metrics
    }

    pub(crate) fn count(&self, state: Standing, by: i64) {
        self.connections
            .get_or_create(&[("state", state.word())])
            .inc_by(by);
    }

    pub(crate) fn closed(&self, cut: Cut) {
        self.closed.get_or_create(&[("reason", cut.word())]).inc();
    }

    pub(crate) fn accept_error(&self) {
        self.accept_errors.inc();
    }
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No request yet.
    Silent,
    /// No request with a key yet.
    Stranger,
    /// It has shown a key.
    Known,
    /// Only health can be asked.
    Reserved,
}

impl Standing {
    fn word(self) -> &'static str {
        match self {
            Standing::Silent => "silent",
            Standing::Stranger => "stranger",
            Standing::Known => "known",
            Standing::Reserved => "reserved",
        }
    }
}

/// Why the port closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The head of the first request did not come in time.
    Head,
    /// A stranger asked nothing more.
    Idle,
    /// A reserved place is for a moment.
    Reserved,
    /// Somebody else needed the place.
    Short(Shortage),
}

impl Cut {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Cut::Head => "head_timeout",
            Cut::Idle => "idle",
            Cut::Reserved => "reserved",
            Cut::Short(Shortage::Address) => "address",
            Cut::Short(Shortage::Places) => "places",
            Cut::Short(Shortage::Reserve) => "reserve",
            Cut::Short(Shortage::Descriptors) => "descriptors",
        }
    }
}
