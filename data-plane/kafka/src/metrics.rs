//! What the door counts.

use millstream_kafka_wire::{ApiKey, ErrorCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabel {
    api: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    api: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// The door's counters. Labels are names of ours only: a client cannot make them grow.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<ApiLabel, Counter>,
    errors: Family<ErrorLabels, Counter>,
    seconds: Family<ApiLabel, Histogram>,
    closed: Family<ReasonLabel, Counter>,
    pub(crate) connections: Gauge,
    pub(crate) refused_logins: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics {
            requests: Family::default(),
            errors: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0001, 2.0, 20))),
            closed: Family::default(),
            connections: Gauge::default(),
            refused_logins: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("kafka");
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register("errors", "Error codes in answers", metrics.errors.clone());
        registry.register(
            "request_seconds",
            "From a request's arrival to its answer",
            metrics.seconds.clone(),
        );
        registry.register(
            "connections_closed",
            "Connections that were closed, and why",
            metrics.closed.clone(),
        );
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register(
            "logins_refused",
            "Logins that failed",
            metrics.refused_logins.clone(),
        );
        registry.register("received_bytes", "Bytes of requests", metrics.bytes_in.clone());
        registry.register("sent_bytes", "Bytes of answers", metrics.bytes_out.clone());
        metrics
    }

    pub(crate) fn answered(&self, api: ApiKey, took: Duration) {
        let label = ApiLabel { api: api.name() };
        self.requests.get_or_create(&label).inc();
        self.seconds.get_or_create(&label).observe(took.as_secs_f64());
    }

    pub(crate) fn error(&self, api: ApiKey, code: ErrorCode) {
        self.errors
            .get_or_create(&ErrorLabels {
                api: api.name(),
                code: code.name(),
            })
            .inc();
    }

    pub(crate) fn closed(&self, reason: &'static str) {
        self.closed.get_or_create(&ReasonLabel { reason }).inc();
    }
}
