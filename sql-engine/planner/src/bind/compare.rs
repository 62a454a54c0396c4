//! Comparisons, IN and LIKE.

use super::{Binder, Typed, literal};
use crate::canonical::canonical;
use datafusion_common::ScalarValue;
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{self, BinaryExpr, LikeExpr, in_list};
use millstream_functions::{self as functions, java};
use millstream_parser::{BinaryOp, Expr, ExprKind, Literal, Span, SqlError, SqlType};
use std::sync::Arc;

/// Columns of milliseconds that may be compared with a time written as text.
const TIME_COLUMNS: [&str; 3] = ["ROWTIME", "WINDOWSTART", "WINDOWEND"];

impl Binder<'_> {
    /// Compares what is bound already with another expression.
    pub(super) fn compare(
        &mut self,
        tested: Typed,
        left: &Expr,
        op: BinaryOp,
        op_span: Span,
        right: &Expr,
    ) -> Result<Typed, SqlError> {
        let (a, b) = self.comparable(tested, left, right, &op.to_string(), op_span)?;
        let ordered = !matches!(
            op,
            BinaryOp::Equal | BinaryOp::NotEqual | BinaryOp::IsDistinctFrom | BinaryOp::IsNotDistinctFrom
        );
        if let Some(sql_type) = a.sql_type.as_ref().filter(|t| ordered && **t == SqlType::Boolean) {
            return Err(SqlError::invalid(
                op_span,
                format!("the operator {op} does not take {sql_type}"),
            ));
        }
        let operator = match op {
            BinaryOp::NotEqual => Operator::NotEq,
            BinaryOp::Less => Operator::Lt,
            BinaryOp::LessOrEqual => Operator::LtEq,
            BinaryOp::Greater => Operator::Gt,
            BinaryOp::GreaterOrEqual => Operator::GtEq,
            BinaryOp::IsDistinctFrom => Operator::IsDistinctFrom,
            BinaryOp::IsNotDistinctFrom => Operator::IsNotDistinctFrom,
            _ => Operator::Eq,
        };
        let facts = [a.facts(), b.facts()];
        let expr = Arc::new(BinaryExpr::new(a.expr, operator, b.expr));
        Ok(Typed::over(expr, SqlType::Boolean, facts))
    }

    /// Binds two operands and converts them to one primitive type.
    fn comparable(
        &mut self,
        a: Typed,
        left: &Expr,
        right: &Expr,
        op: &str,
        span: Span,
    ) -> Result<(Typed, Typed), SqlError> {
        let b = self.typed(right)?;
        let (a, b) = match (time_of_text(&a, left, right)?, time_of_text(&b, right, left)?) {
            (Some(text), _) => (a, text),
            (_, Some(text)) => (text, b),
            (None, None) => (a, b),
        };
        let common = match (&a.sql_type, &b.sql_type) {
            (Some(a), Some(b)) => functions::common_type(a, b),
            (Some(one), None) | (None, Some(one)) => Some(one.clone()),
            (None, None) => Some(SqlType::Boolean),
        };
        let Some(common) = common.filter(SqlType::is_primitive) else {
            let name = |typed: &Typed| {
                typed
                    .sql_type
                    .as_ref()
                    .map_or("NULL".to_owned(), ToString::to_string)
            };
            let message = format!("the operator {op} does not take {} and {}", name(&a), name(&b));
            return Err(SqlError::invalid(span, message));
        };
        Ok((
            self.coerce(a, &common, left.span)?,
            self.coerce(b, &common, right.span)?,
        ))
    }

    pub(super) fn in_list(
        &mut self,
        operand: &Expr,
        negated: bool,
        candidates: &[Expr],
    ) -> Result<Typed, SqlError> {
        let tested = self.typed(operand)?;
        let mut list = Vec::new();
        let mut common = tested.sql_type.clone();
        for candidate in candidates {
            let (a, b) = self.comparable(tested.clone(), operand, candidate, "IN", candidate.span)?;
            common = match (common, a.sql_type) {
                (Some(common), Some(next)) => functions::common_type(&common, &next),
                (common, next) => common.or(next),
            };
            list.push((b, candidate.span));
        }
        let common = common.unwrap_or(SqlType::Boolean);
        let tested = self.coerce(tested, &common, operand.span)?;
        let list = list.into_iter().map(|(b, span)| self.coerce(b, &common, span));
        let list = list.collect::<Result<Vec<_>, _>>()?;
        let facts: Vec<_> = list.iter().chain([&tested]).map(Typed::facts).collect();
        let list = list.into_iter().map(|typed| typed.expr).collect();
        let expr = in_list(tested.expr, list, &negated, &self.schema)
            .map_err(|error| SqlError::invalid(operand.span, error.strip_backtrace()))?;
        Ok(Typed::over(expr, SqlType::Boolean, facts))
    }

    pub(super) fn like(
        &mut self,
        operand: &Expr,
        negated: bool,
        pattern: &Expr,
        escape: Option<char>,
    ) -> Result<Typed, SqlError> {
        let mut text = |side: &Expr| {
            let typed = self.typed(side)?;
            if let Some(found) = typed.sql_type.as_ref().filter(|t| **t != SqlType::String) {
                let message = format!("LIKE needs STRINGs, {} is of type {found}", canonical(side));
                return Err(SqlError::invalid(side.span, message));
            }
            self.coerce(typed, &SqlType::String, side.span)
        };
        let (tested, given) = (text(operand)?, text(pattern)?);
        let matched = match &pattern.kind {
            ExprKind::Literal(Literal::String(text)) => {
                literal::literal(&Literal::String(escaped(text, escape)))
            }
            _ if escape.is_some() => {
                return Err(SqlError::unsupported(
                    pattern.span,
                    "ESCAPE with a pattern that is not a literal",
                ));
            }
            // Arrow takes a backslash for an escape, ksqlDB does not unless told.
            _ => {
                let string = Some(SqlType::String);
                let replace = functions::resolve("REPLACE", &[string.clone(), string.clone(), string])
                    .map_err(|error| SqlError::invalid(pattern.span, error.to_string()))?;
                let backslash = |text: &str| literal::literal(&Literal::String(text.to_owned()));
                self.call(replace, vec![given, backslash("\\"), backslash("\\\\")])
            }
        };
        let facts = [tested.facts(), matched.facts()];
        let expr = Arc::new(LikeExpr::new(negated, false, tested.expr, matched.expr));
        Ok(Typed::over(expr, SqlType::Boolean, facts))
    }
}

/// A pattern for Arrow, whose escape is the backslash.
fn escaped(pattern: &str, escape: Option<char>) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let literal = if Some(c) == escape { chars.next() } else { None };
        match literal {
            Some(literal) => text.extend(['\\', literal]),
            None if c == '\\' => text.push_str("\\\\"),
            None => text.push(c),
        }
    }
    text
}

/// Where one side is a time and the other a text literal: that literal as a time.
fn time_of_text(time: &Typed, time_expr: &Expr, text_expr: &Expr) -> Result<Option<Typed>, SqlError> {
    let ExprKind::Literal(Literal::String(text)) = &text_expr.kind else {
        return Ok(None);
    };
    let column = match &time_expr.kind {
        ExprKind::Column { name, .. } => TIME_COLUMNS.contains(&name.name.as_str()),
        _ => false,
    };
    let (value, sql_type) = match &time.sql_type {
        Some(SqlType::BigInt) if column => (
            java::parse_timestamp(text).map(|ms| ScalarValue::Int64(Some(ms))),
            SqlType::BigInt,
        ),
        Some(SqlType::Timestamp) => {
            let value = java::parse_timestamp(text);
            (
                value.map(|ms| ScalarValue::TimestampMillisecond(Some(ms), None)),
                SqlType::Timestamp,
            )
        }
        Some(SqlType::Date) => (
            java::parse_date(text).map(|d| ScalarValue::Date32(Some(d))),
            SqlType::Date,
        ),
        Some(SqlType::Time) => (
            java::parse_time(text).map(|ms| ScalarValue::Time32Millisecond(Some(ms))),
            SqlType::Time,
        ),
        _ => return Ok(None),
    };
    let Some(value) = value else {
        let message = format!(
            "'{text}' is no {}",
            if column { &SqlType::Timestamp } else { &sql_type }
        );
        return Err(SqlError::invalid(text_expr.span, message));
    };
    let expr = Arc::new(expressions::Literal::new(value));
    Ok(Some(Typed::leaf(expr, Some(sql_type))))
}
