//! From what a caller names to its topic and partition: those of others, those being deleted and those that the
//! service keeps for itself are not there.

use crate::principal::Principal;
use millstream_metadata::{Image, TopicRow, TopicState};
use millstream_model::{
    Kind, NameError, PartitionId, PartitionIndex, Problem, Retry, TenantId, TopicId, TopicName,
};
use std::sync::Arc;

/// A topic as requests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// By its name within the caller's tenant.
    Name(&'a str),
    /// By its id.
    Id(TopicId),
}

/// Why nothing was found. What is not the caller's reads exactly like what does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfound {
    /// No topic can have this name.
    #[error(transparent)]
    InvalidName(#[from] NameError),
    /// The caller has no topic of this name.
    #[error("there is no topic '{name}'")]
    Name {
        /// What was named.
        name: TopicName,
    },
    /// The caller has no topic with this id.
    #[error("there is no topic with the id {id}")]
    Id {
        /// What was named.
        id: TopicId,
    },
    /// The topic has no such partition.
    #[error("topic '{topic}' has {count} partitions, there is no {index}")]
    Partition {
        /// The topic.
        topic: TopicName,
        /// How many it has.
        count: usize,
        /// Which one was named.
        index: i64,
    },
}

impl Unfound {
    /// What went wrong.
    pub fn kind(&self) -> Kind {
        match self {
            Unfound::InvalidName(_) => Kind::InvalidTopicName,
            Unfound::Name { .. } | Unfound::Partition { .. } => Kind::UnknownTopic,
            Unfound::Id { .. } => Kind::UnknownTopicId,
        }
    }

    /// It, for a door.
    pub fn problem(&self) -> Problem {
        Problem {
            kind: self.kind(),
            // Waiting makes no topic; who has just made one was answered after this node knew of it.
            retry: Retry::Never,
            text: self.to_string(),
        }
    }
}

/// The topic that the caller names. The service itself, at work for a tenant, also finds the tenant's internal topics.
///
/// # Errors
/// When the caller has none.
pub fn find<'a>(image: &'a Image, who: &Principal, named: Named<'_>) -> Result<&'a Arc<TopicRow>, Unfound> {
    let topic = of_tenant(image, who.tenant, named)?;
    if topic.internal && !who.is_service() {
        return Err(unfound(named));
    }
    Ok(topic)
}

/// A topic as its tenant sees it, whoever asks: what the service tells of topics in a tenant's name has no internal one.
///
/// # Errors
/// When the tenant sees none.
pub fn shown<'a>(image: &'a Image, tenant: TenantId, named: Named<'_>) -> Result<&'a Arc<TopicRow>, Unfound> {
    let topic = of_tenant(image, tenant, named)?;
    match topic.internal {
        true => Err(unfound(named)),
        false => Ok(topic),
    }
}

/// Every topic that a tenant sees, by name.
pub fn all_shown(image: &Image, tenant: TenantId) -> impl Iterator<Item = &Arc<TopicRow>> {
    image.topics_of(tenant).filter(|topic| !topic.internal)
}

/// A partition of the topic; protocols count partitions with and without a sign.
///
/// # Errors
/// When the topic has no such partition.
pub fn partition(topic: &TopicRow, index: impl Into<i64>) -> Result<PartitionId, Unfound> {
    let index = index.into();
    let known = u32::try_from(index).map(PartitionIndex).ok();
    match known.filter(|known| topic.partition(*known).is_some()) {
        Some(index) => Ok(PartitionId {
            topic: topic.id,
            index,
        }),
        None => Err(Unfound::Partition {
            topic: topic.name.clone(),
            count: topic.partitions.len(),
            index,
        }),
    }
}

fn of_tenant<'a>(image: &'a Image, tenant: TenantId, named: Named<'_>) -> Result<&'a Arc<TopicRow>, Unfound> {
    let found = match named {
        Named::Name(name) => image.topic(tenant, &name.parse()?),
        Named::Id(id) => image.topic_of(tenant, id),
    };
    found
        .filter(|topic| topic.state == TopicState::Active)
        .ok_or_else(|| unfound(named))
}

fn unfound(named: Named<'_>) -> Unfound {
    match named {
        Named::Name(name) => match name.parse() {
            Ok(name) => Unfound::Name { name },
            Err(error) => Unfound::InvalidName(error),
        },
        Named::Id(id) => Unfound::Id { id },
    }
}
