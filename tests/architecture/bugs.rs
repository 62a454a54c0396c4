//! What panics is a bug of ours, and says so: its message begins with "bug:" (docs/asserted.md).

use super::{none, root, sources};

/// What ends a thread, up to its message.
const PANICS: [&str; 5] = [
    ".expect(\"",
    ".expect_err(\"",
    "panic!(\"",
    "unreachable!(\"",
    "unimplemented!(\"",
];

/// The part of a file that runs in production.
fn production(path: &str, text: &str) -> String {
    let is_source = path.starts_with("src/") || path.contains("/src/");
    let is_for_tests = path.contains("/tests/") || path.ends_with("tests.rs") || path.ends_with("_test.rs");
    if !is_source || is_for_tests || path.contains("/testkit/") {
        return String::new();
    }
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// Messages of panics that do not begin as they must. A call whose message is on a line of its own is seen as well, and
/// the parser's `expect("WORD")`, which names a word of SQL, is none.
fn without_word(code: &str) -> Vec<String> {
    let code: String = code
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace("( \"", "(\"");
    let mut found = Vec::new();
    for call in PANICS {
        for (at, _) in code.match_indices(call) {
            let message = &code[at + call.len()..];
            let is_of_parser =
                call == ".expect(\"" && message.starts_with(|letter: char| letter.is_ascii_uppercase());
            if !is_of_parser && !message.starts_with("bug: ") {
                let end = message.find('"').unwrap_or(message.len());
                found.push(format!("{call}{}", &message[..end]));
            }
        }
    }
    found
}

#[test]
fn every_panic_says_that_it_is_a_bug() {
    let mut problems = Vec::new();
    for path in sources() {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        for message in without_word(&production(&path, &text)) {
            problems.push(format!("{path}: {message}: begins without \"bug: \""));
        }
    }
    none(problems);
}

#[test]
fn a_panic_is_seen_as_it_is_written() {
    let table = [
        ("a.expect(\"bug: a name\")", 0),
        ("a.expect(\"a name\")", 1),
        ("a\n    .expect(\n        \"a name\",\n    )", 1),
        ("cursor.expect(\"SELECT\")?", 0),
        ("panic!(\"bug: {it}\")", 0),
        ("_ => unreachable!(\"returned above\")", 1),
    ];
    for (code, count) in table {
        assert_eq!(without_word(code).len(), count, "{code}");
    }
}
