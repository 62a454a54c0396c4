//! Java's rules where SQL shows through them: numbers as text, text as numbers, date patterns.

mod date;
mod decimal;
mod double;
mod iso;

pub use date::{DatePattern, PatternError, TimeZone, zone_by_name};
pub use decimal::{decimal_to_string, divide_half_up, parse_decimal, power_of_ten, rescale};
pub use double::{double_to_string, parse_double, round_half_up};
pub use iso::{format_date, format_time, format_timestamp, parse_date, parse_time, parse_timestamp};
