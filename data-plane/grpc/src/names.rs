//! From a partition's name in a message to its id, within the caller's tenant.

use millstream_access::Principal;
use millstream_metadata::Image;
use millstream_model::{PartitionId, PartitionIndex, TenantId, TopicId};
use millstream_rpc::data::{Error, Partition};
use std::collections::HashMap;

/// The partition of this name, or the error that an unknown one has.
pub(crate) fn resolve(
    image: &Image,
    who: &Principal,
    named: Option<&Partition>,
) -> Result<PartitionId, Error> {
    let unknown = |message: String| Error {
        code: "UNKNOWN_TOPIC_OR_PARTITION".into(),
        message,
        retriable: false,
    };
    let Some(named) = named else {
        return Err(unknown("no partition is named".into()));
    };
    let name = named.topic.parse().map_err(|error| Error {
        code: "INVALID_TOPIC_EXCEPTION".into(),
        message: format!("{error}"),
        retriable: false,
    })?;
    let topic = image
        .topic(who.tenant, &name)
        // What the service keeps for itself in a tenant is not there for its clients.
        .filter(|topic| !topic.internal || who.is_service())
        .ok_or_else(|| unknown(format!("there is no topic '{}'", named.topic)))?;
    let count = topic.partitions.len();
    if usize::try_from(named.index).is_ok_and(|index| index < count) {
        Ok(PartitionId {
            topic: topic.id,
            index: PartitionIndex(named.index),
        })
    } else {
        Err(unknown(format!(
            "topic '{}' has {count} partitions, there is no {}",
            named.topic, named.index
        )))
    }
}

/// The name of a partition, for answers that the broker gives by id; none when its topic is gone.
pub(crate) fn name_of(image: &Image, tenant: TenantId, id: PartitionId) -> Option<Partition> {
    image.topic_of(tenant, id.topic).map(|topic| Partition {
        topic: topic.name.to_string(),
        index: id.index.0,
    })
}

/// Names by topic id, for answers with many partitions.
#[derive(Default)]
pub(crate) struct Names(HashMap<TopicId, String>);

impl Names {
    /// Remembers what a request named.
    pub(crate) fn note(&mut self, id: PartitionId, named: &Partition) {
        self.0.entry(id.topic).or_insert_with(|| named.topic.clone());
    }

    /// The partition as the request named it.
    pub(crate) fn of(&self, id: PartitionId) -> Partition {
        Partition {
            topic: self.0.get(&id.topic).cloned().unwrap_or_default(),
            index: id.index.0,
        }
    }
}
