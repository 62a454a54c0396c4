//! A script's text: where its statements end, and in which parts a long one is sent.

use crate::failure::Failure;
use millstream_model::limits::SQL_TEXT_BYTES_MAX;
use millstream_rust::Error;

/// Whole statements that fit one request.
#[derive(Debug, PartialEq)]
pub(crate) struct Part<'t> {
    pub(crate) text: &'t str,
    /// Lines of the script in front of it.
    lines_before: u32,
}

/// Divides a script where statements end, as rarely as its length allows.
///
/// # Errors
/// A statement is longer than a request may be.
pub(crate) fn parts(text: &str) -> Result<Vec<Part<'_>>, Failure> {
    parts_of(text, SQL_TEXT_BYTES_MAX)
}

fn parts_of(text: &str, bytes_max: usize) -> Result<Vec<Part<'_>>, Failure> {
    let (mut ends, _) = statement_ends(text);
    ends.push(text.len());
    let (mut parts, mut start, mut lines_before) = (Vec::new(), 0, 0);
    while start < text.len() {
        let fit = ends.partition_point(|end| end - start.min(*end) <= bytes_max);
        let end = fit.checked_sub(1).map_or(0, |last| ends[last]);
        if end <= start {
            let whole = ends
                .iter()
                .find(|end| **end > start)
                .map_or(text.len(), |end| *end)
                - start;
            let blank = text[start..].len() - text[start..].trim_start().len();
            let blank_lines = text[start..start + blank].matches('\n').count();
            let line = u64::from(lines_before) + 1 + blank_lines as u64;
            return Err(Failure::new(format!(
                "the statement that begins in line {line} has {whole} bytes, at most {bytes_max} are allowed"
            )));
        }
        let part = &text[start..end];
        if !part.trim().is_empty() {
            parts.push(Part {
                text: part,
                lines_before,
            });
        }
        let lines = part.bytes().filter(|byte| *byte == b'\n').count();
        lines_before = lines_before.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        start = end;
    }
    Ok(parts)
}

impl Part<'_> {
    /// An error in this part, with the line that it has in the whole script.
    pub(crate) fn placed(&self, error: Error) -> Error {
        match error {
            Error::Sql {
                code,
                message,
                line,
                column,
                excerpt,
                retriable,
            } if line > 0 && self.lines_before > 0 => {
                let moved = line.saturating_add(self.lines_before);
                Error::Sql {
                    code,
                    message,
                    line: moved,
                    column,
                    excerpt: renumbered(&excerpt, line, moved),
                    retriable,
                }
            }
            other => other,
        }
    }
}

/// An excerpt whose line has another number: `line 3, …`, then ` 3 | …` above `   | ^`.
fn renumbered(excerpt: &str, line: u32, moved: u32) -> String {
    let (line, moved) = (line.to_string(), moved.to_string());
    let (blank, room) = (" ".repeat(line.len()), " ".repeat(moved.len()));
    excerpt
        .replacen(&format!("line {line},"), &format!("line {moved},"), 1)
        .replacen(&format!("\n {line} | "), &format!("\n {moved} | "), 1)
        .replacen(&format!("\n {blank} | "), &format!("\n {room} | "), 1)
}

/// Whether the text ends with a `;` that is in no string, quoted name or comment.
pub(crate) fn is_complete(text: &str) -> bool {
    statement_ends(text).1
}

/// The places behind each `;` that is in no string, quoted name or comment, and whether one ends the text.
fn statement_ends(text: &str) -> (Vec<usize>, bool) {
    let mut rest = text.char_indices().peekable();
    let mut quote = None;
    let mut ended = false;
    let mut ends = Vec::new();
    while let Some((at, c)) = rest.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => {
                (quote, ended) = (Some(c), false);
            }
            (None, '-') if rest.peek().is_some_and(|(_, next)| *next == '-') => {
                rest.by_ref().find(|(_, c)| *c == '\n');
            }
            (None, '/') if rest.peek().is_some_and(|(_, next)| *next == '*') => {
                let mut last = ' ';
                rest.by_ref()
                    .find(|(_, c)| std::mem::replace(&mut last, *c) == '*' && *c == '/');
            }
            (None, ';') => {
                ended = true;
                ends.push(at + 1);
            }
            (None, c) if c.is_whitespace() => {}
            (None, _) => ended = false,
        }
    }
    (ends, ended && quote.is_none())
}

#[cfg(test)]
mod tests {
    use super::{Part, is_complete, parts_of, renumbered};

    #[test]
    fn a_statement_ends_at_a_semicolon_outside_of_quotes_and_comments() {
        let table = [
            ("SELECT 1;", true),
            ("SELECT 1", false),
            ("SELECT ';'", false),
            ("SELECT ';';\n", true),
            ("SELECT `a;", false),
            ("SELECT 1; -- done", true),
            ("SELECT 1 -- not yet;", false),
            ("SELECT 1 /* ; */", false),
            ("SELECT 1; /* done */", true),
            ("SELECT 1; SELECT 2", false),
        ];
        for (text, complete) in table {
            assert_eq!(is_complete(text), complete, "{text}");
        }
    }

    #[test]
    fn a_long_script_is_divided_between_statements() {
        let part = |text, lines_before| Part { text, lines_before };
        let divided =
            |text, bytes_max| parts_of(text, bytes_max).map_err(|failure| failure.text().to_owned());
        let script = "A ';';\nB;\n-- ;\nCC;\nD";
        assert_eq!(divided(script, 100), Ok(vec![part(script, 0)]));
        assert_eq!(
            divided(script, 9),
            Ok(vec![
                part("A ';';\nB;", 0),
                part("\n-- ;\nCC;", 1),
                part("\nD", 3)
            ])
        );
        assert_eq!(
            divided(script, 11),
            Ok(vec![part("A ';';\nB;", 0), part("\n-- ;\nCC;\nD", 1)])
        );
        let refused = "the statement that begins in line 3 has 9 bytes, at most 8 are allowed";
        assert_eq!(divided(script, 8), Err(refused.to_owned()));
        assert_eq!(divided(" \n", 2), Ok(Vec::new()));
    }

    #[test]
    fn an_excerpt_shows_the_line_of_the_script() {
        let excerpt = "line 3, column 2: unknown column A\n 3 | SA\n   |  ^";
        let moved = "line 1003, column 2: unknown column A\n 1003 | SA\n      |  ^";
        assert_eq!(renumbered(excerpt, 3, 1003), moved);
    }
}
