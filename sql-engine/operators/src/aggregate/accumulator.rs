//! What each aggregate function keeps of a group, and how a row changes it. ksqlDB's rules: SUM and AVG of nothing
//! are 0, MIN, MAX and LATEST_BY_OFFSET of nothing are null, nulls are skipped.

use crate::datum;
use crate::key::to_array;
use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Decimal128Builder, Float64Array, Float64Builder, Int32Array,
    Int32Builder, Int64Array, Int64Builder,
};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int32Type, Int64Type};
use datafusion_common::ScalarValue;
use millstream_planner::{AggregateCall, AggregateFunction, arrow_type};
use millstream_state::Corrupt;
use std::cmp::Ordering;
use std::sync::Arc;

/// One aggregate's state.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Accumulator {
    /// COUNT(*), and COUNT(x), which skips nulls.
    Count {
        rows: i64,
        nulls: Nulls,
    },
    SumInt(i32),
    SumBigInt(i64),
    SumDouble(f64),
    /// Scaled as the type says; `limit` is 10^precision.
    SumDecimal {
        sum: i128,
        limit: i128,
    },
    Average {
        sum: f64,
        count: i64,
    },
    Extreme {
        kept: ScalarValue,
        wanted: Ordering,
    },
    Latest {
        kept: ScalarValue,
        nulls: Nulls,
    },
}

/// What a null argument does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nulls {
    Skip,
    Take,
}

const OVERFLOW: &str = "the sum does not fit its type";
const NOT_RETRACTABLE: &str = "MIN, MAX and LATEST_BY_OFFSET cannot take a row back";

/// An argument's values for a batch.
pub(super) enum Argument<'a> {
    /// COUNT(*) has none.
    None,
    Int(&'a Int32Array),
    BigInt(&'a Int64Array),
    Double(&'a Float64Array),
    Decimal(&'a Decimal128Array),
    Other(&'a ArrayRef),
}

impl<'a> Argument<'a> {
    pub(super) fn new(values: &'a ArrayRef) -> Self {
        match values.data_type() {
            DataType::Int32 => Self::Int(values.as_primitive::<Int32Type>()),
            DataType::Int64 => Self::BigInt(values.as_primitive::<Int64Type>()),
            DataType::Float64 => Self::Double(values.as_primitive::<Float64Type>()),
            DataType::Decimal128(..) => Self::Decimal(values.as_primitive::<Decimal128Type>()),
            _ => Self::Other(values),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::None => false,
            Self::Int(values) => values.is_null(row),
            Self::BigInt(values) => values.is_null(row),
            Self::Double(values) => values.is_null(row),
            Self::Decimal(values) => values.is_null(row),
            Self::Other(values) => values.is_null(row),
        }
    }

    fn scalar(&self, row: usize) -> Option<ScalarValue> {
        match self {
            Self::None => None,
            Self::Int(values) => Some(ScalarValue::Int32(Some(values.value(row)))),
            Self::BigInt(values) => Some(ScalarValue::Int64(Some(values.value(row)))),
            Self::Double(values) => Some(ScalarValue::Float64(Some(values.value(row)))),
            Self::Decimal(values) => ScalarValue::try_from_array(values, row).ok(),
            Self::Other(values) => ScalarValue::try_from_array(values, row).ok(),
        }
    }
}

impl Accumulator {
    pub(super) fn new(call: &AggregateCall) -> Self {
        let null = || ScalarValue::try_from(&arrow_type(&call.result_type)).unwrap_or(ScalarValue::Null);
        match call.function {
            AggregateFunction::CountRows => Self::Count {
                rows: 0,
                nulls: Nulls::Take,
            },
            AggregateFunction::Count => Self::Count {
                rows: 0,
                nulls: Nulls::Skip,
            },
            AggregateFunction::Sum => match arrow_type(&call.result_type) {
                DataType::Int32 => Self::SumInt(0),
                DataType::Int64 => Self::SumBigInt(0),
                DataType::Decimal128(precision, _) => {
                    let limit = 10_i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
                    Self::SumDecimal { sum: 0, limit }
                }
                _ => Self::SumDouble(0.0),
            },
            AggregateFunction::Avg => Self::Average { sum: 0.0, count: 0 },
            AggregateFunction::Min => Self::Extreme {
                kept: null(),
                wanted: Ordering::Less,
            },
            AggregateFunction::Max => Self::Extreme {
                kept: null(),
                wanted: Ordering::Greater,
            },
            AggregateFunction::LatestByOffset => Self::Latest {
                kept: null(),
                nulls: Nulls::Skip,
            },
            AggregateFunction::LatestByOffsetWithNulls => Self::Latest {
                kept: null(),
                nulls: Nulls::Take,
            },
        }
    }

    /// Whether [`Accumulator::apply`] would succeed.
    pub(super) fn check(&self, argument: &Argument<'_>, row: usize) -> Result<(), &'static str> {
        match self {
            // Sums overflow; trying one is as cheap as asking.
            Self::SumInt(_)
            | Self::SumBigInt(_)
            | Self::SumDouble(_)
            | Self::SumDecimal { .. }
            | Self::Average { .. } => self.clone().apply(argument, row),
            Self::Count { .. } | Self::Extreme { .. } | Self::Latest { .. } => Ok(()),
        }
    }

    /// Takes a row in.
    pub(super) fn apply(&mut self, argument: &Argument<'_>, row: usize) -> Result<(), &'static str> {
        if argument.is_null(row) {
            match self {
                Self::Count {
                    rows,
                    nulls: Nulls::Take,
                } => *rows += 1,
                Self::Latest {
                    kept,
                    nulls: Nulls::Take,
                } => {
                    *kept = ScalarValue::try_from(&kept.data_type()).unwrap_or(ScalarValue::Null);
                }
                _ => {}
            }
            return Ok(());
        }
        match (self, argument) {
            (Self::Count { rows, .. }, _) => *rows += 1,
            (Self::Average { sum, count }, Argument::Double(values)) => {
                *sum += values.value(row);
                *count += 1;
            }
            (Self::Extreme { kept, wanted }, argument) => {
                if let Some(value) = argument.scalar(row)
                    && (kept.is_null() || compare(&value, kept) == Some(*wanted))
                {
                    *kept = value;
                }
            }
            (Self::Latest { kept, .. }, argument) => {
                if let Some(value) = argument.scalar(row) {
                    *kept = value;
                }
            }
            (sum, argument) => sum.add(argument, row, Sign::Plus)?,
        }
        Ok(())
    }

    /// Takes a row back that was taken in before.
    pub(super) fn undo(&mut self, argument: &Argument<'_>, row: usize) -> Result<(), &'static str> {
        match (&mut *self, argument) {
            (Self::Extreme { .. } | Self::Latest { .. }, _) => return Err(NOT_RETRACTABLE),
            (Self::Count { rows, nulls }, argument) => {
                *rows -= i64::from(*nulls == Nulls::Take || !argument.is_null(row));
            }
            (_, argument) if argument.is_null(row) => {}
            (Self::Average { sum, count }, Argument::Double(values)) => {
                *sum -= values.value(row);
                *count -= 1;
            }
            (sum, argument) => sum.add(argument, row, Sign::Minus)?,
        }
        Ok(())
    }

    fn add(&mut self, argument: &Argument<'_>, row: usize, sign: Sign) -> Result<(), &'static str> {
        match (self, argument) {
            (Self::SumInt(sum), Argument::Int(values)) => {
                let value = values.value(row);
                let total = if sign == Sign::Plus {
                    sum.checked_add(value)
                } else {
                    sum.checked_sub(value)
                };
                *sum = total.ok_or(OVERFLOW)?;
            }
            (Self::SumBigInt(sum), Argument::BigInt(values)) => {
                let value = values.value(row);
                let total = if sign == Sign::Plus {
                    sum.checked_add(value)
                } else {
                    sum.checked_sub(value)
                };
                *sum = total.ok_or(OVERFLOW)?;
            }
            (Self::SumDouble(sum), Argument::Double(values)) => {
                *sum += if sign == Sign::Plus {
                    values.value(row)
                } else {
                    -values.value(row)
                };
            }
            (Self::SumDecimal { sum, limit }, Argument::Decimal(values)) => {
                let value = values.value(row);
                let total = if sign == Sign::Plus {
                    sum.checked_add(value)
                } else {
                    sum.checked_sub(value)
                };
                let limit = limit.unsigned_abs();
                *sum = total
                    .filter(|total| total.unsigned_abs() < limit)
                    .ok_or(OVERFLOW)?;
            }
            _ => return Err("the argument's type is not the plan's"),
        }
        Ok(())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Count { rows, .. } => out.extend_from_slice(&rows.to_be_bytes()),
            Self::SumInt(sum) => out.extend_from_slice(&sum.to_be_bytes()),
            Self::SumBigInt(sum) => out.extend_from_slice(&sum.to_be_bytes()),
            Self::SumDouble(sum) => out.extend_from_slice(&sum.to_bits().to_be_bytes()),
            Self::SumDecimal { sum, .. } => out.extend_from_slice(&sum.to_be_bytes()),
            Self::Average { sum, count } => {
                out.extend_from_slice(&sum.to_bits().to_be_bytes());
                out.extend_from_slice(&count.to_be_bytes());
            }
            Self::Extreme { kept, .. } | Self::Latest { kept, .. } => datum::encode(kept, out),
        }
    }

    /// About how many bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let beside = match self {
            Self::Extreme { kept, .. } | Self::Latest { kept, .. } => datum::bytes_beside(kept),
            _ => 0,
        };
        size_of::<Self>() + beside
    }

    pub(super) fn decode(call: &AggregateCall, bytes: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut accumulator = Self::new(call);
        match &mut accumulator {
            Self::Count { rows, .. } => *rows = i64::from_be_bytes(datum::take(bytes)?),
            Self::SumInt(sum) => *sum = i32::from_be_bytes(datum::take(bytes)?),
            Self::SumBigInt(sum) => *sum = i64::from_be_bytes(datum::take(bytes)?),
            Self::SumDouble(sum) => *sum = f64::from_bits(u64::from_be_bytes(datum::take(bytes)?)),
            Self::SumDecimal { sum, .. } => *sum = i128::from_be_bytes(datum::take(bytes)?),
            Self::Average { sum, count } => {
                *sum = f64::from_bits(u64::from_be_bytes(datum::take(bytes)?));
                *count = i64::from_be_bytes(datum::take(bytes)?);
            }
            Self::Extreme { kept, .. } | Self::Latest { kept, .. } => {
                *kept = datum::decode(&arrow_type(&call.result_type), bytes)?;
            }
        }
        Ok(accumulator)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
}

/// Doubles compare as Java's `Double.compare` does: NaN is above everything.
fn compare(left: &ScalarValue, right: &ScalarValue) -> Option<Ordering> {
    match (left, right) {
        (ScalarValue::Float64(Some(left)), ScalarValue::Float64(Some(right))) => Some(left.total_cmp(right)),
        _ => left.partial_cmp(right),
    }
}

/// A result column under construction.
pub(super) enum Cells {
    Int(Int32Builder),
    BigInt(Int64Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder),
    Other(Vec<ScalarValue>),
}

impl Cells {
    pub(super) fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Int32 => Self::Int(Int32Builder::new()),
            DataType::Int64 => Self::BigInt(Int64Builder::new()),
            DataType::Float64 => Self::Double(Float64Builder::new()),
            DataType::Decimal128(..) => {
                Self::Decimal(Decimal128Builder::new().with_data_type(data_type.clone()))
            }
            _ => Self::Other(Vec::new()),
        }
    }

    pub(super) fn push(&mut self, accumulator: &Accumulator) {
        match (self, accumulator) {
            (Self::BigInt(cells), Accumulator::Count { rows, .. }) => cells.append_value(*rows),
            (Self::BigInt(cells), Accumulator::SumBigInt(sum)) => cells.append_value(*sum),
            (Self::Int(cells), Accumulator::SumInt(sum)) => cells.append_value(*sum),
            (Self::Double(cells), Accumulator::SumDouble(sum)) => cells.append_value(*sum),
            (Self::Decimal(cells), Accumulator::SumDecimal { sum, .. }) => cells.append_value(*sum),
            (Self::Double(cells), Accumulator::Average { sum, count }) => {
                #[allow(clippy::cast_precision_loss)]
                let mean = if *count == 0 { 0.0 } else { *sum / *count as f64 };
                cells.append_value(mean);
            }
            (cells, Accumulator::Extreme { kept, .. } | Accumulator::Latest { kept, .. }) => {
                cells.push_scalar(kept)
            }
            (cells, _) => cells.push_scalar(&ScalarValue::Null),
        }
    }

    fn push_scalar(&mut self, value: &ScalarValue) {
        match (self, value) {
            (Self::Int(cells), ScalarValue::Int32(value)) => cells.append_option(*value),
            (Self::BigInt(cells), ScalarValue::Int64(value)) => cells.append_option(*value),
            (Self::Double(cells), ScalarValue::Float64(value)) => cells.append_option(*value),
            (Self::Decimal(cells), ScalarValue::Decimal128(value, ..)) => cells.append_option(*value),
            (Self::Other(cells), value) => cells.push(value.clone()),
            (Self::Int(cells), _) => cells.append_null(),
            (Self::BigInt(cells), _) => cells.append_null(),
            (Self::Double(cells), _) => cells.append_null(),
            (Self::Decimal(cells), _) => cells.append_null(),
        }
    }

    pub(super) fn finish(self, data_type: &DataType) -> Result<ArrayRef, Corrupt> {
        Ok(match self {
            Self::Int(mut cells) => Arc::new(cells.finish()),
            Self::BigInt(mut cells) => Arc::new(cells.finish()),
            Self::Double(mut cells) => Arc::new(cells.finish()),
            Self::Decimal(mut cells) => Arc::new(cells.finish()),
            Self::Other(cells) => to_array(cells, data_type)?,
        })
    }
}
