//! What each kind of row says of itself: a file of `rows/` is one kind, and implements this.

use rpds::RedBlackTreeMapSync as Map;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;

#[cfg(test)]
pub use draw::Draw;

/// A kind of row.
pub trait Kind: Clone + Debug + PartialEq + Serialize + DeserializeOwned {
    /// The first byte of its keys: no other kind's, and never reused.
    const TAG: u8;
    /// The version of its value that this release writes and reads.
    const VERSION: u8;
    /// What names a row among those of its kind.
    type Key: StoredKey;
    /// What an image keeps of it.
    type Table: Table<Self>;

    /// What names this row.
    fn key(&self) -> Self::Key;

    /// A row for tests, its fields filled from what was drawn.
    #[cfg(test)]
    fn sample(draw: &Draw) -> Self;
}

/// What names a row, in its stored form behind the tag: numbers big-endian, texts with their length.
pub trait StoredKey: Sized {
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);

    /// Takes it off the front; none when the bytes are not one.
    fn take(bytes: &mut &[u8]) -> Option<Self>;
}

/// What an image keeps of one kind of row. The same rows, whatever came and went before, are the same table.
pub trait Table<R: Kind>: Clone + Debug + Default + PartialEq {
    /// The row is now so.
    fn put(&mut self, row: &Arc<R>);

    /// The row is gone, if it was there.
    fn remove(&mut self, key: &R::Key);

    /// Every row.
    fn rows(&self) -> impl Iterator<Item = Arc<R>>;
}

/// Most kinds: rows by their keys.
impl<R: Kind> Table<R> for Map<R::Key, Arc<R>>
where
    R::Key: Clone + Debug + Ord,
{
    fn put(&mut self, row: &Arc<R>) {
        self.insert_mut(row.key(), Arc::clone(row));
    }

    fn remove(&mut self, key: &R::Key) {
        self.remove_mut(key);
    }

    fn rows(&self) -> impl Iterator<Item = Arc<R>> {
        self.values().cloned()
    }
}

/// A kind that images do not keep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NotKept;

impl<R: Kind> Table<R> for NotKept {
    fn put(&mut self, _row: &Arc<R>) {}

    fn remove(&mut self, _key: &R::Key) {}

    fn rows(&self) -> impl Iterator<Item = Arc<R>> {
        std::iter::empty()
    }
}

/// Takes so many bytes off the front.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// Takes a text off the front.
pub(crate) fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = u32::from_be_bytes(take(bytes)?);
    let (text, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    String::from_utf8(text.to_owned()).ok()
}

/// Appends a text.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("bug: the catalog bounds names far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod draw {
    use millstream_model::segment::{ObjectOwner, ObjectRef};
    use millstream_model::{
        Epoch, GroupId, KeyId, PartitionId, PartitionIndex, TenantId, TimestampMs, TopicId,
    };
    use uuid::Uuid;

    /// What a row for tests is filled from.
    #[derive(Clone, Debug)]
    pub struct Draw {
        pub number: u64,
        pub text: String,
        pub flag: bool,
    }

    impl Draw {
        pub fn small(&self) -> u32 {
            u32::try_from(self.number % 1_000_000).expect("bug: it is below a million")
        }

        pub fn uuid(&self) -> Uuid {
            Uuid::from_u128(u128::from(self.number) << 64 | 5)
        }

        pub fn tenant(&self) -> TenantId {
            TenantId(self.number)
        }

        pub fn key(&self) -> KeyId {
            KeyId::from_random([u8::try_from(self.number % 251).expect("bug: it is a byte"); 20])
        }

        pub fn time(&self) -> TimestampMs {
            TimestampMs(i64::try_from(self.number >> 1).expect("bug: half of a number fits"))
        }

        pub fn object(&self, is_shared: bool) -> ObjectRef {
            let partition = PartitionId {
                topic: TopicId(self.uuid()),
                index: PartitionIndex(self.small()),
            };
            let group = GroupId(self.small());
            ObjectRef {
                owner: if is_shared {
                    ObjectOwner::Shared(group)
                } else {
                    ObjectOwner::Own(partition)
                },
                group,
                epoch: Epoch(self.small()),
                number: self.number,
            }
        }
    }
}
