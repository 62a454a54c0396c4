//! DescribeTopicPartitions: topics and who leads their partitions, a page at a time, in the order of names.

use super::{Handler, authorized};
use crate::session::Call;
use crate::topics;
use crate::topics::look_up;
use millstream_access::Named;
use millstream_access::Operation;
use millstream_door::leadership::leadership;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use millstream_kafka_wire::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use millstream_metadata::{Image, TopicRow};
use millstream_model::PartitionIndex;
use millstream_model::limits::KAFKA_DESCRIBED_PARTITIONS_MAX;
use std::collections::BTreeSet;

pub(super) struct DescribeTopicPartitions;

impl Handler for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;

    async fn handle(call: &Call, request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
        let image = call.image();
        let named: BTreeSet<String> = request.topics.iter().map(|topic| topic.name.clone()).collect();
        let every = named.is_empty();
        let (first_name, first_index) = match &request.cursor {
            None => ("", 0),
            Some(cursor) => (cursor.topic_name.as_str(), cursor.partition_index),
        };
        if first_index < 0 || (!every && !first_name.is_empty() && !named.contains(first_name)) {
            return refused(call, &request);
        }
        let names = match every {
            true => visible(call, &image),
            false => named,
        };
        let mut page = Page {
            room: usize::try_from(request.response_partition_limit)
                .unwrap_or(0)
                .clamp(1, KAFKA_DESCRIBED_PARTITIONS_MAX),
            topics: Vec::new(),
            denied: Vec::new(),
            next: None,
        };
        for name in names.range(first_name.to_owned()..) {
            let from = if name == first_name { first_index } else { 0 };
            page.add(call, &image, name, from);
            if page.next.is_some() {
                break;
            }
        }
        page.topics.append(&mut page.denied);
        let operations = authorized::topic(call);
        page.topics
            .iter_mut()
            .filter(|topic| topic.error_code != ErrorCode::TopicAuthorizationFailed.number())
            .for_each(|topic| topic.topic_authorized_operations = operations);
        DescribeTopicPartitionsResponse {
            topics: page.topics,
            next_cursor: page.next,
            ..DescribeTopicPartitionsResponse::default()
        }
    }
}

/// A page under way.
struct Page {
    /// Partitions that it still takes.
    room: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Topics that the caller may not see: behind the others, as in Kafka.
    denied: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Where the next page begins, once this one is full.
    next: Option<Cursor>,
}

impl Page {
    fn add(&mut self, call: &Call, image: &Image, name: &str, from: i32) {
        if !call.may(Operation::Describe) {
            self.denied
                .push(unknown(call, ErrorCode::TopicAuthorizationFailed, name));
            return;
        }
        if self.room == 0 {
            self.next = Some(Cursor {
                topic_name: name.to_owned(),
                partition_index: 0,
            });
            return;
        }
        let topic = match look_up(image, call, Named::Name(name)) {
            Ok(topic) => topic,
            Err(code) => {
                self.topics.push(unknown(call, code, name));
                return;
            }
        };
        let indexes = (0..)
            .take(topic.partitions.len())
            .skip_while(|index| *index < from);
        let partitions: Vec<_> = indexes
            .take(self.room)
            .map(|index| partition(image, &topic, index))
            .collect();
        self.room -= partitions.len();
        let end = partitions.last().map_or(from, |last| last.partition_index + 1);
        let all = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        if end < all {
            self.next = Some(Cursor {
                topic_name: name.to_owned(),
                partition_index: end,
            });
        }
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.to_owned()),
            topic_id: topic.id.0,
            is_internal: topic.internal,
            partitions,
            ..DescribeTopicPartitionsResponseTopic::default()
        });
    }
}

/// The names of all topics that the caller may see.
fn visible(call: &Call, image: &Image) -> BTreeSet<String> {
    if !call.may(Operation::Describe) {
        return BTreeSet::new();
    }
    let topics = topics::all(image, call);
    topics.map(|topic| topic.name.as_str().to_owned()).collect()
}

/// A cursor that points to no place of the answer.
fn refused(call: &Call, request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter();
    let topics = topics.map(|topic| unknown(call, ErrorCode::InvalidRequest, &topic.name));
    DescribeTopicPartitionsResponse {
        topics: topics.collect(),
        ..DescribeTopicPartitionsResponse::default()
    }
}

fn unknown(call: &Call, code: ErrorCode, name: &str) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: call.code(&code),
        name: Some(name.to_owned()),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn partition(
    image: &Image,
    topic: &TopicRow,
    partition_index: i32,
) -> DescribeTopicPartitionsResponsePartition {
    let index = u32::try_from(partition_index).map(PartitionIndex).ok();
    let known = index.and_then(|index| leadership(image, topic, index));
    let ids = |nodes: &[millstream_model::NodeId]| nodes.iter().map(|node| node.0).collect();
    let leader = known.as_ref().and_then(|known| known.leader.as_ref());
    DescribeTopicPartitionsResponsePartition {
        error_code: match leader {
            Some(_) => 0,
            None => ErrorCode::LeaderNotAvailable.number(),
        },
        partition_index,
        leader_id: leader.map_or(-1, |leader| leader.id.0),
        leader_epoch: known.as_ref().map_or(-1, |known| known.epoch.0),
        replica_nodes: known
            .as_ref()
            .map(|known| ids(&known.replicas))
            .unwrap_or_default(),
        isr_nodes: known
            .as_ref()
            .map(|known| ids(&known.in_sync))
            .unwrap_or_default(),
        // A leader is always one of the replicas in sync.
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        offline_replicas: known
            .as_ref()
            .map(|known| ids(&known.offline))
            .unwrap_or_default(),
    }
}
