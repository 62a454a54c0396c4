//! Timestamps, dates and times as ISO 8601 text, as Java's `toString` and ksqlDB's conversions have it.

use super::date::{Fields, in_zone};
use chrono::{NaiveDate, NaiveTime};
use chrono_tz::Tz;

/// `2013-01-01T10:00:00.000`.
#[must_use]
pub fn format_timestamp(ms: i64) -> Option<String> {
    let local = in_zone(ms, Tz::UTC)?;
    Some(local.format("%Y-%m-%dT%H:%M:%S%.3f").to_string())
}

/// `2013-01-01`.
#[must_use]
pub fn format_date(days: i32) -> Option<String> {
    let local = in_zone(i64::from(days) * 86_400_000, Tz::UTC)?;
    Some(local.format("%Y-%m-%d").to_string())
}

/// `LocalTime.toString`: `10:00`, `10:00:01` or `10:00:01.005`.
#[must_use]
pub fn format_time(ms: i32) -> Option<String> {
    let ms = u32::try_from(ms).ok()?;
    let (seconds, fraction) = (ms / 1000, ms % 1000);
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0)?;
    Some(match (seconds % 60, fraction) {
        (0, 0) => time.format("%H:%M").to_string(),
        (_, 0) => time.format("%H:%M:%S").to_string(),
        _ => format!("{}.{fraction:03}", time.format("%H:%M:%S")),
    })
}

/// ISO text, as far as it goes: `2013`, `2013-01`, `2013-01-01`, `2013-01-01T10`, … with an optional zone
/// (`Z`, `+01:00`); UTC without one.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = match text.find(['T', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let days = partial_date(date)?;
    let Some(rest) = rest else {
        return Some(days * 86_400_000);
    };
    let (time, offset_seconds) = match rest.find(['Z', '+', '-']) {
        Some(at) => {
            let mut fields = Fields::default();
            if !fields.parse_offset(&rest[at..], 'X')?.is_empty() {
                return None;
            }
            (&rest[..at], fields.offset_seconds?)
        }
        None => (rest, 0),
    };
    Some(days * 86_400_000 + i64::from(parse_time(time)?) - i64::from(offset_seconds) * 1000)
}

fn partial_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let mut next = |width: usize, otherwise: u32| match parts.next() {
        None => Some(otherwise),
        Some(digits) if digits.len() <= width && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok()
        }
        Some(_) => None,
    };
    let (year, month, day) = (next(4, 0)?, next(2, 1)?, next(2, 1)?);
    if parts.next().is_some() || text.len() < 4 {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some(date.signed_duration_since(NaiveDate::default()).num_days())
}

/// Days since 1970 from ISO text.
#[must_use]
pub fn parse_date(text: &str) -> Option<i32> {
    i32::try_from(partial_date(text.trim())?).ok()
}

/// Milliseconds since midnight from `10`, `10:00`, `10:00:01` or `10:00:01.005`.
#[must_use]
pub fn parse_time(text: &str) -> Option<i32> {
    let text = text.trim();
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.split(':');
    let mut next = |required: bool| match parts.next() {
        None if !required => Some(0),
        Some(digits) if digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok()
        }
        _ => None,
    };
    let (hour, minute, second): (u32, u32, u32) = (next(true)?, next(false)?, next(false)?);
    let fraction_ok = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    if parts.next().is_some() || !fraction_ok {
        return None;
    }
    let ms: u32 = format!("{fraction:0<3}")[..3].parse().ok()?;
    NaiveTime::from_hms_milli_opt(hour, minute, second, ms)?;
    i32::try_from(((hour * 60 + minute) * 60 + second) * 1000 + ms).ok()
}
