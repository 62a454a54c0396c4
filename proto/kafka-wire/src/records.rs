//! The bytes of a `records` field: one piece when it was received, any number of pieces when it is sent.

use bytes::{Bytes, BytesMut};

/// Record batches as they lie on the wire, in shared pieces that are never joined just to be sent.
///
/// Two are equal when they hold the same bytes, however cut.
#[derive(Clone, Default)]
pub struct Records {
    pieces: Vec<Bytes>,
}

impl Records {
    /// Nothing yet.
    pub fn new() -> Records {
        Records::default()
    }

    /// Adds a piece at the end; an empty one is dropped.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    /// The pieces, none of them empty.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// Bytes in all pieces.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// All bytes in one piece: copied only where there are several.
    pub fn into_bytes(mut self) -> Bytes {
        if self.pieces.len() <= 1 {
            return self.pieces.pop().unwrap_or_default();
        }
        let mut all = BytesMut::with_capacity(self.len());
        for piece in &self.pieces {
            all.extend_from_slice(piece);
        }
        all.freeze()
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Records {
        let mut records = Records::new();
        records.push(bytes);
        records
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(mut pieces: Vec<Bytes>) -> Records {
        pieces.retain(|piece| !piece.is_empty());
        Records { pieces }
    }
}

impl FromIterator<Bytes> for Records {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Records {
        Records::from(pieces.into_iter().collect::<Vec<_>>())
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Records) -> bool {
        self.len() == other.len()
            && self
                .pieces
                .iter()
                .flatten()
                .zip(other.pieces.iter().flatten())
                .all(|(a, b)| a == b)
    }
}

impl Eq for Records {}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({} bytes in {} pieces)", self.len(), self.pieces.len())
    }
}
