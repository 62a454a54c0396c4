//! DescribeLogDirs: what a node keeps of the caller's partitions. A node has one "directory", without a path of its
//! disk, and whose disk it is and how full is not the caller's business.

use super::Handler;
use crate::session::Call;
use crate::topics;
use crate::topics::{find, partition};
use millstream_access::Named;
use millstream_access::Operation;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use millstream_kafka_wire::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use millstream_metadata::TopicRow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the directory is called.
const LOG_DIR: &str = "millstream";

pub(super) struct DescribeLogDirs;

impl Handler for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;

    async fn handle(call: &Call, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
        if !call.may(Operation::Describe) {
            return DescribeLogDirsResponse {
                error_code: call.code(&ErrorCode::ClusterAuthorizationFailed),
                ..DescribeLogDirsResponse::default()
            };
        }
        let topics = wanted(call, request)
            .into_iter()
            .filter_map(|(topic, indexes)| describe(call, &topic, indexes));
        DescribeLogDirsResponse {
            results: vec![DescribeLogDirsResult {
                log_dir: LOG_DIR.to_owned(),
                topics: topics.collect(),
                ..DescribeLogDirsResult::default()
            }],
            ..DescribeLogDirsResponse::default()
        }
    }
}

/// The topics that there are among those asked for, each with its partitions, once.
fn wanted(call: &Call, request: DescribeLogDirsRequest) -> Vec<(Arc<TopicRow>, BTreeSet<i32>)> {
    let image = call.image();
    let Some(asked) = request.topics else {
        let visible = topics::all(&image, call);
        let all = |topic: &TopicRow| (0..).take(topic.partitions.len()).collect();
        return visible.map(|topic| (Arc::clone(topic), all(topic))).collect();
    };
    let mut partitions: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for topic in asked {
        partitions
            .entry(topic.topic)
            .or_default()
            .extend(topic.partitions);
    }
    let known = partitions.into_iter().filter_map(|(name, indexes)| {
        let topic = find(&image, call, Named::Name(&name)).ok()?;
        Some((topic, indexes))
    });
    known.collect()
}

/// The partitions that this node has.
fn describe(call: &Call, topic: &TopicRow, indexes: BTreeSet<i32>) -> Option<DescribeLogDirsTopic> {
    let partitions = indexes.into_iter().filter_map(|partition_index| {
        let id = partition(topic, partition_index).ok()?;
        let bytes = call.broker().partition_bytes(call.who(), id).ok()?;
        Some(DescribeLogDirsPartition {
            partition_index,
            partition_size: i64::try_from(bytes).unwrap_or(i64::MAX),
            offset_lag: 0,
            is_future_key: false,
        })
    });
    let partitions: Vec<DescribeLogDirsPartition> = partitions.collect();
    (!partitions.is_empty()).then(|| DescribeLogDirsTopic {
        name: topic.name.as_str().to_owned(),
        partitions,
    })
}
