//! Java's rules, each with a table taken from runs of `jshell` 17.
#![allow(clippy::unwrap_used)]

use chrono_tz::Tz;
use millstream_functions::java::*;

#[test]
fn doubles_print_as_java_prints_them() {
    let cases: &[(f64, &str)] = &[
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (100.0, "100.0"),
        (0.1, "0.1"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (1e7, "1.0E7"),
        (9_999_999.0, "9999999.0"),
        (12_345_678.9, "1.23456789E7"),
        (9.999e-4, "9.999E-4"),
        (1e10, "1.0E10"),
        (123_456_789_012.0, "1.23456789012E11"),
        (1.0 / 3.0, "0.3333333333333333"),
        (2.0 / 3.0, "0.6666666666666666"),
        (1e21, "1.0E21"),
        (1e22, "1.0E22"),
        (f64::MAX, "1.7976931348623157E308"),
        (4.9e-324, "4.9E-324"),
        (2.225_073_858_507_201_4e-308, "2.2250738585072014E-308"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
        (3.25, "3.25"),
        (1_234_567.125, "1234567.125"),
        (2e-3, "0.002"),
        (1.1e-5, "1.1E-5"),
        (5e-5, "5.0E-5"),
        (100_000.0, "100000.0"),
        (1e6, "1000000.0"),
        (33.333_333_333_333_336, "33.333333333333336"),
    ];
    for (value, wanted) in cases {
        assert_eq!(double_to_string(*value), *wanted);
    }
}

#[test]
fn text_becomes_a_double_as_in_java() {
    let cases = [
        ("1", "1.0"),
        ("1.5", "1.5"),
        (" 1", "1.0"),
        ("1 ", "1.0"),
        ("+1", "1.0"),
        ("-1", "-1.0"),
        ("1e3", "1000.0"),
        ("1d", "1.0"),
        ("1f", "1.0"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        (".5", "0.5"),
        ("5.", "5.0"),
    ];
    for (text, wanted) in cases {
        assert_eq!(double_to_string(parse_double(text).unwrap()), wanted, "{text}");
    }
    for text in ["", "abc", "1_000", "inf", "nan", "d", "--1", "1 2"] {
        assert_eq!(parse_double(text), None, "{text}");
    }
}

#[test]
fn rounding() {
    let cases = [
        (-2.5, -2),
        (2.5, 3),
        (0.499_999_999_999_999_94, 0),
        (f64::NAN, 0),
        (1e30, i64::MAX),
        (-1.5, -1),
    ];
    for (value, wanted) in cases {
        assert_eq!(round_half_up(value), wanted, "{value}");
    }
    assert_eq!(
        (
            rescale(25, 1, 0, 10),
            rescale(-25, 1, 0, 10),
            rescale(24, 1, 0, 10)
        ),
        (Some(3), Some(-3), Some(2))
    );
    assert_eq!(rescale(999, 0, 2, 4), None);
}

#[test]
fn decimals_read_and_print() {
    let cases = [
        ("0.5", 10, 2, Some("0.50")),
        ("10.505", 10, 2, Some("10.51")),
        ("-10.505", 10, 2, Some("-10.51")),
        ("1e3", 10, 0, Some("1000")),
        ("1.5e-1", 10, 2, Some("0.15")),
        (".5", 3, 1, Some("0.5")),
        ("5.", 3, 0, Some("5")),
        (" 7 ", 3, 0, Some("7")),
        ("999.5", 3, 0, None),
        ("abc", 3, 0, None),
        ("", 3, 0, None),
        ("1e", 3, 0, None),
        ("0.004", 3, 2, Some("0.00")),
        ("0e999999999", 3, 2, Some("0.00")),
        ("1e-999999999", 3, 2, Some("0.00")),
        ("1e999999999", 38, 2, None),
    ];
    for (text, precision, scale, wanted) in cases {
        let found = parse_decimal(text, precision, scale).map(|value| decimal_to_string(value, scale));
        assert_eq!(found.as_deref(), wanted, "{text}");
    }
}

/// Pattern and what it makes of four moments.
const PATTERNS: &[(&str, [&str; 4])] = &[
    (
        "yyyy-MM-dd HH:mm:ss",
        [
            "1970-01-01 00:00:00",
            "2013-01-01 10:00:00",
            "1969-12-31 23:59:59",
            "2000-02-29 00:00:00",
        ],
    ),
    (
        "yyyy-MM-dd'T'HH:mm:ss.SSS",
        [
            "1970-01-01T00:00:00.000",
            "2013-01-01T10:00:00.000",
            "1969-12-31T23:59:59.999",
            "2000-02-29T00:00:00.000",
        ],
    ),
    (
        "yyyy-MM-dd'T'HH:mm:ssX",
        [
            "1970-01-01T00:00:00Z",
            "2013-01-01T10:00:00Z",
            "1969-12-31T23:59:59Z",
            "2000-02-29T00:00:00Z",
        ],
    ),
    (
        "yyyy-MM-dd HH:mm:ss z",
        [
            "1970-01-01 00:00:00 UTC",
            "2013-01-01 10:00:00 UTC",
            "1969-12-31 23:59:59 UTC",
            "2000-02-29 00:00:00 UTC",
        ],
    ),
    (
        "EEE, d MMM yyyy h:mm a",
        [
            "Thu, 1 Jan 1970 12:00 AM",
            "Tue, 1 Jan 2013 10:00 AM",
            "Wed, 31 Dec 1969 11:59 PM",
            "Tue, 29 Feb 2000 12:00 AM",
        ],
    ),
    (
        "EEEE dd MMMM yy",
        [
            "Thursday 01 January 70",
            "Tuesday 01 January 13",
            "Wednesday 31 December 69",
            "Tuesday 29 February 00",
        ],
    ),
    ("D", ["1", "1", "365", "60"]),
    (
        "yyyyMMddHHmmssSSS",
        [
            "19700101000000000",
            "20130101100000000",
            "19691231235959999",
            "20000229000000000",
        ],
    ),
    ("k:mm", ["24:00", "10:00", "23:59", "24:00"]),
    ("K a", ["0 AM", "10 AM", "11 PM", "0 AM"]),
    ("SS", ["00", "00", "99", "00"]),
    ("VV", ["UTC", "UTC", "UTC", "UTC"]),
    ("Z", ["+0000", "+0000", "+0000", "+0000"]),
    ("xxx", ["+00:00", "+00:00", "+00:00", "+00:00"]),
    ("''yyyy''", ["'1970'", "'2013'", "'1969'", "'2000'"]),
];
const MOMENTS: [i64; 4] = [0, 1_357_034_400_000, -1, 951_782_400_000];

#[test]
fn patterns_format_as_in_java() {
    for (pattern, wanted) in PATTERNS {
        let compiled = DatePattern::new(pattern).unwrap();
        for (ms, wanted) in MOMENTS.iter().zip(wanted) {
            assert_eq!(compiled.format(*ms, Tz::UTC).unwrap(), *wanted, "{pattern}");
        }
    }
    for pattern in ["bb", "yyyy-'MM", "HHH", "q", &"y".repeat(300)] {
        assert!(DatePattern::new(pattern).is_err(), "{pattern}");
    }
    assert_eq!(DatePattern::new("yyyy").unwrap().format(i64::MAX, Tz::UTC), None);
}

#[test]
fn patterns_read_back_what_they_wrote() {
    for pattern in [
        "yyyy-MM-dd HH:mm:ss.SSS",
        "yyyyMMddHHmmssSSS",
        "EEE, d MMM yyyy hh:mm:ss.SSS a",
        "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    ] {
        let compiled = DatePattern::new(pattern).unwrap();
        for zone in [Tz::UTC, Tz::America__New_York, Tz::Asia__Kolkata] {
            for ms in MOMENTS {
                let text = compiled.format(ms, zone).unwrap();
                assert_eq!(compiled.parse(&text, zone).unwrap(), ms, "{text}");
            }
        }
    }
    let compiled = DatePattern::new("yyyy-MM-dd HH:mm").unwrap();
    assert_eq!(
        compiled.parse("2013-01-01 05:00", Tz::America__New_York).unwrap(),
        1_357_034_400_000
    );
    // The hour that summer time skips moves on by an hour.
    assert_eq!(
        compiled.parse("2013-03-10 02:30", Tz::America__New_York).unwrap(),
        1_362_900_600_000
    );
    offsets_as_the_pattern_says();
    for text in [
        "2013-01-01",
        "2013-13-01 00:00",
        "2013-01-01 25:00",
        "2013-01-01 00:00x",
        "",
        "😀",
    ] {
        assert!(compiled.parse(text, Tz::UTC).is_err(), "{text}");
    }
}

#[test]
fn iso_text() {
    let cases = [
        ("2013-01-01T10:00:00.000", Some(1_357_034_400_000)),
        ("2013-01-01 10:00", Some(1_357_034_400_000)),
        ("2013-01-01T10:00:00Z", Some(1_357_034_400_000)),
        ("2013-01-01T11:00:00+01:00", Some(1_357_034_400_000)),
        ("2013", Some(1_356_998_400_000)),
        ("2013-01", Some(1_356_998_400_000)),
        ("2013-01-01", Some(1_356_998_400_000)),
        ("13", None),
        ("2013-1-32", None),
        ("x", None),
        ("2013-01-01T", None),
        ("2013-01-01T10:00+", None),
        ("2013-01-01T10:00+-1:00", None),
        ("", None),
    ];
    for (text, wanted) in cases {
        assert_eq!(parse_timestamp(text), wanted, "{text}");
    }
    assert_eq!(
        format_timestamp(1_357_034_400_000).unwrap(),
        "2013-01-01T10:00:00.000"
    );
    assert_eq!(format_date(-1).unwrap(), "1969-12-31");
    let times = [
        (36_000_000, "10:00"),
        (36_001_000, "10:00:01"),
        (36_001_005, "10:00:01.005"),
    ];
    for (ms, text) in times {
        assert_eq!(
            (format_time(ms).unwrap().as_str(), parse_time(text)),
            (text, Some(ms))
        );
    }
    assert_eq!(
        (format_time(-1), format_time(86_400_000), parse_time("24:00")),
        (None, None, None)
    );
}

/// What `DateTimeFormatter.ofPattern(…).parse(…)` says in jshell 17; None is a refusal.
fn offsets_as_the_pattern_says() {
    const TEXTS: [&str; 6] = ["Z", "+00", "+0000", "+00:00", "+0130", "+01:30"];
    const TABLE: [(&str, [Option<i64>; 6]); 5] = [
        ("X", [Some(0), Some(0), Some(0), None, Some(90), None]),
        ("XX", [Some(0), None, Some(0), None, Some(90), None]),
        ("XXX", [Some(0), None, None, Some(0), None, Some(90)]),
        ("x", [None, Some(0), None, None, Some(90), None]),
        ("Z", [None, None, Some(0), None, Some(90), None]),
    ];
    for (letters, minutes) in TABLE {
        let pattern = DatePattern::new(&format!("yyyy-MM-dd HH:mm{letters}")).unwrap();
        for (text, minutes) in TEXTS.into_iter().zip(minutes) {
            let parsed = pattern.parse(&format!("1970-01-01 12:00{text}"), Tz::UTC).ok();
            let wanted = minutes.map(|minutes| (720 - minutes) * 60_000);
            assert_eq!(parsed, wanted, "{letters} {text}");
        }
    }
}
