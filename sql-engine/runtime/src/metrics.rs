//! What shards count, for Prometheus. Sums over all tenants are counters; single queries are shown as they stand at
//! the moment of a scrape, and not more of them than a scrape can bear.

use millstream_model::limits::SQL_METRIC_QUERIES_MAX;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The counters of all shards of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) rows_in: Counter,
    pub(crate) rows_out: Counter,
    pub(crate) row_errors: Counter,
    pub(crate) commits: Counter,
    pub(crate) commit_failures: Counter,
    pub(crate) flushes: Counter,
    pub(crate) flush_failures: Counter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) parked: Counter,
    pub(crate) retries: Counter,
    board: Arc<Board>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            rows_in: Counter::default(),
            rows_out: Counter::default(),
            row_errors: Counter::default(),
            commits: Counter::default(),
            commit_failures: Counter::default(),
            flushes: Counter::default(),
            flush_failures: Counter::default(),
            // A millisecond to half a minute.
            commit_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            parked: Counter::default(),
            retries: Counter::default(),
            board: Arc::default(),
        }
    }
}

impl Metrics {
    /// Counters that the registry shows, under `sql_…`.
    pub fn register(registry: &mut Registry) -> Self {
        let it = Self::default();
        let counters = [
            (
                "sql_rows_in",
                "Records that continuous queries have read",
                &it.rows_in,
            ),
            (
                "sql_rows_out",
                "Records that continuous queries have written",
                &it.rows_out,
            ),
            (
                "sql_row_errors",
                "Rows that failed and took no part, or only in part",
                &it.row_errors,
            ),
            ("sql_commits", "Commits of SQL shards", &it.commits),
            (
                "sql_commit_failures",
                "Commits that failed and are repeated",
                &it.commit_failures,
            ),
            (
                "sql_flushes",
                "Times that committed state was moved from a changelog to the store",
                &it.flushes,
            ),
            (
                "sql_flush_failures",
                "Such that failed and are repeated; the changelogs keep what is committed",
                &it.flush_failures,
            ),
            ("sql_queries_parked", "Times a query could not go on", &it.parked),
            (
                "sql_query_retries",
                "Times a parked query was tried again",
                &it.retries,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register_with_unit(
            "sql_commit",
            "How long commits take",
            Unit::Seconds,
            it.commit_seconds.clone(),
        );
        registry.register_collector(Box::new(Shown(it.board.clone())));
        it
    }

    /// A place among what is shown, empty until somebody puts queries there.
    pub fn place(&self, tenant: &str) -> Place {
        let mut shards = self.board.shards.lock();
        shards.next += 1;
        let at = shards.next;
        shards.views.insert(at, (tenant.to_owned(), Vec::new()));
        Place {
            board: self.board.clone(),
            at,
        }
    }
}

/// A query as a scrape sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryView {
    /// Its id.
    pub id: String,
    /// Whether it runs; else it is parked.
    pub running: bool,
    /// A push query: counted, not shown by itself, since its id lives as long as its client.
    pub transient: bool,
    /// Records read since it was started.
    pub rows_in: u64,
    /// Records written since it was started.
    pub rows_out: u64,
    /// Rows that failed since it was started.
    pub errors: u64,
    /// Rows that came after their window's grace.
    pub late_rows: u64,
    /// Rows that took no part because what they are grouped by is NULL.
    pub keyless_rows: u64,
    /// Records that are not committed yet.
    pub lag: u64,
    /// Values in its committed state.
    pub state_rows: u64,
    /// About how many bytes its state takes in memory, uncommitted and waiting rows included.
    pub state_bytes: u64,
    /// Records outside the partition that murmur2 gives their key.
    pub misplaced_keys: u64,
}

/// Where the queries of one shard are shown; they go with it.
#[derive(Debug)]
pub struct Place {
    board: Arc<Board>,
    at: u64,
}

impl Place {
    /// These are its queries now.
    pub fn show(&self, queries: Vec<QueryView>) {
        if let Some((_, shown)) = self.board.shards.lock().views.get_mut(&self.at) {
            *shown = queries;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.board.shards.lock().views.remove(&self.at);
    }
}

#[derive(Debug, Default)]
struct Board {
    shards: Mutex<Shards>,
}

#[derive(Debug, Default)]
struct Shards {
    next: u64,
    views: BTreeMap<u64, (String, Vec<QueryView>)>,
}

#[derive(Debug)]
struct Shown(Arc<Board>);

/// A figure of a query: its name, what it is, its kind, and how it is read.
type Figure = (&'static str, &'static str, MetricType, fn(&QueryView) -> u64);

const FIGURES: [Figure; 9] = [
    (
        "rows_in",
        "Records that the query has read",
        MetricType::Counter,
        |q| q.rows_in,
    ),
    (
        "rows_out",
        "Records that the query has written",
        MetricType::Counter,
        |q| q.rows_out,
    ),
    (
        "row_errors",
        "Rows of the query that failed",
        MetricType::Counter,
        |q| q.errors,
    ),
    (
        "late_rows",
        "Rows that came after their window's grace",
        MetricType::Counter,
        |q| q.late_rows,
    ),
    (
        "keyless_rows",
        "Rows that took no part because what they are grouped by is NULL",
        MetricType::Counter,
        |q| q.keyless_rows,
    ),
    (
        "lag_records",
        "Records that the query has not committed yet",
        MetricType::Gauge,
        |q| q.lag,
    ),
    (
        "state_rows",
        "Values in the query's committed state",
        MetricType::Gauge,
        |q| q.state_rows,
    ),
    (
        "state_bytes",
        "Memory of the query's state, with what is not committed and waits behind repartitions",
        MetricType::Gauge,
        |q| q.state_bytes,
    ),
    (
        "misplaced_keys",
        "Records that lie in another partition than murmur2 gives their key",
        MetricType::Counter,
        |q| q.misplaced_keys,
    ),
];

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let shards = self.0.shards.lock();
        let all = || {
            shards
                .views
                .values()
                .flat_map(|(tenant, queries)| queries.iter().map(move |q| (tenant, q)))
        };
        let count = |wanted: fn(&QueryView) -> bool| all().filter(|(_, query)| wanted(query)).count();
        let states = [
            ("running", count(|q| q.running && !q.transient)),
            ("parked", count(|q| !q.running && !q.transient)),
            ("push", count(|q| q.transient)),
        ];
        let help = "Continuous queries by state; push are those of clients";
        let mut family = encoder.encode_descriptor("sql_queries", help, None, MetricType::Gauge)?;
        for (state, queries) in states {
            gauge(queries as u64).encode(family.encode_family(&[("state", state)])?)?;
        }
        let single: Vec<_> = all().filter(|(_, query)| !query.transient).collect();
        let labels: Vec<[(&str, String); 2]> = single
            .iter()
            .take(SQL_METRIC_QUERIES_MAX)
            .map(|(tenant, query)| [("tenant", escaped(tenant)), ("query", escaped(&query.id))])
            .collect();
        for (name, help, kind, read) in FIGURES {
            let name = format!("sql_query_{name}");
            let mut family = encoder.encode_descriptor(&name, help, None, kind)?;
            for (labels, (_, query)) in labels.iter().zip(&single) {
                let metric = family.encode_family(labels)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(read(query)).encode(metric)?,
                    _ => gauge(read(query)).encode(metric)?,
                }
            }
        }
        Ok(())
    }
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

/// A query's name may hold any letter; the encoder writes labels as they are.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{Metrics, QueryView};
    use millstream_model::limits::SQL_METRIC_QUERIES_MAX;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    fn scraped(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn queries_are_shown_while_their_shard_lives() {
        let mut registry = Registry::with_prefix("millstream");
        let metrics = Metrics::register(&mut registry);
        let place = metrics.place("3");
        let view = |id: &str, running, transient| QueryView {
            id: id.to_owned(),
            running,
            transient,
            rows_in: 5,
            lag: 7,
            ..QueryView::default()
        };
        place.show(vec![
            view("CTAS_A\"\n_1", true, false),
            view("CTAS_B_2", false, false),
            view("transient_1", true, true),
        ]);
        let text = scraped(&registry);
        for line in [
            "millstream_sql_queries{state=\"running\"} 1",
            "millstream_sql_queries{state=\"parked\"} 1",
            "millstream_sql_queries{state=\"push\"} 1",
            "millstream_sql_query_rows_in_total{tenant=\"3\",query=\"CTAS_A\\\"\\n_1\"} 5",
            "millstream_sql_query_lag_records{tenant=\"3\",query=\"CTAS_B_2\"} 7",
            "millstream_sql_commits_total 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(!text.contains("transient_1"), "{text}");
        drop(place);
        assert!(!scraped(&registry).contains("CTAS_B_2"));
    }

    #[test]
    fn a_scrape_has_an_end() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let place = metrics.place("1");
        let view = |at: usize| QueryView {
            id: format!("CSAS_{at}"),
            running: true,
            ..QueryView::default()
        };
        place.show((0..SQL_METRIC_QUERIES_MAX + 5).map(view).collect());
        let text = scraped(&registry);
        let shown = text
            .lines()
            .filter(|line| line.starts_with("sql_query_rows_in_total"))
            .count();
        assert_eq!(shown, SQL_METRIC_QUERIES_MAX);
        assert!(text.contains(&format!("state=\"running\"}} {}", SQL_METRIC_QUERIES_MAX + 5)));
    }
}
