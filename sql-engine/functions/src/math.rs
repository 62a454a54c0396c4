//! Functions on numbers.

use crate::cast::with_decimal_type;
use crate::java;
use crate::kernel::{Args, Kernel, Resolved};
use arrow::array::ArrayRef;
use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, Int64Type};
use millstream_parser::SqlType;
use std::sync::Arc;

/// A function from DOUBLE to DOUBLE.
fn double(args: &Args, op: impl Fn(f64) -> f64) -> ArrayRef {
    let value = args.primitive::<Float64Type>(0);
    args.primitives::<Float64Type>(|row| Ok(value.get(row).map(&op)))
}

pub fn sqrt(args: &Args) -> ArrayRef {
    double(args, f64::sqrt)
}

pub fn exp(args: &Args) -> ArrayRef {
    double(args, f64::exp)
}

pub fn ln(args: &Args) -> ArrayRef {
    double(args, f64::ln)
}

pub fn sin(args: &Args) -> ArrayRef {
    double(args, f64::sin)
}

pub fn cos(args: &Args) -> ArrayRef {
    double(args, f64::cos)
}

pub fn tan(args: &Args) -> ArrayRef {
    double(args, f64::tan)
}

pub fn power(args: &Args) -> ArrayRef {
    let (base, exponent) = (args.primitive::<Float64Type>(0), args.primitive::<Float64Type>(1));
    args.primitives::<Float64Type>(|row| Ok(base.get(row).zip(exponent.get(row)).map(|(b, e)| b.powf(e))))
}

/// SIGN of a DOUBLE: -1, 0 or 1.
pub fn sign(args: &Args) -> ArrayRef {
    let value = args.primitive::<Float64Type>(0);
    args.primitives::<Int32Type>(|row| Ok(value.get(row).map(|v| i32::from(v > 0.0) - i32::from(v < 0.0))))
}

/// The functions that keep their argument's type.
#[derive(Clone, Copy)]
pub enum Keeping {
    Abs,
    Ceil,
    Floor,
}

/// ABS, CEIL or FLOOR. A DECIMAL keeps its scale.
pub fn keeping(name: &str, function: Keeping, argument: &SqlType) -> Option<Resolved> {
    let whole = matches!(function, Keeping::Ceil | Keeping::Floor);
    let kernel: Kernel = match argument {
        SqlType::Int | SqlType::BigInt if whole => Arc::new(|args| args.array(0).0.clone()),
        SqlType::Int => Arc::new(|args| {
            let value = args.primitive::<Int32Type>(0);
            args.primitives::<Int32Type>(|row| match value.get(row).map(i32::checked_abs) {
                Some(None) => Err("the result does not fit INTEGER".into()),
                other => Ok(other.flatten()),
            })
        }),
        SqlType::BigInt => Arc::new(|args| {
            let value = args.primitive::<Int64Type>(0);
            args.primitives::<Int64Type>(|row| match value.get(row).map(i64::checked_abs) {
                Some(None) => Err("the result does not fit BIGINT".into()),
                other => Ok(other.flatten()),
            })
        }),
        SqlType::Double => Arc::new(move |args| {
            double(
                args,
                match function {
                    Keeping::Abs => f64::abs,
                    Keeping::Ceil => f64::ceil,
                    Keeping::Floor => f64::floor,
                },
            )
        }),
        SqlType::Decimal { precision, scale } => {
            let (precision, scale) = (*precision, *scale);
            Arc::new(move |args| {
                let value = args.primitive::<Decimal128Type>(0);
                let unit = java::power_of_ten(u32::from(scale)).unwrap_or(1);
                let limit = java::power_of_ten(u32::from(precision)).unwrap_or(i128::MAX);
                let array = args.primitives::<Decimal128Type>(|row| {
                    let result = value.get(row).map(|v| match function {
                        Keeping::Abs => v.abs(),
                        Keeping::Floor => v.div_euclid(unit) * unit,
                        Keeping::Ceil => -((-v).div_euclid(unit) * unit),
                    });
                    match result {
                        Some(v) if v.abs() >= limit => {
                            Err(format!("the result does not fit DECIMAL({precision}, {scale})").into())
                        }
                        other => Ok(other),
                    }
                });
                with_decimal_type(&array, precision, scale)
            })
        }
        _ => return None,
    };
    Some(Resolved::new(
        name,
        vec![argument.clone()],
        argument.clone(),
        kernel,
    ))
}

/// ROUND(x): to BIGINT, halves up as `Math.round`; whole numbers and DECIMALs keep their type.
/// ROUND(x, digits): of a DOUBLE or DECIMAL, same type, halves away from zero.
pub fn round(arguments: &[Option<SqlType>]) -> Option<Resolved> {
    let first = arguments.first()?.clone()?;
    let digits = arguments.len() == 2;
    if digits && !matches!(arguments[1], None | Some(SqlType::Int)) {
        return None;
    }
    let mut types = vec![first.clone()];
    types.extend(digits.then_some(SqlType::Int));
    let (result, kernel): (SqlType, Kernel) = match (&first, digits) {
        (SqlType::Int | SqlType::BigInt, false) => (first.clone(), Arc::new(|args| args.array(0).0.clone())),
        (SqlType::Double, false) => (
            SqlType::BigInt,
            Arc::new(|args| {
                let value = args.primitive::<Float64Type>(0);
                args.primitives::<Int64Type>(|row| Ok(value.get(row).map(java::round_half_up)))
            }),
        ),
        (SqlType::Double, true) => (SqlType::Double, Arc::new(round_double)),
        (SqlType::Decimal { precision, scale }, _) => {
            let (precision, scale) = (*precision, *scale);
            (
                first.clone(),
                Arc::new(move |args| round_decimal(args, precision, scale)),
            )
        }
        _ => return None,
    };
    Some(Resolved::new("ROUND", types, result, kernel))
}

/// Through the number's decimal text, as `BigDecimal.valueOf` does: 1.005 to two digits is 1.01.
fn round_double(args: &Args) -> ArrayRef {
    let (value, digits) = (args.primitive::<Float64Type>(0), args.primitive::<Int32Type>(1));
    args.primitives::<Float64Type>(|row| {
        let (Some(value), Some(digits)) = (value.get(row), digits.get(row)) else {
            return Ok(None);
        };
        let Ok(scale) = u8::try_from(digits) else {
            return Err("ROUND takes from 0 to 38 digits".into());
        };
        if !value.is_finite() || value.abs() >= 1e18 || scale > 18 {
            return Ok(Some(value));
        }
        let text = java::double_to_string(value);
        let rounded = java::parse_decimal(&text, 38, scale).map(|v| java::decimal_to_string(v, scale));
        Ok(Some(rounded.and_then(|text| text.parse().ok()).unwrap_or(value)))
    })
}

fn round_decimal(args: &Args, precision: u8, scale: u8) -> ArrayRef {
    let value = args.primitive::<Decimal128Type>(0);
    let digits = (args.len() > 1).then(|| args.primitive::<Int32Type>(1));
    let array = args.primitives::<Decimal128Type>(|row| {
        let digits = digits.as_ref().map_or(Some(0), |digits| digits.get(row));
        let (Some(value), Some(digits)) = (value.get(row), digits) else {
            return Ok(None);
        };
        let kept = u8::try_from(digits.clamp(0, i32::from(scale))).unwrap_or(scale);
        let rounded = java::rescale(value, scale, kept, 38);
        match rounded.and_then(|rounded| java::rescale(rounded, kept, scale, precision)) {
            Some(rounded) => Ok(Some(rounded)),
            None => Err(format!("the result does not fit DECIMAL({precision}, {scale})").into()),
        }
    });
    with_decimal_type(&array, precision, scale)
}
