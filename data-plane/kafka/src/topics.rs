//! Finding topics and partitions of the caller: those of others are not there.

use crate::session::Call;
use millstream_kafka_wire::ErrorCode;
use millstream_metadata::{GroupRow, Image, NodeRow, TopicRow, TopicState};
use millstream_model::{LeaderEpoch, NodeId, PartitionId, PartitionIndex, TopicId, TopicName};
use std::sync::Arc;
use uuid::Uuid;

/// Names a topic as requests do: by name in older versions, by id in newer ones.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named<'a> {
    Name(&'a str),
    Id(Uuid),
}

impl Named<'_> {
    /// The error when there is no such topic.
    pub(crate) fn unknown(self) -> ErrorCode {
        match self {
            Named::Name(_) => ErrorCode::UnknownTopicOrPartition,
            Named::Id(_) => ErrorCode::UnknownTopicId,
        }
    }
}

/// The caller's topic of this name or id.
pub(crate) fn find(image: &Image, call: &Call, named: Named<'_>) -> Result<Arc<TopicRow>, ErrorCode> {
    let tenant = call.who().tenant;
    let found = match named {
        Named::Name(name) => name
            .parse::<TopicName>()
            .ok()
            .and_then(|name| image.topic(tenant, &name)),
        Named::Id(id) => image.topic_of(tenant, TopicId(id)),
    };
    let found = found.filter(|topic| topic.state == TopicState::Active && !topic.internal);
    found.cloned().ok_or(named.unknown())
}

/// A partition of the topic.
pub(crate) fn partition(topic: &TopicRow, index: i32) -> Result<PartitionId, ErrorCode> {
    let index = u32::try_from(index).map(PartitionIndex).ok();
    let found = index.filter(|index| topic.partition(*index).is_some());
    found
        .map(|index| PartitionId {
            topic: topic.id,
            index,
        })
        .ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// Who leads a partition, as clients see it.
#[derive(Clone, Debug)]
pub(crate) struct Leadership {
    pub(crate) leader: Option<Arc<NodeRow>>,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) replicas: Vec<NodeId>,
    pub(crate) in_sync: Vec<NodeId>,
    pub(crate) offline: Vec<NodeId>,
}

/// Who leads the partition: its group's leader, if its session is not over.
pub(crate) fn leadership(image: &Image, topic: &TopicRow, index: PartitionIndex) -> Option<Leadership> {
    let partition = topic.partition(index)?;
    let group: &GroupRow = image.group(partition.group)?;
    let node = |journal| image.node_of(journal).cloned();
    let replicas: Vec<Arc<NodeRow>> = group
        .members
        .iter()
        .filter_map(|journal| node(*journal))
        .collect();
    Some(Leadership {
        leader: group.leader.and_then(node).filter(|node| !node.lost),
        epoch: partition.leader_epoch(group.epoch),
        replicas: replicas.iter().map(|node| node.id).collect(),
        in_sync: group
            .isr
            .iter()
            .filter_map(|replica| Some(node(replica.journal)?.id))
            .collect(),
        offline: replicas
            .iter()
            .filter(|node| node.lost)
            .map(|node| node.id)
            .collect(),
    })
}

/// The nodes that clients may know of.
pub(crate) fn nodes(image: &Image) -> impl Iterator<Item = &Arc<NodeRow>> {
    image.nodes().filter(|node| !node.lost)
}
