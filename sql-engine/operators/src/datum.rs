//! Single values as bytes: what state and checkpoints are made of.
//!
//! ```text
//!   0                          null
//!   1 fixed-width bytes, BE    numbers, booleans, times
//!   1 u32 length, bytes        text, bytes
//!   1 u32 length, Arrow IPC    arrays, maps, structs (one row, one column)
//! ```
//! The type is not stored: it is the plan's, and the store's hash covers it.

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion_common::ScalarValue;
use millstream_state::Corrupt;
use std::sync::Arc;

const CORRUPT: Corrupt = Corrupt { what: "value" };

/// Appends a value's bytes.
pub(crate) fn encode(value: &ScalarValue, out: &mut Vec<u8>) {
    if value.is_null() {
        out.push(0);
        return;
    }
    out.push(1);
    match value {
        ScalarValue::Boolean(Some(v)) => out.push(u8::from(*v)),
        ScalarValue::Int32(Some(v))
        | ScalarValue::Date32(Some(v))
        | ScalarValue::Time32Millisecond(Some(v)) => {
            out.extend_from_slice(&v.to_be_bytes());
        }
        ScalarValue::Int64(Some(v)) | ScalarValue::TimestampMillisecond(Some(v), _) => {
            out.extend_from_slice(&v.to_be_bytes());
        }
        ScalarValue::Float64(Some(v)) => out.extend_from_slice(&v.to_bits().to_be_bytes()),
        ScalarValue::Decimal128(Some(v), ..) => out.extend_from_slice(&v.to_be_bytes()),
        ScalarValue::Utf8(Some(v)) => put_bytes(v.as_bytes(), out),
        ScalarValue::Binary(Some(v)) => put_bytes(v, out),
        nested => put_bytes(&to_ipc(nested), out),
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// About how many bytes a value takes beyond itself.
pub(crate) fn bytes_beside(value: &ScalarValue) -> usize {
    match value {
        ScalarValue::Utf8(Some(text)) => text.len(),
        ScalarValue::Binary(Some(bytes)) => bytes.len(),
        ScalarValue::List(array) => array.get_array_memory_size(),
        ScalarValue::Map(array) => array.get_array_memory_size(),
        ScalarValue::Struct(array) => array.get_array_memory_size(),
        _ => 0,
    }
}

/// Reads one value of a type; moves `bytes` behind it.
pub(crate) fn decode(data_type: &DataType, bytes: &mut &[u8]) -> Result<ScalarValue, Corrupt> {
    let [marker] = take(bytes)?;
    if marker == 0 {
        return ScalarValue::try_from(data_type).map_err(|_| CORRUPT);
    }
    Ok(match data_type {
        DataType::Boolean => ScalarValue::Boolean(Some(take::<1>(bytes)? == [1])),
        DataType::Int32 => ScalarValue::Int32(Some(i32::from_be_bytes(take(bytes)?))),
        DataType::Date32 => ScalarValue::Date32(Some(i32::from_be_bytes(take(bytes)?))),
        DataType::Time32(TimeUnit::Millisecond) => {
            ScalarValue::Time32Millisecond(Some(i32::from_be_bytes(take(bytes)?)))
        }
        DataType::Int64 => ScalarValue::Int64(Some(i64::from_be_bytes(take(bytes)?))),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            ScalarValue::TimestampMillisecond(Some(i64::from_be_bytes(take(bytes)?)), zone.clone())
        }
        DataType::Float64 => ScalarValue::Float64(Some(f64::from_bits(u64::from_be_bytes(take(bytes)?)))),
        DataType::Decimal128(precision, scale) => {
            ScalarValue::Decimal128(Some(i128::from_be_bytes(take(bytes)?)), *precision, *scale)
        }
        DataType::Utf8 => {
            let text = std::str::from_utf8(take_bytes(bytes)?).map_err(|_| CORRUPT)?;
            ScalarValue::Utf8(Some(text.to_owned()))
        }
        DataType::Binary => ScalarValue::Binary(Some(take_bytes(bytes)?.to_vec())),
        _ => from_ipc(take_bytes(bytes)?)?,
    })
}

pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Corrupt> {
    let (head, tail) = bytes.split_first_chunk::<N>().ok_or(CORRUPT)?;
    *bytes = tail;
    Ok(*head)
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Corrupt> {
    let length = u32::from_be_bytes(take(bytes)?) as usize;
    let (head, tail) = bytes.split_at_checked(length).ok_or(CORRUPT)?;
    *bytes = tail;
    Ok(head)
}

fn to_ipc(value: &ScalarValue) -> Vec<u8> {
    let write = || -> Option<Vec<u8>> {
        let array = value.to_array().ok()?;
        let schema = Arc::new(Schema::new(vec![Field::new(
            "v",
            array.data_type().clone(),
            true,
        )]));
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(schema.clone(), vec![array], &options).ok()?;
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).ok()?;
        writer.write(&batch).ok()?;
        writer.into_inner().ok()
    };
    // Writing a valid value to memory cannot fail.
    write().unwrap_or_default()
}

fn from_ipc(bytes: &[u8]) -> Result<ScalarValue, Corrupt> {
    let mut reader = StreamReader::try_new(bytes, None).map_err(|_| CORRUPT)?;
    let batch = reader.next().ok_or(CORRUPT)?.map_err(|_| CORRUPT)?;
    ScalarValue::try_from_array(batch.column(0), 0).map_err(|_| CORRUPT)
}
