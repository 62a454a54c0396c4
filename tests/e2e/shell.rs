//! The SQL shell at a terminal: statements over lines, tables that fit, history, and Ctrl-C, which ends a query.

use crate::harness::terminal::{CTRL_C, CTRL_D, Step, UP, run};
use crate::harness::{Server, Start, Work};

const CREATE: &str = "CREATE STREAM s (who STRING KEY, amount INT, note STRING) WITH (\r\
    KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON',\r\
    PARTITIONS = 1);\r";

#[test]
fn the_shell_reads_over_lines_and_ctrl_c_ends_a_query_only() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let home = work.path("home");
    std::fs::create_dir(&home).unwrap();
    let cli = server.cli();
    cli.ok(&["topic", "create", "s"], "");
    cli.ok(
        &["produce", "s", "--key-separator", "|"],
        "日本|{\"amount\": 41, \"note\": \"a\\u0007b\"}\n",
    );
    let steps = [
        Step::Expect("sql> "),
        Step::Send(CREATE),
        Step::Expect("Stream S created"),
        // Typed ahead: nothing of it is lost while statements run.
        Step::Send(
            "SET 'auto.offset.reset' = 'earliest';\rINSERT INTO s (who, amount) VALUES ('ann', 1);\rSELECT amount + 1, who, note FROM s EMIT CHANGES;\r",
        ),
        Step::Expect("1 row inserted"),
        Step::Expect(r"42 +\| 日本 +\| a\\u\{7\}b"),
        Step::Send(CTRL_C),
        Step::Expect("Query ended"),
        Step::Expect("sql> "),
        Step::Send("SELECT nonsense"),
        Step::Send(CTRL_C),
        Step::Expect("sql> "),
        Step::Send("SELEC;\r"),
        Step::Expect("line 1, column 1"),
        Step::Send("SHOW\rSTREAMS;\r"),
        Step::Expect("│ STREAM"),
        Step::Expect("sql> "),
        Step::Send(CTRL_D),
        Step::End,
    ];
    let Some((shown, status)) = run(80, &home, Some(&server), &["sql"], &steps) else {
        return;
    };
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains('\u{7}'), "a record rings no bell");
    // The next shell remembers.
    let steps = [
        Step::Expect("sql> "),
        Step::Send(UP),
        Step::Expect("SHOW\r?\n *STREAMS;"),
        Step::Send(CTRL_C),
        // Ctrl-C forgets what was typed ahead.
        Step::Expect("sql> "),
        Step::Send("exit\r"),
        Step::End,
    ];
    let (shown, status) = run(80, &home, Some(&server), &["sql"], &steps).unwrap();
    assert_eq!(status, 0, "{shown}");
}

/// `help` says what there is, and Tab completes what is known by then, names included.
#[test]
fn the_shell_helps_and_completes() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let home = work.path("home");
    std::fs::create_dir(&home).unwrap();
    let steps = [
        Step::Expect("sql> "),
        Step::Send("help\r"),
        Step::Expect("INSERT INTO name"),
        Step::Expect("sql> "),
        Step::Send(
            "CREATE STREAM purchases (v INT) WITH (KAFKA_TOPIC='p', VALUE_FORMAT='JSON', PARTITIONS=1);\r",
        ),
        Step::Expect("Stream PURCHASES created"),
        Step::Expect("sql> "),
        Step::Send("DESCR\t purch\t;\r"),
        Step::Expect("DESCRIBE"),
        Step::Expect("purchases"),
        Step::Expect("sql> "),
        Step::Send(CTRL_D),
        Step::End,
    ];
    let Some((shown, status)) = run(100, &home, Some(&server), &["sql"], &steps) else {
        return;
    };
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("│ V"), "{shown}");
}

#[test]
fn tables_fit_the_terminal() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    let create: String = (0..9).map(|it| format!(", column_{it} STRING")).collect();
    let names: String = (0..9).map(|it| format!(", column_{it}")).collect();
    let values: String = (0..9).map(|it| format!(", 'a long value {it} 日本語'")).collect();
    let text = format!(
        "SET 'auto.offset.reset' = 'earliest';
         CREATE STREAM w (k STRING KEY{create}) WITH (KAFKA_TOPIC = 'w', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
         INSERT INTO w (k{names}) VALUES ('k'{values});"
    );
    cli.ok(&["sql"], &text);
    let widest = |text: &str| {
        let lines = text.lines().map(|line| line.trim_end());
        lines.map(display_width).max().unwrap_or(0)
    };
    for columns in [40, 60, 132] {
        for (statement, seen) in [
            ("SELECT * FROM w;", "a long"),
            ("SELECT * FROM w EMIT CHANGES LIMIT 1;", "a long"),
            ("DESCRIBE w EXTENDED;", "COLUMN_8"),
            ("SHOW TOPICS;", "TOPIC"),
        ] {
            let args = ["sql", "--set", "auto.offset.reset=earliest", "-e", statement];
            let Some((shown, status)) = run(columns, &work.path("."), Some(&server), &args, &[Step::End])
            else {
                return;
            };
            assert_eq!(status, 0, "{shown}");
            assert!(shown.contains(seen), "{columns}: {statement}\n{shown}");
            assert!(widest(&shown) <= columns, "{columns}: {statement}\n{shown}");
        }
    }
}

/// Columns that a line takes; the letters used here are one wide, Chinese ones two.
fn display_width(line: &str) -> usize {
    let wide = |c: char| ('\u{2e80}'..='\u{9fff}').contains(&c);
    line.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}
