//! Small tables that statements answer with: SHOW, DESCRIBE, PRINT.

use super::{Gone, Out};
use crate::answer::{Answer, RowsKind};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{Field, Schema};
use std::sync::Arc;

/// One column.
pub(super) enum Cells {
    Text(Vec<Option<String>>),
    Number(Vec<Option<i64>>),
    Real(Vec<f64>),
}

impl Cells {
    pub(super) fn text<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Self {
        Self::Text(values.into_iter().map(|value| Some(value.into())).collect())
    }

    pub(super) fn number(values: impl IntoIterator<Item = i64>) -> Self {
        Self::Number(values.into_iter().map(Some).collect())
    }

    fn array(self) -> ArrayRef {
        match self {
            Self::Text(values) => Arc::new(StringArray::from(values)),
            Self::Number(values) => Arc::new(Int64Array::from(values)),
            Self::Real(values) => Arc::new(Float64Array::from(values)),
        }
    }
}

/// Sends a table: its schema, and its rows if it has any. Returns their number.
pub(super) async fn send(out: &Out, title: &str, columns: Vec<(&str, Cells)>) -> Result<u64, Gone> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for (name, cells) in columns {
        let array = cells.array();
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let schema = Arc::new(Schema::new(fields));
    let rows = arrays.first().map_or(0, |array| array.len());
    out.send(Answer::Schema {
        schema: schema.clone(),
        kind: RowsKind::Table,
        title: title.to_owned(),
    })
    .await?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    if rows > 0
        && let Ok(batch) = RecordBatch::try_new_with_options(schema, arrays, &options)
    {
        out.send(Answer::Rows { rows: batch }).await?;
    }
    Ok(rows as u64)
}
