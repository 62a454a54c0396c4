//! The shell around the group coordinator: commands in, answers out once their records are committed.

use crate::interface::groups::{
    Command, CommitOffsets, CommittedOffset, DescribedGroup, GroupError, Heartbeat, Join, Joined, Leave,
    Left, ListedGroup, Reply, Sync, Synced,
};
use millstream_access::Principal;
use millstream_model::{ConsumerGroupName, PartitionId, TopicName};

/// Consumer groups of this node. Every call is about a group of the caller's own virtual cluster.
pub struct GroupsHandle {}

impl GroupsHandle {
    /// JoinGroup: answers when the rebalance is complete. The request's nonce is set here.
    ///
    /// # Errors
    /// The coordinator's refusals.
    pub async fn join(
        &self,
        who: &Principal,
        group: ConsumerGroupName,
        join: Join,
    ) -> Result<Joined, GroupError> {
        match self.ask(who, group, Command::Join(join)).await? {
            Reply::Joined(answer) => answer,
            _ => Err(GroupError::NotAvailable),
        }
    }

    /// SyncGroup: answers when the leader has assigned.
    ///
    /// # Errors
    /// The coordinator's refusals.
    pub async fn sync(
        &self,
        who: &Principal,
        group: ConsumerGroupName,
        sync: Sync,
    ) -> Result<Synced, GroupError> {
        match self.ask(who, group, Command::Sync(sync)).await? {
            Reply::Synced(answer) => answer,
            _ => Err(GroupError::NotAvailable),
        }
    }

    /// Heartbeat.
    ///
    /// # Errors
    /// The coordinator's refusals.
    pub async fn heartbeat(
        &self,
        who: &Principal,
        group: ConsumerGroupName,
        heartbeat: Heartbeat,
    ) -> Result<(), GroupError> {
        match self.ask(who, group, Command::Heartbeat(heartbeat)).await? {
            Reply::Heartbeat(answer) => answer,
            _ => Err(GroupError::NotAvailable),
        }
    }

    /// LeaveGroup.
    ///
    /// # Errors
    /// The coordinator's refusals.
    pub async fn leave(
        &self,
        who: &Principal,
        group: ConsumerGroupName,
        leave: Leave,
    ) -> Result<Vec<Left>, GroupError> {
        match self.ask(who, group, Command::Leave(leave)).await? {
            Reply::Left(answer) => answer,
            _ => Err(GroupError::NotAvailable),
        }
    }

    /// OffsetCommit: answers once the offsets are durable.
    ///
    /// # Errors
    /// The coordinator's refusals.
    pub async fn commit_offsets(
        &self,
        who: &Principal,
        group: ConsumerGroupName,
        commit: CommitOffsets,
    ) -> Result<Vec<(PartitionId, Result<(), GroupError>)>, GroupError> {
        match self.ask(who, group, Command::CommitOffsets(commit)).await? {
            Reply::OffsetsCommitted(answer) => answer,
            _ => Err(GroupError::NotAvailable),
        }
    }

    /// OffsetFetch: of these partitions, or of all. Partitions without an offset are left out.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`].
    pub async fn fetch_offsets(
        &self,
        who: &Principal,
        group: &ConsumerGroupName,
        partitions: Option<&[PartitionId]>,
    ) -> Result<Vec<(PartitionId, CommittedOffset)>, GroupError> {
        let _ = (who, group, partitions);
        Err(GroupError::NotCoordinator)
    }

    /// DeleteGroups.
    ///
    /// # Errors
    /// The coordinator's refusals.
    pub async fn delete(&self, who: &Principal, group: ConsumerGroupName) -> Result<(), GroupError> {
        match self.ask(who, group, Command::DeleteGroup).await? {
            Reply::GroupDeleted(answer) => answer,
            _ => Err(GroupError::NotAvailable),
        }
    }

    /// OffsetDelete.
    ///
    /// # Errors
    /// The coordinator's refusals.
    pub async fn delete_offsets(
        &self,
        who: &Principal,
        group: ConsumerGroupName,
        offsets: Vec<(TopicName, PartitionId)>,
    ) -> Result<Vec<(PartitionId, Result<(), GroupError>)>, GroupError> {
        match self.ask(who, group, Command::DeleteOffsets(offsets)).await? {
            Reply::OffsetsDeleted(answer) => answer,
            _ => Err(GroupError::NotAvailable),
        }
    }

    /// ListGroups.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`].
    pub fn list(&self, who: &Principal) -> Result<Vec<ListedGroup>, GroupError> {
        let _ = who;
        Err(GroupError::NotCoordinator)
    }

    /// DescribeGroups: one group; `None` when it does not exist.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`].
    pub fn describe(
        &self,
        who: &Principal,
        group: &ConsumerGroupName,
    ) -> Result<Option<DescribedGroup>, GroupError> {
        let _ = (who, group);
        Err(GroupError::NotCoordinator)
    }

    /// Puts a command to the coordinator and waits for its answer.
    async fn ask(
        &self,
        who: &Principal,
        group: ConsumerGroupName,
        command: Command,
    ) -> Result<Reply, GroupError> {
        let _ = (who, group, command);
        Err(GroupError::NotCoordinator)
    }
}
