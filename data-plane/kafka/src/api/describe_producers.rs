//! DescribeProducers: who writes to a partition, as its committed log left it.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use crate::topics::{look_up, partition};
use millstream_access::Named;
use millstream_broker::interface::ActiveProducer;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use millstream_kafka_wire::messages::{DescribeProducersRequest, DescribeProducersResponse};
use millstream_metadata::TopicRow;
use millstream_model::limits::KAFKA_DESCRIBED_PRODUCERS_MAX;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) struct DescribeProducers;

impl Handler for DescribeProducers {
    type Request = DescribeProducersRequest;

    async fn handle(call: &Call, request: DescribeProducersRequest) -> DescribeProducersResponse {
        let image = call.image();
        let mut room = KAFKA_DESCRIBED_PRODUCERS_MAX;
        // Each is described once, however often it was named: else a small request had a huge answer.
        let mut seen = BTreeSet::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let found = look_up(&image, call, Named::Name(&topic.name));
            let mut partitions = Vec::new();
            for index in topic.partition_indexes {
                if seen.insert((topic.name.clone(), index)) {
                    partitions.push(one(call, &found, index, &mut room));
                }
            }
            topics.push(TopicResponse {
                name: topic.name,
                partitions,
            });
        }
        DescribeProducersResponse {
            topics,
            ..DescribeProducersResponse::default()
        }
    }
}

fn one(
    call: &Call,
    topic: &Result<Arc<TopicRow>, ErrorCode>,
    partition_index: i32,
    room: &mut usize,
) -> PartitionResponse {
    let found = producers(call, topic, partition_index);
    let refused = |code: ErrorCode, text: Option<String>| PartitionResponse {
        partition_index,
        error_code: call.code(&code),
        error_message: text,
        active_producers: Vec::new(),
    };
    match found {
        Err(code) => {
            let text = match code {
                ErrorCode::InvalidTopicException => "no topic can have this name",
                ErrorCode::UnknownTopicOrPartition => "there is no such topic or partition",
                _ => "the partition's producers cannot be told by this node or to this key",
            };
            refused(code, Some(text.to_owned()))
        }
        Ok(found) if found.len() > *room => {
            let text = format!(
                "more than {KAFKA_DESCRIBED_PRODUCERS_MAX} producers: ask for fewer partitions at once"
            );
            refused(ErrorCode::PolicyViolation, Some(text))
        }
        Ok(found) => {
            *room -= found.len();
            PartitionResponse {
                partition_index,
                error_code: 0,
                error_message: None,
                active_producers: found.iter().map(state).collect(),
            }
        }
    }
}

fn producers(
    call: &Call,
    topic: &Result<Arc<TopicRow>, ErrorCode>,
    index: i32,
) -> Result<Vec<ActiveProducer>, ErrorCode> {
    let topic = topic.as_ref().map_err(|code| *code)?;
    let partition = partition(topic, index)?;
    let found = call.broker().active_producers(call.who(), partition);
    found.map_err(|error| error.code())
}

fn state(producer: &ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: producer.id.0,
        producer_epoch: i32::from(producer.epoch.0),
        last_sequence: producer.last_sequence.unwrap_or(-1),
        last_timestamp: producer.time.0,
        // There is no coordinator of transactions.
        coordinator_epoch: -1,
        current_txn_start_offset: producer.transaction_start.map_or(-1, |start| start.0),
    }
}
