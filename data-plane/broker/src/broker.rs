//! The handle that doors hold: every call of the broker's interface.

use crate::groups::GroupsHandle;
use crate::interface::{
    EpochEnd, Fetch, FetchError, FetchPartition, Fetched, FetchedPartition, FoundOffset, InitProducer,
    InitProducerError, Isolation, ListOffset, OffsetError, PendingProduce, Produce, ProduceError, Produced,
    WatchStream,
};
use millstream_access::{AuthError, Principal, RootKeys};
use millstream_metadata::{Commands, HostPort, Image, ImageWatch};
use millstream_model::{LeaderEpoch, NodeId, Offset, PartitionId, ProducerEpoch, ProducerId};
use std::sync::Arc;

/// A running broker. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

/// What all handles share.
struct Inner {
    image: ImageWatch,
    commands: Arc<dyn Commands>,
    roots: Arc<RootKeys>,
    node: NodeId,
    advertised: HostPort,
    groups: GroupsHandle,
}

impl Broker {
    /// The newest image of the catalog.
    pub fn image(&self) -> Arc<Image> {
        self.inner.image.image()
    }

    /// A watch on the catalog.
    pub fn image_watch(&self) -> ImageWatch {
        self.inner.image.clone()
    }

    /// This node as Kafka clients see it.
    pub fn node(&self) -> NodeId {
        self.inner.node
    }

    /// Where Kafka clients reach this node.
    pub fn advertised(&self) -> HostPort {
        self.inner.advertised.clone()
    }

    /// The control plane's command path.
    pub fn commands(&self) -> &Arc<dyn Commands> {
        &self.inner.commands
    }

    /// Who presented this key.
    ///
    /// # Errors
    /// When nobody may: tell the client [`AuthError::CLIENT_TEXT`] and log the error.
    pub fn authenticate(&self, key_id: &str, secret: &str) -> Result<Principal, AuthError> {
        millstream_access::authenticate(&self.image(), &self.inner.roots, key_id, secret)
    }

    /// The root keys, for doors that authenticate in other ways.
    pub fn roots(&self) -> &Arc<RootKeys> {
        &self.inner.roots
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
        let _ = (who, request);
        Err(ProduceError::ShuttingDown)
    }

    /// Reads batches; waits for `bytes_min` of them until `wait_max`. Errors are per partition.
    pub async fn fetch(&self, who: &Principal, request: Fetch) -> Fetched {
        let _ = who;
        let failed =
            |asked: &FetchPartition| FetchedPartition::failed(asked.partition, FetchError::ShuttingDown);
        Fetched {
            partitions: request.partitions.iter().map(failed).collect(),
            ..Fetched::default()
        }
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
        let _ = (who, partition, leader_epoch, what, isolation);
        Err(OffsetError::ShuttingDown)
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
        let _ = (who, partition, current, epoch);
        Err(OffsetError::ShuttingDown)
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
        let _ = (who, partition, before);
        Err(OffsetError::ShuttingDown)
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
        let _ = (who, request);
        Err(InitProducerError::Unavailable)
    }

    /// Consumer groups.
    pub fn groups(&self) -> &GroupsHandle {
        &self.inner.groups
    }

    /// Follows how far partitions have grown. Partitions that are not the caller's are refused as unknown.
    ///
    /// # Errors
    /// When one of them is not the caller's or not led here.
    pub fn watch(&self, who: &Principal, partitions: Vec<PartitionId>) -> Result<WatchStream, OffsetError> {
        let _ = (who, partitions);
        Err(OffsetError::ShuttingDown)
    }
}
