//! The last changes of an image: who followed an earlier one learns from them what differs, without a walk.

use crate::rows::RowKey;
use millstream_model::limits::IMAGE_CHANGES_MAX;
use rpds::RedBlackTreeMapSync as Map;
use std::sync::Arc;

/// The last changes, by number.
///
/// A change is known by the memory that it lies in, never by its number alone: images that went apart (a transaction that
/// failed, another one in its place) count the same numbers for different changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    changes: Map<u64, Arc<RowKey>>,
    /// The number of the newest; 0 before the first.
    last: u64,
}

impl Recent {
    /// One more row has changed.
    pub(super) fn push(&mut self, key: RowKey) {
        self.last += 1;
        self.changes.insert_mut(self.last, Arc::new(key));
        if let Some(old) = self.last.checked_sub(IMAGE_CHANGES_MAX) {
            self.changes.remove_mut(&old);
        }
    }

    /// What has changed since an earlier image, maybe one row several times; `None` when that one is no predecessor, or
    /// lies too far back.
    pub(super) fn since(&self, earlier: &Recent) -> Option<impl Iterator<Item = &RowKey>> {
        let follows = match earlier.changes.get(&earlier.last) {
            Some(theirs) => {
                let ours = self.changes.get(&earlier.last);
                ours.is_some_and(|ours| Arc::ptr_eq(ours, theirs))
            }
            // Before the first change every image was empty.
            None => self.last <= IMAGE_CHANGES_MAX,
        };
        follows.then(|| {
            self.changes
                .range(earlier.last + 1..)
                .map(|(_, key)| key.as_ref())
        })
    }
}
