//! From a partition's name in a message to its id, within the caller's tenant, and back.

use crate::error::{error, error_of};
use millstream_access::topics::{self, Named};
use millstream_access::{Principal, Unfound};
use millstream_metadata::Image;
use millstream_model::{Kind, PartitionId, Problem, Retry, TopicId};
use millstream_rpc::data::{Error, Partition};
use std::collections::HashMap;

/// The partition of this name, or the error that an unknown one has.
pub(crate) fn resolve(
    image: &Image,
    who: &Principal,
    named: Option<&Partition>,
) -> Result<PartitionId, Error> {
    let Some(named) = named else {
        return Err(error_of(Problem {
            kind: Kind::UnknownTopic,
            retry: Retry::Never,
            text: "no partition is named".into(),
        }));
    };
    let found: Result<PartitionId, Unfound> = topics::find(image, who, Named::Name(&named.topic))
        .and_then(|topic| topics::partition(topic, named.index));
    found.map_err(|unfound| error(&unfound))
}

/// The name of a partition, for answers that the broker gives by id; none when the caller has no such topic any more.
pub(crate) fn name_of(image: &Image, who: &Principal, id: PartitionId) -> Option<Partition> {
    let topic = topics::find(image, who, Named::Id(id.topic)).ok()?;
    Some(Partition {
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
