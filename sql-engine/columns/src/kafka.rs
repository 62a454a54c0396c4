//! Kafka's own serializers: a string's UTF-8, numbers big-endian.

use crate::row::FormatError;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Float64Builder, Int32Builder, Int64Builder, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type};
use std::sync::Arc;

/// Whether the format has a form for the field.
pub(crate) fn check(field: &Field) -> Result<(), FormatError> {
    match field.data_type() {
        DataType::Utf8 | DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Binary => Ok(()),
        other => Err(FormatError::Unsupported {
            format: "KAFKA",
            field: field.name().clone(),
            data_type: other.to_string(),
        }),
    }
}

/// One column of values, and for each slot why it failed.
pub(crate) fn decode<'a>(
    data_type: &DataType,
    values: impl Iterator<Item = Option<&'a [u8]>>,
) -> (ArrayRef, Vec<Option<String>>) {
    let mut errors = Vec::new();
    macro_rules! column {
        ($builder:expr, $convert:expr) => {{
            let mut builder = $builder;
            for value in values {
                let slot = value.map($convert).transpose();
                errors.push(slot.as_ref().err().cloned());
                builder.append_option(slot.ok().flatten());
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    fn fixed<const N: usize>(bytes: &[u8], wanted: &str) -> Result<[u8; N], String> {
        bytes
            .try_into()
            .map_err(|_| format!("expected {wanted} in {N} bytes, found {}", bytes.len()))
    }
    let column = match data_type {
        DataType::Int32 => {
            column!(Int32Builder::new(), |b| fixed(b, "INTEGER")
                .map(i32::from_be_bytes))
        }
        DataType::Int64 => column!(Int64Builder::new(), |b| fixed(b, "BIGINT")
            .map(i64::from_be_bytes)),
        DataType::Float64 => {
            column!(Float64Builder::new(), |b| fixed(b, "DOUBLE")
                .map(f64::from_be_bytes))
        }
        DataType::Binary => column!(BinaryBuilder::new(), Ok::<&[u8], String>),
        _ => column!(StringBuilder::new(), |b| {
            std::str::from_utf8(b).map_err(|_| "expected STRING, found bytes that are not UTF-8".to_owned())
        }),
    };
    (column, errors)
}

/// Appends one slot's bytes; `false` (and nothing appended) for null.
pub(crate) fn encode(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> bool {
    if array.is_null(row) {
        return false;
    }
    match array.data_type() {
        DataType::Utf8 => out.extend_from_slice(array.as_string::<i32>().value(row).as_bytes()),
        DataType::Int32 => {
            out.extend_from_slice(&array.as_primitive::<Int32Type>().value(row).to_be_bytes());
        }
        DataType::Int64 => {
            out.extend_from_slice(&array.as_primitive::<Int64Type>().value(row).to_be_bytes());
        }
        DataType::Float64 => {
            out.extend_from_slice(&array.as_primitive::<Float64Type>().value(row).to_be_bytes());
        }
        DataType::Binary => out.extend_from_slice(array.as_binary::<i32>().value(row)),
        // No encoder is made for other types.
        _ => return false,
    }
    true
}
