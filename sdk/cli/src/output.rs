//! Printing results: tables that fit the terminal, or JSON for scripts.

mod cell;
mod text;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use clap::ValueEnum;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value;
use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};
use unicode_width::UnicodeWidthStr;

pub(crate) use cell::{json_of, rfc3339, text_of};
pub(crate) use text::{fitted, visible, visible_lines};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// One JSON object per line, for scripts.
    Json,
}

/// Says something beside the results. Nobody may be reading: then it is not said.
pub(crate) fn tell(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}

/// Rows with named columns, for either format.
pub(crate) struct Listing {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Listing {
    /// Without rows yet.
    pub(crate) fn new(columns: &[&'static str]) -> Listing {
        Listing {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with one value per column.
    pub(crate) fn row(&mut self, values: Vec<Value>) {
        debug_assert_eq!(values.len(), self.columns.len(), "a value per column");
        self.rows.push(values);
    }

    /// Prints it.
    pub(crate) fn print(&self, format: OutputFormat) -> std::io::Result<()> {
        let mut out = stdout().lock();
        match format {
            OutputFormat::Json => {
                for row in &self.rows {
                    writeln!(
                        out,
                        "{}",
                        object(self.columns.iter().copied().zip(row.iter().cloned()))
                    )?;
                }
            }
            OutputFormat::Table => {
                let rows = self.rows.iter().map(|row| row.iter().map(plain).collect());
                writeln!(out, "{}", table_of(&self.columns, rows))?;
            }
        }
        Ok(())
    }
}

/// How many columns the terminal has; none when the output goes elsewhere.
pub(crate) fn terminal_width() -> Option<usize> {
    Table::new()
        .width()
        .filter(|_| stdout().is_terminal())
        .map(usize::from)
}

/// A table that fits the terminal (or 200 columns, when there is none).
pub(crate) fn new_table() -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if !stdout().is_terminal() {
        table.set_width(200);
    }
    table
}

/// Rows as a table, or one cell a line where a terminal is too narrow for so many columns.
pub(crate) fn table_of(names: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    match terminal_width() {
        Some(width) if is_narrow(width, names.len()) => {
            let rows = rows
                .enumerate()
                .map(|(at, row)| expanded(at + 1, names, &row, width));
            rows.collect::<Vec<_>>().join("\n")
        }
        _ => {
            let mut table = new_table();
            table.set_header(names);
            for row in rows {
                table.add_row(row.iter().map(|cell| visible_lines(cell)));
            }
            table.to_string()
        }
    }
}

/// Columns of the terminal that a cell needs to say anything.
const CELL_COLUMNS_MIN: usize = 8;

/// Whether a terminal is too narrow for so many cells beside each other, what stands between them included.
pub(crate) fn is_narrow(width: usize, cells: usize) -> bool {
    width < cells.saturating_mul(CELL_COLUMNS_MIN + 3)
}

/// A row with one cell a line, under its number.
pub(crate) fn expanded(number: usize, names: &[&str], cells: &[String], width: usize) -> String {
    let longest = names.iter().map(|name| name.width()).max().unwrap_or(0);
    let title = format!("─[ {number} ]");
    let mut lines = vec![format!(
        "{title}{}",
        "─".repeat(width.saturating_sub(title.width()))
    )];
    for (name, cell) in names.iter().zip(cells) {
        lines.push(format!("{} │ {}", fitted(name, longest), visible(cell)));
    }
    lines.join("\n")
}

/// Arrow rows as a table's lines of text.
pub(crate) fn batch_texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    (0..batch.num_rows())
        .map(|row| {
            batch
                .columns()
                .iter()
                .map(|column| text_of(column.as_ref(), row))
                .collect()
        })
        .collect()
}

/// An Arrow row as a JSON object, columns in order.
pub(crate) fn row_json(schema: &Schema, batch: &RecordBatch, row: usize) -> String {
    let fields = schema.fields().iter().zip(batch.columns());
    object(fields.map(|(field, column)| (field.name().as_str(), json_of(column.as_ref(), row))))
}

/// A JSON object that keeps its fields' order, which `serde_json`'s own map does not.
pub(crate) fn object<'a>(fields: impl Iterator<Item = (&'a str, Value)>) -> String {
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{}:{value}", Value::from(name)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// A value as a table shows it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{expanded, is_narrow};

    #[test]
    fn a_row_that_does_not_fit_has_a_cell_a_line() {
        assert!(is_narrow(60, 10) && !is_narrow(60, 5));
        let cells = ["日本".to_owned(), "two\nlines".to_owned()];
        let shown = expanded(7, &["carrier", "x"], &cells, 12);
        assert_eq!(shown, "─[ 7 ]──────\ncarrier │ 日本\nx       │ two\\nlines");
    }
}
