//! What a node does of what the catalog says: where a plan starts from, and what carrying it out changes.

use super::action::Action;
use millstream_metadata::{GroupRow, PartitionRow};
use millstream_model::{GroupId, JournalId, Lsn, PartitionId, Registration, TopicId};
use millstream_replication::{Assignment, Member};
use std::collections::{BTreeMap, BTreeSet};

/// The partitions that a node's groups have, by what they have applied.
pub trait Held {
    /// All of a group; none of one that is not served.
    fn partitions(&self, group: GroupId) -> BTreeSet<PartitionId>;

    /// Whether a group has a partition.
    fn has(&self, group: GroupId, partition: PartitionId) -> bool;
}

/// What a restart found of a group on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisk {
    /// A log that ends with this entry.
    Whole(Lsn),
    /// Something, but with a gap: it is not begun anew, and served only if the store makes it whole.
    Broken,
}

/// Bugs put in on purpose, for tests only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    /// A change of members or in-sync replicas is not told while the epoch lasts.
    pub assigned_by_epoch: bool,
    /// What the catalog put into a group is not looked at when its leadership comes here.
    pub elected_without_a_look: bool,
    /// A replica begins with what its disk has, though the catalog names a snapshot that goes further (against log.md 30).
    pub short_log_suffices: bool,
    /// Nodes that started anew do not change who the members of groups are.
    pub old_incarnations: bool,
}

/// A group that is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    /// What it was last told.
    pub(super) assignment: Option<Assignment>,
    /// The last entry of the snapshot that it knows the catalog to name.
    pub(super) named: Lsn,
}

/// What is looked at by the next plan, though nothing may have changed in the catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Groups: whether they can be served.
    pub(super) groups: BTreeSet<GroupId>,
    /// The same of every group.
    pub(super) every_group: bool,
    /// Groups that are served: what they have and what they should have.
    pub(super) contents: BTreeSet<GroupId>,
    pub(super) topics: BTreeSet<TopicId>,
}

/// What a node does of what the catalog says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    pub(super) journal: JournalId,
    /// The number of this start, once there is one.
    pub(super) registration: Option<Registration>,
    /// What a restart found of groups that are not served yet.
    pub(super) on_disk: BTreeMap<GroupId, OnDisk>,
    /// Groups on their way from the store.
    pub(super) installing: BTreeSet<GroupId>,
    pub(super) served: BTreeMap<GroupId, Served>,
    /// Topics whose partitions are being deleted.
    pub(super) deleting: BTreeSet<TopicId>,
    /// Partitions that groups have and the catalog does not: they are kept and not served (log.md 34).
    pub(super) unknown: BTreeSet<PartitionId>,
    /// Groups with partitions that nobody serves.
    pub(super) lost: BTreeSet<GroupId>,
    pub(super) due: Due,
    pub(super) planted: Planted,
}

impl Local {
    /// Of a start that found this on its disk and serves nothing yet.
    pub fn new(journal: JournalId, on_disk: BTreeMap<GroupId, OnDisk>) -> Local {
        Local {
            journal,
            registration: None,
            on_disk,
            installing: BTreeSet::new(),
            served: BTreeMap::new(),
            deleting: BTreeSet::new(),
            unknown: BTreeSet::new(),
            lost: BTreeSet::new(),
            due: Due::default(),
            planted: Planted::default(),
        }
    }

    /// With a bug put in on purpose. Never outside tests.
    pub fn with_planted(mut self, planted: Planted) -> Local {
        self.planted = planted;
        self
    }

    /// Whether there may be something to do though nothing changes in the catalog.
    pub fn is_due(&self) -> bool {
        self.due != Due::default()
    }

    /// Partitions that groups have and the catalog does not.
    pub fn unknown(&self) -> &BTreeSet<PartitionId> {
        &self.unknown
    }

    /// Groups with partitions that nobody serves.
    pub fn lost(&self) -> &BTreeSet<GroupId> {
        &self.lost
    }

    /// This start has its number: from here on it may lead, and install what its disk lacks.
    pub fn registered(&mut self, registration: Registration) {
        self.registration = Some(registration);
        self.due.every_group = true;
        self.due.contents.extend(self.served.keys());
    }

    /// A group has come from the store, with a log that ends with this entry.
    pub fn arrived(&mut self, group: GroupId, end: Lsn) {
        self.installing.remove(&group);
        self.on_disk.insert(group, OnDisk::Whole(end));
        self.due.groups.insert(group);
    }

    /// Of a topic nothing is left to delete here.
    pub fn deleted(&mut self, topic: TopicId) {
        self.deleting.remove(&topic);
        self.due.topics.insert(topic);
    }

    /// Something of a topic could not be done yet.
    pub fn again(&mut self, topic: TopicId) {
        self.due.topics.insert(topic);
    }

    /// An action was carried out.
    pub fn did(&mut self, action: &Action) {
        match action {
            Action::TakeUp { row } => {
                self.on_disk.remove(&row.id);
                self.served.entry(row.id).or_default();
            }
            Action::Install { row } => {
                self.installing.insert(row.id);
            }
            Action::Named { group, snapshot } => {
                self.served.entry(*group).or_default().named = *snapshot;
            }
            Action::Assign {
                group, assignment, ..
            } => {
                let is_news = self.is_news(*group, assignment);
                self.served.entry(*group).or_default().assignment = Some(assignment.clone());
                if is_news {
                    self.due.contents.insert(*group);
                }
            }
            Action::Open { .. } => {}
            Action::Delete { topic } => drop(self.deleting.insert(*topic)),
            Action::Unknown(partitions) => self.unknown.clone_from(partitions),
            Action::Lost(groups) => self.lost.clone_from(groups),
        }
    }

    /// Whether a group's contents have to be looked at after it was told this: it has just been taken up, or is led here
    /// from now on.
    fn is_news(&self, group: GroupId, assignment: &Assignment) -> bool {
        let Some(before) = self
            .served
            .get(&group)
            .and_then(|served| served.assignment.as_ref())
        else {
            return true;
        };
        let led = self.is_leader(assignment) && assignment.epoch > before.epoch;
        led && !self.planted.elected_without_a_look
    }

    /// Whether this start leads by an assignment.
    pub(super) fn is_leader(&self, assignment: &Assignment) -> bool {
        let myself = self.registration.map(|registration| Member {
            journal: self.journal,
            registration,
        });
        myself.is_some() && assignment.leader == myself
    }

    /// Whether a group can be begun with what the disk has of it. The only replica must have all that the catalog's snapshot
    /// has; who is behind others gets the rest from them.
    pub(super) fn suffices(&self, row: &GroupRow) -> bool {
        let goes_as_far = |end: Lsn| end >= named(row) || row.members != [self.journal];
        let planted = self.planted.short_log_suffices;
        match self.on_disk.get(&row.id) {
            Some(OnDisk::Broken) => false,
            Some(OnDisk::Whole(end)) => goes_as_far(*end) || planted,
            None => goes_as_far(Lsn::ZERO) || planted,
        }
    }
}

/// The last entry of the snapshot that the catalog names.
pub(super) fn named(row: &GroupRow) -> Lsn {
    row.snapshot.map_or(Lsn::ZERO, |stored| stored.lsn)
}

/// Whether a partition of a topic that is being deleted is still to be: its group has not said that it is, or has said so
/// and lost it with a part of its log.
pub(super) fn must_delete(row: &PartitionRow, is_held: impl FnOnce() -> bool) -> bool {
    !row.deleted || is_held()
}
