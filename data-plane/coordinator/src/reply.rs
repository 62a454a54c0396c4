//! What a group answers.

use crate::error::GroupError;
use bytes::Bytes;
use millstream_model::{ConsumerGroupName, PartitionId};
use std::fmt;

/// A member as the leader sees it after a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its member id.
    pub member_id: String,
    /// Its instance id, if static.
    pub instance_id: Option<String>,
    /// Its metadata for the strategy that was chosen.
    pub metadata: Bytes,
}

/// A completed join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The new generation.
    pub generation: i32,
    /// The kind of group.
    pub protocol_type: Option<String>,
    /// The strategy that was chosen.
    pub protocol: Option<String>,
    /// The leader's member id.
    pub leader: String,
    /// Whether the leader must not assign anew (version 9 and later).
    pub skip_assignment: bool,
    /// The id of the member that is answered.
    pub member_id: String,
    /// For the leader: all members; for the others: nobody.
    pub members: Vec<JoinedMember>,
}

/// A completed sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The kind of group.
    pub protocol_type: Option<String>,
    /// The strategy that was chosen.
    pub protocol: Option<String>,
    /// What the member is to read, in the strategy's own form.
    pub assignment: Bytes,
}

/// What became of one member that was to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The member id as it was given.
    pub member_id: String,
    /// The instance id as it was given.
    pub instance_id: Option<String>,
    /// Whether it left.
    pub result: Result<(), GroupError>,
}

/// Each partition's own result, in the order asked.
pub type PerPartition = Vec<(PartitionId, Result<(), GroupError>)>;

/// Where a group stands, with Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// No members; perhaps offsets.
    Empty,
    /// Waiting for members to join.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
}

impl GroupState {
    /// Kafka's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group: ConsumerGroupName,
    /// Where it stands.
    pub state: GroupState,
    /// Its kind; empty when it never had members.
    pub protocol_type: String,
}

/// A member in a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its member id.
    pub member_id: String,
    /// Its instance id, if static.
    pub instance_id: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// Its metadata for the current strategy; empty while rebalancing.
    pub metadata: Bytes,
    /// Its assignment; empty while rebalancing.
    pub assignment: Bytes,
}

/// A group, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Where it stands.
    pub state: GroupState,
    /// Its kind; empty when it never had members.
    pub protocol_type: String,
    /// Its strategy; empty unless stable.
    pub protocol: String,
    /// Its members, by member id.
    pub members: Vec<DescribedMember>,
}
