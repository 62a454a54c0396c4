//! SQL types as Arrow types; the one place that maps them.

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use millstream_parser::SqlType;
use std::sync::Arc;

/// The Arrow type that holds values of a SQL type.
#[must_use]
pub fn arrow_type(sql_type: &SqlType) -> DataType {
    match sql_type {
        SqlType::Boolean => DataType::Boolean,
        SqlType::Int => DataType::Int32,
        SqlType::BigInt => DataType::Int64,
        SqlType::Double => DataType::Float64,
        SqlType::String => DataType::Utf8,
        SqlType::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
        SqlType::Date => DataType::Date32,
        SqlType::Time => DataType::Time32(TimeUnit::Millisecond),
        SqlType::Bytes => DataType::Binary,
        SqlType::Decimal { precision, scale } => DataType::Decimal128(*precision, scale.cast_signed()),
        SqlType::Array(element) => DataType::List(Arc::new(Field::new_list_field(arrow_type(element), true))),
        SqlType::Map(key, value) => {
            let fields = Fields::from(vec![
                Field::new("keys", arrow_type(key), false),
                Field::new("values", arrow_type(value), true),
            ]);
            DataType::Map(
                Arc::new(Field::new("entries", DataType::Struct(fields), false)),
                false,
            )
        }
        SqlType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| arrow_field(&field.name, &field.sql_type))
                .collect(),
        ),
    }
}

/// A nullable Arrow field of a SQL type: every SQL value may be null.
#[must_use]
pub fn arrow_field(name: &str, sql_type: &SqlType) -> Field {
    Field::new(name, arrow_type(sql_type), true)
}
