//! What each kind of call needs, in one table, whatever the door: doors name an [`Action`], never an operation.

use millstream_access::{Operation, Principal, Resource, allowed};
use millstream_model::Kind;

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

    /// Whether the caller may do it in its own virtual cluster.
    ///
    /// # Errors
    /// When it may not.
    pub fn permit(self, who: &Principal) -> Result<(), Denied> {
        match self.is_allowed(who) {
            true => Ok(()),
            false => Err(Denied { action: self }),
        }
    }

    /// Whether it takes from a meter of bytes.
    pub fn moves_bytes(self) -> bool {
        matches!(self, Action::Produce | Action::Fetch)
    }

    /// Whether it names partitions of which each has an answer of its own, a refusal too.
    pub fn is_by_partition(self) -> bool {
        matches!(
            self,
            Action::Produce | Action::Fetch | Action::Watch | Action::ListOffsets | Action::DeleteRecords
        )
    }
}

/// The caller may not do such a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this needs a key that may {}", words(.action.operation()))]
pub struct Denied {
    /// What it asked for.
    pub action: Action,
}

impl Denied {
    /// What went wrong.
    pub fn kind(self) -> Kind {
        match self.action {
            Action::Produce
            | Action::Fetch
            | Action::Watch
            | Action::ListOffsets
            | Action::DeleteRecords
            | Action::FencePartition => Kind::TopicDenied,
            Action::InitProducer => Kind::ClusterDenied,
            Action::UseGroup
            | Action::CommitOffsets
            | Action::FetchOffsets
            | Action::ListGroups
            | Action::DescribeGroup
            | Action::DeleteOffsets
            | Action::DeleteGroup => Kind::GroupDenied,
        }
    }
}

fn words(operation: Operation) -> &'static str {
    match operation {
        Operation::Produce => "produce",
        Operation::Consume => "consume",
        Operation::Describe => "describe",
        Operation::SqlRead => "read in SQL",
        Operation::Manage => "manage its virtual cluster",
    }
}
