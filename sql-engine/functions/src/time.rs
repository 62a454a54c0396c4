//! Functions on time: text by Java's patterns, epoch milliseconds, days.

use crate::java::{DatePattern, TimeZone};
use crate::kernel::Args;
use arrow::array::ArrayRef;
use arrow::datatypes::{ArrowPrimitiveType, Date32Type, Int64Type, TimestampMillisecondType};
use chrono_tz::Tz;
use millstream_columns::RowError;
use std::borrow::Cow;
use std::collections::BTreeMap;

const DAY_MS: i64 = 86_400_000;

/// Compiled patterns and zones of one call, so that a constant one is compiled once.
#[derive(Default)]
struct Compiled {
    patterns: BTreeMap<String, Result<DatePattern, String>>,
}

impl Compiled {
    fn pattern(&mut self, text: &str) -> Result<&DatePattern, RowError<()>> {
        const KEPT_MAX: usize = 64;
        if !self.patterns.contains_key(text) {
            if self.patterns.len() >= KEPT_MAX {
                self.patterns.clear();
            }
            let compiled = DatePattern::new(text).map_err(|error| error.to_string());
            self.patterns.insert(text.to_owned(), compiled);
        }
        match self.patterns.get(text) {
            Some(Ok(pattern)) => Ok(pattern),
            Some(Err(error)) => Err(error.clone().into()),
            None => Err("the pattern is lost".into()),
        }
    }
}

fn zone(name: &str) -> Result<TimeZone, RowError<()>> {
    crate::java::zone_by_name(name).ok_or_else(|| format!("unknown time zone '{name}'").into())
}

/// The third argument's zone at a row: UTC when there is no such argument, None when it is null.
fn zone_at(args: &Args, row: usize) -> Result<Option<TimeZone>, RowError<()>> {
    if args.len() < 3 {
        return Ok(Some(Tz::UTC));
    }
    args.text(2).get(row).map(zone).transpose()
}

/// Milliseconds to text. `T` is BIGINT, TIMESTAMP's or DATE's Arrow type; `unit_ms` is what its 1 means.
fn format<T: ArrowPrimitiveType>(args: &Args, unit_ms: i64) -> ArrayRef
where
    i64: From<T::Native>,
{
    let (value, pattern) = (args.primitive::<T>(0), args.text(1));
    let mut compiled = Compiled::default();
    args.strings(|row| {
        let (Some(value), Some(pattern), Some(zone)) =
            (value.get(row), pattern.get(row), zone_at(args, row)?)
        else {
            return Ok(None);
        };
        let ms = i64::from(value).checked_mul(unit_ms);
        let text = ms.and_then(|ms| compiled.pattern(pattern).map(|p| p.format(ms, zone)).transpose());
        match text {
            Some(text) => Ok(Some(Cow::Owned(text?))),
            None => Err("the time is outside the years 0 to 9999".into()),
        }
    })
}

/// Text to milliseconds, divided by `unit_ms`.
fn parse<T: ArrowPrimitiveType>(args: &Args, unit_ms: i64) -> ArrayRef
where
    T::Native: TryFrom<i64>,
{
    let (text, pattern) = (args.text(0), args.text(1));
    let mut compiled = Compiled::default();
    args.primitives::<T>(|row| {
        let (Some(text), Some(pattern), Some(zone)) = (text.get(row), pattern.get(row), zone_at(args, row)?)
        else {
            return Ok(None);
        };
        let ms = compiled
            .pattern(pattern)?
            .parse(text, zone)
            .map_err(|error| error.to_string())?;
        let value = T::Native::try_from(ms.div_euclid(unit_ms));
        value.map(Some).map_err(|_| "the time is out of range".into())
    })
}

pub fn timestamp_to_string(args: &Args) -> ArrayRef {
    format::<Int64Type>(args, 1)
}

pub fn format_timestamp(args: &Args) -> ArrayRef {
    format::<TimestampMillisecondType>(args, 1)
}

pub fn format_date(args: &Args) -> ArrayRef {
    format::<Date32Type>(args, DAY_MS)
}

pub fn string_to_timestamp(args: &Args) -> ArrayRef {
    parse::<Int64Type>(args, 1)
}

pub fn parse_timestamp(args: &Args) -> ArrayRef {
    parse::<TimestampMillisecondType>(args, 1)
}

pub fn parse_date(args: &Args) -> ArrayRef {
    parse::<Date32Type>(args, DAY_MS)
}

/// UNIX_TIMESTAMP(timestamp).
pub fn to_unix(args: &Args) -> ArrayRef {
    let value = args.primitive::<TimestampMillisecondType>(0);
    args.primitives::<Int64Type>(|row| Ok(value.get(row)))
}

pub fn from_unix(args: &Args) -> ArrayRef {
    let value = args.primitive::<Int64Type>(0);
    args.primitives::<TimestampMillisecondType>(|row| Ok(value.get(row)))
}

pub fn from_days(args: &Args) -> ArrayRef {
    let value = args.primitive::<arrow::datatypes::Int32Type>(0);
    args.primitives::<Date32Type>(|row| Ok(value.get(row)))
}

/// UNIX_DATE(date).
pub fn to_days(args: &Args) -> ArrayRef {
    let value = args.primitive::<Date32Type>(0);
    args.primitives::<arrow::datatypes::Int32Type>(|row| Ok(value.get(row)))
}
