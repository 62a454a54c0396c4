//! The catalog that the tests plan against.
#![allow(clippy::unwrap_used, dead_code)]

use millstream_parser::{SqlError, parse_statement};
use millstream_planner::{Metastore, Plan, QueryFacts, SessionProperties, plan};

const STATEMENTS: &[&str] = &[
    "CREATE STREAM flights (carrier STRING KEY, dep_delay INT) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='JSON', PARTITIONS=4);",
    "CREATE STREAM unkeyed (carrier STRING, dep_delay INT) WITH (KAFKA_TOPIC='unkeyed', VALUE_FORMAT='JSON', PARTITIONS=4);",
    "CREATE TABLE people (id BIGINT PRIMARY KEY, name STRING, age INT) WITH (KAFKA_TOPIC='people', VALUE_FORMAT='JSON', PARTITIONS=2);",
    "CREATE STREAM values_of (a INT, b BIGINT, c DOUBLE, d STRING, e BOOLEAN, m MAP<STRING, INT>, l ARRAY<INT>, s STRUCT<x INT, yy STRING>, t TIMESTAMP) \
     WITH (KAFKA_TOPIC='values', VALUE_FORMAT='JSON', PARTITIONS=1);",
    "CREATE TABLE delays WITH (KAFKA_TOPIC='delays') AS SELECT carrier, COUNT(*) AS departures, AVG(dep_delay) AS mean_delay \
     FROM flights WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY carrier;",
];

pub fn metastore() -> Metastore {
    let mut metastore = Metastore::new();
    for text in STATEMENTS {
        match try_plan(text, &metastore).unwrap() {
            Plan::CreateSource(create) => metastore.put_source(create.source),
            Plan::CreateQuery(create) => {
                let id = format!("{}_1", create.query.id_prefix);
                let reads = vec![create.query.reads.name.clone()];
                metastore.put_query(QueryFacts {
                    id,
                    reads,
                    writes: create.query.sink.name.clone(),
                });
                metastore.put_source((*create.query.sink).clone());
            }
            other => panic!("{other:?}"),
        }
    }
    metastore
}

pub fn try_plan(text: &str, metastore: &Metastore) -> Result<Plan, SqlError> {
    let statement = parse_statement(text)?;
    plan(&statement.node, metastore, &SessionProperties::new()).map_err(|error| error.with_text(text))
}

pub fn planned(text: &str) -> Plan {
    try_plan(text, &metastore()).unwrap_or_else(|error| panic!("{text}\n{error}"))
}
