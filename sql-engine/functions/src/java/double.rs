//! `Double.toString` and `Double.parseDouble`.
//!
//! Digits are the fewest that read back to the same number, as since JDK 19; JDK 17 sometimes prints more
//! (1.0E23 as 9.999999999999999E22 or 2.0E23 as 1.9999999999999998E23), which we do not imitate.

/// `Double.toString`: plain from 10⁻³ to 10⁷, else scientific; always a digit behind the point.
#[must_use]
pub fn double_to_string(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 {
            "Infinity".to_owned()
        } else {
            "-Infinity".to_owned()
        };
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        let plain = format!("{value}");
        return if plain.contains('.') {
            plain
        } else {
            format!("{plain}.0")
        };
    }
    // The smallest number would be 5E-324, but Java wants two digits.
    if magnitude == f64::from_bits(1) {
        return if value > 0.0 {
            "4.9E-324".to_owned()
        } else {
            "-4.9E-324".to_owned()
        };
    }
    let scientific = format!("{value:E}");
    match scientific.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => scientific,
    }
}

/// `Double.parseDouble`: blanks around are ignored, a trailing `d` or `f` too; hexadecimal is not taken.
#[must_use]
pub fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let bare = digits.trim_start_matches(['+', '-']);
    if !bare.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return match text {
            "NaN" | "+NaN" | "-NaN" => Some(f64::NAN),
            "Infinity" | "+Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        };
    }
    digits.parse().ok()
}

/// `Math.round`: halves go up (-2.5 gives -2), out of range saturates, NaN gives 0.
#[must_use]
pub fn round_half_up(value: f64) -> i64 {
    let floor = value.floor();
    let up = value - floor >= 0.5;
    // `as` saturates and makes NaN 0, as Java does.
    #[expect(clippy::cast_possible_truncation, reason = "saturation is the rule")]
    let whole = floor as i64;
    if up { whole.saturating_add(1) } else { whole }
}
