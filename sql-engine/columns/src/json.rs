//! JSON objects to columns and back, with ksqlDB's names and coercions.

mod builder;
mod decode;
mod encode;
mod member;
mod scan;

pub(crate) use builder::ColumnBuilder;
pub use decode::JsonDecoder;
pub use encode::JsonEncoder;
pub(crate) use encode::write_value;
pub(crate) use scan::{Scanner, Value};
