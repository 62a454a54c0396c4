//! Decimal text to scaled integers and back, by the one rule that CAST and INSERT have too: digits beyond the scale
//! round half up (away from zero), digits beyond the precision do not fit.

/// `text` (JSON number syntax, or what Java's `BigDecimal` reads) as an integer scaled by 10^`scale`, rounded; `None`
/// if it is not a number, or has more than `precision` digits once rounded.
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
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // How many of the digits count; the one behind them rounds.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let mut value: i128 = 0;
    let mut taken = 0_i64;
    for digit in digits() {
        if taken >= kept {
            let rounds_up = taken == kept && digit >= b'5';
            value = value.checked_add(i128::from(rounds_up))?;
            taken = kept;
            break;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        taken += 1;
    }
    while value != 0 && taken < kept {
        value = value.checked_mul(10)?;
        taken += 1;
    }
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (value < limit).then_some(if negative { -value } else { value })
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
    fn digits_beyond_the_scale_round_and_beyond_the_precision_do_not_fit() {
        assert_eq!(parse("12.3", 5, 2), Some(1230));
        assert_eq!(parse("-0.05", 5, 2), Some(-5));
        assert_eq!(parse("1e2", 5, 2), Some(10_000));
        assert_eq!(parse("1.230", 5, 2), Some(123));
        assert_eq!(parse("1.234", 5, 2), Some(123));
        assert_eq!(parse("1.235", 5, 2), Some(124));
        assert_eq!(parse("-1.235", 5, 2), Some(-124));
        assert_eq!(parse("0.005", 5, 2), Some(1));
        assert_eq!(parse("0.0049", 5, 2), Some(0));
        assert_eq!(parse("5e-3", 5, 2), Some(1));
        assert_eq!(parse("5e-4", 5, 2), Some(0));
        assert_eq!(parse("999.995", 5, 2), None);
        assert_eq!(
            parse("1.2350000000000000000000000000000000000000000001", 5, 2),
            Some(124)
        );
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
