//! Who leads a partition, and where clients reach its node.

use millstream_metadata::{Image, NodeRow, TopicRow};
use millstream_model::{LeaderEpoch, NodeId, PartitionIndex};
use std::sync::Arc;

/// Who leads a partition, as clients see it.
#[derive(Clone, Debug)]
pub struct Leadership {
    /// The node, if one leads now.
    pub leader: Option<Arc<NodeRow>>,
    /// Of the partition.
    pub epoch: LeaderEpoch,
    /// Where there are replicas.
    pub replicas: Vec<NodeId>,
    /// Where those are that have all that is committed.
    pub in_sync: Vec<NodeId>,
    /// Where those are whose node is lost.
    pub offline: Vec<NodeId>,
}

/// Who leads the partition: its group's leader, if that one's session is not over.
pub fn leadership(image: &Image, topic: &TopicRow, index: PartitionIndex) -> Option<Leadership> {
    let partition = topic.partition(index)?;
    let group = image.group(partition.group)?;
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
pub fn nodes(image: &Image) -> impl Iterator<Item = &Arc<NodeRow>> {
    image.nodes().filter(|node| !node.lost)
}

/// Who leads the partition now, and in which epoch: what a refusal may tell, so that the client need not ask.
pub fn leader(image: &Image, topic: &TopicRow, index: PartitionIndex) -> Option<(Arc<NodeRow>, LeaderEpoch)> {
    let known = leadership(image, topic, index)?;
    Some((known.leader?, known.epoch))
}
