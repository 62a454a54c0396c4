//! What each kind of call needs, in one table, whatever the door: doors name an [`Action`], never an operation.

use millstream_access::{Operation, Principal, Resource, allowed};

/// A kind of call of the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Append batches.
    Produce,
    /// Get an id for an idempotent producer.
    InitProducer,
    /// Read batches.
    Fetch,
    /// Follow high watermarks.
    Watch,
    /// Look offsets up by time or end.
    ListOffsets,
    /// Move a partition's start.
    DeleteRecords,
    /// Take a partition over for a part of the service.
    FencePartition,
    /// Join, sync, beat and leave as a member of a group.
    UseGroup,
    /// Move a group's offsets, as a member or, of a group without members, by hand.
    CommitOffsets,
    /// Read a group's offsets.
    FetchOffsets,
    /// See which groups there are.
    ListGroups,
    /// See a group's members.
    DescribeGroup,
    /// Forget a group's offsets of some partitions.
    DeleteOffsets,
    /// Forget a group with all its offsets.
    DeleteGroup,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 14] = [
        Action::Produce,
        Action::InitProducer,
        Action::Fetch,
        Action::Watch,
        Action::ListOffsets,
        Action::DeleteRecords,
        Action::FencePartition,
        Action::UseGroup,
        Action::CommitOffsets,
        Action::FetchOffsets,
        Action::ListGroups,
        Action::DescribeGroup,
        Action::DeleteOffsets,
        Action::DeleteGroup,
    ];

    /// What a caller must be allowed for it. As with Kafka's ACLs, using a group (READ) does not allow to delete it
    /// (DELETE): a consumer's key that leaks loses no offsets of others for good.
    pub fn operation(self) -> Operation {
        match self {
            Action::Produce | Action::InitProducer => Operation::Produce,
            Action::Fetch
            | Action::UseGroup
            | Action::CommitOffsets
            | Action::FetchOffsets
            | Action::DescribeGroup => Operation::Consume,
            Action::Watch | Action::ListOffsets | Action::ListGroups => Operation::Describe,
            Action::DeleteRecords | Action::FencePartition | Action::DeleteOffsets | Action::DeleteGroup => {
                Operation::Manage
            }
        }
    }

    /// Whether the caller may do it in its own virtual cluster.
    pub fn is_allowed(self, who: &Principal) -> bool {
        allowed(who, self.operation(), Resource::Tenant(who.tenant))
    }
}
