//! A row's time from its timestamp column.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMillisecondType};
use millstream_functions::java::{DatePattern, TimeZone, zone_by_name};

/// How a timestamp column is read: a number of ms as it is, a text by its pattern, in UTC unless it names a zone.
#[derive(Clone, Debug)]
pub(crate) struct ColumnTime {
    pattern: Option<(DatePattern, TimeZone)>,
}

impl ColumnTime {
    /// With the pattern of a text column. A pattern that cannot be used fails row by row: the planner has checked it.
    pub(crate) fn new(format: Option<&str>) -> Self {
        let zone = zone_by_name("UTC");
        let pattern = format.and_then(|format| DatePattern::new(format).ok());
        Self {
            pattern: pattern.zip(zone),
        }
    }

    /// The time of one row, ms.
    pub(crate) fn of(&self, column: &ArrayRef, row: usize) -> Result<i64, String> {
        if column.is_null(row) {
            return Err("its timestamp column is null".to_owned());
        }
        match (column.data_type(), &self.pattern) {
            (DataType::Int64, _) => Ok(column.as_primitive::<Int64Type>().value(row)),
            (DataType::Timestamp(..), _) => Ok(column.as_primitive::<TimestampMillisecondType>().value(row)),
            (DataType::Utf8, Some((pattern, zone))) => {
                let text = column.as_string::<i32>().value(row);
                pattern
                    .parse(text, *zone)
                    .map_err(|error| format!("its time '{text}' cannot be read: {error}"))
            }
            (other, _) => Err(format!("a timestamp column cannot be {other}")),
        }
    }
}
