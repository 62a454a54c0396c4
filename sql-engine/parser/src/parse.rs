//! The productions: scripts here, the rest one file each.

mod create;
mod expression;
mod query;
mod statement;
mod types;

use crate::cursor::Cursor;
use crate::{Spanned, SqlError, SqlType, Statement};
use sqlparser::tokenizer::Token;

/// `[statement] ; [statement] ; …`
pub fn script(text: &str) -> Result<Vec<Spanned<Statement>>, SqlError> {
    statements(text).map_err(|error| error.with_text(text))
}

fn statements(text: &str) -> Result<Vec<Spanned<Statement>>, SqlError> {
    let mut cursor = Cursor::new(text)?;
    let mut statements = Vec::new();
    while !cursor.at_end() {
        if *cursor.peek() == Token::SemiColon {
            cursor.advance();
            continue;
        }
        let start = cursor.span();
        let statement = statement::statement(&mut cursor)?;
        statements.push(Spanned::new(statement, start.to(cursor.last_span())));
        if !cursor.at_end() {
            cursor.expect_token(&Token::SemiColon, ";")?;
        }
    }
    Ok(statements)
}

/// A type and nothing behind it.
pub fn one_type(text: &str) -> Result<SqlType, SqlError> {
    let parsed = Cursor::new(text).and_then(|mut cursor| {
        let sql_type = types::sql_type(&mut cursor)?;
        if cursor.at_end() {
            Ok(sql_type)
        } else {
            cursor.fail("the end of the type")
        }
    });
    parsed.map_err(|error| error.with_text(text))
}
