//! What is wrong with a text, where, and what would have been right.

use crate::position::{Position, Span};
use std::borrow::Cow;
use std::fmt;

/// Characters of the faulty line shown on each side of the fault.
const SHOWN_AROUND: usize = 60;

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlErrorKind {
    /// The text is not the language.
    Syntax,
    /// The language has it, Millstream does not yet.
    Unsupported,
    /// Well-formed, but it names what does not exist, or types do not fit, or a rule is broken.
    Invalid,
    /// A cap of the service is exceeded.
    Limit,
}

/// One fault of a text. `Display` shows the message, the place, the line and a caret under the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    pub kind: SqlErrorKind,
    /// One sentence, without position.
    pub message: String,
    pub position: Position,
    /// What could have stood there; empty when the message says it all.
    pub expected: Vec<String>,
    /// The whole line the position is in; empty when the text is not known.
    pub line_text: String,
}

impl SqlError {
    fn new(kind: SqlErrorKind, position: Position, message: impl Into<String>) -> SqlError {
        SqlError {
            kind,
            message: message.into(),
            position,
            expected: Vec::new(),
            line_text: String::new(),
        }
    }

    /// The text is not the language.
    pub fn syntax(position: Position, message: impl Into<String>) -> SqlError {
        SqlError::new(SqlErrorKind::Syntax, position, message)
    }

    /// A construct of the language that Millstream does not have yet; the message begins
    /// "not supported yet: ".
    pub fn unsupported(span: Span, what: impl fmt::Display) -> SqlError {
        SqlError::new(
            SqlErrorKind::Unsupported,
            span.start,
            format!("not supported yet: {what}"),
        )
    }

    /// A well-formed text that means nothing: unknown names, types that do not fit.
    pub fn invalid(span: Span, message: impl Into<String>) -> SqlError {
        SqlError::new(SqlErrorKind::Invalid, span.start, message)
    }

    /// A cap was exceeded.
    pub fn limit(position: Position, message: impl Into<String>) -> SqlError {
        SqlError::new(SqlErrorKind::Limit, position, message)
    }

    /// Adds what could have stood at the position.
    #[must_use]
    pub fn expecting<S: Into<String>>(mut self, expected: impl IntoIterator<Item = S>) -> SqlError {
        self.expected = expected.into_iter().map(Into::into).collect();
        self
    }

    /// Adds the line to show, taken from the text that was parsed.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> SqlError {
        if self.line_text.is_empty() {
            let line = text.lines().nth(self.position.line.saturating_sub(1) as usize);
            self.line_text = line.unwrap_or("").to_owned();
        }
        self
    }

    /// The message and what was expected, without position and line.
    #[must_use]
    pub fn headline(&self) -> String {
        let expected: Vec<Cow<'_, str>> = self.expected.iter().map(|it| shown(it)).collect();
        match expected.as_slice() {
            [] => self.message.clone(),
            [one] => format!("{}, expected {one}", self.message),
            [most @ .., last] => format!("{}, expected {} or {last}", self.message, most.join(", ")),
        }
    }
}

/// Signs stand in backquotes, lest a comma be taken for one of the list's; words stand alone.
fn shown(expected: &str) -> Cow<'_, str> {
    match expected.contains(|it: char| it.is_alphanumeric()) {
        true => Cow::Borrowed(expected),
        false => Cow::Owned(format!("`{expected}`")),
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.headline())?;
        if self.line_text.is_empty() {
            return Ok(());
        }
        let column = self.position.column.saturating_sub(1) as usize;
        let from = column.saturating_sub(SHOWN_AROUND);
        let shown: String = self
            .line_text
            .chars()
            .skip(from)
            .take(2 * SHOWN_AROUND)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let number = self.position.line.to_string();
        let gutter = " ".repeat(number.len());
        write!(
            f,
            "\n {number} | {}\n {gutter} | {}^",
            shown.trim_end(),
            " ".repeat(column - from)
        )
    }
}

impl std::error::Error for SqlError {}

/// The candidate that `word` most likely meant: at most a third of its letters differ.
#[must_use]
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const WORD_CHARS_MAX: usize = 64;
    if word.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 4 * WORD_CHARS_MAX)
        .map(|candidate| {
            (
                distance(&word.to_uppercase(), &candidate.to_uppercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed && *distance < word.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits from one word to the other: a letter more, less or another, or two neighbours swapped.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for i in 0..left.len() {
        let mut row = vec![i + 1; right.len() + 1];
        for j in 0..right.len() {
            let substituted = last[j] + usize::from(left[i] != right[j]);
            row[j + 1] = substituted.min(last[j + 1] + 1).min(row[j] + 1);
            let swapped = i > 0 && j > 0 && left[i] == right[j - 1] && left[i - 1] == right[j];
            if swapped {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}
