//! Adding and subtracting intervals: `DATEADD(unit, count, date)` and its likes.

use crate::kernel::{Args, Resolved};
use arrow::array::ArrayRef;
use arrow::datatypes::{Date32Type, Int32Type, Time32MillisecondType, TimestampMillisecondType};
use chrono::{DateTime, Months, NaiveDate};
use millstream_columns::RowError;
use millstream_parser::SqlType;
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;

/// What one of a unit is.
#[derive(Clone, Copy)]
enum Unit {
    /// So many milliseconds.
    Fixed(i64),
    /// So many months of the calendar: a day that a month does not have is its last.
    Months(i64),
}

impl Unit {
    /// By the word that the parser took, in the plural.
    fn of(word: &str) -> Option<Unit> {
        Some(match word {
            "MILLISECONDS" => Unit::Fixed(1),
            "SECONDS" => Unit::Fixed(1_000),
            "MINUTES" => Unit::Fixed(60_000),
            "HOURS" => Unit::Fixed(3_600_000),
            "DAYS" => Unit::Fixed(DAY_MS),
            "WEEKS" => Unit::Fixed(7 * DAY_MS),
            "MONTHS" => Unit::Months(1),
            "YEARS" => Unit::Months(12),
            _ => return None,
        })
    }
}

/// Whether the interval is added or taken away.
#[derive(Clone, Copy)]
pub enum Direction {
    /// Later.
    Add,
    /// Earlier.
    Subtract,
}

impl Direction {
    fn signed(self, count: i32) -> i64 {
        match self {
            Direction::Add => i64::from(count),
            Direction::Subtract => -i64::from(count),
        }
    }
}

/// A function of a unit, a count and a point in time of type `of`.
pub fn shifted(
    name: &str,
    direction: Direction,
    of: &SqlType,
    arguments: &[Option<SqlType>],
) -> Option<Resolved> {
    let [Some(SqlType::String), count, time] = arguments else {
        return None;
    };
    let fits = |given: &Option<SqlType>, wanted: &SqlType| given.as_ref().is_none_or(|given| given == wanted);
    if !fits(count, &SqlType::Int) || !fits(time, of) {
        return None;
    }
    let kernel = match of {
        SqlType::Date => shift_date,
        SqlType::Time => shift_time,
        _ => shift_timestamp,
    };
    Some(Resolved::new(
        name,
        vec![SqlType::String, SqlType::Int, of.clone()],
        of.clone(),
        Arc::new(move |args| kernel(args, direction)),
    ))
}

/// The interval of a row; None when its count is null.
fn interval(args: &Args, row: usize, direction: Direction) -> Result<Option<(Unit, i64)>, RowError<()>> {
    let (word, count) = (args.text(0), args.primitive::<Int32Type>(1));
    let (Some(word), Some(count)) = (word.get(row), count.get(row)) else {
        return Ok(None);
    };
    let unit = Unit::of(word).ok_or_else(|| RowError::from(format!("unknown time unit {word}")))?;
    Ok(Some((unit, direction.signed(count))))
}

fn out_of_range() -> RowError<()> {
    "the time is out of range".into()
}

/// A date moved by months.
fn moved(date: NaiveDate, months: i64) -> Option<NaiveDate> {
    let by = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    match months < 0 {
        true => date.checked_sub_months(by),
        false => date.checked_add_months(by),
    }
}

fn date_of(days: i64) -> Option<NaiveDate> {
    DateTime::from_timestamp_millis(days.checked_mul(DAY_MS)?).map(|at| at.date_naive())
}

fn days_of(date: NaiveDate) -> Option<i64> {
    let midnight = date.and_hms_opt(0, 0, 0)?.and_utc();
    Some(midnight.timestamp_millis().div_euclid(DAY_MS))
}

/// A date has whole days: of an interval of hours only its whole days count.
fn shift_date(args: &Args, direction: Direction) -> ArrayRef {
    let date = args.primitive::<Date32Type>(2);
    args.primitives::<Date32Type>(|row| {
        let (Some((unit, count)), Some(days)) = (interval(args, row, direction)?, date.get(row)) else {
            return Ok(None);
        };
        let days = i64::from(days);
        let shifted = match unit {
            Unit::Fixed(ms) => count.checked_mul(ms).map(|ms| days + ms / DAY_MS),
            Unit::Months(months) => date_of(days)
                .and_then(|date| moved(date, count.checked_mul(months)?))
                .and_then(days_of),
        };
        let shifted = shifted.and_then(|days| i32::try_from(days).ok());
        shifted.map(Some).ok_or_else(out_of_range)
    })
}

/// A time of day goes round at midnight; days, months and years leave it where it is.
fn shift_time(args: &Args, direction: Direction) -> ArrayRef {
    let time = args.primitive::<Time32MillisecondType>(2);
    args.primitives::<Time32MillisecondType>(|row| {
        let (Some((unit, count)), Some(time)) = (interval(args, row, direction)?, time.get(row)) else {
            return Ok(None);
        };
        let by = match unit {
            Unit::Fixed(ms) => (count % DAY_MS) * (ms % DAY_MS),
            Unit::Months(_) => 0,
        };
        let shifted = (i64::from(time) + by % DAY_MS).rem_euclid(DAY_MS);
        i32::try_from(shifted).map(Some).map_err(|_| out_of_range())
    })
}

fn shift_timestamp(args: &Args, direction: Direction) -> ArrayRef {
    let timestamp = args.primitive::<TimestampMillisecondType>(2);
    args.primitives::<TimestampMillisecondType>(|row| {
        let (Some((unit, count)), Some(at)) = (interval(args, row, direction)?, timestamp.get(row)) else {
            return Ok(None);
        };
        let shifted = match unit {
            Unit::Fixed(ms) => count.checked_mul(ms).and_then(|ms| at.checked_add(ms)),
            Unit::Months(months) => date_of(at.div_euclid(DAY_MS))
                .and_then(|date| moved(date, count.checked_mul(months)?))
                .and_then(days_of)
                .and_then(|days| days.checked_mul(DAY_MS)?.checked_add(at.rem_euclid(DAY_MS))),
        };
        shifted.map(Some).ok_or_else(out_of_range)
    })
}
