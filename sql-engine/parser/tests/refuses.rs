//! Texts that are wrong: where, and what the error says.
#![allow(clippy::unwrap_used)]

use millstream_model::limits::SQL_COLUMNS_MAX;
use millstream_parser::{SqlErrorKind, parse_script, parse_type};

/// Text, line, column, and the headline of its error.
const CASES: &[(&str, u32, u32, &str)] = &[
    (
        "SELCT * FROM a;",
        1,
        1,
        "unexpected SELCT (did you mean SELECT?), expected CREATE, INSERT, PRINT, SET, UNSET, SHOW, LIST, DESCRIBE, EXPLAIN, DROP, TERMINATE or SELECT",
    ),
    (
        "SELECT * FORM a;",
        1,
        10,
        "unexpected FORM (did you mean FROM?), expected `,` or FROM",
    ),
    (
        "SELECT FROM a;",
        1,
        8,
        "unexpected FROM, a reserved word (as a name, write `FROM`), expected `*` or an expression",
    ),
    (
        "SELECT a FROM;",
        1,
        14,
        "unexpected `;`, expected a stream's or table's name",
    ),
    (
        "SELECT a,\n  b +\nFROM t;",
        3,
        1,
        "unexpected FROM, a reserved word (as a name, write `FROM`), expected an expression",
    ),
    (
        "SELECT a FROM t WHERE;",
        1,
        22,
        "unexpected `;`, expected an expression",
    ),
    (
        "SELECT a FROM t WHERE a = ;",
        1,
        27,
        "unexpected `;`, expected an expression",
    ),
    ("SELECT (a FROM t;", 1, 11, "unexpected FROM, expected `)`"),
    (
        "SELECT a) FROM t;",
        1,
        9,
        "unexpected `)`, expected AS, `,` or FROM",
    ),
    (
        "SELECT f(a, FROM t;",
        1,
        13,
        "unexpected FROM, a reserved word (as a name, write `FROM`), expected an expression",
    ),
    ("SELECT 'abc FROM t;", 1, 8, "unterminated string literal"),
    (
        "SELECT `abc FROM t;",
        1,
        8,
        "expected close delimiter '`' before EOF.",
    ),
    ("SELECT `` FROM t;", 1, 8, "a name must not be empty"),
    (
        "SELECT 99999999999999999999 FROM t;",
        1,
        8,
        "the number does not fit 64 bits",
    ),
    ("SELECT 1e999 FROM t;", 1, 8, "the number does not fit a DOUBLE"),
    (
        "SELECT 1.0000000000000000000000000000000000000001 FROM t;",
        1,
        8,
        "the number has more than 38 digits",
    ),
    (
        "SELECT CAST(a, INT) FROM t;",
        1,
        14,
        "unexpected `,`, expected AS",
    ),
    (
        "SELECT CAST(a AS) FROM t;",
        1,
        17,
        "unexpected `)`, expected a type",
    ),
    ("SELECT CAST(a AS TEXT) FROM t;", 1, 18, "unknown type TEXT"),
    (
        "SELECT CAST(a AS STRNG) FROM t;",
        1,
        18,
        "unknown type STRNG (did you mean STRING?)",
    ),
    (
        "SELECT CAST(a AS DECIMAL) FROM t;",
        1,
        25,
        "unexpected `)`, expected `(`",
    ),
    (
        "SELECT CAST(a AS DECIMAL(39)) FROM t;",
        1,
        26,
        "a DECIMAL's precision is from 1 to 38, not 39",
    ),
    (
        "SELECT CAST(a AS DECIMAL(4, 5)) FROM t;",
        1,
        29,
        "a DECIMAL's scale is at most its precision (4), not 5",
    ),
    (
        "SELECT CASE a END FROM t;",
        1,
        15,
        "unexpected END, expected WHEN",
    ),
    (
        "SELECT CASE WHEN a THEN 1 FROM t;",
        1,
        27,
        "unexpected FROM, expected WHEN, ELSE or END",
    ),
    (
        "SELECT a FROM t WHERE a BETWEEN 1 OR 2;",
        1,
        35,
        "unexpected OR, expected AND",
    ),
    (
        "SELECT a FROM t WHERE a IN ();",
        1,
        29,
        "unexpected `)`, expected an expression",
    ),
    (
        "SELECT a FROM t WHERE a IN 1;",
        1,
        28,
        "unexpected 1, expected `(`",
    ),
    (
        "SELECT a FROM t WHERE a IS 1;",
        1,
        28,
        "unexpected 1, expected NOT, NULL or DISTINCT",
    ),
    (
        "SELECT a FROM t WHERE a NOT 1;",
        1,
        25,
        "unexpected NOT, expected GROUP, PARTITION, HAVING, EMIT, LIMIT or `;`",
    ),
    (
        "SELECT a FROM t WHERE a LIKE 'x' ESCAPE 'ab';",
        1,
        41,
        "ESCAPE takes exactly one character",
    ),
    ("SELECT a[1 FROM t;", 1, 12, "unexpected FROM, expected `]`"),
    (
        "SELECT a->1 FROM t;",
        1,
        11,
        "unexpected 1, expected a field's name",
    ),
    (
        "SELECT a.b.c FROM t;",
        1,
        11,
        "unexpected `.`, expected AS, `,` or FROM",
    ),
    (
        "SELECT a::INT FROM t;",
        1,
        9,
        "unexpected `::`, expected AS, `,` or FROM",
    ),
    ("SELECT MAP('a' 1) FROM t;", 1, 16, "unexpected 1, expected `:=`"),
    (
        "SELECT STRUCT(a := 1, a := 2) FROM t;",
        1,
        23,
        "the field A is there twice",
    ),
    (
        "SELECT a AS FROM t;",
        1,
        13,
        "unexpected FROM, a reserved word (as a name, write `FROM`), expected a column's name",
    ),
    (
        "SELECT a FROM t LIMIT -1;",
        1,
        23,
        "unexpected `-`, expected a number of rows",
    ),
    (
        "SELECT a FROM t LIMIT 1.5;",
        1,
        23,
        "1.5 is not a whole number that fits 64 bits, expected a number of rows",
    ),
    (
        "SELECT a FROM t EMIT CHANGE;",
        1,
        22,
        "unexpected CHANGE (did you mean CHANGES?), expected CHANGES",
    ),
    ("SELECT a FROM t GROUP a;", 1, 23, "unexpected a, expected BY"),
    (
        "SELECT a FROM t extra words;",
        1,
        23,
        "unexpected words, expected WINDOW, WHERE, GROUP, PARTITION, HAVING, EMIT, LIMIT or `;`",
    ),
    (
        "SELECT a FROM t WINDOW TUMBLING (SIZE 0 HOURS) GROUP BY a;",
        1,
        39,
        "a window's size must be at least one millisecond",
    ),
    (
        "SELECT a FROM t WINDOW TUMBLING (SIZE 1 YEAR) GROUP BY a;",
        1,
        41,
        "unexpected YEAR, expected DAYS, HOURS, MINUTES, SECONDS or MILLISECONDS",
    ),
    (
        "SELECT a FROM t WINDOW TUMBLING (1 HOUR) GROUP BY a;",
        1,
        34,
        "unexpected 1, expected SIZE",
    ),
    (
        "SELECT a FROM t WINDOW TUMBLING (SIZE 99999999999999999 DAYS) GROUP BY a;",
        1,
        39,
        "the duration does not fit 64 bits of milliseconds",
    ),
    (
        "SELECT a FROM t WINDOW TUMBLING (SIZE 1 HOUR, GRACE 1 HOUR) GROUP BY a;",
        1,
        53,
        "unexpected 1, expected PERIOD",
    ),
    (
        "CREATE VIEW v AS SELECT 1;",
        1,
        8,
        "unexpected VIEW, expected OR, STREAM or TABLE",
    ),
    ("CREATE STREAM;", 1, 14, "unexpected `;`, expected IF or a name"),
    (
        "CREATE STREAM s;",
        1,
        16,
        "unexpected `;`, expected `(`, WITH or AS",
    ),
    ("CREATE STREAM s (a INT);", 1, 24, "unexpected `;`, expected WITH"),
    (
        "CREATE STREAM s (a INT, a INT) WITH (x=1);",
        1,
        25,
        "the column A is there twice",
    ),
    (
        "CREATE STREAM s (a INT PRIMARY KEY) WITH (x=1);",
        1,
        24,
        "a stream's column is a KEY, not a PRIMARY KEY: streams may repeat a key",
    ),
    (
        "CREATE TABLE s (a INT KEY) WITH (x=1);",
        1,
        23,
        "a table's key column is a PRIMARY KEY, not a KEY",
    ),
    (
        "CREATE STREAM s (a) WITH (x=1);",
        1,
        19,
        "unexpected `)`, expected a type",
    ),
    (
        "CREATE STREAM s (a INT,) WITH (x=1);",
        1,
        24,
        "unexpected `)`, expected a column's name",
    ),
    (
        "CREATE STREAM s (a ARRAY<INT) WITH (x=1);",
        1,
        29,
        "unexpected `)`, expected `>`",
    ),
    (
        "CREATE STREAM s (a MAP<INT, STRING>) WITH (x=1);",
        1,
        24,
        "the keys of a MAP must be of type STRING, not INTEGER",
    ),
    (
        "SELECT CAST(a AS ARRAY<MAP<BIGINT, STRING>>) FROM t;",
        1,
        28,
        "the keys of a MAP must be of type STRING, not BIGINT",
    ),
    (
        "CREATE STREAM s (a MAP<STRING>) WITH (x=1);",
        1,
        30,
        "unexpected `>`, expected `,`",
    ),
    (
        "CREATE STREAM s (select INT) WITH (x=1);",
        1,
        18,
        "unexpected SELECT, a reserved word (as a name, write `SELECT`), expected a column's name",
    ),
    (
        "CREATE STREAM s (a INT) WITH (x=1, X=2);",
        1,
        36,
        "the property X is there twice",
    ),
    (
        "CREATE STREAM s (a INT) WITH (x 1);",
        1,
        33,
        "unexpected 1, expected `=`",
    ),
    (
        "CREATE STREAM s (a INT) WITH (x=y);",
        1,
        33,
        "unexpected expression, expected a value such as 'text' or 4",
    ),
    ("CREATE STREAM s AS a;", 1, 20, "unexpected a, expected SELECT"),
    (
        "CREATE OR REPLACE STREAM IF NOT EXISTS s AS SELECT a FROM b;",
        1,
        8,
        "OR REPLACE and IF NOT EXISTS exclude each other",
    ),
    ("INSERT s VALUES (1);", 1, 8, "unexpected s, expected INTO"),
    (
        "INSERT INTO s (a, a) VALUES (1, 2);",
        1,
        19,
        "the column A is there twice",
    ),
    (
        "INSERT INTO s VALUES ();",
        1,
        23,
        "unexpected `)`, expected an expression",
    ),
    ("INSERT INTO s VALUES 1;", 1, 22, "unexpected 1, expected `(`"),
    ("PRINT;", 1, 6, "unexpected `;`, expected a topic's name"),
    (
        "PRINT t FROM START;",
        1,
        14,
        "unexpected START, expected BEGINNING",
    ),
    ("PRINT t INTERVAL 0;", 1, 18, "INTERVAL must be at least 1"),
    ("SET 'a' 'b';", 1, 9, "unexpected 'b', expected `=`"),
    (
        "SET auto.offset.reset = 'earliest';",
        1,
        5,
        "unexpected auto, expected a property's name in single quotes",
    ),
    (
        "SHOW STREAM;",
        1,
        6,
        "unexpected STREAM (did you mean STREAMS?), expected STREAMS, TABLES, TOPICS, QUERIES, PROPERTIES or FUNCTIONS",
    ),
    (
        "DESCRIBE;",
        1,
        9,
        "unexpected `;`, expected a stream's or table's name",
    ),
    ("DROP s;", 1, 6, "unexpected s, expected STREAM or TABLE"),
    ("DROP STREAM IF s;", 1, 16, "unexpected s, expected EXISTS"),
    ("DROP STREAM s DELETE;", 1, 21, "unexpected `;`, expected TOPIC"),
    (
        "TERMINATE;",
        1,
        10,
        "unexpected `;`, expected ALL or a query's id",
    ),
    (
        "SHOW TABLES SHOW STREAMS;",
        1,
        13,
        "unexpected SHOW, expected EXTENDED or `;`",
    ),
];

#[test]
fn wrong_texts_say_where_and_what() {
    let mut failures = String::new();
    for (text, line, column, headline) in CASES {
        match parse_script(text) {
            Ok(_) => failures.push_str(&format!("accepted: {text}\n")),
            Err(error) => {
                let found = (error.position.line, error.position.column, error.headline());
                if found != (*line, *column, (*headline).to_owned()) {
                    failures.push_str(&format!(
                        "{text}\n  wanted {:?}\n  found  {found:?}\n",
                        (line, column, headline)
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// Parts of ksqlDB's language that are not there yet: text, column, what.
const NOT_YET: &[(&str, u32, &str)] = &[
    ("SELECT * FROM a JOIN b ON a.x = b.x;", 17, "joins"),
    ("SELECT * FROM a x LEFT JOIN b ON 1 = 1;", 19, "joins"),
    ("SELECT * FROM a, b;", 16, "joins"),
    ("SELECT * FROM (SELECT a FROM b);", 15, "a query inside FROM"),
    ("SELECT * FROM EXPLODE(a);", 15, "table functions in FROM"),
    (
        "SELECT a FROM b WHERE a IN (SELECT c FROM d);",
        29,
        "a query inside an expression",
    ),
    ("SELECT DISTINCT a FROM b;", 8, "SELECT DISTINCT (use GROUP BY)"),
    (
        "SELECT COUNT(DISTINCT a) FROM b GROUP BY c;",
        14,
        "DISTINCT inside a function",
    ),
    ("SELECT a FROM b UNION SELECT a FROM c;", 17, "UNION"),
    ("SELECT a FROM b ORDER BY a;", 17, "ORDER BY"),
    ("SELECT a FROM b EMIT FINAL;", 17, "EMIT FINAL"),
    (
        "SELECT a FROM b WINDOW HOPPING (SIZE 1 HOUR, ADVANCE BY 1 MINUTE) GROUP BY a;",
        24,
        "HOPPING windows",
    ),
    (
        "SELECT a FROM b WINDOW SESSION (1 HOUR) GROUP BY a;",
        24,
        "SESSION windows",
    ),
    ("CREATE SOURCE CONNECTOR c WITH ('a'='b');", 8, "CREATE SOURCE"),
    (
        "CREATE SOURCE TABLE t (a INT PRIMARY KEY) WITH (x=1);",
        8,
        "CREATE SOURCE",
    ),
    ("CREATE TYPE t AS INT;", 8, "CREATE TYPE"),
    (
        "CREATE STREAM s (h BYTES HEADER('k')) WITH (x=1);",
        26,
        "columns of record headers",
    ),
    ("INSERT INTO s SELECT a FROM b;", 15, "INSERT INTO … SELECT"),
    ("ALTER STREAM s ADD COLUMN a INT;", 1, "ALTER statements"),
    ("PAUSE ALL;", 1, "PAUSE statements"),
    ("ASSERT TOPIC t;", 1, "ASSERT statements"),
    ("DEFINE x = 'y';", 1, "DEFINE statements"),
    ("SHOW CONNECTORS;", 6, "SHOW CONNECTORS"),
    ("DROP TYPE t;", 6, "DROP TYPE"),
    ("EXPLAIN ANALYZE SELECT a FROM b;", 9, "EXPLAIN ANALYZE"),
];

#[test]
fn what_is_not_there_yet_is_told_apart_from_nonsense() {
    for (text, column, what) in NOT_YET {
        let error = parse_script(text).unwrap_err();
        assert_eq!(error.kind, SqlErrorKind::Unsupported, "{text}");
        assert_eq!(
            (error.position.line, error.position.column),
            (1, *column),
            "{text}"
        );
        assert_eq!(error.message, format!("not supported yet: {what}"), "{text}");
    }
}

#[test]
fn an_error_shows_its_line_and_a_caret() {
    let error = parse_script("SELECT a,\n\tb FORM t\nWHERE c;").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2, column 9: unexpected t, expected `,` or FROM\n 2 |  b FORM t\n   |         ^"
    );
    let long = format!("SELECT {} FROM t WHERE;", "a + ".repeat(100) + "1");
    let shown = parse_script(&long).unwrap_err().to_string();
    assert!(shown.lines().all(|line| line.chars().count() < 140), "{shown}");
}

#[test]
fn hostile_nesting_and_length_end_in_a_limit() {
    let deep =
        |open: &str, close: &str| format!("SELECT {}1{} FROM t;", open.repeat(5_000), close.repeat(5_000));
    let expressions = [
        deep("(", ")"),
        deep("-", ""),
        deep("NOT ", ""),
        deep("f(", ")"),
        deep("FLOOR(", ""),
        deep("CASE ", ""),
        deep("a OR b AND NOT c = d || e + f * (", ")"),
        deep("ARRAY[", "]"),
        deep("CAST(", " AS INT)"),
        deep("MAP('a' := ", ")"),
        deep("a[", "]"),
        deep("f(x => ", ")"),
        deep("1 + ", ""),
        deep("a->b->", "c"),
    ];
    let chain = format!("SELECT {}1 FROM t;", "1 + ".repeat(10_000));
    let arrows = format!("SELECT a{} FROM t;", "->b".repeat(10_000));
    for text in expressions.iter().chain([&chain, &arrows]) {
        let error = parse_script(text).unwrap_err();
        assert!(
            error.kind == SqlErrorKind::Limit || error.kind == SqlErrorKind::Syntax,
            "{error}"
        );
    }
    let types = "ARRAY<".repeat(5_000) + "INT" + &">".repeat(5_000);
    assert_eq!(parse_type(&types).unwrap_err().kind, SqlErrorKind::Limit);
    assert_eq!(
        parse_script(&"EXPLAIN ".repeat(5_000)).unwrap_err().kind,
        SqlErrorKind::Limit
    );
    assert_eq!(
        parse_script(&" ".repeat(1 << 20)).unwrap_err().kind,
        SqlErrorKind::Limit
    );
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("c{n} INT"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let create = |columns: &str| parse_script(&format!("CREATE STREAM s ({columns}) WITH (a='b');"));
    assert!(create(&many(SQL_COLUMNS_MAX)).is_ok());
    assert!(create(&format!("c STRUCT<{}>", many(SQL_COLUMNS_MAX))).is_ok());
    let wide = [many(15_000), format!("c STRUCT<{}>", many(15_000))];
    for error in wide.map(|columns| create(&columns).unwrap_err()) {
        assert_eq!(error.kind, SqlErrorKind::Limit, "{error}");
        assert!(error.message.starts_with("more than 2000 "), "{error}");
    }
}
