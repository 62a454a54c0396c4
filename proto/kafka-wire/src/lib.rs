//! Kafka's messages and record batch v2: bytes to types and back, nothing else.
//!
//! In: frames as [`bytes::Bytes`]. Out: plain structs ([`messages`], made from the tables in `schemas/`), record
//! batches ([`batch`]), and lists of shared chunks for one vectored write ([`frame`]).
//!
//! Invariants: record bytes are never copied, neither when a frame is decoded nor when a response is encoded;
//! no length is believed before it is checked against what is there, and what a frame may allocate is capped
//! (`limits::KAFKA_DECODED_BYTES_MAX`); every failure names the field and the byte. Not here: sockets, SASL's
//! payloads, what a request means (the `kafka` gateway).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod batch;
pub mod error_code;
pub mod frame;
pub mod message;
pub mod messages;
pub mod partitioner;
pub mod reader;
pub mod records;
pub mod writer;

pub use api::ApiKey;
pub use error_code::ErrorCode;
pub use message::{Message, Request};
pub use reader::{DecodeError, Problem, Reader};
pub use records::Records;
pub use writer::{EncodeError, Frame, Writer};

#[cfg(test)]
mod tests;
