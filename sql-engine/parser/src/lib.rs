//! SQL text to syntax tree, with a position for every error.
//!
//! In: text, at most [`limits::SQL_TEXT_BYTES_MAX`](millstream_model::limits::SQL_TEXT_BYTES_MAX) bytes.
//! Out: [`Statement`]s with [`Span`]s on everything an error may point at, or one [`SqlError`].
//!
//! The lexer is sqlparser's ([`dialect`]); every production is ours: recursive descent for statements and
//! queries, precedence climbing for expressions. sqlparser's own expression parser is not used because it
//! backtracks on special forms (`FLOOR(`, `CASE`, `TRIM(` are tried twice), so nested ones cost 2ⁿ on a text
//! that is wrong inside (decision 001 has the times). Ours reads every token once.
//!
//! Invariants: never panics and never recurses deeper than
//! [`limits::SQL_DEPTH_MAX`](millstream_model::limits::SQL_DEPTH_MAX) levels on any text; a tree is at most
//! [`limits::SQL_TREE_HEIGHT_MAX`](millstream_model::limits::SQL_TREE_HEIGHT_MAX) high, so that those who
//! walk it may recurse; identifiers are upper-cased unless quoted, as in ksqlDB.
//! Not here: names, types and their meaning (`planner`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod ast;
mod complete;
mod cursor;
pub mod dialect;
mod error;
mod parse;
mod position;
mod sql_type;

pub use ast::*;
pub use complete::is_complete;
pub use error::{SqlError, SqlErrorKind, closest};
pub use position::{Position, Span, Spanned};
pub use sql_type::{SqlType, StructField};

/// Parses a script of statements that `;` separates; the last `;` may be missing.
///
/// # Errors
/// The first thing that is wrong, with its position; nothing is returned of a script that is wrong anywhere.
pub fn parse_script(text: &str) -> Result<Vec<Spanned<Statement>>, SqlError> {
    parse::script(text)
}

/// Parses exactly one statement.
///
/// # Errors
/// As [`parse_script`]; also when the text holds no statement or more than one.
pub fn parse_statement(text: &str) -> Result<Spanned<Statement>, SqlError> {
    let mut statements = parse_script(text)?;
    match (statements.pop(), statements.first()) {
        (Some(statement), None) => Ok(statement),
        (None, _) => Err(SqlError::syntax(Position::START, "the text holds no statement").with_text(text)),
        (Some(second), Some(_)) => {
            Err(SqlError::syntax(second.span.start, "expected one statement, found several").with_text(text))
        }
    }
}

/// Parses a type such as `ARRAY<STRUCT<a INT, b DECIMAL(10, 2)>>`.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn parse_type(text: &str) -> Result<SqlType, SqlError> {
    parse::one_type(text)
}
