//! Decimal text to scaled integers, exactly, and back.

/// `text` (JSON number syntax, or what Java's `BigDecimal` reads) as an integer scaled by 10^`scale`; `None` if it is
/// not a number, would need rounding, or has more than `precision` digits (ksqlDB allows exact conversions only).
pub(crate) fn parse(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], body[at + 1..].parse::<i32>().ok()?),
        None => (body, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut digits: i128 = 0;
    let mut places = 0_i32;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        digits = digits.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    places = places
        .checked_add(i32::try_from(fraction.len()).ok()?)?
        .checked_sub(exponent)?;
    let mut shift = i32::from(scale).checked_sub(places)?;
    while shift > 0 && digits != 0 {
        digits = digits.checked_mul(10)?;
        shift -= 1;
    }
    while shift < 0 && digits != 0 {
        if digits % 10 != 0 {
            return None;
        }
        digits /= 10;
        shift += 1;
    }
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (digits < limit).then_some(if negative { -digits } else { digits })
}

/// A scaled integer as plain digits with exactly `scale` places.
pub(crate) fn write(value: i128, scale: i8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let digits = value.unsigned_abs().to_string();
    let places = usize::try_from(scale).unwrap_or(0);
    if digits.len() <= places {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', places - digits.len()));
        out.extend_from_slice(digits.as_bytes());
        return;
    }
    let (whole, fraction) = digits.split_at(digits.len() - places);
    out.extend_from_slice(whole.as_bytes());
    if places > 0 {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, write};

    #[test]
    fn exact_or_nothing() {
        assert_eq!(parse("12.3", 5, 2), Some(1230));
        assert_eq!(parse("-0.05", 5, 2), Some(-5));
        assert_eq!(parse("1e2", 5, 2), Some(10_000));
        assert_eq!(parse("1.230", 5, 2), Some(123));
        assert_eq!(parse("1.234", 5, 2), None);
        assert_eq!(parse("1000", 5, 2), None);
        assert_eq!(parse("999.99", 5, 2), Some(99_999));
        assert_eq!(parse("0e999999999", 5, 2), Some(0));
        assert_eq!(parse("1e999999999", 5, 2), None);
        for bad in ["", "-", ".", "1.2.3", "0x1", "1e", "NaN"] {
            assert_eq!(parse(bad, 5, 2), None, "{bad}");
        }
    }

    #[test]
    fn plain_digits() {
        let text = |value, scale| {
            let mut out = Vec::new();
            write(value, scale, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(text(-5, 2), "-0.05");
        assert_eq!(text(1230, 2), "12.30");
        assert_eq!(text(7, 0), "7");
        assert_eq!(text(100, 2), "1.00");
    }
}
