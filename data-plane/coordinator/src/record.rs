//! The records of internal topics: a key that names a fact, and the fact.

use bytes::Bytes;

/// One record of an internal topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Names the fact.
    pub key: Bytes,
    /// The fact; `None` when it is gone.
    pub value: Option<Bytes>,
}

impl Record {
    /// Bytes in the record.
    pub fn length(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// A record that this release cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer release.
    #[error("record version {version} needs a newer release")]
    Version {
        /// The version found.
        version: u8,
    },
    /// A kind that this release does not know.
    #[error("unknown record kind {kind}")]
    Kind {
        /// The kind found.
        kind: u8,
    },
    /// Its bytes end early, go on too long or say something impossible.
    #[error("malformed record")]
    Malformed,
}

/// What applying a record did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It changed the state.
    Done,
    /// It was passed over, the same on every replica; a person should know.
    Skipped(RecordError),
}
