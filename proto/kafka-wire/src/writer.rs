//! Writing: small fields are gathered, large record bytes are shared, the whole is a list of pieces.

use crate::records::Records;
use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// A message that cannot be said in the version asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Null where the version has no null.
    #[error("{field} must not be null in this version")]
    Null {
        /// The field as Kafka names it.
        field: &'static str,
    },
    /// Longer than the length in front of it can say.
    #[error("{field} is too long: {length}")]
    TooLong {
        /// The field as Kafka names it.
        field: &'static str,
        /// Its bytes, or elements.
        length: usize,
    },
    /// A version that the table does not have.
    #[error("{message} has no version {version}")]
    Version {
        /// The message.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
}

/// From this many bytes on a piece is shared instead of copied: below, a copy costs less than one more piece
/// in a vectored write.
const SHARED_BYTES_MIN: usize = 1024;

/// Gathers a message.
#[derive(Debug, Default)]
pub struct Writer {
    /// The first piece, kept open because a frame's length is written into it last.
    head: Option<BytesMut>,
    /// Pieces after the first.
    pieces: Vec<Bytes>,
    /// Bytes in `head` and `pieces`.
    closed_bytes: usize,
    /// The piece being written.
    open: BytesMut,
}

/// What is to be sent: pieces in order, for one vectored write.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The pieces, none of them empty.
    pub pieces: Vec<Bytes>,
}

impl Frame {
    /// Bytes in all pieces.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// All bytes in one piece: copied only where there are several.
    pub fn into_bytes(self) -> Bytes {
        Records::from(self.pieces).into_bytes()
    }
}

type Result<T> = std::result::Result<T, EncodeError>;

impl Writer {
    /// Nothing written yet.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// The same with room for a frame's first fields.
    pub(crate) fn for_frame() -> Writer {
        Writer {
            open: BytesMut::with_capacity(512),
            ..Writer::default()
        }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.closed_bytes + self.open.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends bytes that others hold too: shared when large, copied when small.
    pub fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED_BYTES_MIN {
            self.open.put_slice(bytes);
            return;
        }
        self.close_piece();
        self.closed_bytes += bytes.len();
        self.pieces.push(bytes.clone());
    }

    /// Appends a copy of `bytes`.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.open.put_slice(bytes);
    }

    fn close_piece(&mut self) {
        let piece = self.open.split();
        self.closed_bytes += piece.len();
        if self.head.is_none() {
            self.head = Some(piece);
        } else if !piece.is_empty() {
            self.pieces.push(piece.freeze());
        }
    }

    /// The pieces as they are.
    pub fn into_frame(mut self) -> Frame {
        self.close_piece();
        let mut pieces = self.pieces;
        if let Some(head) = self.head.filter(|head| !head.is_empty()) {
            pieces.insert(0, head.freeze());
        }
        Frame { pieces }
    }

    /// The pieces after overwriting the first four bytes with the number of bytes that follow them.
    pub(crate) fn into_frame_with_length(mut self) -> Result<Frame> {
        let length = self.len().saturating_sub(4);
        let Ok(prefix) = i32::try_from(length) else {
            return Err(EncodeError::TooLong {
                field: "frame",
                length,
            });
        };
        self.close_piece();
        if let Some(place) = self.head.as_mut().and_then(|head| head.first_chunk_mut::<4>()) {
            *place = prefix.to_be_bytes();
        }
        Ok(self.into_frame())
    }

    /// Everything in one piece of memory.
    pub fn into_bytes(self) -> Bytes {
        self.into_frame().into_bytes()
    }

    // Numbers cannot fail, but answer as everything else does: generated code treats all fields alike.

    pub(crate) fn bool(&mut self, value: bool) -> Result<()> {
        self.int8(i8::from(value))
    }

    pub(crate) fn int8(&mut self, value: i8) -> Result<()> {
        self.open.put_i8(value);
        Ok(())
    }

    pub(crate) fn int16(&mut self, value: i16) -> Result<()> {
        self.open.put_i16(value);
        Ok(())
    }

    pub(crate) fn uint16(&mut self, value: u16) -> Result<()> {
        self.open.put_u16(value);
        Ok(())
    }

    pub(crate) fn int32(&mut self, value: i32) -> Result<()> {
        self.open.put_i32(value);
        Ok(())
    }

    pub(crate) fn int64(&mut self, value: i64) -> Result<()> {
        self.open.put_i64(value);
        Ok(())
    }

    pub(crate) fn float64(&mut self, value: f64) -> Result<()> {
        self.open.put_f64(value);
        Ok(())
    }

    pub(crate) fn uuid(&mut self, value: &Uuid) -> Result<()> {
        self.open.put_slice(value.as_bytes());
        Ok(())
    }

    pub(crate) fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.open.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.open.put_u8(value as u8);
    }

    fn compact_length(&mut self, length: usize, field: &'static str) -> Result<()> {
        match i32::try_from(length) {
            Ok(short) if short < i32::MAX => self.uvarint(short as u32 + 1),
            _ => return Err(EncodeError::TooLong { field, length }),
        }
        Ok(())
    }

    fn short_length(&mut self, length: usize, flex: bool, field: &'static str) -> Result<()> {
        if flex {
            return self.compact_length(length, field);
        }
        let short = i16::try_from(length).map_err(|_| EncodeError::TooLong { field, length })?;
        self.int16(short)
    }

    fn long_length(&mut self, length: usize, flex: bool, field: &'static str) -> Result<()> {
        if flex {
            return self.compact_length(length, field);
        }
        let long = i32::try_from(length).map_err(|_| EncodeError::TooLong { field, length })?;
        self.int32(long)
    }

    fn null(&mut self, nullable: bool, flex: bool, plain: &[u8], field: &'static str) -> Result<()> {
        if !nullable {
            return Err(EncodeError::Null { field });
        }
        self.open.put_slice(if flex { &[0] } else { plain });
        Ok(())
    }

    pub(crate) fn string(&mut self, value: &str, flex: bool, field: &'static str) -> Result<()> {
        self.short_length(value.len(), flex, field)?;
        self.open.put_slice(value.as_bytes());
        Ok(())
    }

    pub(crate) fn opt_string(
        &mut self,
        value: &Option<String>,
        flex: bool,
        nullable: bool,
        field: &'static str,
    ) -> Result<()> {
        match value {
            Some(text) => self.string(text, flex, field),
            None => self.null(nullable, flex, &[0xff; 2], field),
        }
    }

    pub(crate) fn bytes(&mut self, value: &Bytes, flex: bool, field: &'static str) -> Result<()> {
        self.long_length(value.len(), flex, field)?;
        self.put_shared(value);
        Ok(())
    }

    pub(crate) fn opt_bytes(
        &mut self,
        value: &Option<Bytes>,
        flex: bool,
        nullable: bool,
        field: &'static str,
    ) -> Result<()> {
        match value {
            Some(bytes) => self.bytes(bytes, flex, field),
            None => self.null(nullable, flex, &[0xff; 4], field),
        }
    }

    pub(crate) fn opt_records(
        &mut self,
        value: &Option<Records>,
        flex: bool,
        nullable: bool,
        field: &'static str,
    ) -> Result<()> {
        let Some(records) = value else {
            return self.null(nullable, flex, &[0xff; 4], field);
        };
        self.long_length(records.len(), flex, field)?;
        for piece in records.pieces() {
            self.put_shared(piece);
        }
        Ok(())
    }

    pub(crate) fn array<T>(
        &mut self,
        list: &[T],
        flex: bool,
        field: &'static str,
        mut element: impl FnMut(&mut Writer, &T) -> Result<()>,
    ) -> Result<()> {
        self.long_length(list.len(), flex, field)?;
        for item in list {
            element(self, item)?;
        }
        Ok(())
    }

    pub(crate) fn opt_array<T>(
        &mut self,
        list: &Option<Vec<T>>,
        flex: bool,
        nullable: bool,
        field: &'static str,
        element: impl FnMut(&mut Writer, &T) -> Result<()>,
    ) -> Result<()> {
        match list {
            Some(list) => self.array(list, flex, field, element),
            None => self.null(nullable, flex, &[0xff; 4], field),
        }
    }

    pub(crate) fn opt_struct<T>(
        &mut self,
        value: &Option<T>,
        nullable: bool,
        field: &'static str,
        write: impl FnOnce(&mut Writer, &T) -> Result<()>,
    ) -> Result<()> {
        match value {
            Some(value) => {
                self.int8(1)?;
                write(self, value)
            }
            None if nullable => self.int8(-1),
            None => Err(EncodeError::Null { field }),
        }
    }

    pub(crate) fn no_tags(&mut self) {
        self.open.put_u8(0);
    }

    pub(crate) fn tags(&mut self, tags: Tags) {
        self.uvarint(tags.count);
        self.open.put_slice(&tags.body.into_bytes());
    }
}

/// Tagged fields being gathered: their number comes first, so they wait here.
#[derive(Default)]
pub(crate) struct Tags {
    count: u32,
    body: Writer,
}

impl Tags {
    pub(crate) fn new() -> Tags {
        Tags::default()
    }

    /// Adds a field; tags must come in rising order.
    pub(crate) fn put(&mut self, tag: u32, write: impl FnOnce(&mut Writer) -> Result<()>) -> Result<()> {
        let mut content = Writer::new();
        write(&mut content)?;
        let content = content.into_bytes();
        self.count += 1;
        self.body.uvarint(tag);
        self.body.uvarint(content.len() as u32);
        self.body.put_slice(&content);
        Ok(())
    }
}
