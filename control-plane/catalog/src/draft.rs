//! The changes that one command makes, over the image that they would make.

use millstream_metadata::{Change, ClusterRow, GroupRow, Image, Row, RowKey};
use std::sync::Arc;

/// An image with changes on top that nobody else sees yet.
#[derive(Debug)]
pub(crate) struct Draft {
    image: Image,
    changes: Vec<Change>,
}

impl Draft {
    /// Nothing changed yet.
    pub fn new(image: &Image) -> Draft {
        Draft {
            image: image.clone(),
            changes: Vec::new(),
        }
    }

    /// As it would be.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Writes a row.
    pub fn put(&mut self, row: Row) {
        self.push(Change::Put(row));
    }

    /// Writes the row of a group whose leadership, members or in-sync replicas change: whatever was proposed on the
    /// strength of the row before is stale from here on.
    ///
    /// # Panics
    /// When the leader is not in sync, a replica in sync is no member, or the epoch falls.
    pub fn put_group(&mut self, row: GroupRow) {
        let in_sync = |journal| row.isr.iter().any(|replica| replica.journal == journal);
        assert!(
            row.leader.is_none_or(in_sync),
            "bug: the leader of group {} is not in sync",
            row.id
        );
        assert!(
            row.isr
                .iter()
                .all(|replica| row.members.contains(&replica.journal)),
            "bug: a replica in sync is no member of group {}",
            row.id
        );
        let before = self.image.group(row.id);
        assert!(
            before.is_none_or(|before| before.epoch <= row.epoch),
            "bug: the epoch of group {} falls to {}",
            row.id,
            row.epoch
        );
        let version = before.map_or(0, |before| before.version) + 1;
        self.put(Row::Group(Arc::new(GroupRow { version, ..row })));
    }

    /// Removes a row.
    pub fn remove(&mut self, key: RowKey) {
        self.push(Change::Remove(key));
    }

    /// Changes the cluster's row, and gives what `change` gives.
    pub fn cluster<T>(&mut self, change: impl FnOnce(&mut ClusterRow) -> T) -> T {
        let mut row = self.image.cluster().clone();
        let made = change(&mut row);
        self.put(Row::Cluster(row.into()));
        made
    }

    /// What was changed, in order.
    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    fn push(&mut self, change: Change) {
        self.image.apply(&change);
        self.changes.push(change);
    }
}
