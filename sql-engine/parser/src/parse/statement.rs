//! One statement, by its first word.

use super::{create, expression, query};
use crate::cursor::Cursor;
use crate::{Explained, Ident, Shown, Spanned, SqlError, Statement, Terminated};
use sqlparser::tokenizer::Token;
use std::collections::HashSet;

/// What a statement may begin with, as errors list it.
const BEGINNINGS: &[&str] = &[
    "CREATE",
    "SELECT",
    "INSERT",
    "PRINT",
    "SET",
    "UNSET",
    "SHOW",
    "LIST",
    "DESCRIBE",
    "EXPLAIN",
    "DROP",
    "TERMINATE",
];

/// Statements of ksqlDB that Millstream does not have yet.
const UNSUPPORTED: &[&str] = &[
    "ALTER", "ASSERT", "DEFINE", "UNDEFINE", "PAUSE", "RESUME", "RUN", "SPOOL", "DELETE", "UPDATE", "WITH",
];

/// One statement, without its `;`.
pub fn statement(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let span = cursor.span();
    if let Some(word) = UNSUPPORTED.iter().find(|word| cursor.sees(word)) {
        return Err(SqlError::unsupported(span, format!("{word} statements")));
    }
    if cursor.sees("SELECT") {
        return Ok(Statement::Select(query::query(cursor)?));
    }
    if cursor.accept("CREATE") {
        return create::create(cursor);
    }
    let parse = if cursor.accept("INSERT") {
        insert
    } else if cursor.accept("PRINT") {
        print
    } else if cursor.accept("SET") {
        set
    } else if cursor.accept("UNSET") {
        unset
    } else if cursor.accept("SHOW") || cursor.accept("LIST") {
        show
    } else if cursor.accept("DESCRIBE") {
        describe
    } else if cursor.accept("EXPLAIN") {
        explain
    } else if cursor.accept("DROP") {
        drop
    } else if cursor.accept("TERMINATE") {
        terminate
    } else {
        BEGINNINGS.iter().for_each(|word| cursor.remember(word));
        return Err(cursor.unexpected());
    };
    parse(cursor)
}

fn insert(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    cursor.expect("INTO")?;
    let target = cursor.ident("a stream's or table's name")?;
    let mut columns: Vec<Ident> = Vec::new();
    if cursor.accept_token(&Token::LParen, "(") {
        let mut names = HashSet::new();
        loop {
            let column = cursor.ident("a column's name")?;
            if !names.insert(column.name.clone()) {
                return Err(SqlError::syntax(
                    column.span.start,
                    format!("the column {column} is there twice"),
                ));
            }
            columns.push(column);
            if !cursor.accept_token(&Token::Comma, ",") {
                break;
            }
        }
        cursor.expect_token(&Token::RParen, ")")?;
    }
    if cursor.sees("SELECT") || cursor.sees("WITH") {
        return Err(SqlError::unsupported(cursor.span(), "INSERT INTO … SELECT"));
    }
    cursor.expect("VALUES")?;
    let mut rows = Vec::new();
    loop {
        cursor.expect_token(&Token::LParen, "(")?;
        rows.push(expression::expressions(cursor)?);
        cursor.expect_token(&Token::RParen, ")")?;
        if !cursor.accept_token(&Token::Comma, ",") {
            break;
        }
    }
    Ok(Statement::InsertValues {
        target,
        columns,
        rows,
    })
}

fn print(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let topic = topic_name(cursor)?;
    let from_beginning = cursor.accept("FROM");
    if from_beginning {
        cursor.expect("BEGINNING")?;
    }
    let interval = if cursor.accept("INTERVAL") || cursor.accept("SAMPLE") {
        let every = cursor.unsigned("a number of records")?;
        if every == 0 {
            return Err(SqlError::syntax(
                cursor.last_span().start,
                "INTERVAL must be at least 1",
            ));
        }
        Some(every)
    } else {
        None
    };
    let limit = if cursor.accept("LIMIT") {
        Some(cursor.unsigned("a number of records")?)
    } else {
        None
    };
    Ok(Statement::Print {
        topic,
        from_beginning,
        interval,
        limit,
    })
}

/// A topic's name: a string, or words, dots and dashes as topics may have them, kept as written.
fn topic_name(cursor: &mut Cursor) -> Result<Spanned<String>, SqlError> {
    let span = cursor.span();
    let mut name = match cursor.peek() {
        Token::SingleQuotedString(text) => text.clone(),
        Token::Word(word) => word.value.clone(),
        _ => return cursor.fail("a topic's name"),
    };
    let bare = matches!(cursor.peek(), Token::Word(word) if word.quote_style.is_none());
    cursor.advance();
    // Only what touches the name belongs to it.
    while bare && cursor.span().start == cursor.last_span().end {
        match cursor.peek() {
            Token::Period => name.push('.'),
            Token::Minus => name.push('-'),
            Token::Word(word) if word.quote_style.is_none() => name.push_str(&word.value),
            Token::Number(digits, false) => name.push_str(digits),
            _ => break,
        }
        cursor.advance();
    }
    Ok(Spanned::new(name, span.to(cursor.last_span())))
}

fn set(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let key = property_key(cursor)?;
    cursor.expect_token(&Token::Eq, "=")?;
    let span = cursor.span();
    let value = cursor.string("a value in single quotes")?;
    Ok(Statement::Set {
        key,
        value: Spanned::new(value, span),
    })
}

fn unset(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    Ok(Statement::Unset {
        key: property_key(cursor)?,
    })
}

fn property_key(cursor: &mut Cursor) -> Result<Spanned<String>, SqlError> {
    let span = cursor.span();
    Ok(Spanned::new(
        cursor.string("a property's name in single quotes")?,
        span,
    ))
}

fn show(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    const SHOWN: &[(&str, Shown)] = &[
        ("STREAMS", Shown::Streams),
        ("TABLES", Shown::Tables),
        ("TOPICS", Shown::Topics),
        ("QUERIES", Shown::Queries),
        ("PROPERTIES", Shown::Properties),
        ("FUNCTIONS", Shown::Functions),
    ];
    let span = cursor.span();
    for word in ["CONNECTORS", "SOURCE", "SINK", "TYPES", "VARIABLES"] {
        if cursor.sees(word) {
            return Err(SqlError::unsupported(span, format!("SHOW {word}")));
        }
    }
    if cursor.sees("ALL") && cursor.sees_ahead(1, "TOPICS") {
        cursor.advance();
    }
    for (word, what) in SHOWN {
        if cursor.accept(word) {
            let extended = cursor.accept("EXTENDED");
            return Ok(Statement::Show {
                what: *what,
                extended,
            });
        }
    }
    Err(cursor.unexpected())
}

fn describe(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let named = matches!(cursor.peek_ahead(1), Token::Word(_)) && !cursor.sees_ahead(1, "EXTENDED");
    if named && cursor.sees("CONNECTOR") {
        return Err(SqlError::unsupported(cursor.span(), "connectors"));
    }
    if named && cursor.sees("FUNCTION") {
        cursor.advance();
        return Ok(Statement::DescribeFunction {
            name: cursor.word("a function's name")?,
        });
    }
    if cursor.sees("EXTENDED") && named {
        cursor.advance();
        let name = cursor.ident("a stream's or table's name")?;
        return Ok(Statement::Describe { name, extended: true });
    }
    let name = cursor.ident("a stream's or table's name")?;
    let extended = cursor.accept("EXTENDED");
    Ok(Statement::Describe { name, extended })
}

fn explain(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    if cursor.sees("ANALYZE") && !matches!(cursor.peek_ahead(1), Token::SemiColon | Token::EOF) {
        return Err(SqlError::unsupported(cursor.span(), "EXPLAIN ANALYZE"));
    }
    let start = cursor.span();
    if BEGINNINGS.iter().any(|word| cursor.sees(word)) {
        let statement = cursor.nested(statement)?;
        let span = start.to(cursor.last_span());
        return Ok(Statement::Explain(Explained::Statement(Box::new(Spanned::new(
            statement, span,
        )))));
    }
    Ok(Statement::Explain(Explained::Query(
        cursor.ident("a query's id or a statement")?,
    )))
}

fn drop(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    for word in ["CONNECTOR", "TYPE", "FUNCTION"] {
        if cursor.sees(word) {
            return Err(SqlError::unsupported(cursor.span(), format!("DROP {word}")));
        }
    }
    let kind = create::source_kind(cursor)?;
    let if_exists = cursor.accept("IF");
    if if_exists {
        cursor.expect("EXISTS")?;
    }
    let name = cursor.ident("a stream's or table's name")?;
    let delete_topic = cursor.accept("DELETE");
    if delete_topic {
        cursor.expect("TOPIC")?;
    }
    Ok(Statement::Drop {
        kind,
        name,
        if_exists,
        delete_topic,
    })
}

fn terminate(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    if cursor.accept("ALL") {
        return Ok(Statement::Terminate(Terminated::All));
    }
    Ok(Statement::Terminate(Terminated::Query(
        cursor.ident("a query's id")?,
    )))
}
