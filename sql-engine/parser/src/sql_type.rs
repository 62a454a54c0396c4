//! The types of SQL values; their Arrow forms are the planner's.

use std::fmt;
use std::str::FromStr;

/// A type as ksqlDB has it. `Display` prints text that [`crate::parse_type`] reads back to the same type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SqlType {
    Boolean,
    /// 32 bits.
    Int,
    /// 64 bits.
    BigInt,
    Double,
    String,
    /// Milliseconds since 1970-01-01 UTC.
    Timestamp,
    /// Days since 1970-01-01.
    Date,
    /// Milliseconds since midnight.
    Time,
    Bytes,
    /// 1 ≤ precision ≤ 38, scale ≤ precision.
    Decimal {
        precision: u8,
        scale: u8,
    },
    Array(Box<SqlType>),
    Map(Box<SqlType>, Box<SqlType>),
    Struct(Vec<StructField>),
}

/// One field of a STRUCT.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StructField {
    pub name: String,
    pub sql_type: SqlType,
}

impl SqlType {
    /// DECIMAL's largest precision: what 128 bits hold.
    pub const DECIMAL_PRECISION_MAX: u8 = 38;

    /// INT, BIGINT, DOUBLE or DECIMAL.
    #[must_use]
    pub fn is_numeric(&self) -> bool {
        matches!(
            self,
            SqlType::Int | SqlType::BigInt | SqlType::Double | SqlType::Decimal { .. }
        )
    }

    /// TIMESTAMP, DATE or TIME.
    #[must_use]
    pub fn is_temporal(&self) -> bool {
        matches!(self, SqlType::Timestamp | SqlType::Date | SqlType::Time)
    }

    /// Not ARRAY, MAP or STRUCT.
    #[must_use]
    pub fn is_primitive(&self) -> bool {
        !matches!(self, SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_))
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlType::Boolean => f.write_str("BOOLEAN"),
            SqlType::Int => f.write_str("INTEGER"),
            SqlType::BigInt => f.write_str("BIGINT"),
            SqlType::Double => f.write_str("DOUBLE"),
            SqlType::String => f.write_str("STRING"),
            SqlType::Timestamp => f.write_str("TIMESTAMP"),
            SqlType::Date => f.write_str("DATE"),
            SqlType::Time => f.write_str("TIME"),
            SqlType::Bytes => f.write_str("BYTES"),
            SqlType::Decimal { precision, scale } => write!(f, "DECIMAL({precision}, {scale})"),
            SqlType::Array(element) => write!(f, "ARRAY<{element}>"),
            SqlType::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            SqlType::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}`{}` {}", field.name.replace('`', "``"), field.sql_type)?;
                }
                f.write_str(">")
            }
        }
    }
}

impl FromStr for SqlType {
    type Err = crate::SqlError;

    fn from_str(text: &str) -> Result<SqlType, crate::SqlError> {
        crate::parse_type(text)
    }
}
