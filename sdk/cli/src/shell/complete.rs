//! Completion with Tab: keywords, functions, and the streams and tables that the service has told of.

use parking_lot::Mutex;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use std::sync::Arc;

/// Words of the language that are worth a Tab.
const KEYWORDS: &[&str] = &[
    "AND",
    "AS",
    "BEGINNING",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CHANGES",
    "CREATE",
    "DELETE",
    "DESCRIBE",
    "DROP",
    "ELSE",
    "EMIT",
    "END",
    "ESCAPE",
    "EXISTS",
    "EXPLAIN",
    "EXTENDED",
    "FROM",
    "FUNCTION",
    "FUNCTIONS",
    "GRACE",
    "GROUP",
    "HAVING",
    "IN",
    "INSERT",
    "INTO",
    "IS",
    "KEY",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "OR",
    "PERIOD",
    "PRIMARY",
    "PRINT",
    "PROPERTIES",
    "QUERIES",
    "REPLACE",
    "RETENTION",
    "ROWTIME",
    "SELECT",
    "SET",
    "SHOW",
    "SIZE",
    "STREAM",
    "STREAMS",
    "TABLE",
    "TABLES",
    "TERMINATE",
    "THEN",
    "TOPIC",
    "TOPICS",
    "TUMBLING",
    "UNSET",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WINDOWEND",
    "WINDOWSTART",
    "WITH",
];

/// What can be completed; the shell fills in names while the editor lies in another thread.
#[derive(Clone, Default)]
pub(super) struct Words {
    names: Arc<Mutex<Vec<String>>>,
}

impl Words {
    /// The names that the service knows now.
    pub(super) fn know(&self, names: Vec<String>) {
        *self.names.lock() = names;
    }

    /// Where the word at the end of `before` begins, and what it may become.
    fn candidates(&self, before: &str) -> (usize, Vec<String>) {
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '`'))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = &before[start..];
        // A text between quotes is nobody's name.
        if word.is_empty() || before.matches('\'').count() % 2 == 1 {
            return (start, Vec::new());
        }
        let quoted = word.starts_with('`');
        let small = word.chars().all(|c| !c.is_uppercase());
        let as_typed = |name: &str| match small {
            true => name.to_lowercase(),
            false => name.to_owned(),
        };
        let begins = |name: &str| name.to_uppercase().starts_with(&word.to_uppercase());
        let names = self.names.lock();
        let written = names.iter().map(|name| match is_plain(name) {
            true if !quoted => as_typed(name),
            _ => format!("`{name}`"),
        });
        let keywords = KEYWORDS.iter().map(|keyword| as_typed(keyword));
        let mut found: Vec<String> = written.chain(keywords).filter(|it| begins(it)).collect();
        found.sort();
        found.dedup();
        (start, found)
    }
}

/// Whether a name means itself without quotes.
fn is_plain(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(legal)
}

impl Completer for Words {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.candidates(line.get(..at).unwrap_or(line)))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Validator for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn words_are_completed_as_they_are_typed() {
        let words = Words::default();
        words.know(["ORDERS", "Orders by day", "COUNT"].map(str::to_owned).to_vec());
        let table: [(&str, usize, &[&str]); 8] = [
            ("sel", 0, &["select"]),
            ("SEL", 0, &["SELECT"]),
            ("SELECT * FROM or", 14, &["or", "orders"]),
            ("SELECT * FROM `o", 14, &["`ORDERS`", "`Orders by day`"]),
            ("SELECT COU", 7, &["COUNT"]),
            ("SELECT 'sel", 8, &[]),
            ("SELECT ", 7, &[]),
            ("DESCRIBE x EXT", 11, &["EXTENDED"]),
        ];
        for (before, start, found) in table {
            assert_eq!(
                words.candidates(before),
                (start, found.iter().map(|it| (*it).to_owned()).collect()),
                "{before}"
            );
        }
    }
}
