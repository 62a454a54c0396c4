//! Expressions of a plan: typed, bound to their input's columns, evaluated with an error per row.

use arrow::array::{Array, ArrayRef, BooleanArray, new_null_array};
use arrow::compute::concat;
use arrow::record_batch::RecordBatch;
use datafusion_common::DataFusionError;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use millstream_columns::RowError;
use millstream_functions::{arrow_type, row_errors, work};
use millstream_model::limits::SQL_ROW_BYTES_MAX;
use millstream_parser::SqlType;
use std::fmt;
use std::sync::Arc;

/// What an expression is worth for each row of a batch.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// One value per row, of the expression's Arrow type.
    pub values: ArrayRef,
    /// In row order, by the index in the batch; at most one per row. The value of such a row, or the part that failed, is null.
    pub errors: Vec<RowError>,
}

/// A typed expression over the columns of one input, by index.
#[derive(Clone)]
pub struct BoundExpr {
    expr: Arc<dyn PhysicalExpr>,
    sql_type: SqlType,
    text: String,
    /// A CASE, AND or OR inside evaluates parts for some rows only.
    picks_rows: bool,
}

impl BoundExpr {
    pub(crate) fn new(
        expr: Arc<dyn PhysicalExpr>,
        sql_type: SqlType,
        text: String,
        picks_rows: bool,
    ) -> BoundExpr {
        BoundExpr {
            expr,
            sql_type,
            text,
            picks_rows,
        }
    }

    /// The type of its values.
    #[must_use]
    pub fn sql_type(&self) -> &SqlType {
        &self.sql_type
    }

    /// Canonical text: the same for expressions that are the same; names instead of indices.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it does more than to pick a column or to compute with numbers: what a function makes of a row may be large.
    #[must_use]
    pub fn calls_functions(&self) -> bool {
        self.expr.downcast_ref::<Column>().is_none() && self.text.contains('(')
    }

    /// DataFusion's form, for its own plans. Rows that fail are null there, and reported nowhere.
    #[must_use]
    pub fn physical(&self) -> &Arc<dyn PhysicalExpr> {
        &self.expr
    }
}

impl fmt::Debug for BoundExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} :: {}", self.text, self.sql_type)
    }
}

/// Two expressions are equal when their canonical texts and types are.
impl PartialEq for BoundExpr {
    fn eq(&self, other: &BoundExpr) -> bool {
        self.text == other.text && self.sql_type == other.sql_type
    }
}

impl BoundExpr {
    /// Evaluates every row. A row that fails is null where it failed and has one error, the first one
    /// (sql.md 8): a batch that errs as a whole is bisected until failing rows stand alone.
    #[must_use]
    pub fn evaluate(&self, batch: &RecordBatch) -> Evaluated {
        let mut all = BoundExpr::evaluate_all(&[self], batch);
        all.pop().unwrap_or_else(|| self.nulls(batch.num_rows(), None))
    }

    /// As [`BoundExpr::evaluate`], of several expressions of one step: together they make at most
    /// [`SQL_ROW_BYTES_MAX`] bytes for a row. Rows that make more between them are divided, down to one, which fails.
    #[must_use]
    pub fn evaluate_all(all: &[&BoundExpr], batch: &RecordBatch) -> Vec<Evaluated> {
        let rows = batch.num_rows();
        if work::is_pass_over() {
            return all.iter().map(|one| one.nulls(rows, None)).collect();
        }
        let (values, made) = work::within(SQL_ROW_BYTES_MAX, || {
            all.iter().map(|one| one.evaluate_once(batch)).collect::<Vec<_>>()
        });
        if !made.exhausted || rows <= 1 {
            return values;
        }
        drop(values);
        let middle = rows / 2;
        let first = BoundExpr::evaluate_all(all, &batch.slice(0, middle));
        let second = BoundExpr::evaluate_all(all, &batch.slice(middle, rows - middle));
        let halves = all.iter().zip(first).zip(second);
        halves
            .map(|((one, first), second)| one.joined(first, second))
            .collect()
    }

    /// The values of two parts of a batch, one behind the other.
    fn joined(&self, mut first: Evaluated, second: Evaluated) -> Evaluated {
        let middle = first.values.len();
        let shifted = second.errors.into_iter().map(|error| {
            let row = error.at + middle;
            error.with_row(row)
        });
        first.errors.extend(shifted);
        match concat(&[&first.values, &second.values]) {
            Ok(values) => Evaluated {
                values,
                errors: first.errors,
            },
            Err(failed) => self.nulls(middle + second.values.len(), Some(&failed.to_string())),
        }
    }

    /// Null for every row, each with the message if there is one.
    fn nulls(&self, rows: usize, message: Option<&str>) -> Evaluated {
        let failed = |message: &str| {
            let error = |row| RowError::new(row, message.to_owned());
            (0..rows).map(error).collect()
        };
        Evaluated {
            values: new_null_array(&arrow_type(&self.sql_type), rows),
            errors: message.map_or_else(Vec::new, failed),
        }
    }

    fn evaluate_once(&self, batch: &RecordBatch) -> Evaluated {
        let (values, reported) = row_errors::collect(|| self.run(batch));
        match values {
            Ok(values) if reported.is_empty() => Evaluated {
                values,
                errors: Vec::new(),
            },
            Ok(values) => {
                let mut errors = Vec::new();
                self.locate(batch, 0, &reported, &mut errors);
                Evaluated { values, errors }
            }
            Err(error) => self.bisect(batch, &error),
        }
    }

    /// Evaluates a predicate: which rows are true (false, null and failed ones are not), and the errors.
    #[must_use]
    pub fn evaluate_filter(&self, batch: &RecordBatch) -> (BooleanArray, Vec<RowError>) {
        let Evaluated { values, errors } = self.evaluate(batch);
        let mut keep: Vec<bool> = match values.as_any().downcast_ref::<BooleanArray>() {
            Some(mask) => (0..mask.len())
                .map(|row| mask.is_valid(row) && mask.value(row))
                .collect(),
            None => vec![false; batch.num_rows()],
        };
        for error in &errors {
            keep[error.at] = false;
        }
        (BooleanArray::from(keep), errors)
    }

    fn run(&self, batch: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
        self.expr.evaluate(batch)?.into_array(batch.num_rows())
    }

    /// Finds the failed rows of a batch whose evaluation reported errors. An error's row is the batch's own
    /// when nothing in the expression picks rows; else halves are evaluated again, down to single rows.
    fn locate(
        &self,
        batch: &RecordBatch,
        first: usize,
        reported: &[row_errors::Reported],
        errors: &mut Vec<RowError>,
    ) {
        let rows = batch.num_rows();
        if rows == 1 || !self.picks_rows {
            let mut messages: Vec<Option<&str>> = vec![None; rows];
            for error in reported {
                let range = error.at.map_or(0..rows, |row| row..(row + 1).min(rows));
                for slot in messages.get_mut(range).into_iter().flatten() {
                    slot.get_or_insert(&error.message);
                }
            }
            let found = messages
                .iter()
                .enumerate()
                .filter_map(|(row, message)| message.map(|m| (row, m)));
            errors.extend(found.map(|(row, m)| RowError::new(first + row, m.to_owned())));
            return;
        }
        let middle = rows / 2;
        for (from, length) in [(0, middle), (middle, rows - middle)] {
            let half = batch.slice(from, length);
            let (_, reported) = row_errors::collect(|| self.run(&half));
            if !reported.is_empty() {
                self.locate(&half, first + from, &reported, errors);
            }
        }
    }

    fn bisect(&self, batch: &RecordBatch, error: &DataFusionError) -> Evaluated {
        let rows = batch.num_rows();
        if rows <= 1 {
            return self.nulls(rows, Some(&error.strip_backtrace()));
        }
        let middle = rows / 2;
        let first = self.evaluate_once(&batch.slice(0, middle));
        let second = self.evaluate_once(&batch.slice(middle, rows - middle));
        self.joined(first, second)
    }
}
