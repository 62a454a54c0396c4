//! The demo's answer, computed by hand: a batch aggregation of the same rows.

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;

/// `(hour as RFC 3339, carrier)` to `(departures, mean delay)`.
pub type Answer = BTreeMap<(String, String), (i64, f64)>;

/// One flight, its cells by name.
pub struct Row(BTreeMap<String, String>);

impl Row {
    pub fn cell(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|it| *it != "NA" && !it.is_empty())
    }

    pub fn carrier(&self) -> &str {
        self.cell("carrier").unwrap()
    }

    /// Scheduled departure, as text that sorts by time: the hour and the minute.
    fn scheduled(&self) -> (String, i64) {
        (
            self.cell("time_hour").unwrap().to_owned(),
            self.cell("minute").unwrap().parse().unwrap(),
        )
    }

    fn scheduled_ms(&self) -> i64 {
        let (hour, minute) = self.scheduled();
        ms_of(&hour) + minute * 60_000
    }

    /// The columns that the demo's statements name.
    pub fn json(&self) -> Value {
        let number = |name: &str| self.cell(name).map(|it| it.parse::<i64>().unwrap());
        json!({
            "carrier": self.carrier(),
            "flight": number("flight"),
            "tailnum": self.cell("tailnum"),
            "origin": self.cell("origin"),
            "dest": self.cell("dest"),
            "dep_delay": number("dep_delay"),
            "arr_delay": number("arr_delay"),
            "air_time": number("air_time"),
            "distance": number("distance"),
            "scheduled": self.scheduled_ms(),
        })
    }
}

/// The month that the binary embeds, by scheduled departure; those of one minute in the source's order.
pub fn rows() -> Vec<Row> {
    let bytes: &[u8] = include_bytes!("../../sdk/cli/data/flights-2013-01.csv.gz");
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        let cells = line.split(',').map(str::to_owned);
        Row(names.iter().map(|it| (*it).to_owned()).zip(cells).collect())
    };
    let mut rows: Vec<Row> = lines.map(row).collect();
    rows.sort_by_key(Row::scheduled);
    rows
}

/// Departures and mean delay per carrier and hour, of the flights that departed.
pub fn answer(rows: &[Row]) -> Answer {
    let mut sums: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
    for row in rows {
        let Some(delay) = row.cell("dep_delay") else {
            continue;
        };
        let sum = sums
            .entry((row.scheduled().0, row.carrier().to_owned()))
            .or_default();
        sum.0 += 1;
        sum.1 += delay.parse::<i64>().unwrap();
    }
    sums.into_iter()
        .map(|(key, (count, sum))| (key, (count, sum as f64 / count as f64)))
        .collect()
}

/// What the demo printed, as the same map. A row that comes twice is an error.
pub fn printed(lines: &[Value]) -> Answer {
    let mut answer = Answer::new();
    for line in lines {
        let hour = line["hour"]
            .as_str()
            .unwrap_or_else(|| panic!("no hour in {line}"));
        let key = (rfc3339(ms_of(hour)), line["carrier"].as_str().unwrap().to_owned());
        let value = (
            line["departures"].as_i64().unwrap(),
            line["mean_delay"].as_f64().unwrap(),
        );
        assert!(answer.insert(key, value).is_none(), "{line} is there twice");
    }
    answer
}

/// Fails with the first differences.
pub fn assert_same(found: &Answer, expected: &Answer) {
    let near = |left: f64, right: f64| (left - right).abs() <= 1e-9 * right.abs().max(1.0);
    let mut differences = Vec::new();
    for (key, value) in expected {
        match found.get(key) {
            None => differences.push(format!("{key:?} is missing (expected {value:?})")),
            Some(it) if it.0 != value.0 || !near(it.1, value.1) => {
                differences.push(format!("{key:?} is {it:?}, expected {value:?}"));
            }
            Some(_) => {}
        }
    }
    let extra = found.keys().filter(|key| !expected.contains_key(*key));
    differences.extend(extra.map(|key| format!("{key:?} should not be there")));
    let count = differences.len();
    differences.truncate(10);
    assert!(
        count == 0,
        "{count} of {} rows differ:\n  {}",
        expected.len(),
        differences.join("\n  ")
    );
}

/// `2013-01-01T10:00:00Z`, with or without fractions, to ms since 1970.
pub fn ms_of(text: &str) -> i64 {
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    assert!(
        text.ends_with('Z') || text.ends_with("+00:00"),
        "{text} is not UTC"
    );
    // Days from the civil calendar, years beginning in March.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    ((days * 24 + number(11, 13)) * 60 + number(14, 16)) * 60_000 + number(17, 19) * 1000
}

/// The other way, for whole hours of January 2013.
fn rfc3339(ms: i64) -> String {
    let begin = ms_of("2013-01-01T00:00:00Z");
    let (days, hours) = (
        (ms - begin).div_euclid(86_400_000),
        (ms - begin).rem_euclid(86_400_000) / 3_600_000,
    );
    // The month's last flights leave on the first of February, UTC.
    let (month, day) = if days < 31 { (1, days + 1) } else { (2, days - 30) };
    format!("2013-{month:02}-{day:02}T{hours:02}:00:00Z")
}

/// An answer of `SELECT carrier, windowstart, departures, mean_delay` as the same map.
pub fn selected(lines: &[Value]) -> Answer {
    let rows = lines.iter().map(|line| {
        let cell = |name: &str| {
            let cells = line
                .as_object()
                .unwrap_or_else(|| panic!("not an object: {line}"));
            let found = cells.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found
                .map(|(_, value)| value.clone())
                .unwrap_or_else(|| panic!("no {name} in {line}"))
        };
        let hour = match cell("windowstart") {
            Value::Number(ms) => rfc3339(ms.as_i64().unwrap()),
            Value::String(text) => text,
            other => panic!("windowstart is {other}"),
        };
        json!({"hour": hour, "carrier": cell("carrier"), "departures": cell("departures"),
            "mean_delay": cell("mean_delay")})
    });
    printed(&rows.collect::<Vec<_>>())
}

#[test]
fn the_batch_answer_is_the_whole_month() {
    let rows = rows();
    assert_eq!(rows.len(), 27_004);
    let answer = answer(&rows);
    let departed = rows.iter().filter(|row| row.cell("dep_delay").is_some()).count();
    assert_eq!(
        answer.values().map(|it| it.0).sum::<i64>(),
        i64::try_from(departed).unwrap()
    );
    assert_eq!(rfc3339(ms_of("2013-01-31T23:00:00Z")), "2013-01-31T23:00:00Z");
    assert_eq!(rfc3339(ms_of("2013-02-01T04:00:00.000Z")), "2013-02-01T04:00:00Z");
}
