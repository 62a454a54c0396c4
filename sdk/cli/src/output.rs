//! Printing results: tables that fit the terminal, or JSON for scripts.

mod cell;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use clap::ValueEnum;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value;
use std::io::{IsTerminal, Write, stdout};

pub(crate) use cell::{json_of, rfc3339, text_of};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// One JSON object per line, for scripts.
    Json,
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
                let mut table = new_table();
                table.set_header(&self.columns);
                for row in &self.rows {
                    table.add_row(row.iter().map(plain));
                }
                writeln!(out, "{table}")?;
            }
        }
        Ok(())
    }
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
fn object<'a>(fields: impl Iterator<Item = (&'a str, Value)>) -> String {
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{}:{value}", Value::from(name)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
