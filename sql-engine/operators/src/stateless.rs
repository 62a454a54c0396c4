//! Filter, project and rekey: operators that keep nothing.

use crate::batch::{Batch, RowChange, RowErrors};
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use millstream_columns::RowError;
use millstream_planner::{BoundExpr, Evaluated, NamedExpr, NullKeys};

/// Keeps rows whose predicate is true. An update of which only one side passes becomes an insert or a delete.
pub(crate) fn filter(
    predicate: &BoundExpr,
    mut batch: Batch,
    row_errors: &mut RowErrors,
) -> Result<Batch, ArrowError> {
    let (mask, errors) = predicate.evaluate_filter(&batch.rows);
    for error in errors {
        report(&batch, error, row_errors);
    }
    let keep: Vec<bool> = (0..batch.len())
        .map(|row| mask.is_valid(row) && mask.value(row))
        .collect();
    if let Some(changes) = &mut batch.changes {
        for row in 0..changes.len().saturating_sub(1) {
            if changes[row] != RowChange::UpdateBefore {
                continue;
            }
            debug_assert_eq!(
                changes[row + 1],
                RowChange::UpdateAfter,
                "bug: an update is two neighbours"
            );
            match (keep[row], keep[row + 1]) {
                (true, false) => changes[row] = RowChange::Delete,
                (false, true) => changes[row + 1] = RowChange::Insert,
                _ => {}
            }
        }
    }
    if keep.iter().all(|keep| *keep) {
        return Ok(batch);
    }
    batch.filter(&keep)
}

/// Makes the output columns; a value that fails is null.
pub(crate) fn project(
    columns: &[NamedExpr],
    schema: &SchemaRef,
    batch: Batch,
    row_errors: &mut RowErrors,
) -> Result<Batch, ArrowError> {
    let exprs: Vec<&BoundExpr> = columns.iter().map(|column| &column.expr).collect();
    let mut arrays = Vec::with_capacity(exprs.len());
    for Evaluated { values, errors } in BoundExpr::evaluate_all(&exprs, &batch.rows) {
        for error in errors {
            report(&batch, error, row_errors);
        }
        arrays.push(values);
    }
    rebuild(batch, schema, arrays)
}

/// Puts new key columns before all others.
pub(crate) fn rekey(
    keys: &[NamedExpr],
    null_keys: NullKeys,
    schema: &SchemaRef,
    batch: Batch,
    row_errors: &mut RowErrors,
) -> Result<Batch, ArrowError> {
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(keys.len() + batch.rows.num_columns());
    let mut failed = vec![false; batch.len()];
    let exprs: Vec<&BoundExpr> = keys.iter().map(|key| &key.expr).collect();
    for Evaluated { values, errors } in BoundExpr::evaluate_all(&exprs, &batch.rows) {
        for error in errors {
            failed[error.at] = true;
            report(&batch, error, row_errors);
        }
        arrays.push(values);
    }
    // A row without a key takes no part; one whose key failed neither, whatever is said of nulls.
    let null = |row: usize| null_keys == NullKeys::Drop && arrays.iter().any(|key| key.is_null(row));
    let keep: Vec<bool> = (0..batch.len()).map(|row| !failed[row] && !null(row)).collect();
    arrays.extend(batch.rows.columns().iter().cloned());
    let mut batch = rebuild(batch, schema, arrays)?;
    // Old and new row may have different keys now: an update is a delete here and an insert there.
    for change in batch.changes.iter_mut().flatten() {
        *change = if change.retracts() {
            RowChange::Delete
        } else {
            RowChange::Insert
        };
    }
    if keep.iter().all(|keep| *keep) {
        return Ok(batch);
    }
    batch.filter(&keep)
}

/// A row that an update replaces failed the same way when it came: it is reported once.
fn report(batch: &Batch, error: RowError, row_errors: &mut RowErrors) {
    if !batch.change(error.at).retracts() {
        row_errors.push(batch.by_time(error));
    }
}

fn rebuild(batch: Batch, schema: &SchemaRef, arrays: Vec<ArrayRef>) -> Result<Batch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
    let rows = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?;
    Ok(Batch { rows, ..batch })
}
