//! A row that failed: the one form that says so, from the byte that did not decode to the processing log (sql.md 8).

use std::borrow::Cow;

/// A row that took no part, or only in part.
///
/// `At` is how the row is known here: `()` to a function that computes one value, its index to who has the batch, its
/// time to the processing log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError<At = usize> {
    /// Which row.
    pub at: At,
    /// What failed.
    pub message: Cow<'static, str>,
}

impl<At> RowError<At> {
    /// The row failed so.
    pub fn new(at: At, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { at, message }
    }

    /// The same failure, of a row that is known otherwise.
    pub fn with_row<To>(self, at: To) -> RowError<To> {
        let message = self.message;
        RowError { at, message }
    }
}

impl From<&'static str> for RowError<()> {
    fn from(message: &'static str) -> Self {
        Self::new((), message)
    }
}

impl From<String> for RowError<()> {
    fn from(message: String) -> Self {
        Self::new((), message)
    }
}
