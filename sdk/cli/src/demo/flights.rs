//! The embedded month: rows in event-time order, as JSON.

use crate::failure::Failure;
use chrono::DateTime;
use flate2::read::GzDecoder;
use serde_json::{Map, Value};
use std::io::Read;

static JANUARY: &[u8] = include_bytes!("../../data/flights-2013-01.csv.gz");

/// A flight, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flight {
    /// The airline's code.
    pub carrier: String,
    /// Scheduled departure, ms since 1970, UTC.
    pub scheduled_ms: i64,
    /// The record's value.
    pub json: Vec<u8>,
}

/// All flights of January 2013 out of New York, by scheduled departure; those of one minute in the source's order.
///
/// # Errors
/// Only when the embedded file is damaged.
pub(crate) fn january() -> Result<Vec<Flight>, Failure> {
    let mut text = String::new();
    GzDecoder::new(JANUARY).read_to_string(&mut text)?;
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let mut flights = lines
        .map(|line| flight(&names, line))
        .collect::<Result<Vec<_>, Failure>>()?;
    flights.sort_by_key(|flight| flight.scheduled_ms);
    Ok(flights)
}

fn flight(names: &[&str], line: &str) -> Result<Flight, Failure> {
    let damaged = || Failure::new(format!("the embedded flights are damaged at: {line}"));
    let cell = |name: &str| {
        names
            .iter()
            .position(|it| *it == name)
            .and_then(|at| line.split(',').nth(at))
    };
    let hour = DateTime::parse_from_rfc3339(cell("time_hour").ok_or_else(damaged)?).map_err(|_| damaged())?;
    let minute: i64 = cell("minute")
        .and_then(|it| it.parse().ok())
        .ok_or_else(damaged)?;
    let scheduled_ms = hour.timestamp_millis() + minute * 60_000;
    let carrier = cell("carrier").ok_or_else(damaged)?.to_owned();
    let mut json = Map::new();
    json.insert("carrier".into(), carrier.clone().into());
    for name in ["flight", "dep_delay", "arr_delay", "air_time", "distance"] {
        let value = match cell(name).ok_or_else(damaged)? {
            "NA" | "" => Value::Null,
            number => number.parse::<i64>().map_err(|_| damaged())?.into(),
        };
        json.insert(name.into(), value);
    }
    for name in ["tailnum", "origin", "dest"] {
        let value = match cell(name).ok_or_else(damaged)? {
            "NA" | "" => Value::Null,
            text => text.into(),
        };
        json.insert(name.into(), value);
    }
    json.insert("scheduled".into(), scheduled_ms.into());
    Ok(Flight {
        carrier,
        scheduled_ms,
        json: Value::Object(json).to_string().into_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::january;

    #[test]
    fn the_month_is_whole_and_in_order() -> Result<(), super::Failure> {
        let flights = january()?;
        assert_eq!(flights.len(), 27_004);
        assert!(flights.is_sorted_by_key(|flight| flight.scheduled_ms));
        let first = String::from_utf8_lossy(&flights[0].json).into_owned();
        // 2013-01-01T10:15:00Z, UA 1545 to Houston.
        assert_eq!(flights[0].scheduled_ms, 1_357_035_300_000);
        assert!(
            first.contains("\"flight\":1545") && first.contains("\"dep_delay\":2"),
            "{first}"
        );
        Ok(())
    }
}
