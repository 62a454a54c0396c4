//! What a client sends and what comes back: statements in, a stream of answers out.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::BoxStream;
use millstream_model::{Fault, Retry};
use std::collections::BTreeMap;

/// One call: statements, the session's properties and, for a push query that was cut, where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// One or more statements, each ended by `;` (the last may lack it).
    pub text: String,
    /// The session's properties, as `SET` would set them.
    pub properties: BTreeMap<String, String>,
    /// The token of an [`Answer::Done`] or of a cut push query, to continue after it.
    pub resume: Option<String>,
}

/// One piece of the answer. Statements of a script are answered in order; each ends with [`Answer::Done`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// The columns of the rows that follow (queries, and statements that list something).
    Schema(SchemaRef),
    /// Some rows.
    Rows(RecordBatch),
    /// What a statement did, in a sentence.
    Message(String),
    /// A property was set (`Some`) or unset (`None`); the client keeps it for later calls.
    Property {
        /// Its name.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// The statement is complete.
    Done {
        /// The id of the query that it started, if it did.
        query: Option<String>,
        /// Where a push query can go on from.
        resume: Option<String>,
    },
}

/// The kinds of failure that a client can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementErrorKind {
    /// The text is not SQL of ours, or its names or types do not fit.
    Invalid,
    /// Something named does not exist.
    NotFound,
    /// Something of that name exists already.
    Exists,
    /// It is in use, or in a state that forbids this.
    Conflict,
    /// Not allowed or over a quota.
    Refused,
    /// The subscriber was too slow; go on with the token.
    Slow,
    /// The log, the catalog or the object store cannot answer now.
    Unavailable,
    /// A bug of ours.
    Internal,
}

/// Why a statement failed, and where in the text.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StatementError {
    /// Which kind.
    pub kind: StatementErrorKind,
    /// Line from 1, when a place is to blame.
    pub line: Option<u32>,
    /// Column from 1, in characters.
    pub column: Option<u32>,
    /// What is wrong and what was expected.
    pub message: String,
    /// Where a cut push query can go on from.
    pub resume: Option<String>,
}

impl StatementError {
    /// An error without a place.
    pub fn new(kind: StatementErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            line: None,
            column: None,
            message: message.into(),
            resume: None,
        }
    }

    /// An error at a place in the text.
    pub fn at(kind: StatementErrorKind, line: u32, column: u32, message: impl Into<String>) -> Self {
        Self {
            kind,
            line: Some(line),
            column: Some(column),
            message: message.into(),
            resume: None,
        }
    }

    /// Who is at fault and whether to try again.
    pub fn fault(&self) -> (Fault, Retry) {
        match self.kind {
            StatementErrorKind::Invalid
            | StatementErrorKind::NotFound
            | StatementErrorKind::Exists
            | StatementErrorKind::Conflict
            | StatementErrorKind::Refused => (Fault::Caller, Retry::Never),
            StatementErrorKind::Slow => (Fault::Caller, Retry::Later),
            StatementErrorKind::Unavailable => (Fault::Dependency, Retry::Later),
            StatementErrorKind::Internal => (Fault::Us, Retry::Never),
        }
    }
}

/// The answers to one request; ends after the last statement or the first error.
pub type AnswerStream = BoxStream<'static, Result<Answer, StatementError>>;
