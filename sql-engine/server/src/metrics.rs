//! What the SQL server counts. Labels are words of ours only; single queries are shown by the shards.

use crate::answer::StatementErrorKind;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Labelled<const N: usize> = Family<[(&'static str, &'static str); N], Counter>;

/// The counters of all engines of a process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// What the shards count.
    pub shards: millstream_runtime::Metrics,
    statements: Labelled<2>,
    pulls: Labelled<1>,
    pub(crate) push_subscribers: Gauge,
    pushes: Labelled<1>,
}

impl Metrics {
    /// Counters that the registry shows, under `sql_…`.
    pub fn register(registry: &mut Registry) -> Self {
        let it = Self {
            shards: millstream_runtime::Metrics::register(registry),
            ..Self::default()
        };
        registry.register(
            "sql_statements",
            "Statements by kind and outcome",
            it.statements.clone(),
        );
        registry.register("sql_pull_queries", "Pull queries by outcome", it.pulls.clone());
        registry.register(
            "sql_push_queries",
            "Push queries that ended, by how",
            it.pushes.clone(),
        );
        registry.register(
            "sql_push_subscribers",
            "Clients that a push query serves now",
            it.push_subscribers.clone(),
        );
        it
    }

    /// A statement of a kind has ended, or a script before any of its statements ran.
    pub(crate) fn statement(&self, kind: &'static str, outcome: &'static str) {
        self.statements
            .get_or_create(&[("kind", kind), ("outcome", outcome)])
            .inc();
        if kind == "pull" {
            self.pulls.get_or_create(&[("outcome", outcome)]).inc();
        }
    }

    /// A push query has ended.
    pub(crate) fn push_ended(&self, how: &'static str) {
        self.pushes.get_or_create(&[("end", how)]).inc();
    }
}

/// How a statement ended, as a label.
pub(crate) fn outcome(kind: StatementErrorKind) -> &'static str {
    match kind {
        StatementErrorKind::Syntax => "syntax",
        StatementErrorKind::Unsupported => "not_supported",
        StatementErrorKind::Invalid => "invalid",
        StatementErrorKind::Limit => "limit",
        StatementErrorKind::NotFound => "not_found",
        StatementErrorKind::Refused => "refused",
        StatementErrorKind::Unavailable => "unavailable",
        StatementErrorKind::Internal => "internal",
    }
}
