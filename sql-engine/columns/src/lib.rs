//! Record bytes to Arrow columns and back, per format, with row errors.
//!
//! In: keys and values as they lie in a topic, and the fields that a query needs. Out: one Arrow array per field,
//! and for every record whether it decoded, was a tombstone, or failed and why ([`Decoded`]). Back: arrays to bytes.
//!
//! Invariants: a record that fails never affects another; a decoder reads only the fields it was made for; bytes
//! from outside never panic, recurse without bound or allocate more than a small multiple of their size.
//! Not here: schema registry framing (`sdk/formats`), what a failed row means to a query (`operators`).

mod decimal;
pub mod json;
pub mod kafka;
pub mod key;
mod row;
mod row_error;

pub use json::{JsonDecoder, JsonEncoder};
pub use key::{DecodedKeys, KeyDecoder, KeyEncoder, KeyFormat, KeyWindow};
pub use row::{Decoded, FormatError, RowState};
pub use row_error::RowError;
