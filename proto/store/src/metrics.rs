//! Requests to the object store by who makes them: what a store bills, and where it fails.

use crate::fault::Fault;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::{Duration, Instant};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    client: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    client: &'static str,
    operation: &'static str,
}

/// Counters of all users of one store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<OperationLabels, Histogram>,
}

impl StoreMetrics {
    /// Counters that the registry shows, as `store_…`.
    pub fn register(registry: &mut Registry) -> StoreMetrics {
        let metrics = StoreMetrics {
            requests: Family::default(),
            // From a local file to the time limit of a slow upload.
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15))),
        };
        registry.register(
            "store_requests",
            "Requests to the object store, by who made them and how they ended",
            metrics.requests.clone(),
        );
        registry.register(
            "store_request_seconds",
            "How long requests to the object store took, those that failed too",
            metrics.seconds.clone(),
        );
        metrics
    }

    /// Begins a request.
    pub(crate) fn begin(&self, client: &'static str, operation: &'static str) -> Request {
        Request {
            metrics: self.clone(),
            client,
            operation,
            begun: Instant::now(),
            is_over: false,
        }
    }

    fn end(&self, client: &'static str, operation: &'static str, outcome: &'static str, took: Duration) {
        let labels = RequestLabels {
            client,
            operation,
            outcome,
        };
        self.requests.get_or_create(&labels).inc();
        let labels = OperationLabels { client, operation };
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// A request under way. One that is dropped before its end was given up by its caller, who has a time limit.
pub(crate) struct Request {
    metrics: StoreMetrics,
    client: &'static str,
    operation: &'static str,
    begun: Instant,
    is_over: bool,
}

impl Request {
    /// Counts how it ended, and hands that on.
    pub(crate) fn ended<T>(mut self, result: object_store::Result<T>) -> object_store::Result<T> {
        self.count(outcome(result.as_ref().err()));
        result
    }

    /// Counts how it ended, the first time.
    pub(crate) fn count(&mut self, outcome: &'static str) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.metrics
                .end(self.client, self.operation, outcome, self.begun.elapsed());
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.count("given_up");
    }
}

/// How a request ended, as a label.
pub(crate) fn outcome(error: Option<&object_store::Error>) -> &'static str {
    match error {
        None => "ok",
        Some(object_store::Error::NotFound { .. }) if error.is_some_and(is_answered) => "not_found",
        Some(error) if is_answered(error) => "conflict",
        // A folder keeps no attributes; whoever wants them asks again without.
        Some(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
            "unsupported"
        }
        Some(error) => Fault::of(error).word(),
    }
}

fn is_answered(error: &object_store::Error) -> bool {
    Fault::of(error) == Fault::Answered
}

#[cfg(test)]
mod tests {
    use super::outcome;
    use object_store::Error;

    #[test]
    fn what_a_store_cannot_do_is_no_failure_of_it() {
        let unsupported = Error::NotImplemented {
            operation: "put with attributes".into(),
            implementer: "LocalFileSystem".into(),
        };
        assert_eq!(outcome(Some(&unsupported)), "unsupported");
        let missing = Error::NotFound {
            path: "a".into(),
            source: "none".into(),
        };
        assert_eq!(outcome(Some(&missing)), "not_found");
        assert_eq!(outcome(None), "ok");
    }
}
