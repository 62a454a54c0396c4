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

    /// The byte offset of this position in `text`, clamped to its end.
    #[must_use]
    pub fn offset_in(self, text: &str) -> usize {
        let mut offset = 0;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            if number == self.line {
                let column = self.column.saturating_sub(1) as usize;
                return offset + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
            }
            offset += line.len();
        }
        text.len()
    }
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
}

impl Span {
    /// The span of what has no text of its own.
    pub const START: Span = Span {
        start: Position::START,
        end: Position::START,
    };

    /// From the start of `self` to the end of `other`.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span {
            start: self.start,
            end: other.end,
        }
    }

    /// The text that this span covers in the text it was parsed from.
    #[must_use]
    pub fn slice(self, text: &str) -> &str {
        let (start, end) = (self.start.offset_in(text), self.end.offset_in(text));
        text.get(start..end.max(start)).unwrap_or("")
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
