//! Key columns to the bytes that state is kept under, and back.

use crate::datum;
use arrow::array::{Array, ArrayRef, AsArray, new_empty_array};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion_common::ScalarValue;
use millstream_state::Corrupt;

/// Encodes and decodes the keys of one store. The bytes of a key are those of its columns, one after the other.
#[derive(Clone, Debug)]
pub struct KeyCodec {
    types: Vec<DataType>,
}

impl KeyCodec {
    /// For key columns of these types.
    pub fn new(types: Vec<DataType>) -> Self {
        Self { types }
    }

    /// The bytes of every row's key; `columns` begin with the key columns.
    pub fn encode(&self, columns: &[ArrayRef], rows: usize) -> Vec<Box<[u8]>> {
        let mut keys = Vec::with_capacity(rows);
        let mut buffer = Vec::with_capacity(64);
        for row in 0..rows {
            buffer.clear();
            for column in columns.iter().take(self.types.len()) {
                encode_slot(column, row, &mut buffer);
            }
            keys.push(buffer.as_slice().into());
        }
        keys
    }

    /// The bytes of one key given as values.
    pub fn encode_values(&self, values: &[ScalarValue]) -> Box<[u8]> {
        let mut buffer = Vec::with_capacity(64);
        for value in values {
            datum::encode(value, &mut buffer);
        }
        buffer.into()
    }

    /// The key columns of these keys.
    pub fn decode<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, Corrupt> {
        let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::new(); self.types.len()];
        for mut key in keys {
            for (column, data_type) in columns.iter_mut().zip(&self.types) {
                column.push(datum::decode(data_type, &mut key)?);
            }
        }
        columns
            .into_iter()
            .zip(&self.types)
            .map(|(values, data_type)| to_array(values, data_type))
            .collect()
    }
}

/// Values of one type as an array.
pub(crate) fn to_array(values: Vec<ScalarValue>, data_type: &DataType) -> Result<ArrayRef, Corrupt> {
    if values.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    ScalarValue::iter_to_array(values).map_err(|_| Corrupt { what: "column" })
}

/// As [`datum::encode`] of the slot's value, without making the value for the common types.
fn encode_slot(column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    if column.is_null(row) {
        out.push(0);
        return;
    }
    match column.data_type() {
        DataType::Utf8 => {
            let text = column.as_string::<i32>().value(row).as_bytes();
            out.push(1);
            out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(text);
        }
        DataType::Int32 => {
            out.push(1);
            out.extend_from_slice(&column.as_primitive::<Int32Type>().value(row).to_be_bytes());
        }
        DataType::Int64 => {
            out.push(1);
            out.extend_from_slice(&column.as_primitive::<Int64Type>().value(row).to_be_bytes());
        }
        _ => match ScalarValue::try_from_array(column, row) {
            Ok(value) => datum::encode(&value, out),
            // Only for types that no column has.
            Err(_) => out.push(0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::KeyCodec;
    use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray};
    use datafusion_common::ScalarValue;
    use std::sync::Arc;

    #[test]
    fn keys_round_trip_and_agree_with_values() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("a"), None, Some("")])),
            Arc::new(Int32Array::from(vec![Some(1), Some(-1), None])),
            Arc::new(Int64Array::from(vec![Some(1), Some(i64::MIN), None])),
            Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::MAX), None])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ];
        let codec = KeyCodec::new(columns.iter().map(|c| c.data_type().clone()).collect());
        let keys = codec.encode(&columns, 3);
        let decoded = codec.decode(keys.iter().map(AsRef::as_ref)).unwrap();
        assert_eq!(decoded, columns);
        for (row, key) in keys.iter().enumerate() {
            let values: Vec<ScalarValue> = columns
                .iter()
                .map(|c| ScalarValue::try_from_array(c, row).unwrap())
                .collect();
            assert_eq!(&codec.encode_values(&values), key);
        }
    }
}
