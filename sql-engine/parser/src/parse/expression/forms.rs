//! Expressions that a word begins: NULL, TRUE, FALSE, CASE, CAST, ARRAY, MAP, STRUCT.

use super::{expression, expressions, node};
use crate::cursor::Cursor;
use crate::parse::types;
use crate::{Expr, ExprKind, Ident, Literal, SqlError};
use sqlparser::tokenizer::Token;

/// Forms that a word of the language begins.
pub fn keyword_primary(cursor: &mut Cursor) -> Result<Option<ExprKind>, SqlError> {
    let literal = if cursor.sees("NULL") {
        Some(Literal::Null)
    } else if cursor.sees("TRUE") {
        Some(Literal::Boolean(true))
    } else if cursor.sees("FALSE") {
        Some(Literal::Boolean(false))
    } else {
        None
    };
    if let Some(literal) = literal {
        cursor.advance();
        return Ok(Some(ExprKind::Literal(literal)));
    }
    let opens = |token: &Token| cursor.peek_ahead(1) == token;
    let kind = if cursor.sees("CASE") {
        case(cursor)?
    } else if cursor.sees("CAST") {
        cast(cursor)?
    } else if cursor.sees("ARRAY") && opens(&Token::LBracket) {
        array(cursor)?
    } else if cursor.sees("MAP") && opens(&Token::LParen) {
        map(cursor)?
    } else if cursor.sees("STRUCT") && opens(&Token::LParen) {
        structure(cursor)?
    } else if cursor.sees("EXISTS") && opens(&Token::LParen) {
        return Err(SqlError::unsupported(
            cursor.span(),
            "a query inside an expression",
        ));
    } else {
        return Ok(None);
    };
    Ok(Some(kind))
}

/// Whether a function's first argument is a time unit.
pub fn takes_unit(function: &str) -> bool {
    matches!(
        function,
        "DATEADD" | "DATESUB" | "TIMEADD" | "TIMESUB" | "TIMESTAMPADD" | "TIMESTAMPSUB"
    )
}

/// A time unit, which is a word of the language: a text that names it in the plural.
pub fn time_unit(cursor: &mut Cursor) -> Result<Expr, SqlError> {
    const UNITS: &[(&str, &str)] = &[
        ("MILLISECONDS", "MILLISECOND"),
        ("SECONDS", "SECOND"),
        ("MINUTES", "MINUTE"),
        ("HOURS", "HOUR"),
        ("DAYS", "DAY"),
        ("WEEKS", "WEEK"),
        ("MONTHS", "MONTH"),
        ("YEARS", "YEAR"),
    ];
    for (plural, singular) in UNITS {
        if cursor.accept(plural) || cursor.sees(singular) {
            if cursor.sees(singular) {
                cursor.advance();
            }
            let unit = ExprKind::Literal(Literal::String((*plural).to_owned()));
            return node(unit, cursor.last_span());
        }
    }
    Err(cursor.unexpected())
}

fn case(cursor: &mut Cursor) -> Result<ExprKind, SqlError> {
    cursor.expect("CASE")?;
    let operand = if cursor.sees("WHEN") {
        None
    } else {
        Some(Box::new(expression(cursor)?))
    };
    let mut branches = Vec::new();
    cursor.expect("WHEN")?;
    loop {
        let when = expression(cursor)?;
        cursor.expect("THEN")?;
        branches.push((when, expression(cursor)?));
        if !cursor.accept("WHEN") {
            break;
        }
    }
    let otherwise = if cursor.accept("ELSE") {
        Some(Box::new(expression(cursor)?))
    } else {
        None
    };
    cursor.expect("END")?;
    Ok(ExprKind::Case {
        operand,
        branches,
        otherwise,
    })
}

fn cast(cursor: &mut Cursor) -> Result<ExprKind, SqlError> {
    cursor.expect("CAST")?;
    cursor.expect_token(&Token::LParen, "(")?;
    let operand = Box::new(expression(cursor)?);
    cursor.expect("AS")?;
    let sql_type = types::sql_type(cursor)?;
    cursor.expect_token(&Token::RParen, ")")?;
    Ok(ExprKind::Cast { operand, sql_type })
}

fn array(cursor: &mut Cursor) -> Result<ExprKind, SqlError> {
    cursor.advance();
    cursor.expect_token(&Token::LBracket, "[")?;
    let elements = if *cursor.peek() == Token::RBracket {
        Vec::new()
    } else {
        expressions(cursor)?
    };
    cursor.expect_token(&Token::RBracket, "]")?;
    Ok(ExprKind::Array(elements))
}

fn map(cursor: &mut Cursor) -> Result<ExprKind, SqlError> {
    cursor.advance();
    cursor.expect_token(&Token::LParen, "(")?;
    let mut entries = Vec::new();
    while *cursor.peek() != Token::RParen {
        let key = expression(cursor)?;
        cursor.expect_token(&Token::Assignment, ":=")?;
        entries.push((key, expression(cursor)?));
        if !cursor.accept_token(&Token::Comma, ",") {
            break;
        }
    }
    cursor.expect_token(&Token::RParen, ")")?;
    Ok(ExprKind::Map(entries))
}

fn structure(cursor: &mut Cursor) -> Result<ExprKind, SqlError> {
    cursor.advance();
    cursor.expect_token(&Token::LParen, "(")?;
    let mut fields: Vec<(Ident, Expr)> = Vec::new();
    loop {
        let name = cursor.ident("a field's name")?;
        if fields.iter().any(|(other, _)| other.name == name.name) {
            return Err(SqlError::syntax(
                name.span.start,
                format!("the field {name} is there twice"),
            ));
        }
        cursor.expect_token(&Token::Assignment, ":=")?;
        fields.push((name, expression(cursor)?));
        if !cursor.accept_token(&Token::Comma, ",") {
            break;
        }
    }
    cursor.expect_token(&Token::RParen, ")")?;
    Ok(ExprKind::Struct(fields))
}
