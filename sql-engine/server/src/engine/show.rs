//! SHOW and DESCRIBE.

use super::table::{Cells, send};
use super::{Inner, Out, Stop, of_streams};
use millstream_functions::functions;
use millstream_parser::{Shown, SourceKind};
use millstream_planner::{KeyFormat, SessionProperties, Source, ValueFormat, aggregate_functions};
use millstream_runtime::{QueryReport, QueryState};

impl Inner {
    pub(super) async fn show(
        &self,
        what: Shown,
        extended: bool,
        session: &SessionProperties,
        out: &Out,
    ) -> Result<(), Stop> {
        let rows = match what {
            Shown::Streams => self.show_sources(SourceKind::Stream, extended, out).await?,
            Shown::Tables => self.show_sources(SourceKind::Table, extended, out).await?,
            Shown::Topics => self.show_topics(out).await?,
            Shown::Queries => self.show_queries(extended, out).await?,
            Shown::Properties => {
                let known: Vec<(&str, &str)> = SessionProperties::known().collect();
                let value =
                    |(name, usual): &(&str, &'static str)| session.get(name).unwrap_or(usual).to_owned();
                let set = |(name, _): &(&str, &str)| session.get(name).map_or("", |_| "SESSION");
                let columns = vec![
                    ("PROPERTY", Cells::text(known.iter().map(|(name, _)| *name))),
                    ("OVERRIDE", Cells::text(known.iter().map(set))),
                    ("VALUE", Cells::text(known.iter().map(value))),
                ];
                send(out, "", columns).await?
            }
            Shown::Functions => {
                let mut all: Vec<(&str, &str)> = functions().map(|facts| (facts.name, "SCALAR")).collect();
                all.extend(aggregate_functions().map(|(name, _)| (name, "AGGREGATE")));
                all.sort_unstable();
                let columns = vec![
                    ("FUNCTION", Cells::text(all.iter().map(|(name, _)| *name))),
                    ("TYPE", Cells::text(all.iter().map(|(_, kind)| *kind))),
                ];
                send(out, "", columns).await?
            }
        };
        Ok(out.finish(rows).await?)
    }

    async fn show_sources(&self, kind: SourceKind, extended: bool, out: &Out) -> Result<u64, Stop> {
        let known = self.known().await;
        let sources: Vec<Source> = known
            .sources
            .values()
            .map(|row| row.source.clone())
            .filter(|source| source.kind == kind)
            .collect();
        drop(known);
        if extended {
            let mut rows = 0;
            for source in &sources {
                rows += self.describe_all(source, extended, out).await?;
            }
            return Ok(rows);
        }
        let yes = |yes: bool| if yes { "true" } else { "false" };
        let first = if kind == SourceKind::Stream {
            "STREAM"
        } else {
            "TABLE"
        };
        let columns = vec![
            (first, Cells::text(sources.iter().map(|s| s.name.as_str()))),
            ("TOPIC", Cells::text(sources.iter().map(|s| s.topic.as_str()))),
            ("KEY_FORMAT", Cells::text(sources.iter().map(key_format))),
            ("VALUE_FORMAT", Cells::text(sources.iter().map(value_format))),
            (
                "WINDOWED",
                Cells::text(sources.iter().map(|s| yes(s.is_windowed()))),
            ),
        ];
        Ok(send(out, "", columns).await?)
    }

    async fn show_topics(&self, out: &Out) -> Result<u64, Stop> {
        let topics = self.backend.streams.topics().await.map_err(of_streams)?;
        let columns = vec![
            ("TOPIC", Cells::text(topics.iter().map(|t| t.name.as_str()))),
            (
                "PARTITIONS",
                Cells::number(topics.iter().map(|t| i64::from(t.partitions))),
            ),
            (
                "REPLICAS",
                Cells::number(topics.iter().map(|t| i64::from(t.replicas))),
            ),
        ];
        Ok(send(out, "", columns).await?)
    }

    async fn show_queries(&self, extended: bool, out: &Out) -> Result<u64, Stop> {
        let reports = if extended {
            self.fresh_reports().await?
        } else {
            self.reports().await?
        };
        let known = self.known().await;
        let row = |id: &str| known.queries.get(id).cloned();
        let rows: Vec<_> = reports.iter().map(|report| (report, row(&report.id))).collect();
        let texts = |text: fn(&crate::rows::QueryRow) -> &str| {
            Cells::text(
                rows.iter()
                    .map(|(_, row)| row.as_ref().map_or("", text).to_owned()),
            )
        };
        let mut columns = vec![
            (
                "QUERY",
                Cells::text(rows.iter().map(|(report, _)| report.id.as_str())),
            ),
            ("STATE", Cells::text(rows.iter().map(|(report, _)| state(report)))),
            ("SINK", texts(|row| &row.sink)),
            ("STATEMENT", texts(|row| &row.text)),
        ];
        if extended {
            columns.insert(
                3,
                ("LAG", Cells::number(rows.iter().map(|(report, _)| lag(report)))),
            );
            columns.insert(
                4,
                (
                    "ROWS_PER_SECOND",
                    Cells::Real(rows.iter().map(|(r, _)| r.rows_per_second).collect()),
                ),
            );
            columns.insert(
                5,
                (
                    "ERRORS",
                    Cells::number(rows.iter().map(|(report, _)| signed(report.errors))),
                ),
            );
        }
        drop(known);
        Ok(send(out, "", columns).await?)
    }

    pub(super) async fn describe(&self, source: &Source, extended: bool, out: &Out) -> Result<(), Stop> {
        let rows = self.describe_all(source, extended, out).await?;
        Ok(out.finish(rows).await?)
    }

    async fn describe_all(&self, source: &Source, extended: bool, out: &Out) -> Result<u64, Stop> {
        let role = |index: usize| match source.kind {
            _ if index >= source.key_count => "",
            SourceKind::Stream => "KEY",
            SourceKind::Table => "PRIMARY KEY",
        };
        let columns = vec![
            (
                "COLUMN",
                Cells::text(source.columns.iter().map(|c| c.name.as_str())),
            ),
            (
                "TYPE",
                Cells::text(source.columns.iter().map(|c| c.sql_type.to_string())),
            ),
            ("ROLE", Cells::text((0..source.columns.len()).map(role))),
        ];
        let mut rows = send(out, &source.name, columns).await?;
        if extended {
            rows += self.describe_extended(source, out).await?;
        }
        Ok(rows)
    }

    async fn describe_extended(&self, source: &Source, out: &Out) -> Result<u64, Stop> {
        let known = self.known().await;
        let text = known
            .sources
            .get(&source.name)
            .map(|row| row.text.clone())
            .unwrap_or_default();
        let by = |used: fn(&millstream_planner::QueryFacts, &str) -> bool| -> Vec<String> {
            known
                .facts
                .values()
                .filter(|facts| used(facts, &source.name))
                .map(|facts| facts.id.clone())
                .collect()
        };
        let readers = by(|facts, name| facts.reads.iter().any(|read| read == name));
        let writers = by(|facts, name| facts.writes == name);
        drop(known);
        let reports: Vec<QueryReport> = self.fresh_reports().await?;
        let tenant_state = reports.iter().map(|report| report.tenant_state_bytes).max();
        let reports: Vec<QueryReport> = reports
            .into_iter()
            .filter(|report| writers.contains(&report.id) || readers.contains(&report.id))
            .collect();
        let misplaced: u64 = reports
            .iter()
            .filter(|report| readers.contains(&report.id))
            .map(|report| report.misplaced_keys)
            .sum();
        let written = reports.iter().filter(|report| writers.contains(&report.id));
        let state: usize = written.map(|report| report.state_bytes).sum();
        let mut facts: Vec<(&str, String)> = vec![
            ("kind", source.kind.to_string()),
            ("topic", source.topic.clone()),
            ("partitions", source.partitions.to_string()),
            ("key format", key_format(source).to_owned()),
            ("value format", value_format(source).to_owned()),
            (
                "timestamp column",
                source
                    .timestamp
                    .as_ref()
                    .map_or_else(String::new, |t| source.columns[t.column].name.clone()),
            ),
            (
                "window size, ms",
                source
                    .window_size_ms
                    .map_or_else(String::new, |size| size.to_string()),
            ),
            ("written by", writers.join(", ")),
            ("read by", readers.join(", ")),
            ("state, bytes", state.to_string()),
            (
                "state of all queries, bytes",
                tenant_state.unwrap_or(0).to_string(),
            ),
            (
                "state allowed, bytes",
                self.settings.shard.state_bytes_max.to_string(),
            ),
            ("statement", text),
        ];
        if misplaced > 0 {
            facts.push(("warning", misplaced_keys(misplaced, &source.topic)));
        }
        let columns = vec![
            ("FACT", Cells::text(facts.iter().map(|(name, _)| *name))),
            ("VALUE", Cells::text(facts.iter().map(|(_, value)| value.clone()))),
        ];
        let mut rows = send(out, "facts", columns).await?;
        rows += send_queries(out, &reports).await?;
        rows += send_offsets(out, &reports).await?;
        if reports.iter().any(|report| !report.recent.is_empty()) {
            rows += send_log(out, &reports).await?;
        }
        Ok(rows)
    }

    pub(super) async fn describe_function(&self, name: &str, out: &Out) -> Result<(), Stop> {
        let scalar = functions().find(|facts| facts.name == name);
        let (usage, description): (Vec<String>, &str) = match &scalar {
            Some(facts) => (
                facts
                    .usage
                    .iter()
                    .map(|usage| format!("{name}({usage})"))
                    .collect(),
                facts.description,
            ),
            None => {
                let found = aggregate_functions().find(|(known, _)| *known == name);
                (
                    vec![name.to_owned()],
                    found.map_or("", |(_, description)| description),
                )
            }
        };
        let columns = vec![
            ("USAGE", Cells::text(usage.iter().map(String::as_str))),
            ("DESCRIPTION", Cells::text(usage.iter().map(|_| description))),
        ];
        let rows = send(out, name, columns).await?;
        Ok(out.finish(rows).await?)
    }
}

/// What is wrong with keys that another hash has placed, and what to do.
fn misplaced_keys(count: u64, topic: &str) -> String {
    format!(
        "{count} records of topic {topic} lie in another partition than murmur2 gives their key: rows of one key may be apart, and a table may have them twice. Producers on librdkafka (kcat, Python, Go, C#) need partitioner=murmur2_random; write the topic anew with it"
    )
}

async fn send_queries(out: &Out, reports: &[QueryReport]) -> Result<u64, Stop> {
    let last = |report: &QueryReport| report.recent.last().map(|error| error.message.to_string());
    let columns = vec![
        ("QUERY", Cells::text(reports.iter().map(|r| r.id.as_str()))),
        ("STATE", Cells::text(reports.iter().map(state))),
        (
            "ROWS_READ",
            Cells::number(reports.iter().map(|r| signed(r.rows_in))),
        ),
        (
            "ROWS_WRITTEN",
            Cells::number(reports.iter().map(|r| signed(r.rows_out))),
        ),
        (
            "ROWS_PER_SECOND",
            Cells::Real(reports.iter().map(|r| r.rows_per_second).collect()),
        ),
        (
            "LATE_ROWS",
            Cells::number(reports.iter().map(|r| signed(r.late_rows))),
        ),
        ("ERRORS", Cells::number(reports.iter().map(|r| signed(r.errors)))),
        (
            "MISPLACED_KEYS",
            Cells::number(reports.iter().map(|r| signed(r.misplaced_keys))),
        ),
        (
            "STATE_BYTES",
            Cells::number(
                reports
                    .iter()
                    .map(|r| i64::try_from(r.state_bytes).unwrap_or(i64::MAX)),
            ),
        ),
        ("LAST_ERROR", Cells::Text(reports.iter().map(last).collect())),
    ];
    Ok(send(out, "queries", columns).await?)
}

async fn send_offsets(out: &Out, reports: &[QueryReport]) -> Result<u64, Stop> {
    let all: Vec<_> = reports
        .iter()
        .flat_map(|r| r.partitions.iter().map(move |p| (r, p)))
        .collect();
    let columns = vec![
        ("QUERY", Cells::text(all.iter().map(|(r, _)| r.id.as_str()))),
        ("TOPIC", Cells::text(all.iter().map(|(r, _)| r.topic.as_str()))),
        (
            "PARTITION",
            Cells::number(all.iter().map(|(_, p)| i64::from(p.partition.0))),
        ),
        ("COMMITTED", Cells::number(all.iter().map(|(_, p)| p.committed.0))),
        ("END", Cells::number(all.iter().map(|(_, p)| p.end.0))),
        ("LAG", Cells::number(all.iter().map(|(_, p)| p.lag()))),
    ];
    Ok(send(out, "offsets", columns).await?)
}

/// The latest errors of each query, the last one last.
async fn send_log(out: &Out, reports: &[QueryReport]) -> Result<u64, Stop> {
    let all: Vec<_> = reports
        .iter()
        .flat_map(|r| r.recent.iter().map(move |error| (r, error)))
        .collect();
    let columns = vec![
        ("QUERY", Cells::text(all.iter().map(|(r, _)| r.id.as_str()))),
        ("ROW_TIME", Cells::number(all.iter().map(|(_, error)| error.at.0))),
        (
            "ERROR",
            Cells::text(all.iter().map(|(_, error)| error.message.as_ref())),
        ),
    ];
    Ok(send(out, "processing log", columns).await?)
}

fn state(report: &QueryReport) -> String {
    match &report.state {
        QueryState::Running => "RUNNING".to_owned(),
        QueryState::Parked { reason, retry_in } => {
            let next = match retry_in {
                None if report.waits_for_room => "tried again when there is room".to_owned(),
                Some(wait) => format!("tried again in {} s", wait.as_secs_f64().ceil()),
                None => "not tried again before the service starts anew".to_owned(),
            };
            format!("PARKED: {reason} ({next})")
        }
    }
}

fn lag(report: &QueryReport) -> i64 {
    report
        .partitions
        .iter()
        .map(millstream_runtime::PartitionReport::lag)
        .sum()
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn key_format(source: &Source) -> &'static str {
    match source.key_format {
        KeyFormat::None => "NONE",
        KeyFormat::Kafka => "KAFKA",
        KeyFormat::Json => "JSON",
    }
}

fn value_format(source: &Source) -> &'static str {
    match source.value_format {
        ValueFormat::Json => "JSON",
    }
}
