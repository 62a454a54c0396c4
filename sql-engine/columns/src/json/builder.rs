//! Arrow builders fed with JSON values, with ksqlDB's coercions.

use super::member::{fill, kind};
use super::{Scanner, Value};
use crate::decimal;
use crate::row::FormatError;
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder,
    Int64Builder, ListArray, MapArray, NullBufferBuilder, StringBuilder, StructArray,
    Time32MillisecondBuilder, TimestampMillisecondBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use base64::Engine;
use std::str::FromStr;
use std::sync::Arc;

/// One column under construction. `append` always adds exactly one slot, null when it fails.
pub(crate) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    BigInt(Int64Builder),
    Double(Float64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Decimal {
        builder: Decimal128Builder,
        precision: u8,
        scale: i8,
    },
    Timestamp(TimestampMillisecondBuilder),
    Date(Date32Builder),
    Time(Time32MillisecondBuilder),
    List {
        child: Box<ColumnBuilder>,
        lengths: Vec<usize>,
        nulls: NullBufferBuilder,
    },
    Map {
        keys: Box<ColumnBuilder>,
        values: Box<ColumnBuilder>,
        lengths: Vec<usize>,
        nulls: NullBufferBuilder,
    },
    Struct {
        fields: Vec<FieldRef>,
        children: Vec<ColumnBuilder>,
        nulls: NullBufferBuilder,
    },
}

impl ColumnBuilder {
    /// Whether JSON can carry the field.
    pub(crate) fn check(field: &Field) -> Result<(), FormatError> {
        fn fits(data_type: &DataType) -> bool {
            match data_type {
                DataType::Boolean
                | DataType::Int32
                | DataType::Int64
                | DataType::Float64
                | DataType::Utf8
                | DataType::Binary
                | DataType::Date32
                | DataType::Decimal128(..)
                | DataType::Time32(TimeUnit::Millisecond)
                | DataType::Timestamp(TimeUnit::Millisecond, _) => true,
                DataType::List(item) => fits(item.data_type()),
                DataType::Map(entries, _) => matches!(entries.data_type(), DataType::Struct(pair)
                    if pair.len() == 2 && pair[0].data_type() == &DataType::Utf8 && fits(pair[1].data_type())),
                DataType::Struct(fields) => fields.iter().all(|field| fits(field.data_type())),
                _ => false,
            }
        }
        if fits(field.data_type()) {
            return Ok(());
        }
        Err(FormatError::Unsupported {
            format: "JSON",
            field: field.name().clone(),
            data_type: field.data_type().to_string(),
        })
    }

    /// For a type that passed [`ColumnBuilder::check`].
    pub(crate) fn new(data_type: &DataType, rows: usize) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int32 => Self::Int(Int32Builder::with_capacity(rows)),
            DataType::Int64 => Self::BigInt(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Self::Double(Float64Builder::with_capacity(rows)),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::with_capacity(rows)),
            DataType::Time32(_) => Self::Time(Time32MillisecondBuilder::with_capacity(rows)),
            DataType::Timestamp(_, zone) => Self::Timestamp(
                TimestampMillisecondBuilder::with_capacity(rows).with_timezone_opt(zone.clone()),
            ),
            DataType::Decimal128(precision, scale) => Self::Decimal {
                builder: Decimal128Builder::with_capacity(rows).with_data_type(data_type.clone()),
                precision: *precision,
                scale: *scale,
            },
            DataType::List(item) => Self::List {
                child: Box::new(Self::new(item.data_type(), rows)),
                lengths: Vec::with_capacity(rows),
                nulls: NullBufferBuilder::new(rows),
            },
            DataType::Map(entries, _) => {
                let (key, value) = map_fields(entries);
                Self::Map {
                    keys: Box::new(Self::new(key.data_type(), rows)),
                    values: Box::new(Self::new(value.data_type(), rows)),
                    lengths: Vec::with_capacity(rows),
                    nulls: NullBufferBuilder::new(rows),
                }
            }
            DataType::Struct(fields) => Self::Struct {
                fields: fields.iter().cloned().collect(),
                children: fields
                    .iter()
                    .map(|field| Self::new(field.data_type(), rows))
                    .collect(),
                nulls: NullBufferBuilder::new(rows),
            },
            _ => Self::Text(StringBuilder::with_capacity(rows, rows * 16)),
        }
    }

    /// Adds one slot; an error says what the value was and the slot is null.
    pub(crate) fn append(&mut self, value: Value<'_>) -> Result<(), String> {
        macro_rules! scalar {
            ($builder:expr, $convert:expr) => {{
                let converted = if value == Value::Null {
                    Ok(None)
                } else {
                    $convert(value).map(Some)
                };
                match converted {
                    Ok(slot) => {
                        $builder.append_option(slot);
                        Ok(())
                    }
                    Err(message) => {
                        $builder.append_null();
                        Err(message)
                    }
                }
            }};
        }
        match self {
            Self::Boolean(builder) => scalar!(builder, boolean),
            Self::Int(builder) => scalar!(builder, |v| whole::<i32>(v, "INTEGER")),
            Self::BigInt(builder) => scalar!(builder, |v| whole::<i64>(v, "BIGINT")),
            Self::Double(builder) => scalar!(builder, double),
            Self::Text(builder) => scalar!(builder, text),
            Self::Bytes(builder) => scalar!(builder, bytes),
            Self::Decimal {
                builder,
                precision,
                scale,
            } => {
                let (precision, scale) = (*precision, *scale);
                scalar!(builder, |v| rounded(v, precision, scale))
            }
            Self::Timestamp(builder) => scalar!(builder, |v| number::<i64>(v, "TIMESTAMP")),
            Self::Date(builder) => scalar!(builder, |v| number::<i32>(v, "DATE")),
            Self::Time(builder) => scalar!(builder, |v| number::<i32>(v, "TIME")),
            Self::List {
                child,
                lengths,
                nulls,
            } => append_list(child, lengths, nulls, value),
            Self::Map {
                keys,
                values,
                lengths,
                nulls,
            } => append_map(keys, values, lengths, nulls, value),
            Self::Struct {
                fields,
                children,
                nulls,
            } => append_struct(fields, children, nulls, value),
        }
    }

    /// The finished array, of the type the builder was made for.
    pub(crate) fn finish(self, data_type: &DataType) -> ArrayRef {
        match self {
            Self::Boolean(mut b) => Arc::new(b.finish()),
            Self::Int(mut b) => Arc::new(b.finish()),
            Self::BigInt(mut b) => Arc::new(b.finish()),
            Self::Double(mut b) => Arc::new(b.finish()),
            Self::Text(mut b) => Arc::new(b.finish()),
            Self::Bytes(mut b) => Arc::new(b.finish()),
            Self::Decimal { mut builder, .. } => Arc::new(builder.finish()),
            Self::Timestamp(mut b) => Arc::new(b.finish()),
            Self::Date(mut b) => Arc::new(b.finish()),
            Self::Time(mut b) => Arc::new(b.finish()),
            Self::List {
                child,
                lengths,
                mut nulls,
            } => {
                let DataType::List(item) = data_type else {
                    unreachable!("bug: made from this type")
                };
                let child = child.finish(item.data_type());
                Arc::new(ListArray::new(
                    item.clone(),
                    OffsetBuffer::from_lengths(lengths),
                    child,
                    nulls.finish(),
                ))
            }
            Self::Map {
                keys,
                values,
                lengths,
                mut nulls,
            } => {
                let DataType::Map(entries, sorted) = data_type else {
                    unreachable!("bug: made from this type")
                };
                let (key, value) = map_fields(entries);
                let pairs = StructArray::new(
                    Fields::from(vec![key.clone(), value.clone()]),
                    vec![keys.finish(key.data_type()), values.finish(value.data_type())],
                    None,
                );
                let offsets = OffsetBuffer::from_lengths(lengths);
                Arc::new(MapArray::new(
                    entries.clone(),
                    offsets,
                    pairs,
                    nulls.finish(),
                    *sorted,
                ))
            }
            Self::Struct {
                fields,
                children,
                mut nulls,
            } => {
                let rows = nulls.len();
                let arrays: Vec<ArrayRef> = children
                    .into_iter()
                    .zip(&fields)
                    .map(|(child, field)| child.finish(field.data_type()))
                    .collect();
                if arrays.is_empty() {
                    return Arc::new(StructArray::new_empty_fields(rows, nulls.finish()));
                }
                Arc::new(StructArray::new(Fields::from(fields), arrays, nulls.finish()))
            }
        }
    }
}

fn map_fields(entries: &FieldRef) -> (&FieldRef, &FieldRef) {
    match entries.data_type() {
        DataType::Struct(pair) if pair.len() == 2 => (&pair[0], &pair[1]),
        _ => unreachable!("bug: Arrow's map entries are a struct of two"),
    }
}

fn append_list(
    child: &mut ColumnBuilder,
    lengths: &mut Vec<usize>,
    nulls: &mut NullBufferBuilder,
    value: Value<'_>,
) -> Result<(), String> {
    let mut outcome = Ok(());
    let mut length = 0;
    match value {
        Value::Array(inside) => {
            let walked = Scanner::new(inside).elements(|element| {
                length += 1;
                keep_first(&mut outcome, child.append(element));
            });
            keep_first(
                &mut outcome,
                walked.map_err(|_| "not valid JSON inside an array".to_owned()),
            );
        }
        Value::Null => {}
        other => outcome = Err(mismatch(other, "ARRAY")),
    }
    lengths.push(length);
    nulls.append(matches!(value, Value::Array(_)));
    outcome
}

fn append_map(
    keys: &mut ColumnBuilder,
    values: &mut ColumnBuilder,
    lengths: &mut Vec<usize>,
    nulls: &mut NullBufferBuilder,
    value: Value<'_>,
) -> Result<(), String> {
    let mut outcome = Ok(());
    let mut members: Vec<(String, Value<'_>)> = Vec::new();
    match value {
        Value::Object(inside) => {
            let walked =
                Scanner::new(inside).members(|name, member| members.push((name.into_owned(), member)));
            keep_first(
                &mut outcome,
                walked.map_err(|_| "not valid JSON inside an object".to_owned()),
            );
        }
        Value::Null => {}
        other => outcome = Err(mismatch(other, "MAP")),
    }
    // The last of equal names wins; a stable sort by name makes the order of a map's entries a function of its content.
    members.reverse();
    members.sort_by(|a, b| a.0.cmp(&b.0));
    members.dedup_by(|later, kept| later.0 == kept.0);
    lengths.push(members.len());
    for (name, member) in members {
        if let ColumnBuilder::Text(builder) = keys {
            builder.append_value(name);
        }
        keep_first(&mut outcome, values.append(member));
    }
    nulls.append(matches!(value, Value::Object(_)));
    outcome
}

fn append_struct(
    fields: &[FieldRef],
    children: &mut [ColumnBuilder],
    nulls: &mut NullBufferBuilder,
    value: Value<'_>,
) -> Result<(), String> {
    let mut outcome = Ok(());
    let mut slots = vec![None; fields.len()];
    match value {
        Value::Object(inside) => {
            let walked = Scanner::new(inside).members(|name, member| fill(fields, &mut slots, &name, member));
            keep_first(
                &mut outcome,
                walked.map_err(|_| "not valid JSON inside an object".to_owned()),
            );
        }
        Value::Null => {}
        other => outcome = Err(mismatch(other, "STRUCT")),
    }
    for (index, child) in children.iter_mut().enumerate() {
        let appended = child.append(slots[index].map_or(Value::Null, |(_, member)| member));
        keep_first(
            &mut outcome,
            appended.map_err(|m| format!("field '{}': {m}", fields[index].name())),
        );
    }
    nulls.append(matches!(value, Value::Object(_)));
    outcome
}

fn keep_first(outcome: &mut Result<(), String>, next: Result<(), String>) {
    if outcome.is_ok() {
        *outcome = next;
    }
}

fn mismatch(value: Value<'_>, wanted: &str) -> String {
    format!("expected {wanted}, found {}", kind(value))
}

fn boolean(value: Value<'_>) -> Result<bool, String> {
    match value {
        Value::Bool(boolean) => Ok(boolean),
        other => Err(mismatch(other, "BOOLEAN")),
    }
}

/// INT and BIGINT take numbers (a fraction is cut off, as Java's `intValue` does) and texts that Java's `parseInt`
/// would read. Unlike Java, a number out of range is an error and not another number.
fn whole<T: FromStr + TryFrom<i64>>(value: Value<'_>, wanted: &str) -> Result<T, String> {
    match value {
        Value::Number(_) => number(value, wanted),
        Value::Text { .. } => value
            .text()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("expected {wanted}, found a string that is not one")),
        other => Err(mismatch(other, wanted)),
    }
}

fn number<T: FromStr + TryFrom<i64>>(value: Value<'_>, wanted: &str) -> Result<T, String> {
    let Value::Number(digits) = value else {
        return Err(mismatch(value, wanted));
    };
    if let Ok(number) = digits.parse() {
        return Ok(number);
    }
    let out_of_range = || format!("{digits} is out of range for {wanted}");
    if !digits.contains(['.', 'e', 'E']) {
        return Err(out_of_range());
    }
    let float: f64 = digits.parse().map_err(|_| out_of_range())?;
    // 2^63 is the first double that does not fit.
    if float.is_nan() || float.abs() >= 9_223_372_036_854_775_808.0 {
        return Err(out_of_range());
    }
    #[allow(clippy::cast_possible_truncation)]
    T::try_from(float.trunc() as i64).map_err(|_| out_of_range())
}

fn double(value: Value<'_>) -> Result<f64, String> {
    match value {
        Value::Number(digits) => digits.parse().map_err(|_| format!("{digits} is not a DOUBLE")),
        Value::Text { .. } => value
            .text()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| "expected DOUBLE, found a string that is not one".to_owned()),
        other => Err(mismatch(other, "DOUBLE")),
    }
}

/// STRING takes everything: what is not a text becomes its JSON.
fn text(value: Value<'_>) -> Result<std::borrow::Cow<'_, str>, String> {
    match value {
        Value::Text { .. } => value.text().ok_or_else(|| "bad escape in a string".to_owned()),
        Value::Bool(true) => Ok("true".into()),
        Value::Bool(false) => Ok("false".into()),
        Value::Number(raw) | Value::Object(raw) | Value::Array(raw) => Ok(raw.into()),
        Value::Null => Ok("null".into()),
    }
}

fn bytes(value: Value<'_>) -> Result<Vec<u8>, String> {
    let text = value.text().ok_or_else(|| mismatch(value, "BYTES (base64)"))?;
    base64::engine::general_purpose::STANDARD
        .decode(text.as_bytes())
        .map_err(|_| "expected BYTES, found a string that is not base64".to_owned())
}

fn rounded(value: Value<'_>, precision: u8, scale: i8) -> Result<i128, String> {
    let digits = match value {
        Value::Number(digits) => digits.into(),
        Value::Text { .. } => value.text().ok_or_else(|| "bad escape in a string".to_owned())?,
        other => return Err(mismatch(other, "DECIMAL")),
    };
    decimal::parse(digits.trim(), precision, scale)
        .ok_or_else(|| format!("{digits} does not fit DECIMAL({precision}, {scale})"))
}
