//! Statements and their plans.
#![allow(clippy::unwrap_used)]

mod catalog;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use catalog::{metastore, planned};
use datafusion_common::ScalarValue;
use millstream_parser::SqlType;
use millstream_planner::*;
use std::ops::Bound;
use std::sync::Arc;

fn query(text: &str) -> QueryPlan {
    match planned(text) {
        Plan::CreateQuery(plan) => plan.query,
        other => panic!("{other:?}"),
    }
}

/// One word per node, sub-topologies apart.
fn shape(topology: &Topology) -> String {
    let node = |node: &Node| match &node.kind {
        NodeKind::Source(source) => format!("source{}", if source.store.is_some() { "+" } else { "" }),
        NodeKind::RepartitionSource { from } => format!("from{}", from.0),
        NodeKind::Filter { predicate } => format!("filter {}", predicate.text()),
        NodeKind::Project { columns } => {
            format!(
                "project {}",
                columns
                    .iter()
                    .map(|c| format!("{}={}", c.name, c.expr.text()))
                    .collect::<Vec<_>>()
                    .join(",")
            )
        }
        NodeKind::Rekey { keys, .. } => format!("rekey {}", keys[0].expr.text()),
        NodeKind::Aggregate(aggregate) => aggregate
            .aggregates
            .iter()
            .map(|a| format!("{:?}", a.function))
            .collect::<Vec<_>>()
            .join("+"),
        NodeKind::RepartitionSink { partitions } => format!("repartition{partitions}"),
        NodeKind::Sink { sink } => format!("sink {}", sink.name),
        NodeKind::Output => "output".to_owned(),
    };
    let sub = |sub: &SubTopology| sub.nodes.iter().map(node).collect::<Vec<_>>().join(" | ");
    topology
        .sub_topologies
        .iter()
        .map(sub)
        .collect::<Vec<_>>()
        .join(" || ")
}

#[test]
fn the_demo_query_repartitions_only_what_has_no_key() {
    let select = "SELECT carrier, COUNT(*) AS departures, AVG(dep_delay) AS mean_delay FROM FLIGHTS \
        WINDOW TUMBLING (SIZE 1 HOUR, GRACE PERIOD 0 SECONDS) WHERE dep_delay IS NOT NULL GROUP BY carrier;";
    let keyed = query(&format!("CREATE TABLE d AS {select}"));
    assert_eq!(
        shape(&keyed.topology),
        "source | filter (DEP_DELAY IS NOT NULL) | CountRows+Avg | \
         project CARRIER=CARRIER,WINDOWSTART=WINDOWSTART,WINDOWEND=WINDOWEND,DEPARTURES=COUNT(*),MEAN_DELAY=AVG(DEP_DELAY) | sink D"
    );
    let unkeyed = query(&format!(
        "CREATE TABLE d AS {}",
        select.replace("FLIGHTS", "UNKEYED")
    ));
    assert_eq!(
        shape(&unkeyed.topology),
        "source | filter (DEP_DELAY IS NOT NULL) | rekey CARRIER | repartition4 || from0 | CountRows+Avg | \
         project CARRIER=CARRIER,WINDOWSTART=WINDOWSTART,WINDOWEND=WINDOWEND,DEPARTURES=COUNT(*),MEAN_DELAY=AVG(DEP_DELAY) | sink D"
    );
    let sink = &keyed.sink;
    assert_eq!(
        (sink.key_count, sink.window_size_ms, sink.partitions),
        (1, Some(3_600_000), 4)
    );
    let names: Vec<_> = sink
        .columns
        .iter()
        .map(|c| format!("{} {}", c.name, c.sql_type))
        .collect();
    assert_eq!(
        names,
        ["CARRIER STRING", "DEPARTURES BIGINT", "MEAN_DELAY DOUBLE"]
    );
    let NodeKind::Source(source) = &keyed.topology.sub_topologies[0].nodes[0].kind else {
        panic!()
    };
    assert_eq!(source.fields, [SourceField::Key(0), SourceField::Value(0)]);
    let NodeKind::Aggregate(aggregate) = &keyed.topology.sub_topologies[0].nodes[2].kind else {
        panic!()
    };
    let window = TumblingWindow {
        size_ms: 3_600_000,
        grace_ms: 0,
        retention_ms: 86_400_000,
    };
    assert_eq!(aggregate.window, Some(window));
}

#[test]
fn stores_are_named_by_place_and_hashed_by_what_they_hold() {
    let store = |text: &str| query(text).topology.stores().next().unwrap().clone();
    let first = store("CREATE TABLE d AS SELECT carrier, SUM(dep_delay) s FROM FLIGHTS GROUP BY carrier;");
    assert_eq!(
        (first.id.as_str(), first.facts.as_str()),
        ("aggregate-1", "aggregate v1 by (STRING); Sum(INTEGER) INTEGER")
    );
    assert_eq!(first.hash, 0x41cd_4066_daed_2a8f);
    let same = store("CREATE TABLE d AS SELECT carrier c, SUM(dep_delay) FROM FLIGHTS GROUP BY carrier;");
    assert_eq!(first, same);
    let other = store("CREATE TABLE d AS SELECT carrier, AVG(dep_delay) s FROM FLIGHTS GROUP BY carrier;");
    assert_ne!(first.hash, other.hash);
}

#[test]
fn streams_tables_and_keys() {
    let cases = [
        (
            "CREATE STREAM s AS SELECT carrier, dep_delay * 2 AS d FROM FLIGHTS WHERE dep_delay > 0;",
            "source | filter (DEP_DELAY > 0) | project CARRIER=CARRIER,D=(DEP_DELAY * 2) | sink S",
        ),
        (
            "CREATE STREAM s AS SELECT * FROM UNKEYED;",
            "source | project CARRIER=CARRIER,DEP_DELAY=DEP_DELAY | sink S",
        ),
        (
            "CREATE STREAM s AS SELECT dep_delay k, carrier FROM FLIGHTS PARTITION BY dep_delay;",
            "source | project K=DEP_DELAY,CARRIER=CARRIER | sink S",
        ),
        (
            "CREATE TABLE s AS SELECT id, ucase(name) n FROM PEOPLE WHERE age > 3;",
            "source+ | filter (AGE > 3) | project ID=ID,N=UCASE(NAME) | sink S",
        ),
        (
            "CREATE TABLE s AS SELECT age, COUNT(*) n, SUM(age) + 1 FROM PEOPLE GROUP BY age HAVING COUNT(*) > 1;",
            "source+ | rekey AGE | repartition2 || from0 | CountRows+Sum | filter (COUNT(*) > 1) | \
          project AGE=AGE,N=COUNT(*),KSQL_COL_0=(SUM(AGE) + 1) | sink S",
        ),
        (
            "CREATE TABLE s AS SELECT dep_delay / 10 AS tens, MAX(dep_delay) m FROM FLIGHTS GROUP BY dep_delay / 10;",
            "source | rekey (DEP_DELAY / 10) | repartition4 || from0 | Max | project TENS=(DEP_DELAY / 10),M=MAX(DEP_DELAY) | sink S",
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(shape(&query(text).topology), wanted, "{text}");
    }
    let json = query(
        "CREATE TABLE s WITH (KEY_FORMAT='JSON') AS SELECT carrier, dep_delay, COUNT(*) n FROM FLIGHTS GROUP BY carrier, dep_delay;",
    );
    assert_eq!((json.sink.key_count, json.sink.key_format), (2, KeyFormat::Json));
    assert_eq!(json.id_prefix, "CTAS_S");
}

#[test]
fn pull_queries_find_keys_and_windows() {
    let pull = |text: &str| match planned(text) {
        Plan::Pull(plan) => *plan,
        other => panic!("{other:?}"),
    };
    let text = |s: &str| vec![ScalarValue::Utf8(Some(s.to_owned()))];
    let plan = pull("SELECT * FROM delays WHERE carrier = 'UA';");
    assert_eq!(plan.access, PullAccess::Keys(vec![text("UA")]));
    assert_eq!(plan.windows, WindowBounds::ALL);
    let names: Vec<_> = plan.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        names,
        ["CARRIER", "WINDOWSTART", "WINDOWEND", "DEPARTURES", "MEAN_DELAY"]
    );
    let plan = pull(
        "SELECT departures FROM delays WHERE carrier IN ('UA', 'AA', 'UA') AND departures > 3 \
         AND windowstart >= '2013-01-01' AND windowend < 1357048800000 LIMIT 7;",
    );
    assert_eq!(plan.access, PullAccess::Keys(vec![text("UA"), text("AA")]));
    assert_eq!(
        plan.windows.start,
        (Bound::Included(1_356_998_400_000), Bound::Unbounded)
    );
    assert_eq!(
        plan.windows.end,
        (Bound::Unbounded, Bound::Included(1_357_048_799_999))
    );
    assert_eq!(plan.limit, Some(7));
    assert_eq!(
        pull("SELECT * FROM delays WHERE carrier = 'UA' OR departures = 1;").access,
        PullAccess::Scan
    );
    assert_eq!(
        pull("SELECT * FROM delays WHERE carrier = NULL;").access,
        PullAccess::Keys(Vec::new())
    );
    assert_eq!(pull("SELECT rowtime, * FROM flights;").access, PullAccess::Scan);
}

#[test]
fn scans_can_be_forbidden() {
    let mut session = SessionProperties::new();
    session.set("ksql.query.pull.table.scan.enabled", "false");
    let planned = |text: &str| {
        let statement = millstream_parser::parse_statement(text).unwrap();
        plan(&statement.node, &metastore(), &session)
    };
    assert!(planned("SELECT * FROM delays WHERE carrier = 'UA';").is_ok());
    let error = planned("SELECT * FROM delays;").unwrap_err();
    assert_eq!(error.position.column, 15);
}

#[test]
fn push_queries_name_what_the_caller_sees() {
    let Plan::Push(push) = planned("SELECT dep_delay d, carrier FROM flights EMIT CHANGES LIMIT 2;") else {
        panic!()
    };
    assert_eq!(
        shape(&push.topology),
        "source | project CARRIER=CARRIER,D=DEP_DELAY,CARRIER=CARRIER | output"
    );
    let output: Vec<_> = push
        .output
        .iter()
        .map(|(at, column)| (*at, column.name.as_str()))
        .collect();
    assert_eq!((output, push.limit), (vec![(1, "D"), (2, "CARRIER")], Some(2)));
    let Plan::Push(push) = planned(
        "SELECT carrier, windowstart, COUNT(*) FROM flights WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY carrier EMIT CHANGES;",
    ) else {
        panic!()
    };
    assert_eq!(push.output.len(), 3);
}

#[test]
fn inserts_are_typed() {
    let Plan::Insert(insert) = planned(
        "INSERT INTO flights (rowtime, dep_delay, carrier) VALUES (5, 1 + 2, 'UA'), (6, NULL, 'AA');",
    ) else {
        panic!()
    };
    assert_eq!(insert.rows[0].rowtime, Some(5));
    let carrier = |s: &str| ScalarValue::Utf8(Some(s.to_owned()));
    assert_eq!(
        insert.rows[0].values,
        [carrier("UA"), ScalarValue::Int32(Some(3))]
    );
    assert_eq!(insert.rows[1].values, [carrier("AA"), ScalarValue::Int32(None)]);
}

#[test]
fn sources_survive_the_catalog() {
    for source in metastore().sources() {
        let text = serde_json::to_string(&**source).unwrap();
        assert_eq!(serde_json::from_str::<Source>(&text).unwrap(), **source);
    }
}

/// Evaluates an expression over A INT, B BIGINT, C DOUBLE, D STRING, E BOOLEAN.
fn evaluated(expression: &str) -> Evaluated {
    let plan = planned(&format!(
        "SELECT A, B, C, D, E, {expression} AS x FROM values_of EMIT CHANGES;"
    ));
    let Plan::Push(push) = plan else { panic!() };
    let Some(NodeKind::Project { columns }) = push.topology.nodes().nth(1).map(|n| n.kind.clone()) else {
        panic!()
    };
    let columns_of: Vec<(&str, ArrayRef)> = vec![
        (
            "A",
            Arc::new(Int32Array::from(vec![Some(1), Some(0), None, Some(i32::MAX)])),
        ),
        (
            "B",
            Arc::new(Int64Array::from(vec![Some(10), Some(-7), Some(0), None])),
        ),
        (
            "C",
            Arc::new(Float64Array::from(vec![Some(1.5), Some(0.0), None, Some(1e7)])),
        ),
        (
            "D",
            Arc::new(StringArray::from(vec![Some("12"), Some("x"), None, Some("7")])),
        ),
        (
            "E",
            Arc::new(BooleanArray::from(vec![
                Some(true),
                Some(false),
                None,
                Some(true),
            ])),
        ),
    ];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns_of.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    columns.last().unwrap().expr.evaluate(&batch)
}

fn shown(expression: &str) -> (String, Vec<usize>) {
    let evaluated = evaluated(expression);
    let text = (0..4).map(|row| {
        ScalarValue::try_from_array(&evaluated.values, row)
            .unwrap()
            .to_string()
    });
    (
        text.collect::<Vec<_>>().join(" "),
        evaluated.errors.iter().map(|error| error.at).collect(),
    )
}

#[test]
fn rows_that_fail_are_null_and_told() {
    let cases: &[(&str, &str, &[usize])] = &[
        ("A + 1", "2 1 NULL NULL", &[3]),
        ("A + B", "11 -7 NULL NULL", &[]),
        ("B / A", "10 NULL NULL NULL", &[1]),
        ("B / 2", "5 -3 0 NULL", &[]),
        ("B % 2", "0 -1 0 NULL", &[]),
        ("C / 0", "inf NaN NULL inf", &[]),
        ("1 / 0", "NULL NULL NULL NULL", &[0, 1, 2, 3]),
        ("CAST(D AS INT)", "12 NULL NULL 7", &[1]),
        ("COALESCE(CAST(D AS INT), 0)", "12 0 0 7", &[1]),
        ("CASE WHEN A = 0 THEN -1 ELSE B / A END", "10 -1 NULL NULL", &[]),
        (
            "CASE WHEN E THEN CAST(D AS INT) ELSE A / 0 END",
            "12 NULL NULL 7",
            &[1],
        ),
        (
            "CASE A WHEN 1 THEN 'one' WHEN 0 THEN 'zero' END",
            "one zero NULL NULL",
            &[],
        ),
        ("A = 1 OR 1 / A > 0", "true NULL NULL false", &[1]),
        ("A IN (0, 1, 5)", "true true NULL false", &[]),
        ("A NOT IN (0, NULL)", "NULL false NULL NULL", &[]),
        ("A BETWEEN 0 AND B", "true false NULL NULL", &[]),
        ("D LIKE '1_'", "true false NULL false", &[]),
        ("D LIKE '1!_' ESCAPE '!'", "false false NULL false", &[]),
        ("D IS NULL", "false false true false", &[]),
        ("D IS DISTINCT FROM 'x'", "true false true true", &[]),
        ("NOT E", "false true NULL false", &[]),
        ("-A", "-1 0 NULL -2147483647", &[]),
        ("A + 0.5", "1.5 0.5 NULL 2147483647.5", &[]),
        ("CAST(C AS STRING)", "1.5 0.0 NULL 1.0E7", &[]),
        ("D || '!' || UCASE(D)", "12!12 x!X NULL 7!7", &[]),
        ("CONCAT(D, NULL, 'z')", "12z xz z 7z", &[]),
        ("ARRAY[A, 5][2]", "5 5 5 5", &[]),
        ("ARRAY[A, 5][-2]", "1 0 NULL 2147483647", &[]),
        ("MAP('k' := A)['k']", "1 0 NULL 2147483647", &[]),
        ("STRUCT(x := A, y := D)->Y", "12 x NULL 7", &[]),
        ("ARRAY_LENGTH(SPLIT(D, ''))", "2 1 NULL 1", &[]),
        ("GREATEST(A, B, 3)", "10 3 3 2147483647", &[]),
        ("ROUND(C)", "2 0 NULL 10000000", &[]),
        ("REPEAT(D, 900000000)", "NULL NULL NULL NULL", &[0, 1, 3]),
        (
            "TIMESTAMPTOSTRING(B, 'yyyy-MM-dd HH:mm:ss.SSS')",
            "1970-01-01 00:00:00.010 1969-12-31 23:59:59.993 1970-01-01 00:00:00.000 NULL",
            &[],
        ),
    ];
    let mut failures = String::new();
    for (expression, values, rows) in cases {
        let found = shown(expression);
        if found != ((*values).to_owned(), rows.to_vec()) {
            failures.push_str(&format!(
                "{expression}\n  wanted {:?}\n  found  {found:?}\n",
                (values, rows)
            ));
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert_eq!(evaluated("B / A").errors[0].message, "division by zero");
}

#[test]
fn types_follow_ksqldbs_rules() {
    let cases = [
        ("A + A", SqlType::Int),
        ("A + B", SqlType::BigInt),
        ("A + C", SqlType::Double),
        (
            "A + 1.50",
            SqlType::Decimal {
                precision: 13,
                scale: 2,
            },
        ),
        ("ABS(A)", SqlType::Int),
        (
            "1.5 * 1.5",
            SqlType::Decimal {
                precision: 5,
                scale: 2,
            },
        ),
        ("LEN(D)", SqlType::Int),
        ("COALESCE(A, B)", SqlType::BigInt),
        ("A = B", SqlType::Boolean),
    ];
    for (expression, wanted) in cases {
        let Plan::Push(push) = planned(&format!("SELECT {expression} AS x FROM values_of EMIT CHANGES;"))
        else {
            panic!()
        };
        assert_eq!(push.output[0].1.sql_type, wanted, "{expression}");
    }
}
