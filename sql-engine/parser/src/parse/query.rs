//! SELECT, clause by clause.

use super::expression;
use crate::cursor::Cursor;
use crate::{Emit, Expr, Ident, Query, Relation, SelectItem, Spanned, SqlError, Window, WindowKind};
use sqlparser::tokenizer::Token;
use std::time::Duration;

/// Words that go on with a query where an alias could stand.
const NOT_ALIASES: &[&str] = &[
    "WINDOW",
    "PARTITION",
    "WITHIN",
    "CROSS",
    "NATURAL",
    "LATERAL",
    "ORDER",
    "OFFSET",
    "EXCEPT",
    "INTERSECT",
];

/// One query; the next token is SELECT.
pub fn query(cursor: &mut Cursor) -> Result<Query, SqlError> {
    let select_span = cursor.expect("SELECT")?;
    if cursor.sees("DISTINCT") {
        return Err(SqlError::unsupported(
            cursor.span(),
            "SELECT DISTINCT (use GROUP BY)",
        ));
    }
    if cursor.sees("ALL") {
        cursor.advance();
    }
    let mut items = vec![item(cursor)?];
    while cursor.accept_token(&Token::Comma, ",") {
        items.push(item(cursor)?);
    }
    cursor.expect("FROM")?;
    let from = relation(cursor)?;
    refuse_joins(cursor)?;
    let mut query = Query {
        select_span,
        items,
        from,
        window: None,
        filter: None,
        group_by: Vec::new(),
        group_span: None,
        partition_by: Vec::new(),
        partition_span: None,
        having: None,
        emit: None,
        limit: None,
    };
    clauses(cursor, &mut query)?;
    refuse_others(cursor)?;
    Ok(query)
}

fn clauses(cursor: &mut Cursor, query: &mut Query) -> Result<(), SqlError> {
    if cursor.accept("WINDOW") {
        query.window = Some(window(cursor)?);
    }
    if cursor.accept("WHERE") {
        query.filter = Some(expression::expression(cursor)?);
    }
    // ksqlDB takes GROUP BY before PARTITION BY; a query with both is refused by the planner.
    if cursor.accept("GROUP") {
        query.group_span = Some(cursor.last_span());
        cursor.expect("BY")?;
        query.group_by = key_expressions(cursor)?;
    }
    if cursor.accept("PARTITION") {
        query.partition_span = Some(cursor.last_span());
        cursor.expect("BY")?;
        query.partition_by = key_expressions(cursor)?;
    }
    if cursor.accept("HAVING") {
        query.having = Some(expression::expression(cursor)?);
    }
    if cursor.accept("EMIT") {
        let start = cursor.last_span();
        if cursor.sees("FINAL") {
            return Err(SqlError::unsupported(start, "EMIT FINAL"));
        }
        cursor.expect("CHANGES")?;
        query.emit = Some(Spanned::new(Emit::Changes, start.to(cursor.last_span())));
    }
    if cursor.accept("LIMIT") {
        let span = cursor.span();
        query.limit = Some(Spanned::new(cursor.unsigned("a number of rows")?, span));
    }
    Ok(())
}

/// `a, b` or `(a, b)`.
fn key_expressions(cursor: &mut Cursor) -> Result<Vec<Expr>, SqlError> {
    if *cursor.peek() == Token::LParen && sees_name_list(cursor) {
        cursor.expect_token(&Token::LParen, "(")?;
        let all = expression::expressions(cursor)?;
        cursor.expect_token(&Token::RParen, ")")?;
        return Ok(all);
    }
    expression::expressions(cursor)
}

/// True for `(a, b…)`: a parenthesis that holds names and at least one comma.
fn sees_name_list(cursor: &Cursor) -> bool {
    let mut ahead = 1;
    let mut commas = false;
    while matches!(
        cursor.peek_ahead(ahead),
        Token::Word(_) | Token::Comma | Token::Period
    ) {
        commas |= *cursor.peek_ahead(ahead) == Token::Comma;
        ahead += 1;
    }
    commas && *cursor.peek_ahead(ahead) == Token::RParen
}

fn item(cursor: &mut Cursor) -> Result<SelectItem, SqlError> {
    let start = cursor.span();
    if cursor.accept_token(&Token::Mul, "*") {
        return Ok(SelectItem::Star {
            qualifier: None,
            span: start,
        });
    }
    if *cursor.peek_ahead(1) == Token::Period && *cursor.peek_ahead(2) == Token::Mul {
        let qualifier = cursor.ident("a source's name")?;
        cursor.advance();
        cursor.advance();
        return Ok(SelectItem::Star {
            qualifier: Some(qualifier),
            span: start.to(cursor.last_span()),
        });
    }
    let expr = expression::expression(cursor)?;
    let alias = alias(cursor, "a column's name")?;
    Ok(SelectItem::Expr { expr, alias })
}

fn alias(cursor: &mut Cursor, what: &'static str) -> Result<Option<Ident>, SqlError> {
    if cursor.accept("AS") {
        return Ok(Some(cursor.ident(what)?));
    }
    let continues = NOT_ALIASES.iter().any(|word| cursor.sees(word));
    if cursor.sees_name() && !continues {
        Ok(Some(cursor.ident(what)?))
    } else {
        Ok(None)
    }
}

fn relation(cursor: &mut Cursor) -> Result<Relation, SqlError> {
    if *cursor.peek() == Token::LParen {
        return Err(SqlError::unsupported(cursor.span(), "a query inside FROM"));
    }
    let name = cursor.ident("a stream's or table's name")?;
    if *cursor.peek() == Token::LParen {
        return Err(SqlError::unsupported(name.span, "table functions in FROM"));
    }
    let alias = alias(cursor, "an alias")?;
    Ok(Relation { name, alias })
}

fn refuse_joins(cursor: &Cursor) -> Result<(), SqlError> {
    const JOINS: &[&str] = &[
        "JOIN", "INNER", "LEFT", "RIGHT", "FULL", "OUTER", "CROSS", "NATURAL", "WITHIN",
    ];
    if *cursor.peek() == Token::Comma || JOINS.iter().any(|word| cursor.sees(word)) {
        return Err(SqlError::unsupported(cursor.span(), "joins"));
    }
    Ok(())
}

fn refuse_others(cursor: &Cursor) -> Result<(), SqlError> {
    for word in ["UNION", "EXCEPT", "INTERSECT", "ORDER", "OFFSET"] {
        if cursor.sees(word) {
            let what = if word == "ORDER" { "ORDER BY" } else { word };
            return Err(SqlError::unsupported(cursor.span(), what));
        }
    }
    Ok(())
}

/// Everything behind the word WINDOW.
fn window(cursor: &mut Cursor) -> Result<Window, SqlError> {
    let start = cursor.last_span();
    // An optional name of the window comes before its kind.
    for kind in ["HOPPING", "SESSION"] {
        if cursor.sees(kind) {
            return Err(SqlError::unsupported(cursor.span(), format!("{kind} windows")));
        }
    }
    cursor.expect("TUMBLING")?;
    cursor.expect_token(&Token::LParen, "(")?;
    cursor.expect("SIZE")?;
    let size = duration(cursor)?;
    if size.node.is_zero() {
        return Err(SqlError::syntax(
            size.span.start,
            "a window's size must be at least one millisecond",
        ));
    }
    let (mut retention, mut grace) = (None, None);
    while cursor.accept_token(&Token::Comma, ",") {
        if retention.is_none() && grace.is_none() && cursor.accept("RETENTION") {
            retention = Some(duration(cursor)?);
        } else if grace.is_none() && cursor.accept("GRACE") {
            cursor.expect("PERIOD")?;
            grace = Some(duration(cursor)?);
        } else {
            return Err(cursor.unexpected());
        }
    }
    cursor.expect_token(&Token::RParen, ")")?;
    Ok(Window {
        kind: WindowKind::Tumbling,
        size,
        retention,
        grace,
        span: start.to(cursor.last_span()),
    })
}

/// `n unit`, in whole milliseconds that fit 64 bits with a sign.
fn duration(cursor: &mut Cursor) -> Result<Spanned<Duration>, SqlError> {
    const UNITS: &[(&str, &str, u64)] = &[
        ("DAYS", "DAY", 86_400_000),
        ("HOURS", "HOUR", 3_600_000),
        ("MINUTES", "MINUTE", 60_000),
        ("SECONDS", "SECOND", 1_000),
        ("MILLISECONDS", "MILLISECOND", 1),
    ];
    let start = cursor.span();
    let count = cursor.unsigned("a number")?;
    for (plural, singular, unit_ms) in UNITS {
        if cursor.accept(plural) || cursor.sees(singular) {
            if cursor.sees(singular) {
                cursor.advance();
            }
            let Some(ms) = count
                .checked_mul(*unit_ms)
                .filter(|ms| i64::try_from(*ms).is_ok())
            else {
                return Err(SqlError::syntax(
                    start.start,
                    "the duration does not fit 64 bits of milliseconds",
                ));
            };
            return Ok(Spanned::new(
                Duration::from_millis(ms),
                start.to(cursor.last_span()),
            ));
        }
    }
    Err(cursor.unexpected())
}
