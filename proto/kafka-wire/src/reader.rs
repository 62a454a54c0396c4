//! Reading: a cursor over one frame that believes no length.

use crate::records::Records;
use bytes::Bytes;
use millstream_model::limits::KAFKA_DECODED_BYTES_MAX;
use uuid::Uuid;

/// Bytes that are not the message they should be: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} at byte {offset}: {problem}")]
pub struct DecodeError {
    /// The field as Kafka names it, `FetchRequest.Topics.Partitions.FetchOffset`.
    pub field: &'static str,
    /// The byte of the frame where it starts.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The frame ends before the field does.
    #[error("needs {needed} bytes, {left} are left")]
    Short {
        /// What it takes, at least.
        needed: usize,
        /// What there is.
        left: usize,
    },
    /// A length below zero that does not mean null.
    #[error("length {length} is negative")]
    Negative {
        /// The length.
        length: i64,
    },
    /// Null where the version has no null.
    #[error("must not be null")]
    Null,
    /// A text that is not UTF-8.
    #[error("is not UTF-8")]
    Text,
    /// A variable-length number that does not end where it must.
    #[error("a variable-length number is too long")]
    Varint,
    /// A tagged field that is not as long as it says.
    #[error("tag {tag} says {said} bytes but has {had}")]
    Tag {
        /// The tag.
        tag: u32,
        /// The length in front of it.
        said: usize,
        /// What its content took.
        had: usize,
    },
    /// The whole message would take more memory than a message may.
    #[error("the message would take more than {KAFKA_DECODED_BYTES_MAX} bytes of memory")]
    TooLarge,
    /// Bytes after the end of the message.
    #[error("{left} bytes follow the end")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// A version that the table does not have.
    #[error("version {version} is not known")]
    Version {
        /// The version asked for.
        version: i16,
    },
    /// An API key that has no table.
    #[error("API key {key} is not known")]
    ApiKey {
        /// The key.
        key: i16,
    },
}

/// A cursor over the bytes of one frame. What it hands out as [`Bytes`] shares the frame's memory.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
    position: usize,
    /// What lists may still take in memory: a hostile frame of empty elements must not become gigabytes.
    allowance: usize,
}

type Result<T> = std::result::Result<T, DecodeError>;

macro_rules! number {
    ($($(#[$doc:meta])* $name:ident $kind:ty;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(&mut self, field: &'static str) -> Result<$kind> {
            Ok(<$kind>::from_be_bytes(self.array_of(field)?))
        }
    )*};
}

impl Reader {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: Bytes) -> Reader {
        Reader {
            bytes,
            position: 0,
            allowance: KAFKA_DECODED_BYTES_MAX,
        }
    }

    /// The byte it stands at.
    pub fn position(&self) -> usize {
        self.position
    }

    /// What the lists read so far take in memory, bytes.
    pub fn unfolded(&self) -> usize {
        KAFKA_DECODED_BYTES_MAX - self.allowance
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// Everything not yet read, shared.
    pub fn rest(&mut self) -> Bytes {
        let rest = self.bytes.slice(self.position..);
        self.position = self.bytes.len();
        rest
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// When something is.
    pub fn finish(&self, field: &'static str) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.fault(field, Problem::Trailing { left })),
        }
    }

    pub(crate) fn fault(&self, field: &'static str, problem: Problem) -> DecodeError {
        DecodeError {
            field,
            offset: self.position,
            problem,
        }
    }

    /// Moves past `length` bytes and returns where they start.
    fn advance(&mut self, length: usize, field: &'static str) -> Result<usize> {
        let left = self.remaining();
        if length > left {
            return Err(self.fault(field, Problem::Short { needed: length, left }));
        }
        let start = self.position;
        self.position += length;
        Ok(start)
    }

    fn array_of<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        let Some(found) = self.bytes[self.position..].first_chunk::<N>().copied() else {
            return Err(self.fault(
                field,
                Problem::Short {
                    needed: N,
                    left: self.remaining(),
                },
            ));
        };
        self.position += N;
        Ok(found)
    }

    number! {
        int8 i8;
        int16 i16;
        uint16 u16;
        int32 i32;
        int64 i64;
        float64 f64;
    }

    pub(crate) fn bool(&mut self, field: &'static str) -> Result<bool> {
        Ok(self.int8(field)? != 0)
    }

    pub(crate) fn uuid(&mut self, field: &'static str) -> Result<Uuid> {
        Ok(Uuid::from_bytes(self.array_of(field)?))
    }

    /// An unsigned number of at most 32 bits in groups of seven, the lowest first.
    pub(crate) fn uvarint(&mut self, field: &'static str) -> Result<u32> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = u8::from_be_bytes(self.array_of(field)?);
            let part = u32::from(byte & 0x7f);
            if shift == 28 && part > 0xf {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.fault(field, Problem::Varint))
    }

    /// A length, `None` for null: 16 bits or, when flexible, a variable-length number one higher.
    fn short_length(&mut self, flex: bool, field: &'static str) -> Result<Option<usize>> {
        if flex {
            return self.compact_length(field);
        }
        let length = self.int16(field)?;
        self.plain_length(i64::from(length), field)
    }

    /// The same with 32 bits.
    fn long_length(&mut self, flex: bool, field: &'static str) -> Result<Option<usize>> {
        if flex {
            return self.compact_length(field);
        }
        let length = self.int32(field)?;
        self.plain_length(i64::from(length), field)
    }

    fn compact_length(&mut self, field: &'static str) -> Result<Option<usize>> {
        let raised = self.uvarint(field)?;
        if raised > i32::MAX as u32 {
            return Err(self.fault(
                field,
                Problem::Negative {
                    length: i64::from(raised as i32) - 1,
                },
            ));
        }
        Ok(raised.checked_sub(1).map(|length| length as usize))
    }

    fn plain_length(&self, length: i64, field: &'static str) -> Result<Option<usize>> {
        match length {
            -1 => Ok(None),
            0.. => Ok(Some(length as usize)),
            _ => Err(self.fault(field, Problem::Negative { length })),
        }
    }

    fn present<T>(&self, value: Option<T>, nullable: bool, field: &'static str) -> Result<Option<T>> {
        if value.is_none() && !nullable {
            return Err(self.fault(field, Problem::Null));
        }
        Ok(value)
    }

    fn required<T>(&self, value: Option<T>, field: &'static str) -> Result<T> {
        value.ok_or_else(|| self.fault(field, Problem::Null))
    }

    fn maybe_string(&mut self, flex: bool, field: &'static str) -> Result<Option<String>> {
        let Some(length) = self.short_length(flex, field)? else {
            return Ok(None);
        };
        let start = self.advance(length, field)?;
        match std::str::from_utf8(&self.bytes[start..start + length]) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(DecodeError {
                field,
                offset: start,
                problem: Problem::Text,
            }),
        }
    }

    pub(crate) fn string(&mut self, flex: bool, field: &'static str) -> Result<String> {
        let text = self.maybe_string(flex, field)?;
        self.required(text, field)
    }

    pub(crate) fn opt_string(
        &mut self,
        flex: bool,
        nullable: bool,
        field: &'static str,
    ) -> Result<Option<String>> {
        let text = self.maybe_string(flex, field)?;
        self.present(text, nullable, field)
    }

    fn maybe_bytes(&mut self, flex: bool, field: &'static str) -> Result<Option<Bytes>> {
        let Some(length) = self.long_length(flex, field)? else {
            return Ok(None);
        };
        let start = self.advance(length, field)?;
        Ok(Some(self.bytes.slice(start..start + length)))
    }

    pub(crate) fn bytes(&mut self, flex: bool, field: &'static str) -> Result<Bytes> {
        let bytes = self.maybe_bytes(flex, field)?;
        self.required(bytes, field)
    }

    pub(crate) fn opt_bytes(
        &mut self,
        flex: bool,
        nullable: bool,
        field: &'static str,
    ) -> Result<Option<Bytes>> {
        let bytes = self.maybe_bytes(flex, field)?;
        self.present(bytes, nullable, field)
    }

    pub(crate) fn opt_records(
        &mut self,
        flex: bool,
        nullable: bool,
        field: &'static str,
    ) -> Result<Option<Records>> {
        Ok(self.opt_bytes(flex, nullable, field)?.map(Records::from))
    }

    fn maybe_array<T>(
        &mut self,
        flex: bool,
        field: &'static str,
        least: usize,
        mut element: impl FnMut(&mut Reader) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(count) = self.long_length(flex, field)? else {
            return Ok(None);
        };
        let needed = count.saturating_mul(least);
        if needed > self.remaining() {
            return Err(self.fault(
                field,
                Problem::Short {
                    needed,
                    left: self.remaining(),
                },
            ));
        }
        let memory = count.saturating_mul(size_of::<T>());
        self.allowance = self
            .allowance
            .checked_sub(memory)
            .ok_or_else(|| self.fault(field, Problem::TooLarge))?;
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(element(self)?);
        }
        Ok(Some(list))
    }

    pub(crate) fn array<T>(
        &mut self,
        flex: bool,
        field: &'static str,
        least: usize,
        element: impl FnMut(&mut Reader) -> Result<T>,
    ) -> Result<Vec<T>> {
        let list = self.maybe_array(flex, field, least, element)?;
        self.required(list, field)
    }

    pub(crate) fn opt_array<T>(
        &mut self,
        flex: bool,
        nullable: bool,
        field: &'static str,
        least: usize,
        element: impl FnMut(&mut Reader) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let list = self.maybe_array(flex, field, least, element)?;
        self.present(list, nullable, field)
    }

    pub(crate) fn opt_struct<T>(
        &mut self,
        nullable: bool,
        field: &'static str,
        read: impl FnOnce(&mut Reader) -> Result<T>,
    ) -> Result<Option<T>> {
        let value = match self.int8(field)? {
            ..0 => None,
            _ => Some(read(self)?),
        };
        self.present(value, nullable, field)
    }

    /// Reads tagged fields; `known` reads the one it is given, or says that it does not know the tag.
    pub(crate) fn tags(
        &mut self,
        field: &'static str,
        mut known: impl FnMut(&mut Reader, u32) -> Result<bool>,
    ) -> Result<()> {
        for _ in 0..self.uvarint(field)? {
            let tag = self.uvarint(field)?;
            let said = self.uvarint(field)? as usize;
            let left = self.remaining();
            if said > left {
                return Err(self.fault(field, Problem::Short { needed: said, left }));
            }
            let start = self.position;
            if !known(self, tag)? {
                self.position = start + said;
            }
            let had = self.position - start;
            if had != said {
                return Err(DecodeError {
                    field,
                    offset: start,
                    problem: Problem::Tag { tag, said, had },
                });
            }
        }
        Ok(())
    }

    pub(crate) fn skip_tags(&mut self, field: &'static str) -> Result<()> {
        self.tags(field, |_, _| Ok(false))
    }
}
