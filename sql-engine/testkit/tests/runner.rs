//! The runner itself: a wrong expectation of any kind is found and told.
#![allow(clippy::unwrap_used)]

use millstream_testkit::{RunFilesError, run_texts};
use std::path::PathBuf;

const SOURCE: &str = "CREATE STREAM s (k STRING KEY, v INT) \
     WITH (kafka_topic='s', value_format='JSON', partitions=1);\n";

fn run(case: &str) -> Vec<String> {
    let text = format!("-- case: probe\n{SOURCE}{case}");
    run_texts(&[(PathBuf::from("probe.txt"), text)], 1)
        .unwrap()
        .failed
}

#[test]
fn what_is_right_passes() {
    let case = "CREATE TABLE t AS SELECT k, SUM(v) AS n FROM s GROUP BY k EMIT CHANGES;\n\
                > s key=\"a\" ts=1 value={\"V\":1}\n\
                > s key=\"a\" ts=2 value={\"V\":2}\n\
                SELECT * FROM t;\n= \"a\" | 3\n\
                < T key=\"a\" ts=1 value={\"N\":1}\n< T key=\"a\" ts=2 value={\"N\":3}\n";
    assert_eq!(run(case), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_told() {
    let create = "CREATE TABLE t AS SELECT k, SUM(v) AS n FROM s GROUP BY k EMIT CHANGES;\n\
                  > s key=\"a\" ts=1 value={\"V\":1}\n> s key=\"a\" ts=2 value={\"V\":2}\n";
    let wrong = [
        ("SELECT * FROM t;\n= \"a\" | 4\n", "expected"),
        ("SELECT * FROM t;\n# 2\n", "expected 2 rows"),
        ("SELECT * FROM t;\n! 1:8 no\n", "succeeded"),
        ("SELECT q FROM t;\n", "it failed"),
        ("SELECT q FROM t;\n! 1:9 Q\n", "expected the error 1:9"),
        ("DESCRIBE t;\n~ nothing of the kind\n", "nothing of the kind"),
        ("< T key=\"a\" ts=2 value={\"N\":4}\n", "records of key a"),
        ("< T key=\"b\" ts=2 value={\"N\":3}\n", "records of key"),
        ("% T errors=1\n", "errors=1"),
    ];
    for (case, told) in wrong {
        let failed = run(&format!("{create}{case}"));
        // A report is not looked at after a restore, where its counts begin again.
        let runs = if case.starts_with('%') { 2 } else { 3 };
        assert_eq!(failed.len(), runs, "{case}: {failed:?}");
        assert!(
            failed.iter().all(|failure| failure.contains(told)),
            "{case}: {failed:?}"
        );
        assert!(failed[0].contains("case 'probe', probe.txt:"), "{failed:?}");
        assert!(failed[0].contains("mode plain, seed "), "{failed:?}");
    }
}

#[test]
fn what_is_not_in_the_format_is_refused() {
    for (text, line) in [
        ("SELECT 1;\n", 1),
        ("-- case: a\n= 1\n", 2),
        ("-- case: a\n> s key=1 when=2 value={}\n", 2),
        ("-- case: a\n> s key=\"a\" ts=x value={}\n", 2),
        ("-- case: a\n\n> s\n", 3),
        ("-- case: a\nSELECT 1;\n! here no\n", 3),
        ("-- case: a\nSELECT 1;\n# many\n", 3),
        ("-- case: a\n% T errors\n", 2),
    ] {
        match run_texts(&[(PathBuf::from("bad.txt"), text.to_owned())], 0) {
            Err(RunFilesError::Format { line: found, .. }) => assert_eq!(found, line, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}
