//! ElectLeaders: the service elects by itself, so whoever asks is told that nothing is to be done, or that nobody can
//! lead now.

use super::Handler;
use crate::session::Call;
use crate::topics;
use crate::topics::{find, partition};
use millstream_access::Named;
use millstream_access::Operation;
use millstream_door::leadership::leadership;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use millstream_kafka_wire::messages::{ElectLeadersRequest, ElectLeadersResponse};
use millstream_metadata::Image;
use std::collections::BTreeSet;

/// Kafka's `ElectionType`: the first replica leads.
const PREFERRED: i8 = 0;
/// The same: any replica leads, also one that is behind.
const UNCLEAN: i8 = 1;

pub(super) struct ElectLeaders;

impl Handler for ElectLeaders {
    type Request = ElectLeadersRequest;

    async fn handle(call: &Call, request: ElectLeadersRequest) -> ElectLeadersResponse {
        let refused = if !call.may(Operation::Manage) {
            Some(ErrorCode::ClusterAuthorizationFailed)
        } else if ![PREFERRED, UNCLEAN].contains(&request.election_type) {
            Some(ErrorCode::InvalidRequest)
        } else {
            None
        };
        if let Some(code) = refused {
            return refuse(call, request, code);
        }
        let image = call.image();
        let unclean = request.election_type == UNCLEAN;
        let results = match request.topic_partitions {
            None => every(call, &image, unclean),
            Some(asked) => {
                // Each is answered once, however often it was named.
                let mut seen = BTreeSet::new();
                let results = asked.into_iter().map(|topic| {
                    let name = topic.topic;
                    let partitions = topic.partitions.into_iter();
                    let once = partitions.filter(|index| seen.insert((name.clone(), *index)));
                    let partition_result = once.map(|index| one(call, &image, &name, index, unclean));
                    ReplicaElectionResult {
                        partition_result: partition_result.collect(),
                        topic: name,
                    }
                });
                results.collect()
            }
        };
        ElectLeadersResponse {
            replica_election_results: results,
            ..ElectLeadersResponse::default()
        }
    }
}

/// Kafka says it of the whole and of each partition.
fn refuse(call: &Call, request: ElectLeadersRequest, code: ErrorCode) -> ElectLeadersResponse {
    let error_code = call.code(&code);
    let text = match code {
        ErrorCode::InvalidRequest => "there is no such kind of election",
        _ => "this key may not elect leaders",
    };
    let topics = request.topic_partitions.unwrap_or_default().into_iter();
    let results = topics.map(|topic| ReplicaElectionResult {
        topic: topic.topic,
        partition_result: topic
            .partitions
            .into_iter()
            .map(|partition_id| PartitionResult {
                partition_id,
                error_code,
                error_message: Some(text.to_owned()),
            })
            .collect(),
    });
    ElectLeadersResponse {
        error_code,
        replica_election_results: results.collect(),
        ..ElectLeadersResponse::default()
    }
}

/// Every topic, and of its partitions those that would need another leader: what is well is not named, as in Kafka.
fn every(call: &Call, image: &Image, unclean: bool) -> Vec<ReplicaElectionResult> {
    let visible = topics::all(image, call);
    let results = visible.map(|topic| {
        let name = topic.name.as_str();
        let indexes = (0..).take(topic.partitions.len());
        let needed = indexes
            .filter(|index| elect(call, image, name, *index, unclean).0 != ErrorCode::ElectionNotNeeded);
        ReplicaElectionResult {
            topic: name.to_owned(),
            partition_result: needed
                .map(|index| one(call, image, name, index, unclean))
                .collect(),
        }
    });
    results.collect()
}

fn one(call: &Call, image: &Image, name: &str, partition_id: i32, unclean: bool) -> PartitionResult {
    let (code, text) = elect(call, image, name, partition_id, unclean);
    PartitionResult {
        partition_id,
        error_code: call.code(&code),
        error_message: Some(text.to_owned()),
    }
}

fn elect(call: &Call, image: &Image, name: &str, index: i32, unclean: bool) -> (ErrorCode, &'static str) {
    let found = find(image, call, Named::Name(name))
        .and_then(|topic| partition(&topic, index).map(|partition| (topic, partition)));
    let Ok((topic, partition)) = found else {
        return (
            ErrorCode::UnknownTopicOrPartition,
            "there is no such topic or partition",
        );
    };
    let leads = leadership(image, &topic, partition.index).and_then(|known| known.leader);
    match leads {
        Some(_) => (
            ErrorCode::ElectionNotNeeded,
            "the service has elected a leader already",
        ),
        None if unclean => (
            ErrorCode::EligibleLeadersNotAvailable,
            "no replica can lead now, and none that is behind ever does",
        ),
        None => (ErrorCode::PreferredLeaderNotAvailable, "no replica can lead now"),
    }
}
