//! Conversions: which happen by themselves, and CAST. A value that cannot be converted is a row error and null.
//!
//! Where Java would wrap or saturate silently (BIGINT or DOUBLE to INTEGER), the row fails instead.

use crate::java;
use crate::kernel::{Args, Kernel, Resolved, RowResult};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMillisecondType,
};
use millstream_parser::SqlType;
use std::borrow::Cow;
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;

/// The type that two numbers are compared or computed in, or the type both are of.
#[must_use]
pub fn common_type(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    if left == right {
        return Some(left.clone());
    }
    let decimal = |sql_type: &SqlType| match sql_type {
        SqlType::Decimal { precision, scale } => Some((*precision, *scale)),
        SqlType::Int => Some((10, 0)),
        SqlType::BigInt => Some((19, 0)),
        _ => None,
    };
    match (left, right) {
        (SqlType::Double, other) | (other, SqlType::Double) => other.is_numeric().then_some(SqlType::Double),
        (SqlType::Int, SqlType::BigInt) | (SqlType::BigInt, SqlType::Int) => Some(SqlType::BigInt),
        _ => {
            let ((p1, s1), (p2, s2)) = (decimal(left)?, decimal(right)?);
            let scale = s1.max(s2);
            let precision = ((p1 - s1).max(p2 - s2) + scale).min(SqlType::DECIMAL_PRECISION_MAX);
            Some(SqlType::Decimal { precision, scale })
        }
    }
}

/// True when a value of one type may stand where another is wanted: INT → BIGINT → DECIMAL → DOUBLE.
#[must_use]
pub fn converts_implicitly(from: &SqlType, to: &SqlType) -> bool {
    from == to || (to.is_numeric() && common_type(from, to).as_ref() == Some(to))
}

/// `CAST(x AS to)`; None when there is no such conversion.
#[must_use]
pub fn cast(from: &SqlType, to: &SqlType) -> Option<Resolved> {
    let kernel: Kernel = match (from, to) {
        (a, b) if a == b => Arc::new(|args| args.array(0).0.clone()),
        (SqlType::String, _) => from_text(to)?,
        (_, SqlType::String) => to_text(from)?,
        (_, SqlType::Int) => to_int(from)?,
        (_, SqlType::BigInt) => to_bigint(from)?,
        (_, SqlType::Double) => to_double(from)?,
        (_, SqlType::Decimal { precision, scale }) => to_decimal(from, *precision, *scale)?,
        (SqlType::Timestamp, SqlType::Date) => Arc::new(|args| {
            let value = args.primitive::<TimestampMillisecondType>(0);
            args.primitives::<Date32Type>(|row| {
                match value.get(row).map(|ms| i32::try_from(ms.div_euclid(DAY_MS))) {
                    None => Ok(None),
                    Some(Ok(days)) => Ok(Some(days)),
                    Some(Err(_)) => Err("the timestamp is out of range".into()),
                }
            })
        }),
        (SqlType::Timestamp, SqlType::Time) => Arc::new(|args| {
            let value = args.primitive::<TimestampMillisecondType>(0);
            args.primitives::<Time32MillisecondType>(|row| {
                Ok(value
                    .get(row)
                    .and_then(|ms| i32::try_from(ms.rem_euclid(DAY_MS)).ok()))
            })
        }),
        (SqlType::Date, SqlType::Timestamp) => Arc::new(|args| {
            let value = args.primitive::<Date32Type>(0);
            args.primitives::<TimestampMillisecondType>(|row| {
                Ok(value.get(row).map(|d| i64::from(d) * DAY_MS))
            })
        }),
        _ => return None,
    };
    Some(Resolved::new("cast", vec![from.clone()], to.clone(), kernel))
}

/// Gives a DECIMAL array its precision and scale; the values already fit.
pub fn with_decimal_type(array: &ArrayRef, precision: u8, scale: u8) -> ArrayRef {
    let typed = array.as_primitive::<Decimal128Type>().clone().with_data_type(
        arrow::datatypes::DataType::Decimal128(precision, scale.cast_signed()),
    );
    Arc::new(typed)
}

fn shown(text: &str) -> String {
    let clipped: String = text.chars().take(40).collect();
    if clipped.len() < text.len() {
        format!("'{clipped}…'")
    } else {
        format!("'{clipped}'")
    }
}

/// Parses text; what cannot be read is a fault that names the text and the type.
fn parsed<T>(text: Option<&str>, to: &SqlType, parse: impl Fn(&str) -> Option<T>) -> RowResult<T> {
    let Some(text) = text else { return Ok(None) };
    match parse(text) {
        Some(value) => Ok(Some(value)),
        None => Err(format!("cannot cast {} to {to}", shown(text)).into()),
    }
}

fn from_text(to: &SqlType) -> Option<Kernel> {
    macro_rules! parse {
        ($arrow:ty, $parse:expr) => {{
            let to = to.clone();
            Arc::new(move |args: &Args| {
                let value = args.text(0);
                args.primitives::<$arrow>(|row| parsed(value.get(row), &to, $parse))
            })
        }};
    }
    let kernel: Kernel = match to {
        // ksqlDB's table of casts: what exactly matches `true`, in any case, is true, all else is false.
        SqlType::Boolean => Arc::new(|args| {
            let value = args.text(0);
            args.booleans(|row| Ok(value.get(row).map(|text| text.eq_ignore_ascii_case("true"))))
        }),
        SqlType::Int => parse!(Int32Type, |text| text.trim().parse().ok()),
        SqlType::BigInt => parse!(Int64Type, |text| text.trim().parse().ok()),
        SqlType::Double => parse!(Float64Type, java::parse_double),
        SqlType::Timestamp => parse!(TimestampMillisecondType, java::parse_timestamp),
        SqlType::Date => parse!(Date32Type, java::parse_date),
        SqlType::Time => parse!(Time32MillisecondType, java::parse_time),
        SqlType::Decimal { precision, scale } => {
            let (precision, scale, to) = (*precision, *scale, to.clone());
            Arc::new(move |args| {
                let value = args.text(0);
                let array = args.primitives::<Decimal128Type>(|row| {
                    parsed(value.get(row), &to, |text| {
                        java::parse_decimal(text, precision, scale)
                    })
                });
                with_decimal_type(&array, precision, scale)
            })
        }
        _ => return None,
    };
    Some(kernel)
}

/// A value as text; `None` when it has none (a timestamp far out of range).
fn to_text(from: &SqlType) -> Option<Kernel> {
    macro_rules! show {
        ($arrow:ty, $show:expr) => {
            Arc::new(|args: &Args| {
                let value = args.primitive::<$arrow>(0);
                args.strings(|row| match value.get(row).map($show) {
                    None => Ok(None),
                    Some(Some(text)) => Ok(Some(Cow::Owned(text))),
                    Some(None) => Err("the value is out of range".into()),
                })
            })
        };
    }
    let kernel: Kernel = match from {
        SqlType::Boolean => Arc::new(|args| {
            let value = args.typed::<arrow::array::BooleanArray>(0);
            args.strings(|row| {
                Ok(value
                    .get(row)
                    .map(|b| Cow::Borrowed(if b { "true" } else { "false" })))
            })
        }),
        SqlType::Int => show!(Int32Type, |v| Some(v.to_string())),
        SqlType::BigInt => show!(Int64Type, |v| Some(v.to_string())),
        SqlType::Double => show!(Float64Type, |v| Some(java::double_to_string(v))),
        SqlType::Timestamp => show!(TimestampMillisecondType, java::format_timestamp),
        SqlType::Date => show!(Date32Type, java::format_date),
        SqlType::Time => show!(Time32MillisecondType, java::format_time),
        SqlType::Decimal { scale, .. } => {
            let scale = *scale;
            Arc::new(move |args| {
                let value = args.primitive::<Decimal128Type>(0);
                args.strings(|row| {
                    Ok(value
                        .get(row)
                        .map(|v| Cow::Owned(java::decimal_to_string(v, scale))))
                })
            })
        }
        _ => return None,
    };
    Some(kernel)
}

/// The whole part of a double, when it fits 64 bits.
fn whole(value: f64) -> Option<i64> {
    let whole = value.trunc();
    // 2^63 itself does not fit; -2^63 does.
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    let fits = ((-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&whole))
        .then_some(whole as i64);
    fits
}

fn whole_decimal(value: i128, scale: u8) -> Option<i64> {
    i64::try_from(value / java::power_of_ten(u32::from(scale))?).ok()
}

fn fitting<T>(value: Option<Option<T>>, to: &'static str) -> RowResult<T> {
    match value {
        None => Ok(None),
        Some(Some(value)) => Ok(Some(value)),
        Some(None) => Err(format!("the value does not fit {to}").into()),
    }
}

fn to_int(from: &SqlType) -> Option<Kernel> {
    macro_rules! narrow {
        ($arrow:ty, $narrow:expr) => {
            Arc::new(move |args: &Args| {
                let value = args.primitive::<$arrow>(0);
                args.primitives::<Int32Type>(|row| {
                    fitting(
                        value
                            .get(row)
                            .map(|v| $narrow(v).and_then(|v: i64| i32::try_from(v).ok())),
                        "INTEGER",
                    )
                })
            })
        };
    }
    Some(match from {
        SqlType::BigInt => narrow!(Int64Type, Some),
        SqlType::Double => narrow!(Float64Type, whole),
        SqlType::Decimal { scale, .. } => {
            let scale = *scale;
            narrow!(Decimal128Type, |v| whole_decimal(v, scale))
        }
        _ => return None,
    })
}

fn to_bigint(from: &SqlType) -> Option<Kernel> {
    macro_rules! convert {
        ($arrow:ty, $convert:expr) => {
            Arc::new(move |args: &Args| {
                let value = args.primitive::<$arrow>(0);
                args.primitives::<Int64Type>(|row| fitting(value.get(row).map($convert), "BIGINT"))
            })
        };
    }
    Some(match from {
        SqlType::Int => convert!(Int32Type, |v| Some(i64::from(v))),
        SqlType::Timestamp => convert!(TimestampMillisecondType, Some),
        SqlType::Double => convert!(Float64Type, whole),
        SqlType::Decimal { scale, .. } => {
            let scale = *scale;
            convert!(Decimal128Type, |v| whole_decimal(v, scale))
        }
        _ => return None,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Java's longValue to doubleValue rounds too"
)]
fn to_double(from: &SqlType) -> Option<Kernel> {
    Some(match from {
        SqlType::Int => Arc::new(|args| {
            let value = args.primitive::<Int32Type>(0);
            args.primitives::<Float64Type>(|row| Ok(value.get(row).map(f64::from)))
        }),
        SqlType::BigInt => Arc::new(|args| {
            let value = args.primitive::<Int64Type>(0);
            args.primitives::<Float64Type>(|row| Ok(value.get(row).map(|v| v as f64)))
        }),
        SqlType::Decimal { scale, .. } => {
            let scale = *scale;
            // Through text, which rounds once; a division would round twice.
            Arc::new(move |args| {
                let value = args.primitive::<Decimal128Type>(0);
                args.primitives::<Float64Type>(|row| {
                    Ok(value
                        .get(row)
                        .and_then(|v| java::decimal_to_string(v, scale).parse().ok()))
                })
            })
        }
        _ => return None,
    })
}

fn to_decimal(from: &SqlType, precision: u8, scale: u8) -> Option<Kernel> {
    let fit = move |value: Option<Option<i128>>| -> RowResult<i128> {
        match value {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value)),
            Some(None) => Err(format!("the value does not fit DECIMAL({precision}, {scale})").into()),
        }
    };
    macro_rules! convert {
        ($arrow:ty, $convert:expr) => {
            Arc::new(move |args: &Args| {
                let value = args.primitive::<$arrow>(0);
                let array = args.primitives::<Decimal128Type>(|row| fit(value.get(row).map($convert)));
                with_decimal_type(&array, precision, scale)
            })
        };
    }
    Some(match from {
        SqlType::Int => convert!(Int32Type, |v| java::rescale(i128::from(v), 0, scale, precision)),
        SqlType::BigInt => convert!(Int64Type, |v| java::rescale(i128::from(v), 0, scale, precision)),
        SqlType::Double => {
            convert!(Float64Type, |v| java::parse_decimal(
                &java::double_to_string(v),
                precision,
                scale
            ))
        }
        SqlType::Decimal { scale: old, .. } => {
            let old = *old;
            convert!(Decimal128Type, |v| java::rescale(v, old, scale, precision))
        }
        _ => return None,
    })
}
