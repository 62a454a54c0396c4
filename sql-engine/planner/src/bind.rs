//! Names to columns, types checked and coerced, DataFusion expressions built.

pub(crate) mod aggregate;
mod compare;
mod literal;
mod nested;
mod scope;

pub use literal::constant;
pub use scope::{Scope, ScopeColumn};

use crate::BoundExpr;
use crate::canonical::{canonical, quoted};
use aggregate::Aggregates;
use arrow::datatypes::Schema;
use datafusion_common::config::ConfigOptions;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, IsNotNullExpr, IsNullExpr, NotExpr, case};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use millstream_functions::{self as functions, Arithmetic, Resolved, arrow_field};
use millstream_model::limits::SQL_EVALUATION_NODES_MAX;
use millstream_parser::{BinaryOp, Expr, ExprKind, Ident, Span, SqlError, SqlType, UnaryOp};
use std::sync::Arc;

/// An expression whose type is known; without one it is a NULL that was written.
#[derive(Clone)]
pub struct Typed {
    pub expr: Arc<dyn PhysicalExpr>,
    pub sql_type: Option<SqlType>,
    pub picks_rows: bool,
    /// How many nodes one evaluation visits; BETWEEN and CASE visit their operand several times.
    pub weight: usize,
}

impl Typed {
    pub fn leaf(expr: Arc<dyn PhysicalExpr>, sql_type: Option<SqlType>) -> Typed {
        Typed {
            expr,
            sql_type,
            picks_rows: false,
            weight: 1,
        }
    }

    pub fn over(
        expr: Arc<dyn PhysicalExpr>,
        sql_type: SqlType,
        children: impl IntoIterator<Item = (bool, usize)>,
    ) -> Typed {
        let (mut picks_rows, mut weight) = (false, 1_usize);
        for (picks, more) in children {
            picks_rows |= picks;
            weight = weight.saturating_add(more);
        }
        Typed {
            expr,
            sql_type: Some(sql_type),
            picks_rows,
            weight,
        }
    }

    /// What a node above adds up.
    pub fn facts(&self) -> (bool, usize) {
        (self.picks_rows, self.weight)
    }
}

/// Binds expressions to one scope. With aggregates, functions that aggregate become columns of their result.
pub struct Binder<'s> {
    scope: &'s Scope,
    aggregates: Option<&'s mut Aggregates>,
    schema: Arc<Schema>,
}

impl<'s> Binder<'s> {
    pub fn new(scope: &'s Scope) -> Binder<'s> {
        Binder {
            scope,
            aggregates: None,
            schema: scope.arrow_schema(),
        }
    }

    /// Binds to the output of an aggregation: `scope` has the group's keys, found by their canonical text.
    pub fn aggregating(scope: &'s Scope, aggregates: &'s mut Aggregates) -> Binder<'s> {
        Binder {
            scope,
            aggregates: Some(aggregates),
            schema: scope.arrow_schema(),
        }
    }

    /// Binds an expression that must have a type.
    pub fn bind(&mut self, expr: &Expr) -> Result<BoundExpr, SqlError> {
        let typed = self.typed(expr)?;
        let Some(sql_type) = typed.sql_type else {
            return Err(SqlError::invalid(
                expr.span,
                "NULL alone has no type; write CAST(NULL AS type)",
            ));
        };
        Ok(BoundExpr::new(
            typed.expr,
            sql_type,
            canonical(expr),
            typed.picks_rows,
        ))
    }

    /// A column of the scope as it is.
    pub fn column_by_name(&self, name: &str, span: Span) -> Result<BoundExpr, SqlError> {
        let Some(column) = self.scope.find(name) else {
            return Err(SqlError::invalid(span, format!("unknown column {name}")));
        };
        let expr = self.column(column).expr;
        Ok(BoundExpr::new(expr, column.sql_type.clone(), quoted(name), false))
    }

    /// Binds an expression and converts it.
    pub fn bind_as(&mut self, expr: &Expr, to: &SqlType) -> Result<BoundExpr, SqlError> {
        let typed = self.typed(expr)?;
        let typed = self.coerce(typed, to, expr.span)?;
        Ok(BoundExpr::new(
            typed.expr,
            to.clone(),
            canonical(expr),
            typed.picks_rows,
        ))
    }

    /// Binds a condition.
    pub fn predicate(&mut self, expr: &Expr, clause: &str) -> Result<BoundExpr, SqlError> {
        let typed = self.condition(expr, clause)?;
        Ok(BoundExpr::new(
            typed.expr,
            SqlType::Boolean,
            canonical(expr),
            typed.picks_rows,
        ))
    }

    fn condition(&mut self, expr: &Expr, clause: &str) -> Result<Typed, SqlError> {
        let typed = self.typed(expr)?;
        if let Some(other) = typed.sql_type.as_ref().filter(|t| **t != SqlType::Boolean) {
            let message = format!("{clause} needs a BOOLEAN, {} is of type {other}", canonical(expr));
            return Err(SqlError::invalid(expr.span, message));
        }
        self.coerce(typed, &SqlType::Boolean, expr.span)
    }

    fn typed(&mut self, expr: &Expr) -> Result<Typed, SqlError> {
        let typed = self.typed_node(expr)?;
        if typed.weight > SQL_EVALUATION_NODES_MAX {
            let message = "the expression is too large: nested BETWEEN and CASE multiply their operands";
            return Err(SqlError::limit(expr.span.start, message));
        }
        Ok(typed)
    }

    fn typed_node(&mut self, expr: &Expr) -> Result<Typed, SqlError> {
        if self.aggregates.is_some()
            && let Some(key) = self.scope.by_text(&canonical(expr))
        {
            return Ok(self.column(key));
        }
        match &expr.kind {
            ExprKind::Literal(value) => Ok(literal::literal(value)),
            ExprKind::Column { qualifier, name } => {
                let column = self
                    .scope
                    .resolve(qualifier.as_ref(), name, self.aggregates.is_some())?;
                Ok(self.column(column))
            }
            ExprKind::Unary { op, operand } => self.unary(*op, operand),
            ExprKind::Binary {
                left,
                op,
                op_span,
                right,
            } => self.binary(left, *op, *op_span, right),
            ExprKind::Between {
                operand,
                negated,
                low,
                high,
            } => {
                let tested = self.typed(operand)?;
                let above = self.compare(tested.clone(), operand, BinaryOp::GreaterOrEqual, low.span, low)?;
                let below = self.compare(tested, operand, BinaryOp::LessOrEqual, high.span, high)?;
                let both = logical(above, BinaryOp::And, below);
                Ok(if *negated { negated_of(both) } else { both })
            }
            ExprKind::In {
                operand,
                negated,
                candidates,
            } => self.in_list(operand, *negated, candidates),
            ExprKind::Like {
                operand,
                negated,
                pattern,
                escape,
            } => self.like(operand, *negated, pattern, *escape),
            ExprKind::IsNull { operand, negated } => {
                let operand = self.typed(operand)?;
                let inner = Arc::clone(&operand.expr);
                let test: Arc<dyn PhysicalExpr> = if *negated {
                    Arc::new(IsNotNullExpr::new(inner))
                } else {
                    Arc::new(IsNullExpr::new(inner))
                };
                Ok(Typed::over(
                    test,
                    SqlType::Boolean,
                    [(operand.picks_rows, operand.weight)],
                ))
            }
            ExprKind::Case {
                operand,
                branches,
                otherwise,
            } => self.case(expr.span, operand.as_deref(), branches, otherwise.as_deref()),
            ExprKind::Cast { operand, sql_type } => self.cast(operand, sql_type),
            ExprKind::Function {
                name,
                arguments,
                star,
            } => self.function(expr.span, name, arguments, *star),
            ExprKind::Field { base, field } => self.field(base, field),
            ExprKind::Index { base, index } => self.index(base, index),
            ExprKind::Array(elements) => {
                let (elements, item) =
                    self.unified(elements.iter().collect(), expr.span, "ARRAY's elements")?;
                let count = elements.len();
                Ok(self.call(functions::make_array(&item, count), elements))
            }
            ExprKind::Map(entries) => self.map(entries, expr.span),
            ExprKind::Struct(fields) => self.structure(fields),
            ExprKind::Lambda { .. } => Err(SqlError::unsupported(expr.span, "lambda functions")),
        }
    }

    fn column(&self, column: &ScopeColumn) -> Typed {
        let expr = Arc::new(Column::new(&column.name, column.index));
        Typed::leaf(expr, Some(column.sql_type.clone()))
    }

    fn unary(&mut self, op: UnaryOp, operand: &Expr) -> Result<Typed, SqlError> {
        let typed = self.typed(operand)?;
        let wrong = |wants: &str, found: &SqlType| {
            SqlError::invalid(
                operand.span,
                format!("{wants}, {} is of type {found}", canonical(operand)),
            )
        };
        if op == UnaryOp::Not {
            if let Some(found) = typed.sql_type.as_ref().filter(|t| **t != SqlType::Boolean) {
                return Err(wrong("NOT needs a BOOLEAN", found));
            }
            return Ok(negated_of(self.coerce(typed, &SqlType::Boolean, operand.span)?));
        }
        let sql_type = typed.sql_type.clone().unwrap_or(SqlType::Int);
        let Some(resolved) = functions::negate(&sql_type) else {
            return Err(wrong("a sign needs a number", &sql_type));
        };
        let typed = self.coerce(typed, &sql_type, operand.span)?;
        Ok(if op == UnaryOp::Plus {
            typed
        } else {
            self.call(resolved, vec![typed])
        })
    }

    fn binary(&mut self, left: &Expr, op: BinaryOp, op_span: Span, right: &Expr) -> Result<Typed, SqlError> {
        let arithmetic = match op {
            BinaryOp::And | BinaryOp::Or => {
                let name = op.to_string();
                let mut boolean = |side: &Expr| {
                    let typed = self.typed(side)?;
                    if let Some(found) = typed.sql_type.as_ref().filter(|t| **t != SqlType::Boolean) {
                        let message =
                            format!("{name} needs BOOLEANs, {} is of type {found}", canonical(side));
                        return Err(SqlError::invalid(side.span, message));
                    }
                    self.coerce(typed, &SqlType::Boolean, side.span)
                };
                let (left, right) = (boolean(left)?, boolean(right)?);
                return Ok(logical(left, op, right));
            }
            BinaryOp::Add => Arithmetic::Add,
            BinaryOp::Concat => {
                return self.arithmetic(left, Arithmetic::Add, op, op_span, right);
            }
            BinaryOp::Subtract => Arithmetic::Subtract,
            BinaryOp::Multiply => Arithmetic::Multiply,
            BinaryOp::Divide => Arithmetic::Divide,
            BinaryOp::Modulo => Arithmetic::Modulo,
            _ => {
                let tested = self.typed(left)?;
                return self.compare(tested, left, op, op_span, right);
            }
        };
        self.arithmetic(left, arithmetic, op, op_span, right)
    }

    fn arithmetic(
        &mut self,
        left: &Expr,
        arithmetic: Arithmetic,
        op: BinaryOp,
        op_span: Span,
        right: &Expr,
    ) -> Result<Typed, SqlError> {
        let (a, b) = (self.typed(left)?, self.typed(right)?);
        let either = a
            .sql_type
            .clone()
            .or_else(|| b.sql_type.clone())
            .unwrap_or(SqlType::Int);
        let a_type = a.sql_type.clone().unwrap_or_else(|| either.clone());
        let b_type = b.sql_type.clone().unwrap_or(either);
        let strings_only = op == BinaryOp::Concat && a_type != SqlType::String;
        match functions::arithmetic(arithmetic, &a_type, &b_type).filter(|_| !strings_only) {
            Some(resolved) => {
                let a = self.coerce(a, &resolved.argument_types[0], left.span)?;
                let b = self.coerce(b, &resolved.argument_types[1], right.span)?;
                Ok(self.call(resolved, vec![a, b]))
            }
            None => {
                let message = format!("the operator {op} does not take {a_type} and {b_type}");
                Err(SqlError::invalid(op_span, message))
            }
        }
    }

    fn case(
        &mut self,
        span: Span,
        operand: Option<&Expr>,
        branches: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
    ) -> Result<Typed, SqlError> {
        let tested = operand
            .map(|operand| Ok((self.typed(operand)?, operand)))
            .transpose()?;
        let mut conditions = Vec::new();
        for (when, _) in branches {
            conditions.push(match &tested {
                Some((tested, operand)) => {
                    self.compare(tested.clone(), operand, BinaryOp::Equal, when.span, when)?
                }
                None => self.condition(when, "WHEN")?,
            });
        }
        let results = branches.iter().map(|(_, then)| then).chain(otherwise).collect();
        let (mut results, sql_type) = self.unified(results, span, "CASE's results")?;
        let facts: Vec<_> = conditions.iter().chain(&results).map(Typed::facts).collect();
        let last = if otherwise.is_some() { results.pop() } else { None };
        let branches = conditions
            .into_iter()
            .zip(results)
            .map(|(when, then)| (when.expr, then.expr))
            .collect();
        let expr = case(None, branches, last.map(|last| last.expr))
            .map_err(|error| SqlError::invalid(span, error.strip_backtrace()))?;
        Ok(Typed {
            picks_rows: true,
            ..Typed::over(expr, sql_type, facts)
        })
    }

    /// Binds expressions and converts them to the type they have in common.
    fn unified(
        &mut self,
        all: Vec<&Expr>,
        span: Span,
        what: &str,
    ) -> Result<(Vec<Typed>, SqlType), SqlError> {
        let mut typed = Vec::new();
        let mut common: Option<SqlType> = None;
        for expr in &all {
            let one = self.typed(expr)?;
            common = match (common, &one.sql_type) {
                (common, None) => common,
                (None, Some(found)) => Some(found.clone()),
                (Some(common), Some(found)) => match functions::common_type(&common, found) {
                    Some(both) => Some(both),
                    None => {
                        let message = format!("{what} must be of one type, found {common} and {found}");
                        return Err(SqlError::invalid(expr.span, message));
                    }
                },
            };
            typed.push(one);
        }
        let Some(common) = common else {
            return Err(SqlError::invalid(
                span,
                format!("{what} have no type: at least one must not be NULL"),
            ));
        };
        let coerced = typed
            .into_iter()
            .zip(&all)
            .map(|(typed, expr)| self.coerce(typed, &common, expr.span));
        Ok((coerced.collect::<Result<_, _>>()?, common))
    }

    fn cast(&mut self, operand: &Expr, to: &SqlType) -> Result<Typed, SqlError> {
        let typed = self.typed(operand)?;
        let Some(from) = typed.sql_type.clone() else {
            return self.coerce(typed, to, operand.span);
        };
        match functions::cast(&from, to) {
            Some(resolved) => Ok(self.call(resolved, vec![typed])),
            None => Err(SqlError::invalid(
                operand.span,
                format!("cannot cast {from} to {to}"),
            )),
        }
    }

    fn function(
        &mut self,
        span: Span,
        name: &Ident,
        arguments: &[Expr],
        star: bool,
    ) -> Result<Typed, SqlError> {
        if aggregate::is_aggregate(&name.name) {
            let Some(aggregates) = self.aggregates.as_deref_mut() else {
                let message = format!("the aggregate function {} is not allowed here", name.name);
                return Err(SqlError::invalid(name.span, message));
            };
            let (index, call) = aggregates.add(span, name, arguments, star)?;
            let column = ScopeColumn::new(call.name.clone(), call.result_type.clone(), index);
            return Ok(self.column(&column));
        }
        if star {
            return Err(SqlError::invalid(
                span,
                format!("{}(*): only COUNT takes *", name.name),
            ));
        }
        let typed = arguments
            .iter()
            .map(|argument| self.typed(argument))
            .collect::<Result<Vec<_>, _>>()?;
        let types: Vec<_> = typed.iter().map(|typed| typed.sql_type.clone()).collect();
        let resolved = functions::resolve(&name.name, &types).map_err(|error| {
            // An aggregate may have been meant.
            let meant = millstream_parser::closest(&name.name, aggregate::names());
            match (&error, meant) {
                (functions::ResolveError::Unknown { closest: None, .. }, Some(meant)) => {
                    SqlError::invalid(name.span, format!("{error} (did you mean {meant}?)"))
                }
                _ => SqlError::invalid(name.span, error.to_string()),
            }
        })?;
        let mut converted = Vec::new();
        for ((typed, to), argument) in typed.into_iter().zip(&resolved.argument_types).zip(arguments) {
            converted.push(self.coerce(typed, to, argument.span)?);
        }
        Ok(self.call(resolved, converted))
    }

    /// Calls a function whose arguments already have its types.
    fn call(&self, resolved: Resolved, arguments: Vec<Typed>) -> Typed {
        let facts: Vec<_> = arguments.iter().map(Typed::facts).collect();
        let field = Arc::new(arrow_field("", &resolved.return_type));
        let name = resolved.udf.name().to_owned();
        let arguments = arguments.into_iter().map(|argument| argument.expr).collect();
        let options = Arc::new(ConfigOptions::default());
        let expr = ScalarFunctionExpr::new(&name, resolved.udf, arguments, field, options);
        Typed::over(Arc::new(expr), resolved.return_type, facts)
    }

    /// Converts implicitly: NULL to anything, numbers to wider ones.
    fn coerce(&self, typed: Typed, to: &SqlType, span: Span) -> Result<Typed, SqlError> {
        let Some(from) = &typed.sql_type else {
            return Ok(literal::null_of(to));
        };
        if from == to {
            return Ok(typed);
        }
        if !functions::converts_implicitly(from, to) {
            return Err(SqlError::invalid(span, format!("expected {to}, found {from}")));
        }
        Ok(self.converted(typed, to))
    }

    /// Converts with CAST, which exists; a literal becomes a literal when that cannot fail.
    fn converted(&self, typed: Typed, to: &SqlType) -> Typed {
        if let Some(converted) = literal::converted(&typed, to) {
            return converted;
        }
        match typed.sql_type.as_ref().and_then(|from| functions::cast(from, to)) {
            Some(resolved) => self.call(resolved, vec![typed]),
            None => typed,
        }
    }
}

fn logical(left: Typed, op: BinaryOp, right: Typed) -> Typed {
    let operator = if op == BinaryOp::And {
        datafusion_expr::Operator::And
    } else {
        datafusion_expr::Operator::Or
    };
    let facts = [left.facts(), right.facts()];
    let expr = Arc::new(BinaryExpr::new(left.expr, operator, right.expr));
    Typed {
        picks_rows: true,
        ..Typed::over(expr, SqlType::Boolean, facts)
    }
}

fn negated_of(typed: Typed) -> Typed {
    Typed {
        expr: Arc::new(NotExpr::new(typed.expr)),
        ..typed
    }
}
