//! Record batch v2: the one format that records have from the producer's socket to the consumer's.
//!
//! ```text
//! byte  0            8              12                      16     17   21
//!       base offset  batch length   partition leader epoch  magic  crc  attributes
//! byte  23                 27              35             43           51              53             57            61
//!       last offset delta  base timestamp  max timestamp  producer id  producer epoch  base sequence  record count  records
//! ```
//! All integers are big-endian. `batch length` counts what follows it, so a batch has 12 bytes more. The CRC-32C
//! covers everything from the attributes on: base offset and leader epoch are outside, so that a broker stamps
//! them without touching the rest. Attributes: bits 0-2 codec, 3 LogAppendTime, 4 transactional, 5 control,
//! 6 delete horizon (base timestamp is one); the others are zero.
//!
//! [`BatchView`] reads and checks a batch, [`RecordSet`] its records, [`BatchBuilder`] makes one.

mod builder;
mod compression;
mod control;
mod header;
mod record;
mod stamp;
mod view;

pub use builder::{BatchBuilder, NewRecord, Producer};
pub use compression::Compression;
pub use control::{ControlRecord, Marker};
pub use header::{Attributes, BatchHeader, TimestampType};
pub use record::{Header, Headers, Record, RecordIter, RecordRef, RecordSet};
pub use stamp::{STAMP_BYTES, Stamped, stamp_in_place};
pub use view::{BatchView, Batches, batches};

use millstream_model::limits;

/// Bytes in front of the records.
pub const HEADER_BYTES: usize = 61;

/// Bytes in front of what `batch length` counts.
pub const LENGTH_END: usize = 12;

/// The only format that is read and written.
pub const MAGIC: i8 = 2;

/// Why bytes are not an acceptable record batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than a header, or than the header says.
    #[error("a batch of {needed} bytes is cut off after {have}")]
    Short {
        /// What it takes.
        needed: usize,
        /// What there is.
        have: usize,
    },
    /// `batch length` cannot be right.
    #[error("a batch cannot have length {length}")]
    Length {
        /// The length field.
        length: i32,
    },
    /// More bytes than a batch may have.
    #[error("a batch of {bytes} bytes is larger than {max}")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The most allowed.
        max: usize,
    },
    /// A message set of Kafka before 0.11: known, and refused (Kafka's UNSUPPORTED_FOR_MESSAGE_FORMAT).
    #[error("message format {magic} is too old: the client must send record batches of magic 2")]
    OldMagic {
        /// 0 or 1.
        magic: i8,
    },
    /// No format of Kafka's.
    #[error("magic {magic} is not known")]
    Magic {
        /// The magic byte.
        magic: i8,
    },
    /// The bytes are not those that the producer summed.
    #[error("the batch says CRC {said:#010x} but has {had:#010x}")]
    Crc {
        /// In the header.
        said: u32,
        /// Computed.
        had: u32,
    },
    /// Attribute bits that have no meaning.
    #[error("attributes {attributes:#06x} are not known")]
    Attributes {
        /// All attribute bits.
        attributes: i16,
    },
    /// A count that cannot be right.
    #[error("{count} records do not fit a last offset delta of {last_offset_delta}")]
    Count {
        /// The record count.
        count: i32,
        /// The last record's delta.
        last_offset_delta: i32,
    },
    /// More records than a batch may have.
    #[error("{count} records are more than {}", limits::BATCH_RECORDS_MAX)]
    TooMany {
        /// The record count.
        count: i32,
    },
    /// A header field that contradicts another.
    #[error("{what}")]
    Inconsistent {
        /// In words.
        what: &'static str,
    },
    /// A record that is not one.
    #[error("record {index}: {what}")]
    Record {
        /// Which, from 0.
        index: i32,
        /// What is wrong, in words.
        what: &'static str,
    },
    /// Compressed bytes that do not decompress.
    #[error("{codec} data is corrupt: {reason}")]
    Compressed {
        /// The codec.
        codec: Compression,
        /// What the codec says.
        reason: String,
    },
    /// Decompressed it would be larger than a batch may be: a compression bomb.
    #[error("decompresses to more than {} bytes", limits::BATCH_DECOMPRESSED_BYTES_MAX)]
    Bomb,
}

/// The batch's CRC-32C over everything from the attributes on.
pub(crate) fn crc_of(covered: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(covered)
}

/// A batch's first bytes, up to where its CRC covers the rest: base offset, length, leader epoch, magic, and the CRC
/// itself. A checksum over these alone covers the whole batch.
pub const SEAL_BYTES: usize = at::ATTRIBUTES;

/// The seal of a batch, and whether the rest is what its CRC says; `None` when the bytes are too few for a batch.
pub fn unseal(batch: &[u8]) -> Option<(&[u8; SEAL_BYTES], bool)> {
    let (seal, covered) = batch.split_first_chunk::<SEAL_BYTES>()?;
    let said = seal.last_chunk::<4>().map(|crc| u32::from_be_bytes(*crc));
    Some((seal, said == Some(crc_of(covered))))
}

/// Where a field lies.
pub(crate) mod at {
    pub(crate) const BATCH_LENGTH: usize = 8;
    pub(crate) const LEADER_EPOCH: usize = 12;
    pub(crate) const MAGIC: usize = 16;
    pub(crate) const CRC: usize = 17;
    pub(crate) const ATTRIBUTES: usize = 21;
    pub(crate) const MAX_TIMESTAMP: usize = 35;
}
