//! A batch over shared bytes: its header read, its records untouched.

use super::record::RecordSet;
use super::{BatchError, BatchHeader, HEADER_BYTES, TimestampType, at, compression, crc_of};
use bytes::Bytes;
use millstream_model::limits::BATCH_RECORDS_MAX;

/// One record batch. Made by [`BatchView::read`], which checks only what is needed to find its end; what came
/// from outside must also pass [`BatchView::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchView {
    header: BatchHeader,
    bytes: Bytes,
}

impl BatchView {
    /// The batch that fills `bytes`.
    ///
    /// # Errors
    /// When the bytes are not exactly one batch by its length and magic.
    pub fn read(bytes: Bytes) -> Result<BatchView, BatchError> {
        let have = bytes.len();
        let mut rest = bytes;
        let batch = Self::split_from(&mut rest)?;
        if !rest.is_empty() {
            return Err(BatchError::Inconsistent {
                what: "more bytes follow the batch",
            });
        }
        debug_assert_eq!(batch.bytes.len(), have);
        Ok(batch)
    }

    /// Takes the first batch off `bytes`, which is left unchanged on an error.
    ///
    /// # Errors
    /// When the bytes do not start with a whole batch by its length and magic.
    pub fn split_from(bytes: &mut Bytes) -> Result<BatchView, BatchError> {
        let header = BatchHeader::read(bytes)?;
        if header.size() > bytes.len() {
            return Err(BatchError::Short {
                needed: header.size(),
                have: bytes.len(),
            });
        }
        Ok(BatchView {
            header,
            bytes: bytes.split_to(header.size()),
        })
    }

    /// A batch whose header was changed together with its bytes.
    pub(super) fn with(header: BatchHeader, bytes: Bytes) -> BatchView {
        debug_assert_eq!(BatchHeader::read(&bytes), Ok(header));
        BatchView { header, bytes }
    }

    /// Its header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// All its bytes.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// What must hold for a batch that comes from outside: CRC, counts, known attributes, fields that agree.
    /// The records themselves are not looked at (see [`Self::check_records`]).
    ///
    /// # Errors
    /// For the first rule that is broken.
    pub fn check(&self) -> Result<(), BatchError> {
        let header = &self.header;
        let had = crc_of(&self.bytes[at::ATTRIBUTES..]);
        if had != header.crc {
            return Err(BatchError::Crc {
                said: header.crc,
                had,
            });
        }
        if !header.attributes.are_known() {
            return Err(BatchError::Attributes {
                attributes: header.attributes.0,
            });
        }
        let (count, last_offset_delta) = (header.record_count, header.last_offset_delta);
        if count > BATCH_RECORDS_MAX {
            return Err(BatchError::TooMany { count });
        }
        if count < 0 || last_offset_delta < 0 || i64::from(count) > i64::from(last_offset_delta) + 1 {
            return Err(BatchError::Count {
                count,
                last_offset_delta,
            });
        }
        let whole = header.producer_epoch.0 >= 0 && header.base_sequence >= 0;
        let what = match (header.has_producer(), whole) {
            (true, false) if !header.attributes.is_control() => "a producer id without epoch or sequence",
            (false, _) if header.attributes.is_transactional() => {
                "a transactional batch without a producer id"
            }
            _ => return Ok(()),
        };
        Err(BatchError::Inconsistent { what })
    }

    /// The stricter rule for a batch from a producer: what [`Self::check`] asks, and that its offsets are
    /// consecutive, that it has a record, and that nothing is set that only a broker may set.
    ///
    /// # Errors
    /// For the first rule that is broken.
    pub fn check_produced(&self) -> Result<(), BatchError> {
        self.check()?;
        let (count, last_offset_delta) = (self.header.record_count, self.header.last_offset_delta);
        if count < 1 || count != last_offset_delta.saturating_add(1) {
            return Err(BatchError::Count {
                count,
                last_offset_delta,
            });
        }
        if self.header.attributes.is_control() {
            return Err(BatchError::Inconsistent {
                what: "a producer must not send control batches",
            });
        }
        if self.header.attributes.timestamp_type() == TimestampType::LogAppendTime {
            return Err(BatchError::Inconsistent {
                what: "a producer must not set LogAppendTime",
            });
        }
        if self.header.attributes.has_delete_horizon() {
            return Err(BatchError::Inconsistent {
                what: "a producer must not set a delete horizon",
            });
        }
        Ok(())
    }

    /// That every record can be read and that their offsets rise within the batch: reads (and decompresses)
    /// everything.
    ///
    /// # Errors
    /// For the first record that is not one.
    pub fn check_records(&self) -> Result<(), BatchError> {
        self.records()?.iter().try_for_each(|record| record.map(|_| ()))
    }

    /// Its records, decompressed if need be (uncompressed ones share the batch's memory).
    ///
    /// # Errors
    /// When the codec is unknown, the data corrupt, or larger than a batch may become.
    pub fn records(&self) -> Result<RecordSet, BatchError> {
        let attributes = self.header.attributes;
        let Some(codec) = attributes.compression() else {
            return Err(BatchError::Attributes {
                attributes: attributes.0,
            });
        };
        let stored = self.bytes.slice(HEADER_BYTES..);
        Ok(RecordSet::new(
            self.header,
            compression::decompress(codec, stored)?,
        ))
    }
}

/// The batches that follow one another in some bytes.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

/// Iterates over the batches in `bytes`. A batch that is cut off ends the iteration with
/// [`BatchError::Short`]: for a fetch response that is no fault, for a produce request it is.
pub fn batches(bytes: Bytes) -> Batches {
    Batches { rest: bytes }
}

impl Iterator for Batches {
    type Item = Result<BatchView, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = BatchView::split_from(&mut self.rest);
        if batch.is_err() {
            self.rest = Bytes::new();
        }
        Some(batch)
    }
}
