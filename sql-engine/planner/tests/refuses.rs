//! Well-formed statements that mean nothing: where, and what the error says.
#![allow(clippy::unwrap_used)]

mod catalog;

use catalog::{metastore, try_plan};
use millstream_parser::SqlErrorKind;

/// Text, column (all on line 1), message.
const CASES: &[(&str, u32, &str)] = &[
    (
        "SELECT * FROM flihgts;",
        15,
        "unknown stream or table FLIHGTS (did you mean FLIGHTS?)",
    ),
    (
        "SELECT carier FROM flights;",
        8,
        "unknown column CARIER (did you mean CARRIER?)",
    ),
    (
        "SELECT `carrier` FROM flights;",
        8,
        "unknown column `carrier` (did you mean CARRIER?)",
    ),
    (
        "SELECT x.carrier FROM flights f;",
        8,
        "unknown source X; this query reads F",
    ),
    (
        "SELECT x.* FROM flights;",
        8,
        "unknown source X; this query reads FLIGHTS",
    ),
    (
        "SELECT carrier, carrier FROM flights;",
        17,
        "the column CARRIER is selected twice; name one with AS",
    ),
    (
        "SELECT windowstart FROM flights;",
        8,
        "WINDOWSTART exists only where rows belong to windows",
    ),
    (
        "SELECT a + d FROM values_of;",
        10,
        "the operator + does not take INTEGER and STRING",
    ),
    (
        "SELECT a || d FROM values_of;",
        10,
        "the operator || does not take INTEGER and STRING",
    ),
    (
        "SELECT e + e FROM values_of;",
        10,
        "the operator + does not take BOOLEAN and BOOLEAN",
    ),
    (
        "SELECT a = d FROM values_of;",
        10,
        "the operator = does not take INTEGER and STRING",
    ),
    (
        "SELECT l = l FROM values_of;",
        10,
        "the operator = does not take ARRAY<INTEGER> and ARRAY<INTEGER>",
    ),
    (
        "SELECT e < e FROM values_of;",
        10,
        "the operator < does not take BOOLEAN",
    ),
    (
        "SELECT a FROM values_of WHERE a;",
        31,
        "WHERE needs a BOOLEAN, A is of type INTEGER",
    ),
    (
        "SELECT a FROM values_of WHERE a AND e;",
        31,
        "AND needs BOOLEANs, A is of type INTEGER",
    ),
    (
        "SELECT NOT a FROM values_of;",
        12,
        "NOT needs a BOOLEAN, A is of type INTEGER",
    ),
    (
        "SELECT -d FROM values_of;",
        9,
        "a sign needs a number, D is of type STRING",
    ),
    (
        "SELECT a LIKE 'x' FROM values_of;",
        8,
        "LIKE needs STRINGs, A is of type INTEGER",
    ),
    (
        "SELECT a IN (1, 'x') FROM values_of;",
        17,
        "the operator IN does not take INTEGER and STRING",
    ),
    (
        "SELECT t > 'yesterday' FROM values_of;",
        12,
        "'yesterday' is no TIMESTAMP",
    ),
    (
        "SELECT CASE WHEN a THEN 1 END FROM values_of;",
        18,
        "WHEN needs a BOOLEAN, A is of type INTEGER",
    ),
    (
        "SELECT CASE WHEN e THEN 1 ELSE 'x' END FROM values_of;",
        32,
        "CASE's results must be of one type, found INTEGER and STRING",
    ),
    (
        "SELECT CAST(e AS INT) FROM values_of;",
        13,
        "cannot cast BOOLEAN to INTEGER",
    ),
    ("SELECT s->z FROM values_of;", 11, "the STRUCT S has no field Z"),
    ("SELECT s->y FROM values_of;", 11, "the STRUCT S has no field Y"),
    (
        "SELECT a->z FROM values_of;",
        8,
        "-> needs a STRUCT, A is of type INTEGER",
    ),
    (
        "SELECT a[1] FROM values_of;",
        8,
        "[] needs an ARRAY or a MAP, A is of type INTEGER",
    ),
    (
        "SELECT l['x'] FROM values_of;",
        10,
        "expected INTEGER, found STRING",
    ),
    (
        "SELECT MAP(1 := a) FROM values_of;",
        12,
        "the keys of a MAP must be of type STRING, not INTEGER",
    ),
    (
        "SELECT ARRAY[] FROM values_of;",
        8,
        "ARRAY's elements have no type: at least one must not be NULL",
    ),
    (
        "SELECT NULL AS x FROM values_of;",
        8,
        "NULL alone has no type; write CAST(NULL AS type)",
    ),
    (
        "SELECT UCASES(d) FROM values_of;",
        8,
        "unknown function UCASES (did you mean UCASE?)",
    ),
    (
        "SELECT UCASE(a) FROM values_of;",
        8,
        "UCASE does not take (INTEGER); it takes ( STRING ) → STRING",
    ),
    ("SELECT ABS(*) FROM values_of;", 8, "ABS(*): only COUNT takes *"),
    (
        "SELECT TRANSFORM(l, x => x) FROM values_of;",
        21,
        "not supported yet: lambda functions",
    ),
    (
        "SELECT COUNT(*) FROM values_of;",
        8,
        "the aggregate function COUNT needs a GROUP BY and EMIT CHANGES",
    ),
    (
        "SELECT a FROM values_of GROUP BY a;",
        25,
        "GROUP BY needs EMIT CHANGES: a query without it reads what is there now",
    ),
    (
        "SELECT a FROM values_of WHERE COUNT(*) > 1 EMIT CHANGES;",
        31,
        "the aggregate function COUNT is not allowed here",
    ),
    (
        "SELECT a, b FROM values_of GROUP BY a EMIT CHANGES;",
        11,
        "the column B must be in GROUP BY or inside an aggregate function such as COUNT",
    ),
    (
        "SELECT a, SUM(d) FROM values_of GROUP BY a EMIT CHANGES;",
        15,
        "SUM does not take STRING",
    ),
    (
        "SELECT a, SUM(COUNT(*)) FROM values_of GROUP BY a EMIT CHANGES;",
        15,
        "the aggregate function COUNT is not allowed here",
    ),
    (
        "SELECT a, MIN(l) FROM values_of GROUP BY a EMIT CHANGES;",
        15,
        "MIN does not take ARRAY<INTEGER>",
    ),
    (
        "SELECT a, MAX(a, b) FROM values_of GROUP BY a EMIT CHANGES;",
        11,
        "MAX takes one argument, found 2",
    ),
    (
        "SELECT a, TOPK(b, 3) FROM values_of GROUP BY a EMIT CHANGES;",
        11,
        "not supported yet: the aggregate function TOPK",
    ),
    (
        "SELECT * FROM values_of GROUP BY a EMIT CHANGES;",
        8,
        "* cannot be selected with GROUP BY; name the columns",
    ),
    (
        "SELECT a FROM values_of HAVING a > 1 EMIT CHANGES;",
        32,
        "HAVING needs a GROUP BY",
    ),
    (
        "SELECT a FROM values_of WINDOW TUMBLING (SIZE 1 HOUR) EMIT CHANGES;",
        25,
        "WINDOW needs a GROUP BY",
    ),
    (
        "SELECT age, MAX(age) FROM people GROUP BY age EMIT CHANGES;",
        13,
        "MAX cannot be computed over a table: it cannot take back a value that a row had before",
    ),
    (
        "SELECT age, COUNT(*) FROM people WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY age EMIT CHANGES;",
        34,
        "WINDOW works on streams only, a table has one row per key",
    ),
    (
        "SELECT * FROM people WHERE id = 1;",
        15,
        "the table PEOPLE is not kept by a query, so it cannot be read without EMIT CHANGES; make one that is: CREATE TABLE … AS SELECT * FROM PEOPLE",
    ),
    (
        "CREATE STREAM flights (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1);",
        15,
        "a stream named FLIGHTS exists already",
    ),
    (
        "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON');",
        43,
        "the topic x does not exist; add PARTITIONS to WITH to make it",
    ),
    (
        "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='JSON', PARTITIONS=2);",
        86,
        "the topic flights exists with 4 partitions, not 2",
    ),
    (
        "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='flights');",
        15,
        "WITH needs VALUE_FORMAT='JSON'",
    ),
    (
        "CREATE STREAM x (a INT) WITH (VALUE_FORMAT='JSON');",
        15,
        "WITH needs KAFKA_TOPIC, the topic to read",
    ),
    (
        "CREATE STREAM x (a INT) WITH (KAFKA_TOPICS='flights');",
        31,
        "unknown property KAFKA_TOPICS (did you mean KAFKA_TOPIC?)",
    ),
    (
        "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='AVRO');",
        67,
        "not supported yet: the value format AVRO (use 'JSON')",
    ),
    (
        "CREATE STREAM x (a INT KEY, b INT KEY, c INT) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='JSON');",
        35,
        "the KAFKA key format holds one column, not 2 (A, B); add KEY_FORMAT='JSON' to WITH",
    ),
    (
        "CREATE STREAM x (a BOOLEAN KEY, c INT) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='JSON');",
        28,
        "the KAFKA key format does not hold BOOLEAN (A); add KEY_FORMAT='JSON' to WITH",
    ),
    (
        "CREATE STREAM x (rowtime BIGINT) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='JSON');",
        18,
        "ROWTIME is a reserved name for a column",
    ),
    (
        "CREATE TABLE x (a INT) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='JSON');",
        14,
        "the table X needs a PRIMARY KEY column",
    ),
    (
        "CREATE STREAM x (a STRING) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='JSON', TIMESTAMP='b');",
        88,
        "unknown column B in TIMESTAMP",
    ),
    (
        "CREATE STREAM x (a STRING) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='JSON', TIMESTAMP='a');",
        88,
        "the STRING column A needs a TIMESTAMP_FORMAT",
    ),
    (
        "CREATE STREAM x (a STRING) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='JSON', TIMESTAMP='a', TIMESTAMP_FORMAT='yyyy-bb');",
        110,
        "unknown date pattern 'bb' in 'yyyy-bb'",
    ),
    (
        "CREATE STREAM x AS SELECT carrier, COUNT(*) n FROM flights GROUP BY carrier;",
        15,
        "the query makes a TABLE, not a STREAM; write CREATE TABLE X AS SELECT …",
    ),
    (
        "CREATE TABLE x AS SELECT carrier, dep_delay FROM flights;",
        14,
        "the query makes a STREAM, not a TABLE; write CREATE STREAM X AS SELECT …",
    ),
    (
        "CREATE TABLE x AS SELECT COUNT(*) n FROM flights GROUP BY carrier;",
        19,
        "the GROUP BY expression CARRIER must be selected too: it is the key of X",
    ),
    (
        "CREATE STREAM x AS SELECT dep_delay FROM flights;",
        20,
        "the key column CARRIER must be selected too: it is the key of X",
    ),
    (
        "CREATE TABLE x AS SELECT carrier FROM flights GROUP BY carrier;",
        19,
        "X would have key columns only; select a value too",
    ),
    (
        "CREATE TABLE x AS SELECT carrier, dep_delay, COUNT(*) n FROM flights GROUP BY carrier, dep_delay;",
        70,
        "the KAFKA key format holds one column, not 2 (CARRIER, DEP_DELAY); add KEY_FORMAT='JSON' to WITH",
    ),
    (
        "CREATE TABLE x AS SELECT carrier, windowstart, COUNT(*) n FROM flights WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY carrier;",
        35,
        "WINDOWSTART is a reserved name; give the column another with AS",
    ),
    (
        "CREATE TABLE x AS SELECT carrier, COUNT(*) n FROM flights WINDOW TUMBLING (SIZE 2 HOURS, RETENTION 1 HOUR) GROUP BY carrier;",
        100,
        "RETENTION must be at least the window's SIZE and its GRACE PERIOD together",
    ),
    (
        "CREATE STREAM x AS SELECT * FROM flights LIMIT 1;",
        48,
        "a query that runs for ever cannot have a LIMIT",
    ),
    (
        "CREATE STREAM x WITH (KAFKA_TOPIC='flights') AS SELECT * FROM flights;",
        35,
        "X cannot be written to the topic it is read from",
    ),
    (
        "CREATE TABLE x AS SELECT * FROM delays;",
        33,
        "not supported yet: persistent queries over a windowed source",
    ),
    (
        "INSERT INTO nowhere VALUES (1);",
        13,
        "unknown stream or table NOWHERE",
    ),
    (
        "INSERT INTO flights (carrier, delay) VALUES ('a', 1);",
        31,
        "unknown column DELAY",
    ),
    (
        "INSERT INTO flights VALUES ('a');",
        29,
        "expected 2 values, found 1",
    ),
    (
        "INSERT INTO flights VALUES ('a', 'b');",
        34,
        "expected INTEGER, found STRING",
    ),
    ("INSERT INTO flights VALUES ('a', 1 / 0);", 34, "division by zero"),
    (
        "INSERT INTO flights VALUES ('a', b);",
        34,
        "no column can be named here, found B",
    ),
    (
        "INSERT INTO people VALUES (NULL, 'x', 1);",
        28,
        "the primary key ID must not be null",
    ),
    (
        "INSERT INTO delays VALUES ('a', 1, 1);",
        13,
        "DELAYS is windowed: rows cannot be inserted",
    ),
    (
        "DROP TABLE flights;",
        12,
        "FLIGHTS is a STREAM; write DROP STREAM FLIGHTS",
    ),
    (
        "DROP STREAM flights;",
        13,
        "FLIGHTS is read by CTAS_DELAYS_1; TERMINATE or DROP what they write first",
    ),
    (
        "TERMINATE CTAS_DELAYS_2;",
        11,
        "unknown query CTAS_DELAYS_2 (did you mean CTAS_DELAYS_1?)",
    ),
    (
        "SET 'auto.offset.rest' = 'earliest';",
        5,
        "unknown property 'auto.offset.rest' (did you mean 'auto.offset.reset'?)",
    ),
    (
        "SET 'auto.offset.reset' = 'first';",
        27,
        "auto.offset.reset must be earliest or latest, not 'first'",
    ),
    (
        "PRINT fligths;",
        7,
        "unknown topic fligths (did you mean flights?)",
    ),
    (
        "DESCRIBE FUNCTION cuont;",
        19,
        "unknown function CUONT (did you mean COUNT?)",
    ),
];

#[test]
fn wrong_statements_say_where_and_what() {
    let metastore = metastore();
    let mut failures = String::new();
    for (text, column, message) in CASES {
        match try_plan(text, &metastore) {
            Ok(plan) => failures.push_str(&format!("accepted: {text}\n  {plan:?}\n")),
            Err(error) => {
                let found = (error.position.line, error.position.column, error.headline());
                if found != (1, *column, (*message).to_owned()) {
                    failures.push_str(&format!(
                        "{text}\n  wanted {:?}\n  found  {found:?}\n",
                        (column, message)
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn nested_ranges_and_cases_do_not_multiply() {
    let metastore = metastore();
    let nested = (0..20).fold("a".to_owned(), |inner, _| {
        format!("CASE WHEN ({inner}) BETWEEN 1 AND 2 THEN 1 ELSE 2 END")
    });
    let error = try_plan(&format!("SELECT {nested} AS x FROM values_of;"), &metastore).unwrap_err();
    assert!(
        error.message.starts_with("the expression is too large"),
        "{error}"
    );
}

#[test]
fn what_is_small_in_the_text_and_large_in_memory_is_refused() {
    let metastore = metastore();
    let rows = |count: usize| {
        format!(
            "INSERT INTO values_of (a) VALUES {};",
            vec!["(1)"; count].join(",")
        )
    };
    assert!(try_plan(&rows(1_000), &metastore).is_ok());
    let keys: Vec<String> = (0..=2_000).map(|n| format!("a + {n}")).collect();
    let grouped = format!(
        "SELECT COUNT(*) FROM values_of GROUP BY {} EMIT CHANGES;",
        keys.join(", ")
    );
    for (text, said) in [(rows(60_000), "60000 rows of "), (grouped, "more than 2000 keys")] {
        let error = try_plan(&text, &metastore).unwrap_err();
        assert_eq!(error.kind, SqlErrorKind::Limit, "{error}");
        assert!(error.message.starts_with(said), "{error}");
    }
}
