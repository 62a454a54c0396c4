//! Gauges of what the wiring alone knows: the lease, the certificate, the process.

use crate::process::Process;
use millstream_controller::LeaseSeen;
use millstream_listener::Certificates;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// The prefix of all names but the process's standard ones.
pub const PREFIX: &str = "millstream";

/// A registry that shows the process; what is ours goes below [`PREFIX`].
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry
}

/// Shows lease and certificate.
pub fn register(
    registry: &mut Registry,
    lease: watch::Receiver<LeaseSeen>,
    certificates: Option<Arc<Certificates>>,
) {
    registry.register_collector(Box::new(Lease(lease)));
    if let Some(certificates) = certificates {
        registry.register_collector(Box::new(Certificate(certificates)));
    }
}

#[derive(Debug)]
struct Lease(watch::Receiver<LeaseSeen>);

impl Collector for Lease {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let seen = self.0.borrow().clone();
        let held = f64::from(u8::from(seen.holds(Instant::now())));
        let text = "1 while this process holds the controller's lease: it was renewed of late, and nobody may take over";
        gauge(&mut encoder, "controller_lease_held", text, held)?;
        let text = "The term of the last lease that was seen";
        gauge(&mut encoder, "controller_lease_term", text, seen.term as f64)?;
        if let Some(renewed) = seen.renewed {
            let age_s = renewed.elapsed().as_secs_f64();
            let text = "Since when the lease was not renewed, as far as this process knows";
            gauge(&mut encoder, "controller_lease_age_seconds", text, age_s)?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Certificate(Arc<Certificates>);

impl Collector for Certificate {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let until = self.0.validity().until;
        let text = "When the certificate that the doors show expires, seconds since 1970";
        gauge(&mut encoder, "certificate_expiry_seconds", text, until as f64)
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> Result<(), fmt::Error> {
    let metric = ConstGauge::new(value);
    // Help texts end with a full stop, as those of the registry do.
    let encoder = encoder.encode_descriptor(name, &format!("{help}."), None, metric.metric_type())?;
    metric.encode(encoder)
}
