//! What every payload must be before it is looked at, and why one cannot be read.

use crate::codec::CodecError;
use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchError, BatchHeader};

/// A payload that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Written by a newer release.
    #[error("payload version {version} needs a newer release")]
    Version {
        /// The version found.
        version: u8,
    },
    /// Not the form of its kind.
    #[error("malformed payload: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// The batch is not one.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The batch's length field and the payload's length differ.
    #[error("a batch of {said} bytes in a payload of {had}")]
    Length {
        /// What the batch says.
        said: usize,
        /// What is there.
        had: usize,
    },
    /// The batch has no offsets.
    #[error("the batch's offsets are impossible")]
    Offsets,
    /// A batch that stands for lost records has some.
    #[error("a batch in the place of lost records has records")]
    Records,
}

impl From<CodecError> for PayloadError {
    fn from(error: CodecError) -> PayloadError {
        PayloadError::Malformed {
            reason: error.to_string(),
        }
    }
}

/// The header of a payload that is one stamped batch and nothing else.
pub(crate) fn stamped(payload: &Bytes) -> Result<BatchHeader, PayloadError> {
    let header = BatchHeader::read(payload)?;
    if header.size() != payload.len() {
        return Err(PayloadError::Length {
            said: header.size(),
            had: payload.len(),
        });
    }
    if header.last_offset_delta < 0 || header.base_offset.0 < 0 {
        return Err(PayloadError::Offsets);
    }
    Ok(header)
}
