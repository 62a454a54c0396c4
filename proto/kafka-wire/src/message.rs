//! What every message can do.

use crate::api::ApiKey;
use crate::reader::{DecodeError, Problem, Reader};
use crate::writer::{EncodeError, Writer};
use bytes::Bytes;
use std::ops::RangeInclusive;

/// A message of Kafka's protocol.
pub trait Message: Sized + Default + Clone + std::fmt::Debug + PartialEq {
    /// Its name in Kafka, `FetchRequest`.
    const NAME: &'static str;
    /// The versions that can be decoded and encoded.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact lengths and tagged fields.
    const FLEXIBLE_FROM: Option<i16>;

    /// Reads one message, leaving the reader behind it.
    ///
    /// # Errors
    /// For a version outside [`Self::VERSIONS`] and for bytes that are not such a message.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    /// Writes the message.
    ///
    /// # Errors
    /// For a version outside [`Self::VERSIONS`], a null that the version does not allow, and a text or list
    /// longer than its length field can say. The writer is then of no further use.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// Reads a message that must fill `bytes` exactly.
    ///
    /// # Errors
    /// As [`Self::decode`], and when bytes are left over.
    fn from_bytes(bytes: Bytes, version: i16) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let message = Self::decode(&mut reader, version)?;
        reader.finish(Self::NAME)?;
        Ok(message)
    }

    /// The message in one piece of memory (record bytes are copied; see [`crate::frame`] for how not to).
    ///
    /// # Errors
    /// As [`Self::encode`].
    fn to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        self.encode(&mut writer, version)?;
        Ok(writer.into_bytes())
    }
}

/// A message that asks, and the one that answers it.
pub trait Request: Message {
    /// The key that announces it.
    const KEY: ApiKey;
    /// What answers it, in the same version (but see [`crate::frame`] on ApiVersions).
    type Response: Message;
}

impl Reader {
    pub(crate) fn check_version<M: Message>(&self, version: i16) -> Result<(), DecodeError> {
        if M::VERSIONS.contains(&version) {
            return Ok(());
        }
        Err(self.fault(M::NAME, Problem::Version { version }))
    }
}

impl Writer {
    pub(crate) fn check_version<M: Message>(&self, version: i16) -> Result<(), EncodeError> {
        if M::VERSIONS.contains(&version) {
            return Ok(());
        }
        Err(EncodeError::Version {
            message: M::NAME,
            version,
        })
    }
}
