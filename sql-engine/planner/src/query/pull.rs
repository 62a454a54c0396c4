//! SELECT without EMIT CHANGES: what is there now, by key, by window or all of it.

use super::{ItemExpr, analyse};
use crate::bind::{Binder, constant};
use crate::canonical::{columns, conjuncts};
use crate::{Metastore, NamedExpr, PullAccess, PullPlan, Source, WindowBounds, arrow_type};
use datafusion_common::ScalarValue;
use millstream_functions::java::parse_timestamp;
use millstream_model::limits::PULL_KEYS_MAX;
use millstream_parser::{BinaryOp, Expr, ExprKind, Literal, Query, SourceKind, SqlError, SqlType};
use std::ops::Bound;

pub fn pull(query: &Query, metastore: &Metastore) -> Result<PullPlan, SqlError> {
    let continuous = "needs EMIT CHANGES: a query without it reads what is there now";
    if let Some(window) = &query.window {
        return Err(SqlError::invalid(window.span, format!("WINDOW {continuous}")));
    }
    if let Some(span) = query.group_span {
        return Err(SqlError::invalid(span, format!("GROUP BY {continuous}")));
    }
    if let Some(span) = query.partition_span {
        return Err(SqlError::invalid(span, format!("PARTITION BY {continuous}")));
    }
    if let Some(having) = &query.having {
        return Err(SqlError::invalid(having.span, format!("HAVING {continuous}")));
    }
    let analysis = analyse(query, metastore, true)?;
    analysis.refuse_aggregates("needs a GROUP BY and EMIT CHANGES")?;
    let source = &analysis.source;
    let written = metastore.queries().any(|facts| facts.writes == source.name);
    if source.kind == SourceKind::Table && !written {
        let message = format!(
            "the table {} is not kept by a query, so it cannot be read without EMIT CHANGES; make one that is: \
             CREATE TABLE … AS SELECT * FROM {}",
            source.name, source.name
        );
        return Err(SqlError::invalid(query.from.name.span, message));
    }
    let mut binder = Binder::new(&analysis.scope);
    let filter = query
        .filter
        .as_ref()
        .map(|filter| binder.predicate(filter, "WHERE"))
        .transpose()?;
    let mut selected = Vec::new();
    for item in &analysis.items {
        let expr = match &item.expr {
            ItemExpr::Written(expr) => binder.bind(expr)?,
            ItemExpr::Star(name) => binder.column_by_name(name, item.span)?,
        };
        selected.push(NamedExpr {
            name: item.name.clone(),
            expr,
        });
    }
    let conditions = query.filter.as_ref().map(conjuncts).unwrap_or_default();
    let (access, windows) = if source.kind == SourceKind::Table {
        (access(source, &conditions)?, windows(source, &conditions))
    } else {
        (PullAccess::Scan, WindowBounds::ALL)
    };
    Ok(PullPlan {
        access,
        windows,
        filter,
        columns: selected,
        limit: query.limit.as_ref().map(|limit| limit.node),
        fields: analysis.fields,
        source: analysis.source,
    })
}

/// The keys that `key = value` and `key IN (…)` leave, when every key column is so bound; else a scan.
fn access(source: &Source, conditions: &[&Expr]) -> Result<PullAccess, SqlError> {
    let mut lookups: Vec<Vec<ScalarValue>> = vec![Vec::new()];
    if source.key_count == 0 {
        return Ok(PullAccess::Scan);
    }
    for key in source.keys() {
        let Some((values, span)) = conditions
            .iter()
            .find_map(|c| Some((key_values(c, &key.name, &key.sql_type)?, c.span)))
        else {
            return Ok(PullAccess::Scan);
        };
        if lookups.len().saturating_mul(values.len()) > PULL_KEYS_MAX {
            let message = format!("the query looks up more than {PULL_KEYS_MAX} keys");
            return Err(SqlError::limit(span.start, message));
        }
        let extended = |prefix: &Vec<ScalarValue>, value: &ScalarValue| {
            let mut whole = prefix.clone();
            whole.push(value.clone());
            whole
        };
        lookups = lookups
            .iter()
            .flat_map(|p| values.iter().map(move |v| extended(p, v)))
            .collect();
    }
    Ok(PullAccess::Keys(lookups))
}

/// The values that a condition leaves for a key column; none when it says nothing about it.
fn key_values(condition: &Expr, key: &str, sql_type: &SqlType) -> Option<Vec<ScalarValue>> {
    let is_key = |expr: &Expr| matches!(&expr.kind, ExprKind::Column { name, .. } if name.name == key);
    let candidates: Vec<&Expr> = match &condition.kind {
        ExprKind::Binary {
            left,
            op: BinaryOp::Equal,
            right,
            ..
        } if is_key(left) => vec![right],
        ExprKind::Binary {
            left,
            op: BinaryOp::Equal,
            right,
            ..
        } if is_key(right) => vec![left],
        ExprKind::In {
            operand,
            negated: false,
            candidates,
        } if is_key(operand) => candidates.iter().collect(),
        _ => return None,
    };
    let mut values: Vec<ScalarValue> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for candidate in candidates {
        if !columns(candidate).is_empty() {
            return None;
        }
        // What does not convert exactly (1.5 for an INT) is left to the filter.
        let value = constant(candidate, sql_type).ok()?;
        if value.data_type() != arrow_type(sql_type) {
            return None;
        }
        if !value.is_null() && seen.insert(value.clone()) {
            values.push(value);
        }
    }
    Some(values)
}

/// The bounds that comparisons of WINDOWSTART and WINDOWEND with constants leave.
fn windows(source: &Source, conditions: &[&Expr]) -> WindowBounds {
    let mut bounds = WindowBounds::ALL;
    if !source.is_windowed() {
        return bounds;
    }
    for condition in conditions {
        match &condition.kind {
            ExprKind::Binary { left, op, right, .. } => {
                if let (Some(side), Some(ms)) = (side(&mut bounds, left), millis(right)) {
                    narrow(side, *op, ms);
                } else if let (Some(side), Some(ms)) = (side(&mut bounds, right), millis(left)) {
                    narrow(side, mirrored(*op), ms);
                }
            }
            ExprKind::Between {
                operand,
                negated: false,
                low,
                high,
            } => {
                if let (Some(side), Some(low), Some(high)) =
                    (side(&mut bounds, operand), millis(low), millis(high))
                {
                    narrow(side, BinaryOp::GreaterOrEqual, low);
                    narrow(side, BinaryOp::LessOrEqual, high);
                }
            }
            _ => {}
        }
    }
    bounds
}

type Range = (Bound<i64>, Bound<i64>);

fn side<'b>(bounds: &'b mut WindowBounds, expr: &Expr) -> Option<&'b mut Range> {
    match &expr.kind {
        ExprKind::Column { name, .. } if name.name == "WINDOWSTART" => Some(&mut bounds.start),
        ExprKind::Column { name, .. } if name.name == "WINDOWEND" => Some(&mut bounds.end),
        _ => None,
    }
}

fn millis(expr: &Expr) -> Option<i64> {
    if let ExprKind::Literal(Literal::String(text)) = &expr.kind {
        return parse_timestamp(text);
    }
    if !columns(expr).is_empty() {
        return None;
    }
    match constant(expr, &SqlType::BigInt).ok()? {
        ScalarValue::Int64(value) => value,
        _ => None,
    }
}

fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessOrEqual => BinaryOp::GreaterOrEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterOrEqual => BinaryOp::LessOrEqual,
        other => other,
    }
}

fn narrow(range: &mut Range, op: BinaryOp, ms: i64) {
    let lower = |bound: Bound<i64>, ms: i64| match bound {
        Bound::Included(old) if old >= ms => bound,
        _ => Bound::Included(ms),
    };
    let upper = |bound: Bound<i64>, ms: i64| match bound {
        Bound::Included(old) if old <= ms => bound,
        _ => Bound::Included(ms),
    };
    // Whole milliseconds: > n is ≥ n + 1. At the ends of 64 bits nothing is narrowed.
    let (above, below) = (ms.checked_add(1), ms.checked_sub(1));
    match (op, above, below) {
        (BinaryOp::Equal, ..) => *range = (lower(range.0, ms), upper(range.1, ms)),
        (BinaryOp::GreaterOrEqual, ..) => range.0 = lower(range.0, ms),
        (BinaryOp::LessOrEqual, ..) => range.1 = upper(range.1, ms),
        (BinaryOp::Greater, Some(above), _) => range.0 = lower(range.0, above),
        (BinaryOp::Less, _, Some(below)) => range.1 = upper(range.1, below),
        _ => {}
    }
}
