//! `DateTimeFormatter` patterns, over milliseconds since 1970-01-01 UTC.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _, Timelike, Utc};
use chrono_tz::Tz;
use std::fmt;

/// A zone by IANA name, `UTC`, `GMT` or `Z`.
pub type TimeZone = Tz;

/// Milliseconds of the years that are formatted: 0000 to 9999.
const MS_RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError(pub String);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Field(char, usize),
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatePattern {
    parts: Vec<Part>,
}

impl DatePattern {
    /// Letters `y u M L d D E H k K h m s S a X x Z z V`, quoted and other characters as they are.
    ///
    /// # Errors
    /// A letter that means nothing or is not known here, or an open quote.
    pub fn new(pattern: &str) -> Result<DatePattern, PatternError> {
        const PATTERN_CHARS_MAX: usize = 256;
        if pattern.len() > PATTERN_CHARS_MAX {
            return Err(PatternError(format!(
                "a date pattern has at most {PATTERN_CHARS_MAX} characters"
            )));
        }
        let mut parts = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' => {
                    let text = quoted(&mut chars)?;
                    push_literal(&mut parts, &text);
                }
                letter if letter.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while chars.next_if_eq(&letter).is_some() {
                        count += 1;
                    }
                    let known = match letter {
                        'y' | 'u' | 'S' => count <= 9,
                        'M' | 'L' | 'E' => count <= 4,
                        'd' | 'H' | 'k' | 'K' | 'h' | 'm' | 's' => count <= 2,
                        'D' | 'X' | 'x' | 'Z' => count <= 3,
                        'a' => count == 1,
                        'z' | 'V' => count <= 3,
                        _ => false,
                    };
                    if !known {
                        let field = letter.to_string().repeat(count.min(12));
                        return Err(PatternError(format!(
                            "unknown date pattern '{field}' in '{pattern}'"
                        )));
                    }
                    parts.push(Part::Field(letter, count));
                }
                other => push_literal(&mut parts, other.encode_utf8(&mut [0; 4])),
            }
        }
        Ok(DatePattern { parts })
    }

    /// Milliseconds as text in a zone; None outside the years 0 to 9999.
    #[must_use]
    pub fn format(&self, ms: i64, zone: TimeZone) -> Option<String> {
        let local = in_zone(ms, zone)?;
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Field(letter, count) => format_field(&mut text, *letter, *count, &local, zone),
            }
        }
        Some(text)
    }

    /// Text to milliseconds; a zone in the text wins over `zone`. What the pattern does not name is the
    /// beginning: of 1970, of the month, of the day.
    ///
    /// # Errors
    /// Where the text does not follow the pattern, or the fields are no date.
    pub fn parse(&self, text: &str, zone: TimeZone) -> Result<i64, PatternError> {
        let mut fields = Fields::default();
        let mut rest = text;
        for (at, part) in self.parts.iter().enumerate() {
            let parsed = match part {
                Part::Literal(literal) => rest.strip_prefix(literal.as_str()),
                Part::Field(letter, count) => {
                    let adjacent = matches!(self.parts.get(at + 1), Some(Part::Field(..)));
                    fields.parse(rest, *letter, *count, adjacent)
                }
            };
            rest = parsed.ok_or_else(|| unparsable(text, text.len() - rest.len()))?;
        }
        if !rest.is_empty() {
            return Err(unparsable(text, text.len() - rest.len()));
        }
        fields
            .resolve(zone)
            .ok_or_else(|| PatternError(format!("'{}' is no date and time", clip(text))))
    }
}

fn unparsable(text: &str, at: usize) -> PatternError {
    PatternError(format!(
        "'{}' does not follow the pattern at index {at}",
        clip(text)
    ))
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if let Some(Part::Literal(literal)) = parts.last_mut() {
        literal.push_str(text);
    } else {
        parts.push(Part::Literal(text.to_owned()));
    }
}

/// Text in single quotes, the first of which is taken; two in a row are one.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, PatternError> {
    let mut text = String::new();
    if chars.next_if_eq(&'\'').is_some() {
        return Ok("'".to_owned());
    }
    loop {
        match chars.next() {
            Some('\'') if chars.next_if_eq(&'\'').is_some() => text.push('\''),
            Some('\'') => return Ok(text),
            Some(c) => text.push(c),
            None => {
                return Err(PatternError(
                    "a quote in the date pattern is not closed".to_owned(),
                ));
            }
        }
    }
}

pub(super) fn in_zone(ms: i64, zone: TimeZone) -> Option<DateTime<Tz>> {
    if !MS_RANGE.contains(&ms) {
        return None;
    }
    Some(DateTime::<Utc>::from_timestamp_millis(ms)?.with_timezone(&zone))
}

fn format_field(text: &mut String, letter: char, count: usize, local: &DateTime<Tz>, zone: TimeZone) {
    let weekday = WEEKDAYS[local.weekday().num_days_from_monday() as usize];
    let month = MONTHS[local.month0() as usize];
    let shown = match (letter, count) {
        ('y' | 'u', 2) => format!("{:02}", local.year().rem_euclid(100)),
        ('y' | 'u', _) => format!("{:0count$}", local.year()),
        ('M' | 'L', 4) => month.to_owned(),
        ('M' | 'L', 3) => month[..3].to_owned(),
        ('M' | 'L', _) => format!("{:0count$}", local.month()),
        ('d', _) => format!("{:0count$}", local.day()),
        ('D', _) => format!("{:0count$}", local.ordinal()),
        ('E', 4) => weekday.to_owned(),
        ('E', _) => weekday[..3].to_owned(),
        ('H', _) => format!("{:0count$}", local.hour()),
        ('k', _) => format!("{:0count$}", if local.hour() == 0 { 24 } else { local.hour() }),
        ('K', _) => format!("{:0count$}", local.hour() % 12),
        ('h', _) => format!("{:0count$}", local.hour12().1),
        ('m', _) => format!("{:0count$}", local.minute()),
        ('s', _) => format!("{:0count$}", local.second()),
        ('S', _) => format!("{:09}", local.nanosecond() % 1_000_000_000)[..count].to_owned(),
        ('a', _) => if local.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        ('V', _) => zone.name().to_owned(),
        ('z', _) => local.format("%Z").to_string(),
        (kind, _) => offset(local, kind, count),
    };
    text.push_str(&shown);
}

/// `X`, `x` and `Z`: +01, +0100 or +01:00; `X` shows zero as `Z`.
fn offset(local: &DateTime<Tz>, kind: char, count: usize) -> String {
    use chrono::Offset;
    let seconds = local.offset().fix().local_minus_utc();
    if kind == 'X' && seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    match (kind, count) {
        ('X' | 'x', 1) if minutes == 0 => format!("{sign}{hours:02}"),
        ('X' | 'x', 3) => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}{minutes:02}"),
    }
}

/// What a text said.
#[derive(Default)]
pub(super) struct Fields {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: Option<u32>,
    hour12: Option<u32>,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    nano: u32,
    pub(super) offset_seconds: Option<i32>,
    zone: Option<Tz>,
}

impl Fields {
    /// Takes one field off the text and returns the rest.
    fn parse<'t>(&mut self, text: &'t str, letter: char, count: usize, adjacent: bool) -> Option<&'t str> {
        let number = |least: usize, most: usize| {
            let most = if adjacent {
                least.max(count).min(most)
            } else {
                most
            };
            let length = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
            if length < least {
                return None;
            }
            Some((text[..length].parse::<u32>().ok()?, &text[length..]))
        };
        let two = if count == 1 { 1 } else { count };
        match letter {
            'y' | 'u' if count == 2 => {
                let (year, rest) = number(2, 2)?;
                self.year = Some(2000 + i32::try_from(year).ok()?);
                Some(rest)
            }
            'y' | 'u' => {
                let (year, rest) = number(count, if count == 4 { 4 } else { 9 })?;
                self.year = Some(i32::try_from(year).ok()?);
                Some(rest)
            }
            'M' | 'L' if count >= 3 => {
                let (index, rest) = named(text, &MONTHS, count)?;
                self.month = Some(index + 1);
                Some(rest)
            }
            'M' | 'L' => take(&mut self.month, number(two, 2)),
            'd' => take(&mut self.day, number(two, 2)),
            'D' => take(&mut self.day_of_year, number(two, 3)),
            'E' => named(text, &WEEKDAYS, count).map(|(_, rest)| rest),
            'H' => take(&mut self.hour, number(two, 2)),
            'k' => {
                let (hour, rest) = number(two, 2)?;
                self.hour = Some(hour % 24);
                Some(rest)
            }
            'K' | 'h' => {
                let (hour, rest) = number(two, 2)?;
                self.hour12 = Some(if letter == 'h' { hour % 12 } else { hour });
                (hour <= 12).then_some(rest)
            }
            'm' | 's' => {
                let (value, rest) = number(two, 2)?;
                *(if letter == 'm' {
                    &mut self.minute
                } else {
                    &mut self.second
                }) = value;
                Some(rest)
            }
            'S' => {
                let (value, rest) = number(count, count)?;
                self.nano = value * 10_u32.pow(u32::try_from(9 - count).ok()?);
                Some(rest)
            }
            'a' => {
                let half = text.get(..2)?.to_ascii_uppercase();
                self.afternoon = Some(half == "PM");
                (half == "AM" || half == "PM").then(|| &text[2..])
            }
            'V' | 'z' => {
                let length = text
                    .bytes()
                    .take_while(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(b))
                    .count();
                self.zone = Some(zone_by_name(&text[..length])?);
                Some(&text[length..])
            }
            _ => self.parse_offset_as(text, letter, count),
        }
    }

    /// An offset as the pattern's letters write it: `X` also reads `Z`, three letters want a colon, only one may leave
    /// the minutes out.
    fn parse_offset_as<'t>(&mut self, text: &'t str, letter: char, count: usize) -> Option<&'t str> {
        let rest = self.parse_offset(text, letter)?;
        let read = &text[..text.len() - rest.len()];
        let fits = match (letter, count, read.len()) {
            ('X', _, 1) | ('X' | 'x', 1, 3) | ('X' | 'x', 2, 5) | ('X' | 'x', 3, 6) | ('Z', _, 5) => true,
            ('X', 1, 5) => true,
            // Java reads the short form of no offset first.
            ('x', 1, 5) => read != "+0000",
            _ => false,
        };
        fits.then_some(rest)
    }

    pub(super) fn parse_offset<'t>(&mut self, text: &'t str, letter: char) -> Option<&'t str> {
        if letter == 'X' && text.starts_with('Z') {
            self.offset_seconds = Some(0);
            return Some(&text[1..]);
        }
        let (sign, rest) = match text.as_bytes().first()? {
            b'+' => (1, &text[1..]),
            b'-' => (-1, &text[1..]),
            _ => return None,
        };
        let hours = rest.get(..2).filter(|h| h.bytes().all(|b| b.is_ascii_digit()))?;
        let hours: i32 = hours.parse().ok()?;
        let rest = &rest[2..];
        let colon = usize::from(rest.starts_with(':'));
        let digits = rest
            .get(colon..colon + 2)
            .filter(|m| m.bytes().all(|b| b.is_ascii_digit()));
        let (minutes, rest) = match digits {
            Some(minutes) => (minutes.parse().ok()?, &rest[colon + 2..]),
            None => (0, rest),
        };
        self.offset_seconds = Some(sign * (hours * 3600 + minutes * 60));
        (hours <= 18 && minutes < 60).then_some(rest)
    }

    fn resolve(&self, zone: Tz) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let hour = match (self.hour, self.hour12) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour + if self.afternoon == Some(true) { 12 } else { 0 },
            (None, None) => 0,
        };
        let local = date.and_time(NaiveTime::from_hms_nano_opt(
            hour,
            self.minute,
            self.second,
            self.nano,
        )?);
        if let Some(offset) = self.offset_seconds {
            return local
                .and_utc()
                .timestamp_millis()
                .checked_sub(i64::from(offset) * 1000);
        }
        local_to_ms(local, self.zone.unwrap_or(zone))
    }
}

/// An hour that a clock change repeats is the earlier one; one that it skips is moved on by the change.
fn local_to_ms(local: NaiveDateTime, zone: Tz) -> Option<i64> {
    if let Some(at) = zone.from_local_datetime(&local).earliest() {
        return Some(at.timestamp_millis());
    }
    let before = zone
        .from_local_datetime(&(local - chrono::Duration::hours(3)))
        .earliest()?;
    Some((before + chrono::Duration::hours(3)).timestamp_millis())
}

fn take<'t>(field: &mut Option<u32>, parsed: Option<(u32, &'t str)>) -> Option<&'t str> {
    let (value, rest) = parsed?;
    *field = Some(value);
    Some(rest)
}

fn named<'t>(text: &'t str, names: &[&str], count: usize) -> Option<(u32, &'t str)> {
    let name_of = |name: &str| {
        if count == 4 {
            name.to_owned()
        } else {
            name[..3].to_owned()
        }
    };
    (0..)
        .zip(names)
        .find_map(|(index, name)| Some((index, text.strip_prefix(name_of(name).as_str())?)))
}

/// A zone by name.
#[must_use]
pub fn zone_by_name(name: &str) -> Option<Tz> {
    if name == "Z" {
        Some(Tz::UTC)
    } else {
        name.parse().ok()
    }
}
