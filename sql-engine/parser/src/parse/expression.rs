//! Expressions, by precedence climbing. From loose to tight: OR; AND; NOT; comparisons, BETWEEN, IN, LIKE, IS;
//! `||`; `+ -`; `* / %`; signs; `->` and `[]`.

mod forms;

use crate::cursor::Cursor;
use crate::{BinaryOp, Expr, ExprKind, Ident, Literal, Span, SqlError, SqlType, UnaryOp};
use millstream_model::limits::SQL_TREE_HEIGHT_MAX;
use sqlparser::tokenizer::Token;

/// How tightly something binds; larger is tighter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Not,
    Predicate,
    Concat,
    Sum,
    Product,
    Sign,
}

impl Binding {
    fn tighter(self) -> Binding {
        match self {
            Binding::Or => Binding::And,
            Binding::And => Binding::Not,
            Binding::Not => Binding::Predicate,
            Binding::Predicate => Binding::Concat,
            Binding::Concat => Binding::Sum,
            Binding::Sum => Binding::Product,
            Binding::Product | Binding::Sign => Binding::Sign,
        }
    }
}

/// One expression.
pub fn expression(cursor: &mut Cursor) -> Result<Expr, SqlError> {
    cursor.nested(|cursor| climb(cursor, Binding::Or))
}

/// `expression, …`
pub fn expressions(cursor: &mut Cursor) -> Result<Vec<Expr>, SqlError> {
    let mut all = vec![expression(cursor)?];
    while cursor.accept_token(&Token::Comma, ",") {
        all.push(expression(cursor)?);
    }
    Ok(all)
}

/// Everything that binds at least as tightly as `least`. Calls itself only with a tighter binding, except
/// through [`expression`] and [`prefix`], which count levels.
fn climb(cursor: &mut Cursor, least: Binding) -> Result<Expr, SqlError> {
    let mut left = prefix(cursor)?;
    loop {
        if let Some((op, binding)) = binary_op(cursor.peek()) {
            if binding < least {
                return Ok(left);
            }
            left = binary(cursor, left, op, binding)?;
        } else if least <= Binding::Predicate && sees_predicate(cursor) {
            left = predicate(cursor, left)?;
        } else {
            return Ok(left);
        }
    }
}

fn binary_op(token: &Token) -> Option<(BinaryOp, Binding)> {
    Some(match token {
        Token::Eq | Token::DoubleEq => (BinaryOp::Equal, Binding::Predicate),
        Token::Neq => (BinaryOp::NotEqual, Binding::Predicate),
        Token::Lt => (BinaryOp::Less, Binding::Predicate),
        Token::LtEq => (BinaryOp::LessOrEqual, Binding::Predicate),
        Token::Gt => (BinaryOp::Greater, Binding::Predicate),
        Token::GtEq => (BinaryOp::GreaterOrEqual, Binding::Predicate),
        Token::StringConcat => (BinaryOp::Concat, Binding::Concat),
        Token::Plus => (BinaryOp::Add, Binding::Sum),
        Token::Minus => (BinaryOp::Subtract, Binding::Sum),
        Token::Mul => (BinaryOp::Multiply, Binding::Product),
        Token::Div => (BinaryOp::Divide, Binding::Product),
        Token::Mod => (BinaryOp::Modulo, Binding::Product),
        Token::Word(word) if word.quote_style.is_none() => {
            if word.value.eq_ignore_ascii_case("OR") {
                (BinaryOp::Or, Binding::Or)
            } else if word.value.eq_ignore_ascii_case("AND") {
                (BinaryOp::And, Binding::And)
            } else {
                return None;
            }
        }
        _ => return None,
    })
}

fn binary(cursor: &mut Cursor, left: Expr, op: BinaryOp, binding: Binding) -> Result<Expr, SqlError> {
    if !matches!(op, BinaryOp::And | BinaryOp::Or) {
        cursor.advance();
        let op_span = cursor.last_span();
        let right = climb(cursor, binding.tighter())?;
        return combine(left, op, op_span, right);
    }
    // A long chain of ANDs or ORs becomes a balanced tree, so that it may be long.
    let mut operands = vec![left];
    let mut op_spans = Vec::new();
    while binary_op(cursor.peek()).is_some_and(|(next, _)| next == op) {
        cursor.advance();
        op_spans.push(cursor.last_span());
        operands.push(climb(cursor, binding.tighter())?);
    }
    balance(operands, op, &op_spans)
}

fn balance(mut operands: Vec<Expr>, op: BinaryOp, op_spans: &[Span]) -> Result<Expr, SqlError> {
    let middle = operands.len() / 2;
    let right = operands.split_off(middle.max(1).min(operands.len()));
    if right.is_empty() {
        return operands
            .pop()
            .ok_or_else(|| SqlError::syntax(Span::START.start, "an operand is missing"));
    }
    let left = balance(operands, op, &op_spans[..middle - 1])?;
    let right = balance(right, op, &op_spans[middle..])?;
    combine(left, op, op_spans[middle - 1], right)
}

fn combine(left: Expr, op: BinaryOp, op_span: Span, right: Expr) -> Result<Expr, SqlError> {
    let span = left.span.to(right.span);
    node(
        ExprKind::Binary {
            left: Box::new(left),
            op,
            op_span,
            right: Box::new(right),
        },
        span,
    )
}

/// Makes a node, unless its tree gets too high to be walked recursively.
fn node(kind: ExprKind, span: Span) -> Result<Expr, SqlError> {
    let height = 1 + children_height(&kind);
    if height > SQL_TREE_HEIGHT_MAX {
        let message =
            format!("the expression is nested or chained over more than {SQL_TREE_HEIGHT_MAX} levels");
        return Err(SqlError::limit(span.start, message));
    }
    Ok(Expr { kind, span, height })
}

fn children_height(kind: &ExprKind) -> usize {
    let highest = |all: &[Expr]| all.iter().map(|e| e.height).max().unwrap_or(0);
    match kind {
        ExprKind::Literal(_) | ExprKind::Column { .. } => 0,
        ExprKind::Unary { operand, .. }
        | ExprKind::IsNull { operand, .. }
        | ExprKind::Cast { operand, .. }
        | ExprKind::Field { base: operand, .. }
        | ExprKind::Lambda { body: operand, .. } => operand.height,
        ExprKind::Binary { left, right, .. } => left.height.max(right.height),
        ExprKind::Between {
            operand, low, high, ..
        } => operand.height.max(low.height).max(high.height),
        ExprKind::In {
            operand, candidates, ..
        } => operand.height.max(highest(candidates)),
        ExprKind::Like { operand, pattern, .. } => operand.height.max(pattern.height),
        ExprKind::Case {
            operand,
            branches,
            otherwise,
        } => {
            let ends = operand.iter().chain(otherwise).map(|e| e.height);
            let middle = branches.iter().map(|(when, then)| when.height.max(then.height));
            ends.chain(middle).max().unwrap_or(0)
        }
        ExprKind::Function { arguments, .. } | ExprKind::Array(arguments) => highest(arguments),
        ExprKind::Index { base, index } => base.height.max(index.height),
        ExprKind::Map(entries) => entries
            .iter()
            .map(|(k, v)| k.height.max(v.height))
            .max()
            .unwrap_or(0),
        ExprKind::Struct(fields) => fields.iter().map(|(_, v)| v.height).max().unwrap_or(0),
    }
}

fn sees_predicate(cursor: &Cursor) -> bool {
    let opens = |ahead| {
        ["BETWEEN", "IN", "LIKE"]
            .iter()
            .any(|word| cursor.sees_ahead(ahead, word))
    };
    cursor.sees("IS") || opens(0) || (cursor.sees("NOT") && opens(1))
}

/// `[NOT] BETWEEN … AND …`, `[NOT] IN (…)`, `[NOT] LIKE … [ESCAPE c]`, `IS [NOT] NULL`,
/// `IS [NOT] DISTINCT FROM …`.
fn predicate(cursor: &mut Cursor, operand: Expr) -> Result<Expr, SqlError> {
    let start = operand.span;
    let op_span = cursor.span();
    let operand = Box::new(operand);
    if cursor.accept("IS") {
        let negated = cursor.accept("NOT");
        if cursor.accept("NULL") {
            return node(
                ExprKind::IsNull { operand, negated },
                start.to(cursor.last_span()),
            );
        }
        cursor.expect("DISTINCT")?;
        cursor.expect("FROM")?;
        let op = if negated {
            BinaryOp::IsNotDistinctFrom
        } else {
            BinaryOp::IsDistinctFrom
        };
        let right = climb(cursor, Binding::Concat)?;
        return combine(*operand, op, op_span, right);
    }
    let negated = cursor.accept("NOT");
    let kind = if cursor.accept("BETWEEN") {
        let low = Box::new(climb(cursor, Binding::Concat)?);
        cursor.expect("AND")?;
        let high = Box::new(climb(cursor, Binding::Concat)?);
        ExprKind::Between {
            operand,
            negated,
            low,
            high,
        }
    } else if cursor.accept("IN") {
        cursor.expect_token(&Token::LParen, "(")?;
        refuse_subquery(cursor)?;
        let candidates = expressions(cursor)?;
        cursor.expect_token(&Token::RParen, ")")?;
        ExprKind::In {
            operand,
            negated,
            candidates,
        }
    } else {
        cursor.expect("LIKE")?;
        let pattern = Box::new(climb(cursor, Binding::Concat)?);
        let escape = if cursor.accept("ESCAPE") {
            Some(escape(cursor)?)
        } else {
            None
        };
        ExprKind::Like {
            operand,
            negated,
            pattern,
            escape,
        }
    };
    node(kind, start.to(cursor.last_span()))
}

fn escape(cursor: &mut Cursor) -> Result<char, SqlError> {
    let text = cursor.string("one character in quotes")?;
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(SqlError::syntax(
            cursor.last_span().start,
            "ESCAPE takes exactly one character",
        )),
    }
}

fn refuse_subquery(cursor: &Cursor) -> Result<(), SqlError> {
    if cursor.sees("SELECT") {
        return Err(SqlError::unsupported(
            cursor.span(),
            "a query inside an expression",
        ));
    }
    Ok(())
}

/// What an expression may begin with, and the `->` and `[]` behind it.
fn prefix(cursor: &mut Cursor) -> Result<Expr, SqlError> {
    let start = cursor.span();
    let unary = match cursor.peek() {
        Token::Minus => Some((UnaryOp::Negate, Binding::Sign)),
        Token::Plus => Some((UnaryOp::Plus, Binding::Sign)),
        Token::Word(_) if cursor.sees("NOT") => Some((UnaryOp::Not, Binding::Not)),
        _ => None,
    };
    let Some((op, binding)) = unary else {
        let first = primary(cursor)?;
        return postfix(cursor, first);
    };
    cursor.advance();
    if op == UnaryOp::Negate
        && let Token::Number(digits, _) = cursor.peek()
    {
        let literal = number(&format!("-{digits}"), start)?;
        cursor.advance();
        return node(ExprKind::Literal(literal), start.to(cursor.last_span()));
    }
    let operand = cursor.nested(|cursor| climb(cursor, binding))?;
    let span = start.to(operand.span);
    node(
        ExprKind::Unary {
            op,
            operand: Box::new(operand),
        },
        span,
    )
}

fn postfix(cursor: &mut Cursor, mut base: Expr) -> Result<Expr, SqlError> {
    loop {
        let start = base.span;
        let kind = match cursor.peek() {
            Token::Arrow => {
                cursor.advance();
                ExprKind::Field {
                    base: Box::new(base),
                    field: cursor.ident("a field's name")?,
                }
            }
            Token::LBracket => {
                cursor.advance();
                let index = Box::new(expression(cursor)?);
                cursor.expect_token(&Token::RBracket, "]")?;
                ExprKind::Index {
                    base: Box::new(base),
                    index,
                }
            }
            _ => return Ok(base),
        };
        base = node(kind, start.to(cursor.last_span()))?;
    }
}

fn primary(cursor: &mut Cursor) -> Result<Expr, SqlError> {
    let start = cursor.span();
    let kind = match cursor.peek() {
        Token::Number(digits, _) => {
            let literal = number(digits, start)?;
            cursor.advance();
            ExprKind::Literal(literal)
        }
        Token::SingleQuotedString(_) => ExprKind::Literal(Literal::String(cursor.string("a string")?)),
        Token::LParen => {
            cursor.advance();
            refuse_subquery(cursor)?;
            let mut inner = expression(cursor)?;
            cursor.expect_token(&Token::RParen, ")")?;
            inner.span = start.to(cursor.last_span());
            return Ok(inner);
        }
        Token::Word(word) if word.quote_style.is_none() => match forms::keyword_primary(cursor)? {
            Some(kind) => kind,
            None => name_or_call(cursor)?,
        },
        Token::Word(_) => name_or_call(cursor)?,
        Token::Placeholder(_) => {
            return Err(SqlError::unsupported(start, "variables in a text"));
        }
        _ => return cursor.fail("an expression"),
    };
    node(kind, start.to(cursor.last_span()))
}

/// `name`, `source.name` or `function(…)`.
fn name_or_call(cursor: &mut Cursor) -> Result<ExprKind, SqlError> {
    // LEFT, RIGHT and REPLACE-like words are functions when a parenthesis follows.
    let first = if *cursor.peek_ahead(1) == Token::LParen && !cursor.sees("IN") && !cursor.sees("VALUES") {
        cursor.word("an expression")?
    } else {
        cursor.ident("an expression")?
    };
    match cursor.peek() {
        Token::LParen => call(cursor, first),
        Token::Period => {
            cursor.advance();
            let name = cursor.ident("a column's name")?;
            Ok(ExprKind::Column {
                qualifier: Some(first),
                name,
            })
        }
        _ => Ok(ExprKind::Column {
            qualifier: None,
            name: first,
        }),
    }
}

fn call(cursor: &mut Cursor, name: Ident) -> Result<ExprKind, SqlError> {
    cursor.expect_token(&Token::LParen, "(")?;
    if cursor.accept_token(&Token::Mul, "*") {
        cursor.expect_token(&Token::RParen, ")")?;
        return Ok(ExprKind::Function {
            name,
            arguments: Vec::new(),
            star: true,
        });
    }
    if cursor.sees("DISTINCT") {
        return Err(SqlError::unsupported(cursor.span(), "DISTINCT inside a function"));
    }
    let mut arguments = Vec::new();
    if *cursor.peek() != Token::RParen {
        arguments.push(match forms::takes_unit(&name.name) {
            true => forms::time_unit(cursor)?,
            false => argument(cursor)?,
        });
        while cursor.accept_token(&Token::Comma, ",") {
            arguments.push(argument(cursor)?);
        }
    }
    cursor.expect_token(&Token::RParen, ")")?;
    Ok(ExprKind::Function {
        name,
        arguments,
        star: false,
    })
}

/// An expression or a lambda.
fn argument(cursor: &mut Cursor) -> Result<Expr, SqlError> {
    if !sees_lambda(cursor) {
        return expression(cursor);
    }
    let start = cursor.span();
    let mut parameters = Vec::new();
    if cursor.accept_token(&Token::LParen, "(") {
        parameters.push(cursor.ident("a parameter's name")?);
        while cursor.accept_token(&Token::Comma, ",") {
            parameters.push(cursor.ident("a parameter's name")?);
        }
        cursor.expect_token(&Token::RParen, ")")?;
    } else {
        parameters.push(cursor.ident("a parameter's name")?);
    }
    cursor.expect_token(&Token::RArrow, "=>")?;
    let body = Box::new(expression(cursor)?);
    let span = start.to(body.span);
    node(ExprKind::Lambda { parameters, body }, span)
}

fn sees_lambda(cursor: &Cursor) -> bool {
    if matches!(cursor.peek(), Token::Word(_)) {
        return *cursor.peek_ahead(1) == Token::RArrow;
    }
    let mut ahead = 1;
    while matches!(cursor.peek_ahead(ahead), Token::Word(_) | Token::Comma) {
        ahead += 1;
    }
    *cursor.peek() == Token::LParen
        && *cursor.peek_ahead(ahead) == Token::RParen
        && *cursor.peek_ahead(ahead + 1) == Token::RArrow
}

/// A number as ksqlDB types it: INT, BIGINT, DECIMAL with a point, DOUBLE with an exponent.
fn number(digits: &str, span: Span) -> Result<Literal, SqlError> {
    let wrong = |why: &str| Err(SqlError::syntax(span.start, format!("the number {why}")));
    if digits.contains(['e', 'E']) {
        return match digits.parse::<f64>() {
            Ok(double) if double.is_finite() => Ok(Literal::Double(double)),
            _ => wrong("does not fit a DOUBLE"),
        };
    }
    let Some((whole, fraction)) = digits.split_once('.') else {
        return match digits.parse::<i64>() {
            Ok(long) => Ok(i32::try_from(long).map_or(Literal::BigInt(long), Literal::Int)),
            Err(_) => wrong("does not fit 64 bits"),
        };
    };
    let significant = (whole.trim_start_matches(['-', '0']).len() + fraction.len()).max(1);
    let Some(precision) = u8::try_from(significant)
        .ok()
        .filter(|precision| *precision <= SqlType::DECIMAL_PRECISION_MAX)
    else {
        return wrong("has more than 38 digits");
    };
    let scale = u8::try_from(fraction.len()).unwrap_or(precision);
    match format!("{whole}{fraction}").parse() {
        Ok(unscaled) => Ok(Literal::Decimal {
            unscaled,
            precision,
            scale,
        }),
        Err(_) => wrong("cannot be read"),
    }
}

/// A literal with an optional sign, for WITH clauses.
pub fn literal(cursor: &mut Cursor) -> Result<crate::Spanned<Literal>, SqlError> {
    let start = cursor.span();
    let value = match cursor.peek() {
        Token::SingleQuotedString(_) | Token::Number(..) | Token::Minus | Token::Word(_) => prefix(cursor)?,
        _ => return cursor.fail("a value"),
    };
    match value.kind {
        ExprKind::Literal(literal) => Ok(crate::Spanned::new(literal, value.span)),
        _ => {
            Err(SqlError::syntax(start.start, "unexpected expression")
                .expecting(["a value such as 'text' or 4"]))
        }
    }
}
