//! What decoding yields: columns, and the fate of each record.

use crate::row_error::RowError;
use arrow::array::ArrayRef;

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// Its fields are in the columns.
    Value,
    /// It had no value; its slots in the columns are null.
    Tombstone,
    /// It could not be decoded; its slots in the columns mean nothing.
    Failed,
}

/// One array per field, one slot per record.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// In the order of the fields asked for.
    pub columns: Vec<ArrayRef>,
    /// One per record.
    pub states: Vec<RowState>,
    /// One per failed record, by its index in the input, naming the field.
    pub errors: Vec<RowError>,
}

/// A type that a format cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The format has no form for this type.
    #[error("the {format} format does not support column '{field}' of type {data_type}")]
    Unsupported {
        /// The format's name.
        format: &'static str,
        /// The column.
        field: String,
        /// Its Arrow type.
        data_type: String,
    },
    /// The format carries one column.
    #[error("the {format} format supports one column, not {count}")]
    TooMany {
        /// The format's name.
        format: &'static str,
        /// How many were asked for.
        count: usize,
    },
}
