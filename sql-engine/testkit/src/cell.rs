//! Rows of an answer as the lines that case files expect.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::array_value_to_string;

/// One line per row, cells divided by ` | `.
pub(crate) fn lines(rows: &RecordBatch) -> Vec<String> {
    let line = |row| {
        let cells = rows.columns().iter().map(|column| cell(column.as_ref(), row));
        cells.collect::<Vec<_>>().join(" | ")
    };
    (0..rows.num_rows()).map(line).collect()
}

fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

fn cell(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    match array.data_type() {
        DataType::Utf8 => text(array.as_string::<i32>().value(row)),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let items: Vec<String> = (0..items.len()).map(|item| cell(items.as_ref(), item)).collect();
            format!("[{}]", items.join(","))
        }
        DataType::Map(..) => {
            let pairs = array.as_map().value(row);
            let pair = |at| {
                format!(
                    "{}:{}",
                    cell(pairs.column(0).as_ref(), at),
                    cell(pairs.column(1).as_ref(), at)
                )
            };
            format!("{{{}}}", (0..pairs.len()).map(pair).collect::<Vec<_>>().join(","))
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let field =
                |(field, column): (&std::sync::Arc<arrow::datatypes::Field>, &arrow::array::ArrayRef)| {
                    format!("{}:{}", text(field.name()), cell(column.as_ref(), row))
                };
            format!(
                "{{{}}}",
                fields
                    .iter()
                    .zip(columns)
                    .map(field)
                    .collect::<Vec<_>>()
                    .join(",")
            )
        }
        _ => array_value_to_string(array, row).unwrap_or_else(|error| format!("({error})")),
    }
}
