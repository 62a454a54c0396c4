//! What the gate counts.

use crate::gate::refusal::Refusal;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The gate's metrics; those of a default are shown by nobody.
#[derive(Clone, Debug, Default)]
pub struct GateMetrics {
    refused: Family<[(&'static str, &'static str); 1], Counter>,
    bodies: Gauge,
    open: Gauge,
}

impl GateMetrics {
    /// Metrics that the registry shows.
    pub fn register(registry: &mut Registry) -> GateMetrics {
        let metrics = GateMetrics::default();
        registry.register(
            "grpc_gate_refused",
            "gRPC calls that no service saw, or streams that were ended, by reason",
            metrics.refused.clone(),
        );
        registry.register(
            "grpc_bodies_arriving",
            "gRPC requests whose bodies are on their way",
            metrics.bodies.clone(),
        );
        registry.register(
            "grpc_calls_open",
            "gRPC calls that services are answering, streams among them",
            metrics.open.clone(),
        );
        metrics
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.refused.get_or_create(&[("reason", refusal.word())]).inc();
    }

    /// A body is on its way until what is returned is dropped.
    pub(crate) fn arriving(&self) -> Counted {
        Counted::one_of(&self.bodies)
    }

    /// A call is being answered until what is returned is dropped.
    pub(crate) fn answering(&self) -> Counted {
        Counted::one_of(&self.open)
    }
}

/// One of those that a gauge shows, until it is dropped.
pub struct Counted(Gauge);

impl Counted {
    /// One more.
    pub fn one_of(gauge: &Gauge) -> Counted {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
