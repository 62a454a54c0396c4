//! A change to one row, and how it is sent.

use crate::rows::{Row, RowKey};
use crate::stored::StoredError;

/// A change to one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The row is now so.
    Put(Row),
    /// The row is gone.
    Remove(RowKey),
}

impl Change {
    /// The row that it changes.
    pub fn key(&self) -> RowKey {
        match self {
            Change::Put(row) => row.key(),
            Change::Remove(key) => key.clone(),
        }
    }

    /// Its sent form: the key, and the value unless the row is gone.
    pub fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        match self {
            Change::Put(row) => (row.key().encode(), Some(row.encode())),
            Change::Remove(key) => (key.encode(), None),
        }
    }

    /// Its sent form in one piece: the key with its length, a byte that says whether a value follows, the value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (key, value) = self.encode();
        let length = u16::try_from(key.len()).expect("bug: the catalog bounds names, so keys are short");
        let mut out = Vec::with_capacity(3 + key.len() + value.as_ref().map_or(0, Vec::len));
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&key);
        out.push(u8::from(value.is_some()));
        out.extend_from_slice(value.as_deref().unwrap_or_default());
        out
    }

    /// From its sent form in one piece.
    pub fn from_bytes(bytes: &[u8]) -> Result<Change, StoredError> {
        const MALFORMED: StoredError = StoredError::Key { table: 0 };
        let (length, rest) = bytes.split_first_chunk::<2>().ok_or(MALFORMED)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (key, rest) = rest.split_at_checked(length).ok_or(MALFORMED)?;
        match rest.split_first() {
            Some((0, [])) => Change::decode(key, None),
            Some((1, value)) => Change::decode(key, Some(value)),
            _ => Err(MALFORMED),
        }
    }

    /// From its sent form.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Change, StoredError> {
        match value {
            Some(value) => Row::decode(key, value).map(Change::Put),
            None => RowKey::decode(key).map(Change::Remove),
        }
    }
}
