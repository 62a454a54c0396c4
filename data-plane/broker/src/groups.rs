//! The doors' side of consumer groups: commands in, answers out once their records are committed.

use crate::interface::groups::{
    CommitOffsets, CommittedOffset, DeleteGroup, DeleteOffsets, DescribedGroup, GroupError, GroupKey,
    Heartbeat, Join, Joined, Leave, Left, ListedGroup, Request, Sync, Synced,
};
use crate::shell::Shell;
use millstream_access::Principal;
use millstream_coordinator::Coordinator;
use millstream_model::{ConsumerGroupName, PartitionId, SLOTS, SlotKind, TopicName};
use std::sync::Arc;

/// Consumer groups of this node. Every call is about a group of the caller's own virtual cluster.
#[derive(Clone)]
pub struct GroupsHandle {
    pub(crate) shell: Arc<Shell>,
}

impl GroupsHandle {
    /// JoinGroup: answers when the rebalance is complete. The request's nonce is set here.
    ///
    /// # Errors
    /// The coordinator's refusals.
    pub async fn join(
        &self,
        who: &Principal,
        group: ConsumerGroupName,
        mut join: Join,
    ) -> Result<Joined, GroupError> {
        join.nonce = rand::random();
        self.ask_and_wait(who, group, join).await
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
        self.ask_and_wait(who, group, sync).await
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
        self.ask(who, group, heartbeat).await
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
        self.ask(who, group, leave).await
    }

    /// OffsetCommit: answers once the offsets are durable. The caller has made sure that the partitions are its own.
    ///
    /// # Errors
    /// The coordinator's refusals.
    pub async fn commit_offsets(
        &self,
        who: &Principal,
        group: ConsumerGroupName,
        commit: CommitOffsets,
    ) -> Result<Vec<(PartitionId, Result<(), GroupError>)>, GroupError> {
        self.ask(who, group, commit).await
    }

    /// OffsetFetch: of these partitions, or of all. Partitions without an offset are left out.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`].
    pub fn fetch_offsets(
        &self,
        who: &Principal,
        group: &ConsumerGroupName,
        partitions: Option<&[PartitionId]>,
    ) -> Result<Vec<(PartitionId, CommittedOffset)>, GroupError> {
        let key = key_of(who, group);
        let found = self.shell.look_into(&key, |groups: &Coordinator| {
            groups.fetch_offsets(&key, partitions)
        });
        found.ok_or(GroupError::NotCoordinator)
    }

    /// DeleteGroups.
    ///
    /// # Errors
    /// The coordinator's refusals.
    pub async fn delete(&self, who: &Principal, group: ConsumerGroupName) -> Result<(), GroupError> {
        self.ask(who, group, DeleteGroup).await
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
        self.ask(who, group, DeleteOffsets { offsets }).await
    }

    /// ListGroups: those of all slots, in the order of their names. Fails when one of them is not here, for a list that is
    /// silently short would be taken for the whole.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`].
    pub fn list(&self, who: &Principal) -> Result<Vec<ListedGroup>, GroupError> {
        let mut listed = Vec::new();
        for index in 0..SLOTS {
            let slot = SlotKind::Groups.slot(index);
            let of_slot = self
                .shell
                .look_into_slot(slot, |groups: &Coordinator| groups.list(who.tenant));
            listed.extend(of_slot.ok_or(GroupError::NotCoordinator)?);
        }
        listed.sort_by(|a: &ListedGroup, b| a.group.cmp(&b.group));
        Ok(listed)
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
        let key = key_of(who, group);
        let found = self
            .shell
            .look_into(&key, |groups: &Coordinator| groups.describe(&key));
        found.ok_or(GroupError::NotCoordinator)
    }

    /// As [`GroupsHandle::ask`], for what waits for other members: not while the service drains.
    async fn ask_and_wait<R: Request>(
        &self,
        who: &Principal,
        group: ConsumerGroupName,
        request: R,
    ) -> Result<R::Reply, GroupError> {
        tokio::select! {
            biased;
            answer = self.ask(who, group, request) => answer,
            () = self.shell.draining.cancelled() => Err(GroupError::NotCoordinator),
        }
    }

    /// Puts a command to the coordinator and waits for its answer.
    async fn ask<R: Request>(
        &self,
        who: &Principal,
        group: ConsumerGroupName,
        request: R,
    ) -> Result<R::Reply, GroupError> {
        let key = key_of(who, &group);
        let asked = self.shell.ask::<Coordinator>(&key, request.into_command());
        asked.await.ok_or(GroupError::NotCoordinator)?.map(R::reply_of)
    }
}

/// A group is always named with its tenant.
fn key_of(who: &Principal, group: &ConsumerGroupName) -> GroupKey {
    GroupKey {
        tenant: who.tenant,
        group: group.clone(),
    }
}
