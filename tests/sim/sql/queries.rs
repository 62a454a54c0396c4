//! The queries that run, and what their tables must hold, by going over the records one by one.

use super::outside::Lying;
use millstream_parser::parse_statement;
use millstream_planner::{Metastore, Plan, SessionProperties, plan};
use millstream_runtime::{QueryOptions, QuerySpec, QueryStart};
use std::collections::BTreeMap;

const SIZE: i64 = 20;
const GRACE: i64 = 10;

/// A windowed count over `s`; a stream made of `s`; a count over that stream.
const STATEMENTS: [&str; 4] = [
    "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);",
    "CREATE TABLE w WITH (KAFKA_TOPIC='w') AS SELECT k, COUNT(*) AS n FROM s \
     WINDOW TUMBLING (SIZE 20 MILLISECONDS, RETENTION 1 DAY, GRACE PERIOD 10 MILLISECONDS) GROUP BY k;",
    "CREATE STREAM t WITH (KAFKA_TOPIC='t') AS SELECT k, v FROM s;",
    "CREATE TABLE c WITH (KAFKA_TOPIC='c') AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM t GROUP BY k;",
];

/// The windowed count's id, and the other's.
pub const WINDOWED: &str = "W";
pub const COUNTED: &str = "C";

/// As they are planned.
pub fn specs() -> Vec<QuerySpec> {
    let mut metastore = Metastore::new();
    let mut specs = Vec::new();
    for text in STATEMENTS {
        let statement = parse_statement(text).unwrap();
        match plan(&statement.node, &metastore, &SessionProperties::new()).unwrap() {
            Plan::CreateSource(create) => metastore.put_source(create.source),
            Plan::CreateQuery(create) => {
                let query = create.query;
                metastore.put_source(query.sink.as_ref().clone());
                specs.push(QuerySpec {
                    id: query.sink.name.clone(),
                    reads: query.reads,
                    topology: query.topology,
                    start: QueryStart::Earliest,
                    push: None,
                    options: QueryOptions::default(),
                });
            }
            other => panic!("{other:?}"),
        }
    }
    specs
}

/// The value of a record of `s`.
pub fn value(v: i64) -> Option<bytes::Bytes> {
    Some(format!("{{\"V\":{v}}}").into())
}

/// The windowed count over these records: key, start of the window, rows.
pub fn windowed(records: &[Lying]) -> BTreeMap<(String, i64), i64> {
    let (mut latest, mut groups) = (i64::MIN, BTreeMap::new());
    for record in records {
        latest = latest.max(record.time);
        let start = record.time - record.time % SIZE;
        if start + SIZE + GRACE > latest {
            *groups.entry((record.key.clone(), start)).or_default() += 1;
        }
    }
    groups
}

/// The count over these records: key, then rows and the sum of their values.
pub fn counted<'a>(records: impl Iterator<Item = &'a Lying>) -> BTreeMap<String, (i64, i64)> {
    let mut groups: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for record in records {
        let value: serde_json::Value =
            serde_json::from_slice(record.value.as_deref().unwrap_or_default()).unwrap();
        let group = groups.entry(record.key.clone()).or_default();
        group.0 += 1;
        group.1 += value["V"].as_i64().unwrap();
    }
    groups
}

/// A table's rows, as they were pulled.
pub fn read_windowed(rows: &[String]) -> BTreeMap<(String, i64), i64> {
    let row = |text: &String| {
        let row: serde_json::Value = serde_json::from_str(text).unwrap();
        let number = |name: &str| row[name].as_i64().unwrap_or_else(|| panic!("{name} of {row}"));
        let key = row["K"].as_str().unwrap_or_else(|| panic!("{row}"));
        ((key.to_owned(), number("WINDOWSTART")), number("N"))
    };
    rows.iter().map(row).collect()
}

/// A table's rows, as they were pulled.
pub fn read_counted(rows: &[String]) -> BTreeMap<String, (i64, i64)> {
    let row = |text: &String| {
        let row: serde_json::Value = serde_json::from_str(text).unwrap();
        let number = |name: &str| row[name].as_i64().unwrap_or_else(|| panic!("{name} of {row}"));
        let key = row["K"].as_str().unwrap_or_else(|| panic!("{row}"));
        (key.to_owned(), (number("N"), number("TOTAL")))
    };
    rows.iter().map(row).collect()
}
