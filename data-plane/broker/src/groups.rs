//! The doors' side of the group coordinator: commands in, answers out once their records are committed.

use crate::group::Group;
use crate::interface::groups::{
    CommitOffsets, CommittedOffset, DeleteGroup, DeleteOffsets, DescribedGroup, GroupError, GroupKey,
    Heartbeat, Join, Joined, Leave, Left, ListedGroup, Request, Sync, Synced,
};
use crate::shell::Shell;
use millstream_access::Principal;
use millstream_model::{ConsumerGroupName, PartitionId, TenantId, TopicName};
use std::sync::Arc;
use std::time::Duration;

/// The internal topic that keeps groups and offsets.
pub(crate) const GROUPS_TOPIC: &str = "__groups";

/// Consumer groups of this node. Every call is about a group of the caller's own virtual cluster.
#[derive(Clone)]
pub struct GroupsHandle {
    pub(crate) shell: Arc<Shell>,
}

impl Shell {
    /// The group whose log holds the internal topic of consumer groups, when it is here.
    pub(crate) fn ledger_group(&self) -> Option<Arc<Group>> {
        let image = self.image.image();
        let name: TopicName = GROUPS_TOPIC.parse().ok()?;
        let row = *image.topic(TenantId::SYSTEM, &name)?.partitions.first()?;
        self.group(row.group)
    }

    /// Lets the coordinator of a group do what is due, when it is due, until the broker stops.
    pub(crate) async fn drive_ledger(self: Arc<Shell>, group: Arc<Group>) {
        loop {
            let deadline = group.read(|core| {
                core.ledger
                    .as_ref()
                    .and_then(|ledger| ledger.coordinator.next_deadline())
            });
            let now = self.services.now_ms();
            let due = async {
                match deadline {
                    Some(at) => tokio::time::sleep(Duration::from_millis(at.saturating_sub(now))).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => group.with(|core| core.expire_ledger(&group)),
                () = group.ledger_changed.notified() => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }
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
        self.look(|coordinator| coordinator.fetch_offsets(&key, partitions))
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

    /// ListGroups.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`].
    pub fn list(&self, who: &Principal) -> Result<Vec<ListedGroup>, GroupError> {
        self.look(|coordinator| coordinator.list(who.tenant))
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
        self.look(|coordinator| coordinator.describe(&key))
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
        let internal = self.shell.ledger_group().ok_or(GroupError::NotCoordinator)?;
        let asked = internal.with(|core| core.ask_ledger(&internal, &key, request.into_command()));
        let answer = asked.ok_or(GroupError::NotCoordinator)?;
        tokio::select! {
            answer = answer => answer.unwrap_or(Err(GroupError::NotAvailable)).map(R::reply_of),
            () = self.shell.stopping.cancelled() => Err(GroupError::NotCoordinator),
        }
    }

    /// Looks at what the coordinator knows.
    fn look<R>(&self, look: impl FnOnce(&millstream_coordinator::Coordinator) -> R) -> Result<R, GroupError> {
        let internal = self.shell.ledger_group().ok_or(GroupError::NotCoordinator)?;
        let looked = internal.read(|core| {
            let ledger = core.ledger.as_ref().filter(|ledger| ledger.coordinator.leads())?;
            Some(look(&ledger.coordinator))
        });
        looked.ok_or(GroupError::NotCoordinator)
    }
}

/// A group is always named with its tenant.
fn key_of(who: &Principal, group: &ConsumerGroupName) -> GroupKey {
    GroupKey {
        tenant: who.tenant,
        group: group.clone(),
    }
}
