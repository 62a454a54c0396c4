//! Functions on strings. Positions and lengths count characters from 1 (Java counts UTF-16 units: the same for
//! all but characters beyond the basic plane).

use crate::kernel::{Args, RowResult, check_length, room_for};
use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringBuilder};
use arrow::datatypes::Int32Type;
use std::borrow::Cow;
use std::sync::Arc;

/// Changes every string that is not null.
fn each(args: &Args, change: impl for<'t> Fn(&'t str) -> Cow<'t, str>) -> ArrayRef {
    let column = args.array(0).0.as_string::<i32>();
    args.strings(|row| {
        let slot = args.slot(0, row);
        Ok((!column.is_null(slot)).then(|| change(column.value(slot))))
    })
}

pub fn ucase(args: &Args) -> ArrayRef {
    each(args, |text| Cow::Owned(text.to_uppercase()))
}

pub fn lcase(args: &Args) -> ArrayRef {
    each(args, |text| Cow::Owned(text.to_lowercase()))
}

/// Java's `trim`: everything up to U+0020 on both sides.
pub fn trim(args: &Args) -> ArrayRef {
    each(args, |text| Cow::Borrowed(text.trim_matches(|c| c <= ' ')))
}

pub fn initcap(args: &Args) -> ArrayRef {
    each(args, |text| {
        let mut begins = true;
        let mut changed = String::with_capacity(text.len());
        for c in text.chars() {
            if begins {
                changed.extend(c.to_uppercase())
            } else {
                changed.extend(c.to_lowercase())
            }
            begins = c.is_whitespace();
        }
        Cow::Owned(changed)
    })
}

pub fn reverse(args: &Args) -> ArrayRef {
    each(args, |text| Cow::Owned(text.chars().rev().collect()))
}

pub fn len(args: &Args) -> ArrayRef {
    let value = args.text(0);
    args.primitives::<Int32Type>(|row| {
        Ok(value
            .get(row)
            .and_then(|text| i32::try_from(text.chars().count()).ok()))
    })
}

/// SUBSTRING(text, position [, length]): from 1; a negative position counts from the end; 0 is as 1.
pub fn substring(args: &Args) -> ArrayRef {
    let (text, position) = (args.text(0), args.primitive::<Int32Type>(1));
    let length = (args.len() > 2).then(|| args.primitive::<Int32Type>(2));
    args.strings(|row| {
        let (Some(text), Some(position)) = (text.get(row), position.get(row)) else {
            return Ok(None);
        };
        let length = match &length {
            None => i32::MAX,
            Some(length) => match length.get(row) {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        let count = text.chars().count();
        let behind = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
        let start = if position < 0 {
            count.saturating_sub(behind)
        } else {
            behind.saturating_sub(1)
        };
        let taken = usize::try_from(length).unwrap_or(0);
        Ok(Some(Cow::Owned(text.chars().skip(start).take(taken).collect())))
    })
}

/// CONCAT: nulls count as empty.
pub fn concat(args: &Args) -> ArrayRef {
    let texts: Vec<_> = (0..args.len()).map(|index| args.text(index)).collect();
    args.strings(|row| {
        let length = texts.iter().filter_map(|text| text.get(row)).map(str::len).sum();
        check_length(length)?;
        Ok(Some(Cow::Owned(
            texts.iter().filter_map(|text| text.get(row)).collect(),
        )))
    })
}

/// CONCAT_WS: nulls are left out; a null separator gives null.
pub fn concat_ws(args: &Args) -> ArrayRef {
    let texts: Vec<_> = (0..args.len()).map(|index| args.text(index)).collect();
    args.strings(|row| {
        let Some(separator) = texts[0].get(row) else {
            return Ok(None);
        };
        let parts: Vec<&str> = texts[1..].iter().filter_map(|text| text.get(row)).collect();
        check_length(parts.iter().map(|part| part.len() + separator.len()).sum())?;
        Ok(Some(Cow::Owned(parts.join(separator))))
    })
}

pub fn replace(args: &Args) -> ArrayRef {
    let (text, old, new) = (args.text(0), args.text(1), args.text(2));
    args.strings(|row| match (text.get(row), old.get(row), new.get(row)) {
        (Some(text), Some(old), Some(new)) => {
            let times = text.matches(old).count();
            check_length((text.len() - times * old.len()).saturating_add(times.saturating_mul(new.len())))?;
            Ok(Some(Cow::Owned(text.replace(old, new))))
        }
        _ => Ok(None),
    })
}

/// SPLIT(text, delimiter): empty parts stay; an empty delimiter splits into characters.
pub fn split(args: &Args) -> ArrayRef {
    let (text, delimiter) = (args.text(0), args.text(1));
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..args.rows() {
        let (Some(text), Some(delimiter)) = (text.get(row), delimiter.get(row)) else {
            lists.append_null();
            continue;
        };
        // Every letter may become an element of its own, with an offset of four bytes.
        let made = lists.values().values_slice().len() + 4 * lists.values().offsets_slice().len();
        let result = check_length(text.len()).and_then(|()| room_for(made + 5 * text.len()));
        if args.settle(row, result.map(Some)).is_none() {
            lists.append_null();
            continue;
        }
        if delimiter.is_empty() {
            text.chars()
                .for_each(|c| lists.values().append_value(c.encode_utf8(&mut [0; 4])));
        } else {
            text.split(delimiter)
                .for_each(|part| lists.values().append_value(part));
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// INSTR(text, sub [, position [, occurrence]]): the position from 1, 0 when it is not there; a negative
/// position searches backwards from the end.
pub fn instr(args: &Args) -> ArrayRef {
    let (text, sub) = (args.text(0), args.text(1));
    let position = (args.len() > 2).then(|| args.primitive::<Int32Type>(2));
    let occurrence = (args.len() > 3).then(|| args.primitive::<Int32Type>(3));
    args.primitives::<Int32Type>(|row| {
        let (Some(text), Some(sub)) = (text.get(row), sub.get(row)) else {
            return Ok(None);
        };
        let position = position.as_ref().map_or(Some(1), |p| p.get(row));
        let occurrence = occurrence.as_ref().map_or(Some(1), |o| o.get(row));
        let (Some(position), Some(occurrence)) = (position, occurrence) else {
            return Ok(None);
        };
        Ok(i32::try_from(find(text, sub, position, occurrence)).ok())
    })
}

fn find(text: &str, sub: &str, position: i32, occurrence: i32) -> usize {
    let nth = usize::try_from(occurrence).unwrap_or(0);
    let from = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    if nth == 0 || from == 0 || sub.is_empty() {
        return 0;
    }
    let starts = |c: &(usize, (usize, char))| text[c.1.0..].starts_with(sub);
    let characters = text.char_indices().enumerate();
    let found = if position > 0 {
        characters.skip(from - 1).filter(starts).nth(nth - 1)
    } else {
        let count = text.chars().count();
        let from_end = text.char_indices().rev().enumerate();
        let skipped = from.min(count.max(1)) - 1;
        let found = from_end.skip(skipped).filter(starts).nth(nth - 1);
        return found.map_or(0, |(index, _)| count - index);
    };
    found.map_or(0, |(index, _)| index + 1)
}

pub fn lpad(args: &Args) -> ArrayRef {
    pad(args, |padding, text| padding + text)
}

pub fn rpad(args: &Args) -> ArrayRef {
    pad(args, |padding, text| format!("{text}{padding}"))
}

/// Pads or cuts to a length; null when the length is negative or the padding empty.
fn pad(args: &Args, join: impl Fn(String, &str) -> String) -> ArrayRef {
    let (text, length, padding) = (args.text(0), args.primitive::<Int32Type>(1), args.text(2));
    args.strings(|row| {
        let (Some(text), Some(length), Some(padding)) = (text.get(row), length.get(row), padding.get(row))
        else {
            return Ok(None);
        };
        let Ok(length) = usize::try_from(length) else {
            return Ok(None);
        };
        if padding.is_empty() {
            return Ok(None);
        }
        let kept = match text.char_indices().nth(length) {
            Some((end, _)) => &text[..end],
            None => text,
        };
        let missing = length.saturating_sub(kept.chars().count());
        let count = padding.chars().count();
        let (whole, rest) = (missing / count, missing % count);
        let rest = padding
            .char_indices()
            .nth(rest)
            .map_or("", |(end, _)| &padding[..end]);
        check_length(
            whole
                .saturating_mul(padding.len())
                .saturating_add(rest.len() + kept.len()),
        )?;
        Ok(Some(Cow::Owned(join(padding.repeat(whole) + rest, kept))))
    })
}

pub fn repeat(args: &Args) -> ArrayRef {
    let (text, times) = (args.text(0), args.primitive::<Int32Type>(1));
    args.strings(|row| {
        let (Some(text), Some(times)) = (text.get(row), times.get(row)) else {
            return Ok(None);
        };
        let Ok(times) = usize::try_from(times) else {
            return Ok(None);
        };
        check_length(text.len().saturating_mul(times))?;
        Ok(Some(Cow::Owned(text.repeat(times))))
    })
}

/// A test of the first argument with the second.
fn test(args: &Args, holds: impl Fn(&str, &str) -> bool) -> ArrayRef {
    let (text, other) = (args.text(0), args.text(1));
    args.booleans(|row| -> RowResult<bool> {
        Ok(text
            .get(row)
            .zip(other.get(row))
            .map(|(text, other)| holds(text, other)))
    })
}

pub fn starts_with(args: &Args) -> ArrayRef {
    test(args, |text, prefix| text.starts_with(prefix))
}

pub fn ends_with(args: &Args) -> ArrayRef {
    test(args, |text, suffix| text.ends_with(suffix))
}
