//! Types: names, `DECIMAL(p, s)` and the nested ones.

use crate::cursor::Cursor;
use crate::{SqlError, SqlType, StructField};
use millstream_model::limits::SQL_COLUMNS_MAX;
use sqlparser::tokenizer::Token;
use std::collections::HashSet;

const TYPE_NAMES: &[(&str, SqlType)] = &[
    ("BOOLEAN", SqlType::Boolean),
    ("BOOL", SqlType::Boolean),
    ("INT", SqlType::Int),
    ("INTEGER", SqlType::Int),
    ("BIGINT", SqlType::BigInt),
    ("DOUBLE", SqlType::Double),
    ("STRING", SqlType::String),
    ("VARCHAR", SqlType::String),
    ("TIMESTAMP", SqlType::Timestamp),
    ("DATE", SqlType::Date),
    ("TIME", SqlType::Time),
    ("BYTES", SqlType::Bytes),
];

const NESTED_NAMES: &[&str] = &["DECIMAL", "ARRAY", "MAP", "STRUCT"];

/// One type.
pub fn sql_type(cursor: &mut Cursor) -> Result<SqlType, SqlError> {
    cursor.nested(|cursor| {
        let span = cursor.span();
        if !matches!(cursor.peek(), Token::Word(word) if word.quote_style.is_none()) {
            return cursor.fail("a type");
        }
        let word = cursor.word("a type")?;
        if let Some((_, simple)) = TYPE_NAMES.iter().find(|(name, _)| *name == word.name) {
            return Ok(simple.clone());
        }
        match word.name.as_str() {
            "DECIMAL" | "DEC" | "NUMERIC" => decimal(cursor),
            "ARRAY" => {
                cursor.expect_token(&Token::Lt, "<")?;
                let element = sql_type(cursor)?;
                cursor.expect_greater()?;
                Ok(SqlType::Array(Box::new(element)))
            }
            "MAP" => {
                cursor.expect_token(&Token::Lt, "<")?;
                let key_span = cursor.span();
                let key = sql_type(cursor)?;
                if key != SqlType::String {
                    let message = format!("the keys of a MAP must be of type STRING, not {key}");
                    return Err(SqlError::syntax(key_span.start, message));
                }
                cursor.expect_token(&Token::Comma, ",")?;
                let value = sql_type(cursor)?;
                cursor.expect_greater()?;
                Ok(SqlType::Map(Box::new(key), Box::new(value)))
            }
            "STRUCT" => structure(cursor),
            unknown => {
                let mut message = format!("unknown type {unknown}");
                let names = TYPE_NAMES
                    .iter()
                    .map(|(name, _)| *name)
                    .chain(NESTED_NAMES.iter().copied());
                if let Some(meant) = crate::closest(unknown, names) {
                    message.push_str(&format!(" (did you mean {meant}?)"));
                }
                Err(SqlError::syntax(span.start, message))
            }
        }
    })
}

/// `(precision, scale)`; the scale is 0 when left out.
fn decimal(cursor: &mut Cursor) -> Result<SqlType, SqlError> {
    cursor.expect_token(&Token::LParen, "(")?;
    let precision_span = cursor.span();
    let precision = cursor.unsigned("a precision")?;
    let max = SqlType::DECIMAL_PRECISION_MAX;
    let Some(precision) = u8::try_from(precision).ok().filter(|p| (1..=max).contains(p)) else {
        let message = format!("a DECIMAL's precision is from 1 to {max}, not {precision}");
        return Err(SqlError::syntax(precision_span.start, message));
    };
    let mut scale = 0;
    if cursor.accept_token(&Token::Comma, ",") {
        let scale_span = cursor.span();
        let given = cursor.unsigned("a scale")?;
        scale = u8::try_from(given)
            .ok()
            .filter(|s| *s <= precision)
            .ok_or_else(|| {
                let message =
                    format!("a DECIMAL's scale is at most its precision ({precision}), not {given}");
                SqlError::syntax(scale_span.start, message)
            })?;
    }
    cursor.expect_token(&Token::RParen, ")")?;
    Ok(SqlType::Decimal { precision, scale })
}

/// `<name type, …>`.
fn structure(cursor: &mut Cursor) -> Result<SqlType, SqlError> {
    cursor.expect_token(&Token::Lt, "<")?;
    let mut fields: Vec<StructField> = Vec::new();
    let mut names = HashSet::new();
    loop {
        let name = cursor.ident("a field's name")?;
        if fields.len() == SQL_COLUMNS_MAX {
            let message = format!("more than {SQL_COLUMNS_MAX} fields");
            return Err(SqlError::limit(name.span.start, message));
        }
        if !names.insert(name.name.clone()) {
            return Err(SqlError::syntax(
                name.span.start,
                format!("the field {name} is there twice"),
            ));
        }
        fields.push(StructField {
            name: name.name,
            sql_type: sql_type(cursor)?,
        });
        if !cursor.accept_token(&Token::Comma, ",") {
            break;
        }
    }
    cursor.expect_greater()?;
    Ok(SqlType::Struct(fields))
}
