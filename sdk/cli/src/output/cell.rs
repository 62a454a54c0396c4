//! One Arrow value as text or as JSON.

use arrow::array::{
    Array, AsArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, GenericListArray, MapArray,
    StructArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimeUnit, TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate, NaiveTime};
use serde_json::{Map, Number, Value};

/// A value for a table: strings bare, nulls as `NULL`, everything else as JSON.
pub(crate) fn text_of(array: &dyn Array, row: usize) -> String {
    match json_of(array, row) {
        Value::Null => "NULL".into(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A value as JSON: timestamps as RFC 3339, bytes as base64, decimals as strings.
pub(crate) fn json_of(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => array
            .as_any()
            .downcast_ref::<BooleanArray>()
            .map_or(Value::Null, |it| it.value(row).into()),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float32 => number(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => number(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Utf8View => array.as_string_view().value(row).into(),
        DataType::Binary => STANDARD.encode(array.as_binary::<i32>().value(row)).into(),
        DataType::FixedSizeBinary(_) => array
            .as_any()
            .downcast_ref::<FixedSizeBinaryArray>()
            .map_or(Value::Null, |it| STANDARD.encode(it.value(row)).into()),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            rfc3339(array.as_primitive::<TimestampMillisecondType>().value(row))
        }
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Time32(TimeUnit::Millisecond) => {
            time(array.as_primitive::<Time32MillisecondType>().value(row))
        }
        DataType::Decimal128(_, _) => array
            .as_any()
            .downcast_ref::<Decimal128Array>()
            .map_or(Value::Null, |it| it.value_as_string(row).into()),
        DataType::List(_) => list(array.as_list::<i32>(), row),
        DataType::Struct(_) => structure(array.as_struct(), row),
        DataType::Map(_, _) => map(array.as_map(), row),
        other => Value::String(format!("<{other}>")),
    }
}

fn number(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}

/// Milliseconds since 1970 as RFC 3339 in UTC.
pub(crate) fn rfc3339(ms: i64) -> Value {
    match DateTime::from_timestamp_millis(ms) {
        Some(time) if ms % 1000 == 0 => time.format("%Y-%m-%dT%H:%M:%SZ").to_string().into(),
        Some(time) => time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string().into(),
        None => ms.into(),
    }
}

fn date(days: i32) -> Value {
    let found = NaiveDate::from_epoch_days(days);
    found.map_or_else(|| days.into(), |day| day.to_string().into())
}

fn time(ms: i32) -> Value {
    let seconds = u32::try_from(ms / 1000).ok();
    let nanos = u32::try_from(ms % 1000).ok().map(|it| it * 1_000_000);
    let found = seconds
        .zip(nanos)
        .and_then(|(seconds, nanos)| NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos));
    found.map_or_else(|| ms.into(), |it| it.to_string().into())
}

fn list(array: &GenericListArray<i32>, row: usize) -> Value {
    let items = array.value(row);
    Value::Array(
        (0..items.len())
            .map(|index| json_of(items.as_ref(), index))
            .collect(),
    )
}

fn structure(array: &StructArray, row: usize) -> Value {
    let fields = array.fields().iter().zip(array.columns());
    Value::Object(
        fields
            .map(|(field, column)| (field.name().clone(), json_of(column.as_ref(), row)))
            .collect(),
    )
}

fn map(array: &MapArray, row: usize) -> Value {
    let entries = array.value(row);
    let (keys, values) = (entries.column(0), entries.column(1));
    let pairs =
        (0..entries.len()).map(|index| (text_of(keys.as_ref(), index), json_of(values.as_ref(), index)));
    Value::Object(pairs.collect::<Map<_, _>>())
}
