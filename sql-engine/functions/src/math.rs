//! Functions on numbers.

use crate::cast::with_decimal_type;
use crate::java;
use crate::kernel::{Args, Kernel, Resolved};
use arrow::array::{ArrayRef, ArrowPrimitiveType};
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

/// ROUND(x): a DOUBLE to BIGINT; whole numbers and DECIMALs keep their type. ROUND(x, digits) keeps any type; negative
/// digits count to the left of the point. Halves go up, towards the larger number, as ksqlDB says: -2.5 is -2.
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
        (SqlType::Int, true) => (SqlType::Int, Arc::new(round_whole::<Int32Type>)),
        (SqlType::BigInt, true) => (SqlType::BigInt, Arc::new(round_whole::<Int64Type>)),
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

/// An unscaled value of a scale, rounded to so many digits behind its point; halves go up. None: beyond 128 bits.
fn round_unscaled(unscaled: i128, scale: i32, digits: i32) -> Option<i128> {
    let dropped = u32::try_from(scale.saturating_sub(digits)).unwrap_or(0);
    let Some(unit) = java::power_of_ten(dropped) else {
        // More digits than there are: nothing is left.
        return Some(0);
    };
    let (down, rest) = (unscaled.div_euclid(unit), unscaled.rem_euclid(unit));
    let up = rest != 0 && rest >= unit - rest;
    (down + i128::from(up)).checked_mul(unit)
}

fn round_whole<T: ArrowPrimitiveType>(args: &Args) -> ArrayRef
where
    i128: From<T::Native>,
    T::Native: TryFrom<i128>,
{
    let (value, digits) = (args.primitive::<T>(0), args.primitive::<Int32Type>(1));
    args.primitives::<T>(|row| {
        let (Some(value), Some(digits)) = (value.get(row), digits.get(row)) else {
            return Ok(None);
        };
        let rounded = round_unscaled(i128::from(value), 0, digits);
        match rounded.and_then(|rounded| T::Native::try_from(rounded).ok()) {
            Some(rounded) => Ok(Some(rounded)),
            None => Err("the rounded number does not fit its type".into()),
        }
    })
}

/// Digits that a DOUBLE's decimal text is read with: more than its 17, so that it is rounded once.
const DOUBLE_DIGITS: usize = 36;

/// Through the number's decimal text, as `BigDecimal.valueOf` does: 1.005 to two digits is 1.01.
fn round_double(args: &Args) -> ArrayRef {
    let (value, digits) = (args.primitive::<Float64Type>(0), args.primitive::<Int32Type>(1));
    args.primitives::<Float64Type>(|row| {
        let (Some(value), Some(digits)) = (value.get(row), digits.get(row)) else {
            return Ok(None);
        };
        if !value.is_finite() {
            return Ok(Some(value));
        }
        let whole = format!("{:.0}", value.abs().trunc()).len();
        let scale = u8::try_from(DOUBLE_DIGITS.saturating_sub(whole)).unwrap_or(0);
        let unscaled = java::parse_decimal(&java::double_to_string(value), 38, scale);
        let rounded = unscaled.and_then(|unscaled| round_unscaled(unscaled, i32::from(scale), digits));
        let text = rounded.map(|rounded| java::decimal_to_string(rounded, scale));
        Ok(Some(text.and_then(|text| text.parse().ok()).unwrap_or(value)))
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
        let rounded = round_unscaled(value, i32::from(scale), digits);
        match rounded.and_then(|rounded| java::rescale(rounded, scale, scale, precision)) {
            Some(rounded) => Ok(Some(rounded)),
            None => Err(format!("the result does not fit DECIMAL({precision}, {scale})").into()),
        }
    });
    with_decimal_type(&array, precision, scale)
}
