//! `+ - * / %` and the sign, as Java computes them; overflow and division by zero are row errors.
//!
//! Operands are first converted to one type: INT, BIGINT, DOUBLE, or DECIMAL each with its own precision and
//! scale. Whole numbers divide to whole numbers, towards zero. DOUBLEs never fail (1.0 / 0 is Infinity).

use crate::java::{divide_half_up, power_of_ten};
use crate::kernel::{Args, Kernel, Resolved};
use crate::{cast, common_type};
use arrow::array::{ArrayRef, ArrowPrimitiveType, Datum, Scalar};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, Int64Type, i256};
use arrow::error::ArrowError;
use millstream_columns::RowError;
use millstream_parser::SqlType;
use std::borrow::Cow;
use std::sync::Arc;

/// The operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Arithmetic {
    fn name(self) -> &'static str {
        match self {
            Arithmetic::Add => "add",
            Arithmetic::Subtract => "subtract",
            Arithmetic::Multiply => "multiply",
            Arithmetic::Divide => "divide",
            Arithmetic::Modulo => "modulo",
        }
    }
}

/// The operator on two types; None when they are not both numbers (or, for `+`, both strings).
#[must_use]
pub fn arithmetic(op: Arithmetic, left: &SqlType, right: &SqlType) -> Option<Resolved> {
    let resolved = |argument: [SqlType; 2], result, kernel| {
        Some(Resolved::new(op.name(), argument.into(), result, kernel))
    };
    if op == Arithmetic::Add && (left, right) == (&SqlType::String, &SqlType::String) {
        return resolved(
            [SqlType::String, SqlType::String],
            SqlType::String,
            Arc::new(concat),
        );
    }
    if !left.is_numeric() || !right.is_numeric() {
        return None;
    }
    let common = common_type(left, right)?;
    let kernel: Kernel = match common {
        SqlType::Int => Arc::new(move |args| whole::<Int32Type>(args, op)),
        SqlType::BigInt => Arc::new(move |args| whole::<Int64Type>(args, op)),
        SqlType::Double => Arc::new(move |args| doubles(args, op)),
        _ => return decimals(op, left, right),
    };
    resolved([common.clone(), common.clone()], common, kernel)
}

fn concat(args: &Args) -> ArrayRef {
    let (left, right) = (args.text(0), args.text(1));
    args.strings(|row| match (left.get(row), right.get(row)) {
        (Some(l), Some(r)) => {
            crate::kernel::check_length(l.len() + r.len())?;
            Ok(Some(Cow::Owned(format!("{l}{r}"))))
        }
        _ => Ok(None),
    })
}

/// What whole numbers need to be computed with row by row.
trait Whole: Copy {
    fn checked(self, op: Arithmetic, other: Self) -> Result<Self, RowError<()>>;
}

macro_rules! whole {
    ($native:ty, $name:literal) => {
        impl Whole for $native {
            fn checked(self, op: Arithmetic, other: $native) -> Result<$native, RowError<()>> {
                let result = match op {
                    Arithmetic::Add => self.checked_add(other),
                    Arithmetic::Subtract => self.checked_sub(other),
                    Arithmetic::Multiply => self.checked_mul(other),
                    Arithmetic::Divide | Arithmetic::Modulo if other == 0 => {
                        return Err("division by zero".into());
                    }
                    Arithmetic::Divide => self.checked_div(other),
                    Arithmetic::Modulo => Some(self.wrapping_rem(other)),
                };
                result.ok_or(concat!("the result does not fit ", $name).into())
            }
        }
    };
}

whole!(i32, "INTEGER");
whole!(i64, "BIGINT");

fn whole<T: ArrowPrimitiveType>(args: &Args, op: Arithmetic) -> ArrayRef
where
    T::Native: Whole,
{
    // Whole columns at once when nothing fails, which is nearly always; else row by row.
    if let Ok(array) = at_once(args, op) {
        return array;
    }
    let (left, right) = (args.primitive::<T>(0), args.primitive::<T>(1));
    args.primitives::<T>(|row| match (left.get(row), right.get(row)) {
        (Some(l), Some(r)) => l.checked(op, r).map(Some),
        _ => Ok(None),
    })
}

fn at_once(args: &Args, op: Arithmetic) -> Result<ArrayRef, ArrowError> {
    let ((left, left_constant), (right, right_constant)) = (args.array(0), args.array(1));
    // A constant is a scalar to Arrow, except beside another constant: then both are arrays of one slot.
    match (left_constant, right_constant) {
        (true, false) => column_op(op, &Scalar::new(Arc::clone(left)), right),
        (false, true) => column_op(op, left, &Scalar::new(Arc::clone(right))),
        _ => column_op(op, left, right),
    }
}

fn column_op(op: Arithmetic, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
    match op {
        Arithmetic::Add => numeric::add(left, right),
        Arithmetic::Subtract => numeric::sub(left, right),
        Arithmetic::Multiply => numeric::mul(left, right),
        Arithmetic::Divide => numeric::div(left, right),
        Arithmetic::Modulo => numeric::rem(left, right),
    }
}

fn doubles(args: &Args, op: Arithmetic) -> ArrayRef {
    let (left, right) = (args.primitive::<Float64Type>(0), args.primitive::<Float64Type>(1));
    args.primitives::<Float64Type>(|row| {
        let (Some(l), Some(r)) = (left.get(row), right.get(row)) else {
            return Ok(None);
        };
        Ok(Some(match op {
            Arithmetic::Add => l + r,
            Arithmetic::Subtract => l - r,
            Arithmetic::Multiply => l * r,
            Arithmetic::Divide => l / r,
            Arithmetic::Modulo => l % r,
        }))
    })
}

/// The precision and scale of a DECIMAL operand.
fn shape(sql_type: &SqlType) -> Option<(u8, u8)> {
    match sql_type {
        SqlType::Decimal { precision, scale } => Some((*precision, *scale)),
        SqlType::Int => Some((10, 0)),
        SqlType::BigInt => Some((19, 0)),
        _ => None,
    }
}

/// The result's precision and scale: ksqlDB's documented rules; over 38 digits the scale gives way, down to 6.
fn decimal_result(op: Arithmetic, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (u8, u8) {
    let (p1, s1, p2, s2) = (u16::from(p1), u16::from(s1), u16::from(p2), u16::from(s2));
    let (precision, scale) = match op {
        Arithmetic::Add | Arithmetic::Subtract => {
            let scale = s1.max(s2);
            ((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        Arithmetic::Multiply => (p1 + p2 + 1, s1 + s2),
        Arithmetic::Divide => {
            let scale = (s1 + p2 + 1).max(6);
            (p1 - s1 + s2 + scale, scale)
        }
        Arithmetic::Modulo => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
    };
    let max = u16::from(SqlType::DECIMAL_PRECISION_MAX);
    let whole = precision - scale;
    let scale = if precision > max {
        max.saturating_sub(whole).max(scale.min(6))
    } else {
        scale
    };
    let fit = |n: u16| u8::try_from(n.min(max)).unwrap_or(SqlType::DECIMAL_PRECISION_MAX);
    (fit(precision).max(1), fit(scale))
}

fn decimals(op: Arithmetic, left: &SqlType, right: &SqlType) -> Option<Resolved> {
    let (left, right) = (shape(left)?, shape(right)?);
    let (precision, scale) = decimal_result(op, left, right);
    let kernel: Kernel = Arc::new(move |args| {
        let (a, b) = (
            args.primitive::<Decimal128Type>(0),
            args.primitive::<Decimal128Type>(1),
        );
        let array = args.primitives::<Decimal128Type>(|row| match (a.get(row), b.get(row)) {
            (Some(_), Some(0)) if matches!(op, Arithmetic::Divide | Arithmetic::Modulo) => {
                Err("division by zero".into())
            }
            (Some(a), Some(b)) => {
                let exact = decimal_op(op, (a, left.1), (b, right.1), scale);
                let limit = power_of_ten(u32::from(precision)).map(i128::unsigned_abs);
                match exact.filter(|value| limit.is_some_and(|limit| value.unsigned_abs() < limit)) {
                    Some(value) => Ok(Some(value)),
                    None => Err(format!("the result does not fit DECIMAL({precision}, {scale})").into()),
                }
            }
            _ => Ok(None),
        });
        cast::with_decimal_type(&array, precision, scale)
    });
    let operand = |(precision, scale)| SqlType::Decimal { precision, scale };
    let result = SqlType::Decimal { precision, scale };
    Some(Resolved::new(
        op.name(),
        vec![operand(left), operand(right)],
        result,
        kernel,
    ))
}

/// Computes in 256 bits and rounds half up to the result's scale; None when it does not fit.
fn decimal_op(op: Arithmetic, (a, s1): (i128, u8), (b, s2): (i128, u8), scale: u8) -> Option<i128> {
    let wide = |value: i128, from: u8, to: u8| {
        i256::from_i128(value).checked_mul(i256::from_i128(power_of_ten(u32::from(to.saturating_sub(from)))?))
    };
    let common = s1.max(s2);
    let (value, value_scale) = match op {
        Arithmetic::Add => (wide(a, s1, common)?.checked_add(wide(b, s2, common)?)?, common),
        Arithmetic::Subtract => (wide(a, s1, common)?.checked_sub(wide(b, s2, common)?)?, common),
        Arithmetic::Modulo => (wide(a, s1, common)?.checked_rem(wide(b, s2, common)?)?, common),
        Arithmetic::Multiply => (i256::from_i128(a).checked_mul(i256::from_i128(b))?, s1 + s2),
        Arithmetic::Divide => {
            // a / 10^s1 ÷ b / 10^s2 at the result's scale: a · 10^(scale + s2 - s1) ÷ b.
            let shift = i32::from(scale) + i32::from(s2) - i32::from(s1);
            let ten = |n: i32| power_of_ten(u32::try_from(n).ok()?).map(i256::from_i128);
            let (above, below) = if shift >= 0 {
                (
                    ten(shift.min(38))?.checked_mul(ten((shift - 38).max(0))?)?,
                    i256::ONE,
                )
            } else {
                (i256::ONE, ten(-shift)?)
            };
            let above = i256::from_i128(a).checked_mul(above)?;
            return divide_half_up(above, i256::from_i128(b).checked_mul(below)?)?.to_i128();
        }
    };
    if value_scale <= scale {
        let up = i256::from_i128(power_of_ten(u32::from(scale - value_scale))?);
        return value.checked_mul(up)?.to_i128();
    }
    divide_half_up(
        value,
        i256::from_i128(power_of_ten(u32::from(value_scale - scale))?),
    )?
    .to_i128()
}

/// `-x`; None when the type is no number.
#[must_use]
pub fn negate(operand: &SqlType) -> Option<Resolved> {
    let kernel: Kernel = match operand {
        SqlType::Int => Arc::new(|args| negated::<Int32Type>(args, i32::checked_neg)),
        SqlType::BigInt => Arc::new(|args| negated::<Int64Type>(args, i64::checked_neg)),
        SqlType::Double => Arc::new(|args| negated::<Float64Type>(args, |v| Some(-v))),
        SqlType::Decimal { precision, scale } => {
            let (precision, scale) = (*precision, *scale);
            Arc::new(move |args| {
                let array = negated::<Decimal128Type>(args, i128::checked_neg);
                cast::with_decimal_type(&array, precision, scale)
            })
        }
        _ => return None,
    };
    Some(Resolved::new(
        "negate",
        vec![operand.clone()],
        operand.clone(),
        kernel,
    ))
}

fn negated<T: ArrowPrimitiveType>(args: &Args, op: fn(T::Native) -> Option<T::Native>) -> ArrayRef {
    let value = args.primitive::<T>(0);
    args.primitives::<T>(|row| match value.get(row).map(op) {
        None => Ok(None),
        Some(Some(negated)) => Ok(Some(negated)),
        Some(None) => Err("the result does not fit the type".into()),
    })
}
