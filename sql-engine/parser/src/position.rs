//! Where in a text something stands.

use std::fmt;

/// A place between characters: line and column count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    /// The first character of a text.
    pub const START: Position = Position { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// From the first character of something to just behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    pub start: Position,
    pub end: Position,
    /// The same as offsets in the text, bytes: a script has thousands of statements on one line, and nobody counts its
    /// characters for each.
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Span {
    /// The span of what has no text of its own.
    pub const START: Span = Span {
        start: Position::START,
        end: Position::START,
        from: 0,
        to: 0,
    };

    /// From the start of `self` to the end of `other`.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span {
            start: self.start,
            end: other.end,
            from: self.from,
            to: other.to,
        }
    }

    /// The text that this span covers in the text it was parsed from.
    #[must_use]
    pub fn slice(self, text: &str) -> &str {
        text.get(self.from..self.to).unwrap_or("")
    }
}

/// A node and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    pub node: T,
    pub span: Span,
}

impl<T> Spanned<T> {
    pub fn new(node: T, span: Span) -> Spanned<T> {
        Spanned { node, span }
    }
}

/// Finds byte offsets of places that come in order, and takes each character once.
#[derive(Debug)]
pub(crate) struct Walk<I> {
    chars: I,
    at: Position,
    /// The bytes before `at`.
    offset: usize,
}

impl<I: Iterator<Item = char>> Walk<I> {
    /// From the first character on.
    pub(crate) fn new(chars: I) -> Self {
        Self {
            chars,
            at: Position::START,
            offset: 0,
        }
    }

    /// The byte offset of a position that is not before the last one asked for, clamped to the text's end.
    pub(crate) fn offset(&mut self, of: Position) -> usize {
        while self.at < of
            && let Some(passed) = self.chars.next()
        {
            self.offset += passed.len_utf8();
            match passed {
                '\n' => {
                    self.at.line += 1;
                    self.at.column = 1;
                }
                _ => self.at.column += 1,
            }
        }
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::Walk;
    use crate::cursor::lexed;
    use crate::parse_script;

    /// Characters taken while a script's tokens are placed, and how many it has.
    fn taken(statements: usize) -> (usize, usize) {
        let text = "INSERT INTO w VALUES ('ä', 1); ".repeat(statements);
        let mut taken = 0;
        let walk = Walk::new(text.chars().inspect(|_| taken += 1));
        let lexemes = lexed(&text, walk).unwrap();
        assert_eq!(lexemes.len(), statements * 10 + 1);
        (taken, text.chars().count())
    }

    #[test]
    fn a_script_on_one_line_is_walked_through_once() {
        for statements in [1_000, 4_000] {
            let (taken, chars) = taken(statements);
            assert!(taken <= chars, "{statements}: {taken} of {chars}");
        }
    }

    #[test]
    fn every_statement_has_its_own_text() {
        let texts = ["SELECT 'ä€\n𝄞' AS a FROM t", "SHOW\r\nTABLES", "PRINT `ü`"];
        let script = format!("-- größer\n {};;{} ;\n\n{}", texts[0], texts[1], texts[2]);
        let statements = parse_script(&script).unwrap();
        let sliced: Vec<&str> = statements.iter().map(|it| it.span.slice(&script)).collect();
        assert_eq!(sliced, texts);
        // Another text has nothing there.
        assert_eq!(statements[2].span.slice("short"), "");
    }
}
