//! Values written in the text, and constant expressions.

use super::{Binder, Scope, Typed};
use crate::canonical::canonical;
use arrow::array::RecordBatchOptions;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use datafusion_common::ScalarValue;
use datafusion_physical_expr::expressions;
use millstream_functions::{self as functions, arrow_type, row_errors};
use millstream_parser::{Expr, ExprKind, Literal, SqlError, SqlType};
use std::sync::Arc;

/// A literal as an expression.
pub fn literal(value: &Literal) -> Typed {
    let (scalar, sql_type) = match value {
        Literal::Null => (ScalarValue::Null, None),
        Literal::Boolean(value) => (ScalarValue::Boolean(Some(*value)), Some(SqlType::Boolean)),
        Literal::Int(value) => (ScalarValue::Int32(Some(*value)), Some(SqlType::Int)),
        Literal::BigInt(value) => (ScalarValue::Int64(Some(*value)), Some(SqlType::BigInt)),
        Literal::Double(value) => (ScalarValue::Float64(Some(*value)), Some(SqlType::Double)),
        Literal::String(text) => (ScalarValue::Utf8(Some(text.clone())), Some(SqlType::String)),
        Literal::Decimal {
            unscaled,
            precision,
            scale,
        } => (
            ScalarValue::Decimal128(Some(*unscaled), *precision, scale.cast_signed()),
            Some(SqlType::Decimal {
                precision: *precision,
                scale: *scale,
            }),
        ),
    };
    Typed::leaf(Arc::new(expressions::Literal::new(scalar)), sql_type)
}

/// A null of a type.
pub fn null_of(sql_type: &SqlType) -> Typed {
    let null = ScalarValue::try_from(&arrow_type(sql_type)).unwrap_or(ScalarValue::Null);
    Typed::leaf(Arc::new(expressions::Literal::new(null)), Some(sql_type.clone()))
}

/// A literal of another type, unless it is no literal or has no such value.
pub fn converted(typed: &Typed, to: &SqlType) -> Option<Typed> {
    typed.expr.downcast_ref::<expressions::Literal>()?;
    let resolved = functions::cast(typed.sql_type.as_ref()?, to)?;
    let scope = Scope::default();
    let call = Binder::new(&scope).call(resolved, vec![typed.clone()]);
    let value = evaluate(&call)?.ok()?;
    Some(Typed::leaf(
        Arc::new(expressions::Literal::new(value)),
        Some(to.clone()),
    ))
}

/// The value of an expression without columns; why it has none; None when it cannot be had.
fn evaluate(typed: &Typed) -> Option<Result<ScalarValue, String>> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).ok()?;
    let (value, mut errors) =
        row_errors::collect(|| typed.expr.evaluate(&batch).and_then(|v| v.into_array(1)));
    if let Some(error) = errors.pop() {
        return Some(Err(error.message.into_owned()));
    }
    match value.and_then(|array| ScalarValue::try_from_array(&array, 0)) {
        Ok(value) => Some(Ok(value)),
        Err(error) => Some(Err(error.strip_backtrace())),
    }
}

impl Binder<'_> {
    /// An expression as a value of a type: converted implicitly, or from a string to what has a text form (DECIMAL,
    /// TIMESTAMP, DATE, TIME). What `ARRAY[…]`, `MAP(…)` and `STRUCT(…)` hold is converted likewise.
    pub(super) fn value_as(&mut self, expr: &Expr, to: &SqlType) -> Result<Typed, SqlError> {
        match (&expr.kind, to) {
            (ExprKind::Array(elements), SqlType::Array(item)) => self.array_as(elements, item),
            (ExprKind::Map(entries), SqlType::Map(key, value)) => self.map_as(entries, key, value),
            (ExprKind::Struct(written), SqlType::Struct(fields)) => self.struct_as(written, fields),
            _ => self.plain_as(expr, to),
        }
    }

    fn plain_as(&mut self, expr: &Expr, to: &SqlType) -> Result<Typed, SqlError> {
        let typed = self.typed(expr)?;
        let from_text = typed.sql_type == Some(SqlType::String)
            && (to.is_temporal() || matches!(to, SqlType::Decimal { .. }));
        let numeric =
            typed.sql_type.as_ref().is_some_and(SqlType::is_numeric) && matches!(to, SqlType::Decimal { .. });
        match typed.sql_type.as_ref().and_then(|from| functions::cast(from, to)) {
            Some(resolved) if from_text || numeric => Ok(self.call(resolved, vec![typed])),
            _ => self.coerce(typed, to, expr.span),
        }
    }
}

/// The value of an expression without columns, as a type: see `Binder::value_as`.
///
/// # Errors
/// A column is named, the type does not fit, or the evaluation fails.
pub fn constant(expr: &Expr, to: &SqlType) -> Result<ScalarValue, SqlError> {
    let scope = Scope::default();
    let typed = Binder::new(&scope).value_as(expr, to)?;
    match evaluate(&typed) {
        Some(Ok(value)) => Ok(value),
        Some(Err(message)) => Err(SqlError::invalid(expr.span, message)),
        None => Err(SqlError::invalid(
            expr.span,
            format!("{} has no value", canonical(expr)),
        )),
    }
}
