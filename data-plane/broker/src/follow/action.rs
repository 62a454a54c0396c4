//! What following the catalog asks a node to do.

use millstream_metadata::GroupRow;
use millstream_model::{GroupId, Lsn, PartitionId, TenantId, TopicId};
use millstream_replication::Assignment;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A partition to be opened, with its owner and its base epoch.
pub type ToOpen = (PartitionId, TenantId, i32);

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin to serve a group, with what the disk has of it or anew.
    TakeUp {
        /// Its row.
        row: Arc<GroupRow>,
    },
    /// Get a group from its snapshot in the store: the disk has not enough of it.
    Install {
        /// Its row.
        row: Arc<GroupRow>,
    },
    /// Tell a group which snapshot the catalog names: who did not report it itself does not know, and keeps its journal.
    Named {
        /// The group.
        group: GroupId,
        /// The snapshot's last entry.
        snapshot: Lsn,
    },
    /// Tell a group who leads it and who is in it.
    Assign {
        /// The group.
        group: GroupId,
        /// Its row as its log sees it.
        assignment: Assignment,
        /// Whether this node has its only replica.
        is_alone: bool,
    },
    /// Open partitions that the catalog has put into a group that is led here.
    Open {
        /// The group.
        group: GroupId,
        /// The partitions.
        partitions: Vec<ToOpen>,
    },
    /// Delete a topic's partitions from the groups that are led here, and report it.
    Delete {
        /// The topic.
        topic: TopicId,
    },
    /// From now on these partitions are those that groups have and the catalog does not.
    Unknown(BTreeSet<PartitionId>),
    /// From now on these groups are those that have partitions and that nobody serves.
    Lost(BTreeSet<GroupId>),
}
