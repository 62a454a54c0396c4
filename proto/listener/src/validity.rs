//! From when until when a certificate holds: the two times in its DER, and nothing else of it (RFC 5280, 4.1.2.5).

/// A certificate's times, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub from: i64,
    /// The last second.
    pub until: i64,
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The tagged version in front of the serial number, which the oldest certificates lack.
const VERSION: u8 = 0xa0;

impl Validity {
    /// Of a certificate; none when it is not one.
    pub(crate) fn of(certificate: &[u8]) -> Option<Validity> {
        let (outer, _) = element(certificate, SEQUENCE)?;
        let (mut fields, _) = element(outer, SEQUENCE)?;
        if fields.first() == Some(&VERSION) {
            fields = any(fields)?.2;
        }
        // Serial number, algorithm, issuer.
        for _ in 0..3 {
            fields = any(fields)?.2;
        }
        let (times, _) = element(fields, SEQUENCE)?;
        let (tag, from, rest) = any(times)?;
        let from = time(tag, from)?;
        let (tag, until, _) = any(rest)?;
        Some(Validity {
            from,
            until: time(tag, until)?,
        })
    }

    /// What both hold at once.
    pub(crate) fn and(self, other: Validity) -> Validity {
        Validity {
            from: self.from.max(other.from),
            until: self.until.min(other.until),
        }
    }
}

/// The content of an element with this tag, and what follows it.
fn element(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = any(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// An element's tag, its content, and what follows it.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(short), rest),
        // No certificate has 16 MiB.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |part: &[u8]| {
        part.iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
    };
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year);
            (year + if year < 50 { 2000 } else { 1900 }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year), rest)
        }
        _ => return None,
    };
    let parts: Vec<i64> = rest.chunks(2).map(number).collect();
    let &[
        month @ 1..=12,
        day @ 1..=31,
        hour @ 0..=23,
        minute @ 0..=59,
        second @ 0..=60,
    ] = parts.as_slice()
    else {
        return None;
    };
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days since 1970-01-01 in the Gregorian calendar. Years begin in March, so that the day that may be missing is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::{GENERALIZED_TIME, SEQUENCE, UTC_TIME, VERSION, Validity, time};

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match u8::try_from(content.len()) {
            Ok(short) if short < 0x80 => out.push(short),
            _ => {
                out.push(0x82);
                out.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            }
        }
        out.extend(content);
        out
    }

    fn certificate(version: bool, from: (u8, &str), until: (u8, &str)) -> Vec<u8> {
        let times = [der(from.0, from.1.as_bytes()), der(until.0, until.1.as_bytes())].concat();
        let version = if version {
            der(VERSION, &[2, 1, 2])
        } else {
            Vec::new()
        };
        let fields = [
            version,
            der(2, &[1]),
            der(SEQUENCE, &[5, 0]),
            der(SEQUENCE, &[7; 300]),
            der(SEQUENCE, &times),
            der(SEQUENCE, b"the subject and more"),
        ];
        der(
            SEQUENCE,
            &[der(SEQUENCE, &fields.concat()), der(SEQUENCE, &[])].concat(),
        )
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let table = [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "000229120000Z", Some(951_825_600)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "70010100000Z", None),
            (UTC_TIME, "7001010000000", None),
            (3, "700101000000Z", None),
        ];
        for (tag, text, seconds) in table {
            assert_eq!(time(tag, text.as_bytes()), seconds, "{text}");
        }
    }

    #[test]
    fn the_times_of_a_certificate_are_found_with_and_without_a_version() {
        for version in [true, false] {
            let bytes = certificate(
                version,
                (UTC_TIME, "240101000000Z"),
                (GENERALIZED_TIME, "20500101000000Z"),
            );
            let validity = Validity {
                from: 1_704_067_200,
                until: 2_524_608_000,
            };
            assert_eq!(Validity::of(&bytes), Some(validity));
            for cut in 0..200 {
                assert_eq!(Validity::of(&bytes[..cut]), None, "cut at {cut}");
            }
        }
        assert_eq!(Validity::of(b"no certificate"), None);
    }

    #[test]
    fn of_two_the_shorter_counts() {
        let one = Validity { from: 1, until: 10 };
        let two = Validity { from: 2, until: 5 };
        assert_eq!(one.and(two), Validity { from: 2, until: 5 });
    }
}
