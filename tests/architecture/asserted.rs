//! `docs/asserted.md` says where the laws are asserted: each function that it names exists, and asserts.

use super::{none, root};

/// The cells of the page's table: file and function.
fn rows(page: &str) -> Vec<(&str, &str)> {
    let cells = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").collect();
        let [_, _, file, function] = cells[..] else {
            return None;
        };
        Some((
            file.strip_prefix('`')?.strip_suffix('`')?,
            function
                .trim_end_matches(" |")
                .strip_prefix('`')?
                .strip_suffix('`')?,
        ))
    });
    cells.collect()
}

/// Whether a function of this name has an assertion in it that release builds keep.
fn asserts(code: &str, function: &str) -> bool {
    let head = match function.strip_prefix("const ") {
        Some(name) => format!("const {name}:"),
        None => format!("fn {function}("),
    };
    code.match_indices(&head).any(|(at, _)| {
        let line = code[..at].rfind('\n').map_or(0, |line| line + 1);
        let indent = code[line..].len() - code[line..].trim_start().len();
        let end = format!("\n{}}}", " ".repeat(indent));
        let body = code[at..]
            .find(&end)
            .map_or(&code[at..], |end| &code[at..at + end]);
        body.match_indices("assert")
            .any(|(at, _)| !body[..at].ends_with("debug_") && is_call(&body[at..]))
    })
}

fn is_call(text: &str) -> bool {
    ["assert!(", "assert_eq!(", "assert_ne!("]
        .iter()
        .any(|call| text.starts_with(call))
}

#[test]
fn every_rule_is_asserted_where_the_page_says() {
    let page = std::fs::read_to_string(root().join("docs/asserted.md")).unwrap();
    let rows = rows(&page);
    assert!(rows.len() > 10, "the page has a table: {rows:?}");
    let wrong = rows.into_iter().filter(|(file, function)| {
        let code = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        !asserts(&code, function)
    });
    none(
        wrong
            .map(|(file, function)| format!("{file}: {function} is not there, or asserts nothing"))
            .collect(),
    );
}

#[test]
fn an_assertion_of_debug_builds_is_none() {
    let code = "impl A {\n    fn a(&self) {\n        debug_assert!(x);\n    }\n\n    fn b(&self) {\n        assert!(x);\n    }\n}\n";
    assert!(!asserts(code, "a"));
    assert!(asserts(code, "b"));
    assert!(!asserts(code, "c"));
}
