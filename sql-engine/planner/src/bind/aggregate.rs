//! Aggregate functions: which there are, what they take and give, and the calls that one query makes.

use crate::bind::{Binder, Scope};
use crate::canonical::{canonical, walk};
use crate::{AggregateCall, AggregateFunction};
use millstream_parser::{Expr, ExprKind, Ident, Literal, Span, SqlError, SqlType};

/// Aggregates of one query at most: each keeps state per group.
const CALLS_MAX: usize = 256;

const NAMES: &[(&str, &str)] = &[
    ("AVG", "The mean of a number, DOUBLE; nulls are skipped."),
    ("COUNT", "How many rows, or how many values that are not null."),
    (
        "LATEST_BY_OFFSET",
        "The value that came last; nulls are skipped unless the second argument is false.",
    ),
    ("MAX", "The largest value; nulls are skipped."),
    ("MIN", "The smallest value; nulls are skipped."),
    ("SUM", "The sum, of the same type; nulls are skipped."),
];

/// Aggregate functions of ksqlDB that are not here yet.
const UNSUPPORTED: &[&str] = &[
    "ATTR",
    "COLLECT_LIST",
    "COLLECT_SET",
    "CORRELATION",
    "COUNT_DISTINCT",
    "EARLIEST_BY_OFFSET",
    "HISTOGRAM",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "STDDEV_SAMPLE",
    "SUM_LIST",
    "TOPK",
    "TOPKDISTINCT",
];

/// Name and description of each aggregate function.
pub fn aggregate_functions() -> impl Iterator<Item = (&'static str, &'static str)> {
    NAMES.iter().copied()
}

pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

pub fn is_aggregate(name: &str) -> bool {
    names().any(|known| known == name) || UNSUPPORTED.contains(&name)
}

/// The first aggregate function that an expression calls.
pub fn first_aggregate(expr: &Expr) -> Option<&Ident> {
    let mut found = None;
    walk(expr, &mut |inside| {
        if let ExprKind::Function { name, .. } = &inside.kind
            && is_aggregate(&name.name)
        {
            found.get_or_insert(name);
        }
        found.is_none()
    });
    found
}

/// The aggregate calls of a query, each once, in the order found.
pub struct Aggregates {
    /// What the arguments are bound to.
    input: Scope,
    /// The index of the first aggregate's column in the result.
    first: usize,
    /// Rows are changes of a table: old values must be taken back.
    retracts: bool,
    calls: Vec<(String, AggregateCall)>,
}

impl Aggregates {
    pub fn new(input: Scope, first: usize, retracts: bool) -> Aggregates {
        Aggregates {
            input,
            first,
            retracts,
            calls: Vec::new(),
        }
    }

    pub fn into_calls(self) -> Vec<AggregateCall> {
        self.calls.into_iter().map(|(_, call)| call).collect()
    }

    /// The column of a call; a call that was there before is the same column.
    pub fn add(
        &mut self,
        span: Span,
        name: &Ident,
        arguments: &[Expr],
        star: bool,
    ) -> Result<(usize, &AggregateCall), SqlError> {
        let text = if star {
            "*".to_owned()
        } else {
            arguments.iter().map(canonical).collect::<Vec<_>>().join(", ")
        };
        let text = format!("{}({text})", name.name);
        if let Some(at) = self.calls.iter().position(|(known, _)| *known == text) {
            return Ok((self.first + at, &self.calls[at].1));
        }
        if self.calls.len() == CALLS_MAX {
            return Err(SqlError::limit(
                span.start,
                format!("more than {CALLS_MAX} aggregates in one query"),
            ));
        }
        let at = self.calls.len();
        let call = self.call(span, name, arguments, star, format!("AGGREGATE_{at}"))?;
        self.calls.push((text, call));
        Ok((self.first + at, &self.calls[at].1))
    }

    fn call(
        &self,
        span: Span,
        name: &Ident,
        arguments: &[Expr],
        star: bool,
        column: String,
    ) -> Result<AggregateCall, SqlError> {
        if UNSUPPORTED.contains(&name.name.as_str()) {
            return Err(SqlError::unsupported(
                name.span,
                format!("the aggregate function {}", name.name),
            ));
        }
        let mut binder = Binder::new(&self.input);
        let made = |function, argument, result_type| {
            Ok(AggregateCall {
                function,
                argument,
                name: column.clone(),
                result_type,
            })
        };
        if star {
            if name.name == "COUNT" {
                return made(AggregateFunction::CountRows, None, SqlType::BigInt);
            }
            return Err(SqlError::invalid(
                span,
                format!("{}(*): only COUNT takes *", name.name),
            ));
        }
        let function = self.function(name, arguments)?;
        let argument = binder.bind(&arguments[0])?;
        let found = argument.sql_type().clone();
        let wrong = || {
            let message = format!("{} does not take {found}", name.name);
            Err(SqlError::invalid(arguments[0].span, message))
        };
        match function {
            AggregateFunction::Count => made(function, Some(argument), SqlType::BigInt),
            AggregateFunction::Sum | AggregateFunction::Avg if !found.is_numeric() => wrong(),
            AggregateFunction::Avg => {
                let argument = binder.bind_as(&arguments[0], &SqlType::Double)?;
                made(function, Some(argument), SqlType::Double)
            }
            AggregateFunction::Min | AggregateFunction::Max
                if !found.is_primitive() || found == SqlType::Boolean =>
            {
                wrong()
            }
            _ => made(function, Some(argument), found.clone()),
        }
    }

    fn function(&self, name: &Ident, arguments: &[Expr]) -> Result<AggregateFunction, SqlError> {
        let takes = |most: usize| {
            if (1..=most).contains(&arguments.len()) {
                return Ok(());
            }
            let wants = if most == 1 {
                "one argument"
            } else {
                "one or two arguments"
            };
            let message = format!("{} takes {wants}, found {}", name.name, arguments.len());
            Err(SqlError::invalid(name.span, message))
        };
        let function = match name.name.as_str() {
            "COUNT" => AggregateFunction::Count,
            "SUM" => AggregateFunction::Sum,
            "AVG" => AggregateFunction::Avg,
            "MIN" => AggregateFunction::Min,
            "MAX" => AggregateFunction::Max,
            _ => {
                takes(2)?;
                match arguments.get(1).map(|argument| (&argument.kind, argument.span)) {
                    None | Some((ExprKind::Literal(Literal::Boolean(true)), _)) => {
                        AggregateFunction::LatestByOffset
                    }
                    Some((ExprKind::Literal(Literal::Boolean(false)), _)) => {
                        AggregateFunction::LatestByOffsetWithNulls
                    }
                    Some((_, span)) => {
                        return Err(SqlError::unsupported(span, "LATEST_BY_OFFSET of several values"));
                    }
                }
            }
        };
        if !name.name.starts_with("LATEST") {
            takes(1)?;
        }
        let undoes = matches!(
            function,
            AggregateFunction::Count | AggregateFunction::Sum | AggregateFunction::Avg
        );
        if self.retracts && !undoes {
            let message = format!(
                "{} cannot be computed over a table: it cannot take back a value that a row had before",
                name.name
            );
            return Err(SqlError::invalid(name.span, message));
        }
        Ok(function)
    }
}
