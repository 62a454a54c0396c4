//! Topics and partitions as requests name them, and Kafka's code where there is none.

use crate::error::Code;
use crate::session::Call;
use millstream_access::topics::{self, Named, Unfound};
use millstream_kafka_wire::ErrorCode;
use millstream_metadata::{Image, TopicRow};
use millstream_model::{PartitionId, TopicId};
use std::sync::Arc;
use uuid::Uuid;

/// A topic named by its id, as newer versions do.
pub(crate) fn by_id(id: Uuid) -> Named<'static> {
    Named::Id(TopicId(id))
}

/// The caller's topic of this name or id. Who moves records hears of a name that no topic can have what it hears of an
/// unknown one, as from Kafka.
pub(crate) fn find(image: &Image, call: &Call, named: Named<'_>) -> Result<Arc<TopicRow>, ErrorCode> {
    topics::find(image, call.who(), named)
        .cloned()
        .map_err(|unfound| match unfound {
            Unfound::InvalidName(_) => ErrorCode::UnknownTopicOrPartition,
            unfound => unfound.code(),
        })
}

/// The same for who asks about the topic itself: Kafka tells it that no topic can have this name.
pub(crate) fn look_up(image: &Image, call: &Call, named: Named<'_>) -> Result<Arc<TopicRow>, ErrorCode> {
    let found = topics::find(image, call.who(), named).cloned();
    found.map_err(|unfound| unfound.code())
}

/// The topics that the caller sees, by name.
pub(crate) fn all<'a>(image: &'a Image, call: &Call) -> impl Iterator<Item = &'a Arc<TopicRow>> + use<'a> {
    topics::all_shown(image, call.who().tenant)
}

/// A partition of the topic.
pub(crate) fn partition(topic: &TopicRow, index: i32) -> Result<PartitionId, ErrorCode> {
    topics::partition(topic, index).map_err(|unfound| unfound.code())
}
