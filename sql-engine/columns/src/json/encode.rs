//! Rows to JSON as ksqlDB writes them: every column, nulls too, times as numbers, decimals in plain digits.

use super::ColumnBuilder;
use crate::decimal;
use crate::row::FormatError;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Float64Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMillisecondType,
};
use base64::Engine;
use std::io::Write;

/// Writes rows as JSON objects.
#[derive(Clone, Debug)]
pub struct JsonEncoder {
    /// `"NAME":` per column, escaped once.
    prefixes: Vec<Vec<u8>>,
}

impl JsonEncoder {
    /// For columns of these names and types; the names are written as they are.
    pub fn new(fields: &[FieldRef]) -> Result<Self, FormatError> {
        let prefix = |field: &FieldRef| {
            ColumnBuilder::check(field)?;
            let mut text = Vec::with_capacity(field.name().len() + 3);
            write_text(field.name(), &mut text);
            text.push(b':');
            Ok(text)
        };
        Ok(Self {
            prefixes: fields.iter().map(prefix).collect::<Result<_, _>>()?,
        })
    }

    /// Appends one row's object to `out`. `columns` are those the encoder was made for, in order.
    pub fn encode(&self, columns: &[ArrayRef], row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (prefix, column)) in self.prefixes.iter().zip(columns).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(prefix);
            write_value(column.as_ref(), row, out);
        }
        out.push(b'}');
    }
}

/// Appends one slot's JSON.
pub(crate) fn write_value(array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match array.data_type() {
        DataType::Boolean => {
            out.extend_from_slice(if array.as_boolean().value(row) {
                b"true"
            } else {
                b"false"
            });
        }
        DataType::Int32 => write_integer(array.as_primitive::<Int32Type>().value(row).into(), out),
        DataType::Int64 => write_integer(array.as_primitive::<Int64Type>().value(row), out),
        DataType::Float64 => write_double(array.as_primitive::<Float64Type>().value(row), out),
        DataType::Utf8 => write_text(array.as_string::<i32>().value(row), out),
        DataType::Binary => {
            let text = base64::engine::general_purpose::STANDARD.encode(array.as_binary::<i32>().value(row));
            write_text(&text, out);
        }
        DataType::Date32 => write_integer(array.as_primitive::<Date32Type>().value(row).into(), out),
        DataType::Time32(_) => {
            write_integer(
                array.as_primitive::<Time32MillisecondType>().value(row).into(),
                out,
            );
        }
        DataType::Timestamp(..) => {
            write_integer(array.as_primitive::<TimestampMillisecondType>().value(row), out);
        }
        DataType::Decimal128(_, scale) => {
            decimal::write(array.as_primitive::<Decimal128Type>().value(row), *scale, out);
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            write_list(items.len(), out, |index, out| {
                write_value(items.as_ref(), index, out)
            });
        }
        DataType::Map(..) => {
            let pairs = array.as_map().value(row);
            let (keys, values) = (pairs.column(0).as_string::<i32>(), pairs.column(1));
            out.push(b'{');
            for index in 0..pairs.len() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(keys.value(index), out);
                out.push(b':');
                write_value(values.as_ref(), index, out);
            }
            out.push(b'}');
        }
        DataType::Struct(fields) => {
            let row_of = array.as_struct();
            out.push(b'{');
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(field.name(), out);
                out.push(b':');
                write_value(row_of.column(index).as_ref(), row, out);
            }
            out.push(b'}');
        }
        // No encoder is made for other types.
        _ => out.extend_from_slice(b"null"),
    }
}

fn write_list(count: usize, out: &mut Vec<u8>, mut element: impl FnMut(usize, &mut Vec<u8>)) {
    out.push(b'[');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        element(index, out);
    }
    out.push(b']');
}

fn write_integer(value: i64, out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _ = write!(out, "{value}");
}

/// A double as a JSON number with a point or an exponent; what JSON has no number for goes in quotes, as Jackson does.
fn write_double(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 {
            b"\"Infinity\""
        } else {
            b"\"-Infinity\""
        });
    } else {
        let _ = write!(out, "{value:?}");
    }
}

pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.extend_from_slice(escape);
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}
