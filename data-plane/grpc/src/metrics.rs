//! What this door counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The door's counters.
#[derive(Clone, Default)]
pub struct Metrics {
    calls: Family<[(&'static str, &'static str); 1], Counter>,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    /// Counters that the registry shows.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        registry.register("grpc_calls", "Calls of the gRPC data door", metrics.calls.clone());
        registry.register(
            "grpc_calls_refused",
            "Calls that ended with an error status",
            metrics.refused.clone(),
        );
        metrics
    }

    pub(crate) fn count(&self, call: &'static str, refused: bool) {
        self.calls.get_or_create(&[("call", call)]).inc();
        if refused {
            self.refused.get_or_create(&[("call", call)]).inc();
        }
    }
}
