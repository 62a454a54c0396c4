//! What a client sends and what comes back: statements in, a stream of answers out.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::BoxStream;
use millstream_model::{Fault, Retry, TenantId};
use millstream_parser::{SqlError, SqlErrorKind};
use std::collections::BTreeMap;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Run every statement.
    Manage,
    /// Run statements that only read: no row of the catalog, no topic, no query that stays and no record is made.
    Read,
}

/// Who calls, as whoever knows keys says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The tenant it speaks for.
    pub tenant: TenantId,
    /// What it may do there.
    pub access: Access,
}

/// One call: statements, the session's properties and, for a push query that was cut, where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// One or more statements, each ended by `;` (the last may lack it).
    pub text: String,
    /// The session's properties, as `SET` would set them. `resume.token` continues a push query that was cut.
    pub properties: BTreeMap<String, String>,
    /// Check the whole script, run nothing.
    pub validate_only: bool,
    /// What the caller may do.
    pub access: Access,
}

/// How rows are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsKind {
    /// A finite table.
    Table,
    /// Changes, until the query ends.
    Changes,
}

/// One piece of the answer. Statements of a script are answered in order: `Started`, then what they say,
/// then `Finished`.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A statement has begun.
    Started {
        /// Its text.
        text: String,
    },
    /// The columns of the rows that follow.
    Schema {
        /// Names and types.
        schema: SchemaRef,
        /// How to read the rows.
        kind: RowsKind,
        /// What they are, when a statement answers with several tables.
        title: String,
    },
    /// Some rows of the last schema.
    Rows {
        /// The rows.
        rows: RecordBatch,
    },
    /// What a statement did, in a sentence.
    Message {
        /// The sentence.
        text: String,
        /// The catalog version that holds it; 0 when it changed nothing.
        version: u64,
        /// The query that it started, if any.
        query: Option<String>,
    },
    /// A property was set (`Some`) or unset (`None`); the client keeps it for later calls.
    Property {
        /// Its name.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// The statement is complete.
    Finished {
        /// Rows sent.
        rows: u64,
        /// Why a push query ended, when not at its LIMIT.
        note: String,
        /// Where a push query that was cut can go on: the session property `resume.token`.
        resume: Option<String>,
        /// For a pull query of a table: a token of the commits that it saw. The session property `pull.commit.min` asks
        /// for at least them.
        commit: Option<String>,
    },
}

/// The kinds of failure that a client can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementErrorKind {
    /// The text is not SQL.
    Syntax,
    /// The language has it, Millstream does not yet.
    Unsupported,
    /// Names or types do not fit, or a rule is broken.
    Invalid,
    /// A cap was exceeded.
    Limit,
    /// Something named does not exist.
    NotFound,
    /// Not allowed, or over a quota.
    Refused,
    /// The log, the catalog or the object store cannot answer now.
    Unavailable,
    /// A bug of ours, or damage to what we keep.
    Internal,
}

impl StatementErrorKind {
    /// The stable word on the wire.
    pub fn code(self) -> &'static str {
        match self {
            Self::Syntax => "SYNTAX",
            Self::Unsupported => "NOT_SUPPORTED",
            Self::Invalid => "INVALID",
            Self::Limit => "LIMIT",
            Self::NotFound => "NOT_FOUND",
            Self::Refused => "REFUSED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }
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
    /// What is wrong and what was expected, in one line.
    pub message: String,
    /// The same with the line and a caret, for a person; empty without a place.
    pub excerpt: String,
}

impl StatementError {
    /// An error without a place.
    pub fn new(kind: StatementErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            line: None,
            column: None,
            message: message.into(),
            excerpt: String::new(),
        }
    }

    /// Something outside cannot answer now.
    pub(crate) fn unavailable(reason: impl std::fmt::Display) -> Self {
        Self::new(StatementErrorKind::Unavailable, reason.to_string())
    }

    /// A bug of ours.
    pub(crate) fn internal(reason: impl std::fmt::Display) -> Self {
        Self::new(StatementErrorKind::Internal, format!("bug: {reason}"))
    }

    /// What parser or planner found in `text`.
    pub(crate) fn of_sql(error: SqlError, text: &str) -> Self {
        let kind = match error.kind {
            SqlErrorKind::Syntax => StatementErrorKind::Syntax,
            SqlErrorKind::Unsupported => StatementErrorKind::Unsupported,
            SqlErrorKind::Invalid => StatementErrorKind::Invalid,
            SqlErrorKind::Limit => StatementErrorKind::Limit,
        };
        let error = error.with_text(text);
        Self {
            kind,
            line: Some(error.position.line),
            column: Some(error.position.column),
            message: error.headline(),
            excerpt: error.to_string(),
        }
    }

    /// Who is at fault and whether to try again.
    pub fn fault(&self) -> (Fault, Retry) {
        match self.kind {
            StatementErrorKind::Syntax
            | StatementErrorKind::Unsupported
            | StatementErrorKind::Invalid
            | StatementErrorKind::Limit
            | StatementErrorKind::NotFound
            | StatementErrorKind::Refused => (Fault::Caller, Retry::Never),
            StatementErrorKind::Unavailable => (Fault::Dependency, Retry::Later),
            StatementErrorKind::Internal => (Fault::Us, Retry::Never),
        }
    }
}

/// The answers to one request, each with the number of its statement; ends after the last statement or the first
/// error. Dropping it ends a push query.
pub type AnswerStream = BoxStream<'static, (u32, Result<Answer, StatementError>)>;
