//! `BigDecimal` within 38 digits: unscaled 128-bit values, rounding half up (away from zero).

use arrow::datatypes::i256;

/// 10^n, when it fits 128 bits (n ≤ 38).
#[must_use]
pub fn power_of_ten(n: u32) -> Option<i128> {
    10_i128.checked_pow(n)
}

/// `a / b` rounded half up; None when `b` is 0.
#[must_use]
pub fn divide_half_up(a: i256, b: i256) -> Option<i256> {
    let quotient = a.checked_div(b)?;
    let remainder = a.checked_rem(b)?;
    let twice = remainder.wrapping_abs().checked_mul(i256::from_i128(2))?;
    if twice < b.wrapping_abs() {
        return Some(quotient);
    }
    let away = if a.is_negative() == b.is_negative() {
        i256::ONE
    } else {
        i256::MINUS_ONE
    };
    quotient.checked_add(away)
}

/// Moves a value from one scale to another, rounding half up; None when it does not fit the precision.
#[must_use]
pub fn rescale(unscaled: i128, from: u8, to: u8, precision: u8) -> Option<i128> {
    let value = if to >= from {
        unscaled.checked_mul(power_of_ten(u32::from(to - from))?)?
    } else {
        let by = power_of_ten(u32::from(from - to))?;
        divide_half_up(i256::from_i128(unscaled), i256::from_i128(by))?.to_i128()?
    };
    (value.unsigned_abs() < power_of_ten(u32::from(precision))?.unsigned_abs()).then_some(value)
}

/// `new BigDecimal(text)`, rounded half up to a scale; None when it is no number or does not fit.
#[must_use]
pub fn parse_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let text = text.trim();
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let negative = mantissa.starts_with('-');
    let mantissa = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Digits from the first to the one behind the last that counts (which rounds), as one whole number.
    let point = i64::try_from(whole.len()).ok()? + i64::from(exponent);
    let kept = point.checked_add(i64::from(scale))?;
    let mut value: i128 = 0;
    let mut taken = 0_i64;
    let mut rounds_up = false;
    for digit in digits() {
        if taken == kept {
            rounds_up = digit >= b'5';
            break;
        }
        if taken > kept {
            break;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        taken += 1;
    }
    if value != 0 && taken < kept {
        value = value.checked_mul(power_of_ten(u32::try_from(kept - taken).ok()?)?)?;
    }
    let value = value.checked_add(i128::from(rounds_up))?;
    let value = if negative { -value } else { value };
    rescale(value, scale, scale, precision)
}

/// `BigDecimal.toPlainString`.
#[must_use]
pub fn decimal_to_string(unscaled: i128, scale: u8) -> String {
    let digits = unscaled.unsigned_abs().to_string();
    let sign = if unscaled < 0 { "-" } else { "" };
    let scale = usize::from(scale);
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}
