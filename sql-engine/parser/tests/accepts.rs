//! Texts that are right: their trees.
#![allow(clippy::unwrap_used)]

use millstream_parser::*;

fn one(text: &str) -> Statement {
    parse_statement(text)
        .unwrap_or_else(|error| panic!("{text}\n{error}"))
        .node
}

fn query(text: &str) -> Query {
    match one(text) {
        Statement::Select(query) => query,
        other => panic!("{other:?}"),
    }
}

/// An expression with all its parentheses.
fn shape(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Literal(Literal::Int(n)) => n.to_string(),
        ExprKind::Literal(other) => format!("{other:?}"),
        ExprKind::Column { qualifier, name } => qualifier
            .as_ref()
            .map_or(name.to_string(), |q| format!("{q}.{name}")),
        ExprKind::Unary { op, operand } => format!("({op:?} {})", shape(operand)),
        ExprKind::Binary { left, op, right, .. } => format!("({} {op} {})", shape(left), shape(right)),
        ExprKind::Field { base, field } => format!("{}->{field}", shape(base)),
        ExprKind::Index { base, index } => format!("{}[{}]", shape(base), shape(index)),
        ExprKind::Function {
            name,
            arguments,
            star,
        } => {
            let inside = if *star {
                "*".to_owned()
            } else {
                arguments.iter().map(shape).collect::<Vec<_>>().join(", ")
            };
            format!("{name}({inside})")
        }
        ExprKind::Between {
            operand,
            negated,
            low,
            high,
        } => {
            format!(
                "({} between{negated} {} {})",
                shape(operand),
                shape(low),
                shape(high)
            )
        }
        ExprKind::Cast { operand, sql_type } => format!("({} as {sql_type})", shape(operand)),
        ExprKind::Lambda { parameters, body } => format!("({} => {})", parameters.len(), shape(body)),
        other => format!("{other:?}"),
    }
}

#[test]
fn operators_bind_as_in_ksqldb() {
    let cases = [
        ("a or b and not c = 1", "(A OR (B AND (Not (C = 1))))"),
        ("s->a = 1", "(S->A = 1)"),
        ("-s->a * 2", "((Negate S->A) * 2)"),
        ("a->b[1]->c + 1", "(A->B[1]->C + 1)"),
        ("1 + 2 * 3 - 4", "((1 + (2 * 3)) - 4)"),
        ("a || b = c || d", "((A || B) = (C || D))"),
        ("x.a + `y`", "(X.A + `y`)"),
        ("-5 - -6", "(-5 - -6)"),
        (
            "a between 1 + 1 and 3 and b",
            "((A betweenfalse (1 + 1) 3) AND B)",
        ),
        ("not a between 1 and 2", "(Not (A betweenfalse 1 2))"),
        ("a not between 1 and 2 or b", "((A betweentrue 1 2) OR B)"),
        (
            "cast(a as array<map<string, int>>)",
            "(A as ARRAY<MAP<STRING, INTEGER>>)",
        ),
        ("transform(a, (k, v) => k + v)", "TRANSFORM(A, (2 => (K + V)))"),
        ("count(*) / count(x)", "(COUNT(*) / COUNT(X))"),
        ("a is distinct from b", "(A IS DISTINCT FROM B)"),
        ("((a)) % (2)", "(A % 2)"),
        ("timestamp > date", "(TIMESTAMP > DATE)"),
        ("3000000000", "BigInt(3000000000)"),
        ("0.50", "Decimal { unscaled: 50, precision: 2, scale: 2 }"),
        ("1e3", "Double(1000.0)"),
        ("'it''s'", "String(\"it's\")"),
    ];
    for (text, wanted) in cases {
        let query = query(&format!("SELECT {text} FROM t;"));
        let SelectItem::Expr { expr, .. } = &query.items[0] else {
            panic!("{text}")
        };
        assert_eq!(shape(expr), wanted, "{text}");
        assert_eq!(expr.span.start, Position { line: 1, column: 8 }, "{text}");
    }
}

#[test]
fn a_long_chain_of_ors_is_shallow() {
    let text = format!("SELECT a FROM t WHERE {} a = 0;", "a = 1 OR ".repeat(5_000));
    let filter = query(&text).filter.unwrap();
    assert!(filter.height < 20);
    assert!(shape(&filter).matches(" OR ").count() == 5_000);
}

#[test]
fn the_demo_query() {
    let text = "CREATE TABLE IF NOT EXISTS delays WITH (KAFKA_TOPIC='delays', PARTITIONS=4) AS -- by hour\n\
        SELECT carrier, COUNT(*) AS departures, AVG(dep_delay) mean_delay /* minutes */ FROM flights f\n\
        WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 7 DAYS, GRACE PERIOD 0 SECONDS)\n\
        WHERE dep_delay IS NOT NULL GROUP BY carrier HAVING COUNT(*) > 1 EMIT CHANGES;";
    let Statement::CreateAs {
        kind,
        name,
        if_taken,
        properties,
        query,
    } = one(text)
    else {
        panic!()
    };
    assert_eq!(
        (kind, name.name.as_str(), if_taken),
        (SourceKind::Table, "DELAYS", IfTaken::Skip)
    );
    assert_eq!(properties[1].value.node, Literal::Int(4));
    let window = query.window.unwrap();
    assert_eq!(window.size.node.as_secs(), 3600);
    assert_eq!(window.retention.unwrap().node.as_secs(), 7 * 86_400);
    assert!(window.grace.unwrap().node.is_zero());
    assert_eq!(query.items.len(), 3);
    assert_eq!(query.from.alias.unwrap().name, "F");
    assert!(query.emit.is_some() && query.having.is_some() && query.group_by.len() == 1);
    let Statement::Select(push) = one("select * from a emit changes limit 3") else {
        panic!()
    };
    assert_eq!(push.limit.unwrap().node, 3);
}

#[test]
fn sources_and_types() {
    let text = "CREATE OR REPLACE STREAM s (id STRING KEY, `low` BIGINT, a ARRAY<ARRAY<DECIMAL(10, 2)>>, \
        st STRUCT<x INT, y MAP<VARCHAR, DOUBLE>>, t TIME, d DATE, ts TIMESTAMP, b BYTES, o BOOLEAN) \
        WITH (KAFKA_TOPIC='t', value_format='JSON', TIMESTAMP='ts');";
    let Statement::CreateSource {
        columns,
        if_taken,
        properties,
        ..
    } = one(text)
    else {
        panic!()
    };
    assert_eq!(if_taken, IfTaken::Replace);
    assert_eq!(columns[0].role, ColumnRole::Key);
    assert_eq!(columns[1].name.name, "low");
    assert_eq!(columns[2].sql_type.to_string(), "ARRAY<ARRAY<DECIMAL(10, 2)>>");
    assert_eq!(properties[1].name.name, "VALUE_FORMAT");
    for column in &columns {
        assert_eq!(parse_type(&column.sql_type.to_string()).unwrap(), column.sql_type);
    }
}

#[test]
fn the_other_statements() {
    let names = |text: &str| format!("{:?}", one(text));
    assert!(names("insert into s (a, b) values (1, 'x'), (2, 'y')").contains("InsertValues"));
    let Statement::Print {
        topic,
        from_beginning,
        interval,
        limit,
    } = one("PRINT my-topic.v1 FROM BEGINNING INTERVAL 2 LIMIT 3;")
    else {
        panic!()
    };
    assert_eq!(
        (topic.node.as_str(), from_beginning, interval, limit),
        ("my-topic.v1", true, Some(2), Some(3))
    );
    assert!(matches!(
        one("SET 'auto.offset.reset' = 'earliest';"),
        Statement::Set { .. }
    ));
    assert!(matches!(
        one("UNSET 'auto.offset.reset';"),
        Statement::Unset { .. }
    ));
    assert!(matches!(
        one("LIST QUERIES EXTENDED;"),
        Statement::Show {
            what: Shown::Queries,
            extended: true
        }
    ));
    assert!(matches!(
        one("SHOW ALL TOPICS;"),
        Statement::Show {
            what: Shown::Topics,
            ..
        }
    ));
    assert!(matches!(
        one("DESCRIBE s EXTENDED;"),
        Statement::Describe { extended: true, .. }
    ));
    assert!(matches!(
        one("DESCRIBE FUNCTION abs;"),
        Statement::DescribeFunction { .. }
    ));
    assert!(matches!(
        one("EXPLAIN CTAS_X_1;"),
        Statement::Explain(Explained::Query(_))
    ));
    assert!(matches!(
        one("EXPLAIN SELECT a FROM b;"),
        Statement::Explain(Explained::Statement(_))
    ));
    assert!(matches!(
        one("DROP TABLE IF EXISTS t DELETE TOPIC;"),
        Statement::Drop {
            kind: SourceKind::Table,
            if_exists: true,
            delete_topic: true,
            ..
        }
    ));
    assert!(matches!(
        one("TERMINATE ALL;"),
        Statement::Terminate(Terminated::All)
    ));
    assert!(matches!(
        one("TERMINATE CTAS_X_1;"),
        Statement::Terminate(Terminated::Query(_))
    ));
}

#[test]
fn scripts_spans_and_completeness() {
    let text = "SHOW STREAMS;;\n  SHOW TABLES ; -- done\n";
    let script = parse_script(text).unwrap();
    assert_eq!(script.len(), 2);
    assert_eq!(script[1].span.slice(text), "SHOW TABLES");
    assert_eq!(script[1].span.start, Position { line: 2, column: 3 });
    assert!(parse_script("-- nothing\n").unwrap().is_empty());
    let whole = ["SHOW STREAMS;", "a; -- b", "a; /* b */ ", "';' ;", "a 'it''s';"];
    let open = [
        "SHOW STREAMS",
        "",
        "-- a;",
        "'a;",
        "a ';'",
        "/* ; */",
        "a; b",
        "a; /* b",
        "`a;",
        "\"a;",
    ];
    whole.iter().for_each(|text| assert!(is_complete(text), "{text}"));
    open.iter().for_each(|text| assert!(!is_complete(text), "{text}"));
}
