//! CREATE STREAM and CREATE TABLE, with columns or AS SELECT.

use super::{expression, query, types};
use crate::cursor::Cursor;
use crate::{ColumnDef, ColumnRole, IfTaken, Property, SourceKind, SqlError, Statement};
use millstream_model::limits::SQL_COLUMNS_MAX;
use sqlparser::tokenizer::Token;
use std::collections::HashSet;

/// Everything behind the word CREATE.
pub fn create(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let start = cursor.span();
    let replace = cursor.accept("OR");
    if replace {
        cursor.expect("REPLACE")?;
    }
    for word in ["SOURCE", "SINK", "CONNECTOR", "TYPE", "FUNCTION"] {
        if cursor.sees(word) {
            let what = if word == "SINK" { "CONNECTOR" } else { word };
            return Err(SqlError::unsupported(cursor.span(), format!("CREATE {what}")));
        }
    }
    let kind = source_kind(cursor)?;
    let mut if_taken = if replace { IfTaken::Replace } else { IfTaken::Fail };
    if cursor.accept("IF") {
        cursor.expect("NOT")?;
        cursor.expect("EXISTS")?;
        if replace {
            return Err(SqlError::syntax(
                start.start,
                "OR REPLACE and IF NOT EXISTS exclude each other",
            ));
        }
        if_taken = IfTaken::Skip;
    }
    let name = cursor.ident("a name")?;
    let columns = if cursor.accept_token(&Token::LParen, "(") {
        Some(columns(cursor, kind)?)
    } else {
        None
    };
    let properties = if cursor.accept("WITH") {
        properties(cursor)?
    } else {
        Vec::new()
    };
    if columns.is_none() && cursor.accept("AS") {
        if !cursor.sees("SELECT") {
            return cursor.fail("SELECT");
        }
        let query = query::query(cursor)?;
        return Ok(Statement::CreateAs {
            kind,
            name,
            if_taken,
            properties,
            query,
        });
    }
    if columns.is_none() && properties.is_empty() {
        return Err(cursor.unexpected());
    }
    if properties.is_empty() {
        return Err(cursor.unexpected());
    }
    Ok(Statement::CreateSource {
        kind,
        name,
        if_taken,
        columns: columns.unwrap_or_default(),
        properties,
    })
}

/// `name type [KEY | PRIMARY KEY], … )`
fn columns(cursor: &mut Cursor, kind: SourceKind) -> Result<Vec<ColumnDef>, SqlError> {
    let mut columns: Vec<ColumnDef> = Vec::new();
    let mut names = HashSet::new();
    loop {
        let name = cursor.ident("a column's name")?;
        if columns.len() == SQL_COLUMNS_MAX {
            let message = format!("more than {SQL_COLUMNS_MAX} columns");
            return Err(SqlError::limit(name.span.start, message));
        }
        if !names.insert(name.name.clone()) {
            return Err(SqlError::syntax(
                name.span.start,
                format!("the column {name} is there twice"),
            ));
        }
        let sql_type = types::sql_type(cursor)?;
        let (role, role_span) = role(cursor, kind)?;
        let role_span = role_span.unwrap_or(name.span);
        columns.push(ColumnDef {
            name,
            sql_type,
            role,
            role_span,
        });
        if !cursor.accept_token(&Token::Comma, ",") {
            break;
        }
    }
    cursor.expect_token(&Token::RParen, ")")?;
    Ok(columns)
}

fn role(cursor: &mut Cursor, kind: SourceKind) -> Result<(ColumnRole, Option<crate::Span>), SqlError> {
    let start = cursor.span();
    if cursor.sees("HEADERS") || cursor.sees("HEADER") {
        return Err(SqlError::unsupported(start, "columns of record headers"));
    }
    if cursor.accept("PRIMARY") {
        cursor.expect("KEY")?;
        if kind == SourceKind::Stream {
            let message = "a stream's column is a KEY, not a PRIMARY KEY: streams may repeat a key";
            return Err(SqlError::syntax(start.start, message));
        }
        return Ok((ColumnRole::PrimaryKey, Some(start.to(cursor.last_span()))));
    }
    if cursor.accept("KEY") {
        if kind == SourceKind::Table {
            let message = "a table's key column is a PRIMARY KEY, not a KEY";
            return Err(SqlError::syntax(start.start, message));
        }
        return Ok((ColumnRole::Key, Some(start)));
    }
    Ok((ColumnRole::Value, None))
}

/// `(name = value, …)`
fn properties(cursor: &mut Cursor) -> Result<Vec<Property>, SqlError> {
    cursor.expect_token(&Token::LParen, "(")?;
    let mut properties: Vec<Property> = Vec::new();
    let mut names = HashSet::new();
    loop {
        let mut name = cursor.word("a property's name")?;
        name.name = name.name.to_uppercase();
        if !names.insert(name.name.clone()) {
            return Err(SqlError::syntax(
                name.span.start,
                format!("the property {name} is there twice"),
            ));
        }
        cursor.expect_token(&Token::Eq, "=")?;
        properties.push(Property {
            name,
            value: expression::literal(cursor)?,
        });
        if !cursor.accept_token(&Token::Comma, ",") {
            break;
        }
    }
    cursor.expect_token(&Token::RParen, ")")?;
    Ok(properties)
}

/// STREAM or TABLE.
pub fn source_kind(cursor: &mut Cursor) -> Result<SourceKind, SqlError> {
    if cursor.accept("STREAM") {
        Ok(SourceKind::Stream)
    } else if cursor.accept("TABLE") {
        Ok(SourceKind::Table)
    } else {
        Err(cursor.unexpected())
    }
}
