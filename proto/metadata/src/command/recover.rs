//! The operator's command for groups whose journals are lost, and its reply.

use crate::rows::{GroupPurpose, SnapshotRef};
use millstream_model::{Epoch, GroupId, JournalId};
use std::fmt;

/// The operator's decision that journals which no living node has are lost: every group all of whose members are
/// gone is led from its last snapshot by this journal alone (log.md 17).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoverGroups {
    /// Who takes them over.
    pub journal: JournalId,
}

/// What [`RecoverGroups`] has done, and what it left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupsRecovered {
    /// What was taken over.
    pub groups: Vec<RecoveredGroup>,
    /// Journals whose groups were left alone, for their nodes' sessions have not ended.
    pub alive: Vec<JournalId>,
}

/// A group whose journals are lost and which goes on from its last snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredGroup {
    /// The group.
    pub group: GroupId,
    /// Whose partitions it holds.
    pub purpose: GroupPurpose,
    /// The epoch in which it goes on.
    pub epoch: Epoch,
    /// The journals that held it.
    pub lost: Vec<JournalId>,
    /// Where it goes on: what was written later is lost. None: all that it held is lost.
    pub snapshot: Option<SnapshotRef>,
    /// Partitions of topics in it.
    pub partitions: usize,
}

impl fmt::Display for RecoveredGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, partitions) = (self.group, self.partitions);
        match (&self.snapshot, partitions) {
            (Some(snapshot), _) => write!(
                f,
                "group {group} ({partitions} partitions) goes on from its snapshot at LSN {}: whatever was written \
                 after it is lost",
                snapshot.lsn
            ),
            (None, 0) => write!(f, "group {group} held no partitions: nothing is lost"),
            (None, _) => write!(
                f,
                "group {group} ({partitions} partitions) has no snapshot in the store: ALL RECORDS of these \
                 partitions are lost, they begin again empty"
            ),
        }
    }
}
