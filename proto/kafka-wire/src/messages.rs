//! Every message of the tables as a struct: `messages::FetchRequest`, its parts in `messages::fetch_request`.
//!
//! Fields have Kafka's names in snake case and its types: `string` is [`String`], `bytes` is [`bytes::Bytes`],
//! `records` is [`crate::Records`]; a field that may be null in some version is an [`Option`]. A field that the
//! version at hand does not have is left out when encoding and has its default when decoding. `Default` is
//! Kafka's default. Fields that the tables do not know (unknown tags) are skipped.

/// What the generated modules use.
mod prelude {
    pub(super) use crate::api::ApiKey;
    pub(super) use crate::message::{Message, Request};
    pub(super) use crate::reader::{DecodeError, Reader};
    pub(super) use crate::records::Records;
    pub(super) use crate::writer::{EncodeError, Tags, Writer};
    pub(super) use bytes::Bytes;
    pub(super) use std::ops::RangeInclusive;
    pub(super) use uuid::Uuid;
}

#[allow(unused_imports, unused_variables, clippy::all, clippy::pedantic)]
mod made {
    use super::prelude;
    include!(concat!(env!("OUT_DIR"), "/messages.rs"));
}

pub use made::*;
