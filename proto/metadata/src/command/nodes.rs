//! Commands of nodes: process starts, sessions, and what leaders report.

use crate::rows::{HostPort, Replica, SnapshotRef};
use millstream_model::{Epoch, GroupId, JournalId, PartitionIndex, ProducerId, Registration, TopicId};

/// A node's process starts (log.md 13, 14); the reply has its registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterNode {
    /// The journal it holds locked.
    pub journal: JournalId,
    /// The number that the journal knows from its last start; none on an empty disk.
    pub registration_last: Option<Registration>,
    /// Where Kafka clients reach it.
    pub kafka: HostPort,
    /// Where gRPC and HTTP clients reach it.
    pub http: HostPort,
    /// The newest feature level that its release knows.
    pub feature_level_max: u32,
    /// The journal is damaged: it may have lost the number that it confirmed, and takes nothing (log.md 5).
    pub damaged: bool,
}

/// The journal has the registration's number on disk (fsynced): from here on an older number proves that the journal
/// was rolled back. To be acknowledged before the node serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmRegistration {
    /// Whose.
    pub journal: JournalId,
    /// The number.
    pub registration: Registration,
}

/// A node lives, and its image has come so far. Changes no row, unless the node was taken for lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The process start.
    pub registration: Registration,
    /// The version of its image.
    pub version: u64,
}

/// A node's session has ended (the controller says so).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndSession {
    /// Whose.
    pub journal: JournalId,
    /// The process start that was judged; a newer one is spared.
    pub registration: Registration,
}

/// A leader proposes a new set of in-sync replicas. [`crate::Refusal::VersionConflict`] when the group's row has changed
/// since, be it by an earlier copy of the same proposal (log.md 14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposeIsr {
    /// The group.
    pub group: GroupId,
    /// The epoch in which the proposer leads.
    pub epoch: Epoch,
    /// The version of the group's row that it changes: a copy that comes late must not undo what came after.
    pub base_version: u64,
    /// The new set, with the incarnation of each.
    pub isr: Vec<Replica>,
}

/// A leader whose own disk holds its group up wants another one (log.md 19). Nothing changes when no other in-sync member
/// is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resign {
    /// The group.
    pub group: GroupId,
    /// The epoch in which it leads.
    pub epoch: Epoch,
}

/// A leader has stored a snapshot of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSnapshot {
    /// The group.
    pub group: GroupId,
    /// The epoch in which the reporter leads.
    pub epoch: Epoch,
    /// Where it lies.
    pub snapshot: SnapshotRef,
}

/// A leader's group has committed the deletion of a topic's partitions in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportDeleted {
    /// The group.
    pub group: GroupId,
    /// The topic.
    pub topic: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionIndex>,
}

/// Reserve a block of producer ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocateProducerIds;

/// A block of producer ids: from `first`, `count` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIds {
    /// The first.
    pub first: ProducerId,
    /// How many.
    pub count: u32,
}

/// Raise the feature level (log.md 41).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaiseFeatureLevel {
    /// To which.
    pub level: u32,
}
