//! The handle that doors hold: every call of the broker's interface.

use crate::groups::GroupsHandle;
use crate::interface::ledger::Ledger;
use crate::interface::{
    ActiveProducer, EpochEnd, FencedPartition, Fetch, Fetched, FoundOffset, InitProducer, InitProducerError,
    Isolation, ListOffset, OffsetError, PendingProduce, Produce, ProduceError, Produced, WatchStream,
};
use crate::shell::Shell;
use crate::standing::Standing;
use millstream_access::{AuthError, Operation, Principal, Resource, RootKeys, allowed};
use millstream_metadata::{Commands, HostPort, Image, ImageWatch};
use millstream_model::{JournalId, LeaderEpoch, NodeId, Offset, PartitionId, ProducerEpoch, ProducerId};
use std::sync::Arc;

/// A running broker. Cheap to clone; made by [`Broker::start`].
#[derive(Clone)]
pub struct Broker {
    pub(crate) shell: Arc<Shell>,
    pub(crate) groups: GroupsHandle,
}

impl Broker {
    /// The newest image of the catalog.
    pub fn image(&self) -> Arc<Image> {
        self.shell.image.image()
    }

    /// A watch on the catalog.
    pub fn image_watch(&self) -> ImageWatch {
        self.shell.image.clone()
    }

    /// This node as Kafka clients see it.
    pub fn node(&self) -> NodeId {
        self.shell.services.node
    }

    /// This node's journal: what the catalog names as leader of its groups.
    pub fn journal(&self) -> JournalId {
        self.shell.services.journal
    }

    /// Where Kafka clients reach this node.
    pub fn advertised(&self) -> HostPort {
        self.shell.settings.kafka.clone()
    }

    /// The control plane's command path.
    pub fn commands(&self) -> &Arc<dyn Commands> {
        &self.shell.services.commands
    }

    /// Who presented this key.
    ///
    /// # Errors
    /// When nobody may: tell the client [`AuthError::CLIENT_TEXT`] and log the error.
    pub fn authenticate(&self, key_id: &str, secret: &str) -> Result<Principal, AuthError> {
        millstream_access::authenticate(&self.image(), &self.shell.roots, key_id, secret)
    }

    /// The root keys, for doors that authenticate in other ways.
    pub fn roots(&self) -> &Arc<RootKeys> {
        &self.shell.roots
    }

    /// What this node is to the cluster.
    pub fn standing(&self) -> Standing {
        *self.shell.standing.borrow()
    }

    /// Waits until it is a part of the cluster; false when it never will be.
    pub async fn joined(&self) -> bool {
        let mut standing = self.shell.standing.subscribe();
        let found = standing.wait_for(|standing| *standing != Standing::Waiting);
        tokio::select! {
            found = found => found.is_ok_and(|standing| *standing == Standing::Member),
            () = self.shell.stopping.cancelled() => false,
        }
    }

    /// Whether it can serve: it is not stopping and its journal is sound.
    pub fn is_healthy(&self) -> bool {
        !self.shell.services.is_stopping() && self.shell.services.reader.damage().is_none()
    }

    /// Appends one batch and waits until it is as durable as asked.
    ///
    /// # Errors
    /// When it was not appended, or is not known to be.
    pub async fn produce(&self, who: &Principal, request: Produce) -> Result<Produced, ProduceError> {
        self.begin_produce(who, request)?.await
    }

    /// Decides a batch's place in its partition now; the future answers when it is durable. Calls for one partition
    /// that are made one after the other keep that order. Dropping the future does not take the batch back.
    ///
    /// # Errors
    /// When it was not appended.
    pub fn begin_produce(&self, who: &Principal, request: Produce) -> Result<PendingProduce, ProduceError> {
        let mut begun = self.begin_produces(who, vec![request]);
        begun.pop().unwrap_or(Err(ProduceError::ShuttingDown))
    }

    /// The same for several batches, each with an answer of its own, in their order: cheaper than one after the other.
    pub fn begin_produces(
        &self,
        who: &Principal,
        requests: Vec<Produce>,
    ) -> Vec<Result<PendingProduce, ProduceError>> {
        self.shell.begin_produces(who, requests)
    }

    /// Reads batches; waits for `bytes_min` of them until `wait_max`. Errors are per partition.
    pub async fn fetch(&self, who: &Principal, request: Fetch) -> Fetched {
        self.shell.fetch(who, request).await
    }

    /// Looks an offset up.
    ///
    /// # Errors
    /// When the partition is not the caller's or cannot be read here.
    pub async fn list_offset(
        &self,
        who: &Principal,
        partition: PartitionId,
        leader_epoch: Option<LeaderEpoch>,
        what: ListOffset,
        isolation: Isolation,
    ) -> Result<FoundOffset, OffsetError> {
        self.shell
            .list_offset(who, partition, leader_epoch, what, isolation)
            .await
    }

    /// Where a leader epoch of the partition ends.
    ///
    /// # Errors
    /// When the partition is not the caller's or cannot be read here.
    pub fn offset_for_leader_epoch(
        &self,
        who: &Principal,
        partition: PartitionId,
        current: Option<LeaderEpoch>,
        epoch: LeaderEpoch,
    ) -> Result<EpochEnd, OffsetError> {
        self.shell.offset_for_leader_epoch(who, partition, current, epoch)
    }

    /// Moves the partition's start up to `before` (`None`: up to the high watermark); returns the new start.
    ///
    /// # Errors
    /// When the offset is above the high watermark, or the trim is not known to be durable.
    pub async fn delete_records(
        &self,
        who: &Principal,
        partition: PartitionId,
        before: Option<Offset>,
    ) -> Result<Offset, OffsetError> {
        self.shell.delete_records(who, partition, before).await
    }

    /// Takes a partition over: from here on it takes only batches that carry the owner epoch that is answered.
    ///
    /// # Errors
    /// When the partition is not the caller's or not led here, or the change is not known to be durable.
    pub async fn fence(
        &self,
        who: &Principal,
        partition: PartitionId,
    ) -> Result<FencedPartition, OffsetError> {
        self.shell.fence(who, partition).await
    }

    /// Gives an idempotent producer an id, or the next epoch of the one it has.
    ///
    /// # Errors
    /// When it asks for transactions, or no ids are to be had.
    pub async fn init_producer_id(
        &self,
        who: &Principal,
        request: InitProducer,
    ) -> Result<(ProducerId, ProducerEpoch), InitProducerError> {
        if request.transactional_id.is_some() {
            return Err(InitProducerError::NoTransactions);
        }
        if !allowed(who, Operation::Produce, Resource::Tenant(who.tenant)) {
            return Err(InitProducerError::Denied);
        }
        // As Kafka: without a transactional id every call gets a new id.
        let services = &self.shell.services;
        let id = self
            .shell
            .producer_ids
            .next(services.commands.as_ref(), services.node)
            .await;
        id.map(|id| (id, ProducerEpoch(0)))
            .ok_or(InitProducerError::Unavailable)
    }

    /// Bytes of all batches that the partition keeps.
    ///
    /// # Errors
    /// When the partition is not the caller's or not led here.
    pub fn partition_bytes(&self, who: &Principal, partition: PartitionId) -> Result<u64, OffsetError> {
        self.shell.partition_bytes(who, partition)
    }

    /// The producers that the partition remembers, by id.
    ///
    /// # Errors
    /// When the partition is not the caller's to read or not led here.
    pub fn active_producers(
        &self,
        who: &Principal,
        partition: PartitionId,
    ) -> Result<Vec<ActiveProducer>, OffsetError> {
        self.shell.active_producers(who, partition)
    }

    /// Asks the ledger of a key's slot, and waits for its answer: for ledgers that have no handle of their own. The caller has made
    /// sure that the key is its own. Nothing when the slot is not led here.
    pub async fn ask<L: Ledger>(&self, key: &L::Key, command: L::Command) -> Option<L::Answer> {
        self.shell.ask::<L>(key, command).await
    }

    /// Consumer groups.
    pub fn groups(&self) -> &GroupsHandle {
        &self.groups
    }

    /// Follows how far partitions have grown.
    ///
    /// # Errors
    /// When one of them is not the caller's or not led here.
    pub fn watch(&self, who: &Principal, partitions: Vec<PartitionId>) -> Result<WatchStream, OffsetError> {
        self.shell.watch(who, partitions)
    }
}
