//! What administrators' tools ask for: disks, elections, pages of topics, producers, and what there is none of.

use super::ask::{Talk, versions};
use super::produce::{self, idempotent_batch};
use millstream_kafka_wire::messages::describe_client_quotas_request::ComponentData;
use millstream_kafka_wire::messages::describe_log_dirs_request::DescribableLogDirTopic;
use millstream_kafka_wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use millstream_kafka_wire::messages::describe_user_scram_credentials_request::UserName;
use millstream_kafka_wire::messages::elect_leaders_request::TopicPartitions;
use millstream_kafka_wire::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use millstream_kafka_wire::messages::{
    DescribeAclsRequest, DescribeClientQuotasRequest, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeProducersRequest, DescribeProducersResponse, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse, ElectLeadersRequest, ElectLeadersResponse, InitProducerIdRequest,
    ListConfigResourcesRequest, ListConfigResourcesResponse, ListPartitionReassignmentsRequest,
    ListTransactionsRequest, describe_producers_request,
};

pub fn script(talk: &mut Talk) {
    talk.topic("admin-a", 3, &[]);
    talk.topic("admin-b", 2, &[]);
    produce::send(talk, "admin-a", 0, produce::batch(&["a", "b"]));
    disks(talk);
    electing(talk);
    reassigning(talk);
    resources(talk);
    paging(talk);
    absent(talk);
    quotas(talk);
    producing(talk);
}

/// Sizes and names of disks are each broker's own; that there are bytes is not.
fn kept(mut answer: DescribeLogDirsResponse) -> DescribeLogDirsResponse {
    for result in &mut answer.results {
        result.log_dir = "some".to_owned();
        (result.total_bytes, result.usable_bytes) = (-1, -1);
        result.topics.retain(|topic| topic.name.starts_with("admin-"));
        result.topics.sort_by(|a, b| a.name.cmp(&b.name));
        for topic in &mut result.topics {
            topic
                .partitions
                .sort_by_key(|partition| partition.partition_index);
            let sizes = topic.partitions.iter_mut();
            sizes.for_each(|partition| partition.partition_size = partition.partition_size.min(1));
        }
    }
    answer
}

fn disks(talk: &mut Talk) {
    let all = versions::<DescribeLogDirsRequest>();
    let asked = |topics: &[(&str, &[i32])]| DescribeLogDirsRequest {
        topics: Some(
            topics
                .iter()
                .map(|(topic, partitions)| DescribableLogDirTopic {
                    topic: (*topic).to_owned(),
                    partitions: partitions.to_vec(),
                })
                .collect(),
        ),
    };
    let mut each = |step: &str, request: DescribeLogDirsRequest| {
        talk.each_seen(step, all.clone(), |_| request.clone(), kept);
    };
    each("disks of all topics", DescribeLogDirsRequest { topics: None });
    each("disks of some", asked(&[("admin-a", &[0, 2])]));
    each("disks of no partition", asked(&[("admin-a", &[0, 77, -1])]));
    each("disks of a topic that nobody knows", asked(&[("nothing", &[0])]));
    each(
        "disks of a partition named twice",
        asked(&[("admin-a", &[0, 0]), ("admin-a", &[0])]),
    );
    each("disks of nothing", asked(&[]));
}

fn electing(talk: &mut Talk) {
    let elect = |election_type: i8, topics: Option<&[(&str, &[i32])]>| ElectLeadersRequest {
        election_type,
        topic_partitions: topics.map(|topics| {
            topics
                .iter()
                .map(|(topic, partitions)| TopicPartitions {
                    topic: (*topic).to_owned(),
                    partitions: partitions.to_vec(),
                })
                .collect()
        }),
        timeout_ms: 10_000,
    };
    let sorted = |mut answer: ElectLeadersResponse| {
        let results = &mut answer.replica_election_results;
        // Other scripts have topics of their own.
        results.retain(|result| result.topic.starts_with("admin-") || result.topic == "nothing");
        results.sort_by(|a, b| a.topic.cmp(&b.topic));
        results
            .iter_mut()
            .for_each(|result| result.partition_result.sort_by_key(|one| one.partition_id));
        answer
    };
    let all = versions::<ElectLeadersRequest>();
    let mut each = |step: &str, request: ElectLeadersRequest| {
        talk.each_seen(step, all.clone(), |_| request.clone(), sorted);
    };
    each("elect what is preferred", elect(0, Some(&[("admin-a", &[0, 1])])));
    each("elect everywhere", elect(0, None));
    each("elect nothing", elect(0, Some(&[])));
    each("elect in no partition", elect(0, Some(&[("admin-a", &[0, 77])])));
    each(
        "elect in a topic that nobody knows",
        elect(0, Some(&[("nothing", &[0])])),
    );
    talk.each_of("elect uncleanly", 1..=2, |_| elect(1, Some(&[("admin-a", &[0])])));
    talk.each_of("elect oddly", 1..=2, |_| elect(9, Some(&[("admin-a", &[0])])));
}

fn reassigning(talk: &mut Talk) {
    let list = |topics: Option<&[(&str, &[i32])]>| ListPartitionReassignmentsRequest {
        timeout_ms: 10_000,
        topics: topics.map(|topics| {
            topics
                .iter()
                .map(|(name, partitions)| ListPartitionReassignmentsTopics {
                    name: (*name).to_owned(),
                    partition_indexes: partitions.to_vec(),
                })
                .collect()
        }),
    };
    talk.each("all reassignments", |_| list(None));
    talk.each("reassignments of a topic", |_| {
        list(Some(&[("admin-a", &[0, 1])]))
    });
    talk.each("reassignments of nothing", |_| list(Some(&[("nothing", &[0])])));
}

/// Topics of this script, and that there are brokers.
fn listed(mut answer: ListConfigResourcesResponse) -> ListConfigResourcesResponse {
    answer
        .config_resources
        .retain(|resource| resource.resource_type != 2 || resource.resource_name.starts_with("admin-"));
    answer.config_resources.sort_by(|a, b| {
        let key = |it: &millstream_kafka_wire::messages::list_config_resources_response::ConfigResource| {
            (it.resource_type, it.resource_name.clone())
        };
        key(a).cmp(&key(b))
    });
    answer
}

fn resources(talk: &mut Talk) {
    let list = |types: &[i8]| ListConfigResourcesRequest {
        resource_types: types.to_vec(),
    };
    talk.each_seen("list resources", 0..=1, |_| list(&[]), listed);
    for (step, kind) in [
        ("list topics with configs", 2),
        ("list brokers with configs", 4),
        ("list loggers", 8),
        ("list subscriptions to metrics", 16),
        ("list groups with configs", 32),
        ("list an odd kind of resource", 77),
    ] {
        talk.each_seen(step, 1..=1, |_| list(&[kind]), listed);
    }
}

fn paging(talk: &mut Talk) {
    let described = |mut answer: DescribeTopicPartitionsResponse| {
        // Other scripts have topics of their own.
        let asked = |name: &str| name.starts_with("admin-") || ["nothing", "no t"].contains(&name);
        answer
            .topics
            .retain(|topic| topic.name.as_deref().is_none_or(asked));
        answer
    };
    let ask = |names: &[&str], limit: i32, cursor: Option<(&str, i32)>| DescribeTopicPartitionsRequest {
        topics: names
            .iter()
            .map(|name| TopicRequest {
                name: (*name).to_owned(),
            })
            .collect(),
        response_partition_limit: limit,
        cursor: cursor.map(|(topic_name, partition_index)| Cursor {
            topic_name: topic_name.to_owned(),
            partition_index,
        }),
    };
    let mut each = |step: &str, request: DescribeTopicPartitionsRequest| {
        talk.each_seen(step, 0..=0, |_| request.clone(), described);
    };
    let both = ["admin-b", "admin-a"];
    each("a page of topics", ask(&both, 2000, None));
    each("a page of all topics", ask(&[], 2000, None));
    each("a page of two partitions", ask(&both, 2, None));
    each("a page that ends with a topic", ask(&both, 3, None));
    each("a page of no partitions", ask(&both, 0, None));
    each("a page of minus one partitions", ask(&both, -1, None));
    each("the next page", ask(&both, 2, Some(("admin-a", 2))));
    each(
        "a page from behind a topic's end",
        ask(&both, 2, Some(("admin-a", 3))),
    );
    each("a page of all from a topic", ask(&[], 2000, Some(("admin-b", 1))));
    each(
        "a page of all from a topic that is gone",
        ask(&[], 2000, Some(("admin-aa", 1))),
    );
    each(
        "a page from a topic not asked for",
        ask(&["admin-a"], 2, Some(("admin-b", 0))),
    );
    each(
        "a page from a partition below zero",
        ask(&both, 2, Some(("admin-a", -1))),
    );
    each(
        "a page of what nobody knows",
        ask(&["nothing", "admin-a", "no t"], 2000, None),
    );
    each(
        "a page of a topic named twice",
        ask(&["admin-b", "admin-b"], 2000, None),
    );
}

/// What neither broker has any of.
fn absent(talk: &mut Talk) {
    talk.each("describe ACLs", |_| DescribeAclsRequest {
        resource_type_filter: 1,
        pattern_type_filter: 1,
        operation: 1,
        permission_type: 1,
        resource_name_filter: None,
        principal_filter: None,
        host_filter: None,
    });
    let users = |names: Option<&[&str]>| DescribeUserScramCredentialsRequest {
        users: names.map(|names| {
            names
                .iter()
                .map(|name| UserName {
                    name: (*name).to_owned(),
                })
                .collect()
        }),
    };
    let sorted = |mut answer: DescribeUserScramCredentialsResponse| {
        answer.results.sort_by(|a, b| a.user.cmp(&b.user));
        answer
    };
    for (step, users) in [
        ("credentials of everybody", users(None)),
        ("credentials of no list", users(Some(&[]))),
        ("credentials of somebody", users(Some(&["alice"]))),
        (
            "credentials of somebody twice",
            users(Some(&["alice", "bob", "alice"])),
        ),
        ("credentials of a name of nothing", users(Some(&[""]))),
    ] {
        talk.each_seen(step, 0..=0, |_| users.clone(), sorted);
    }
    let list = |states: &[&str], pattern: Option<&str>| ListTransactionsRequest {
        state_filters: states.iter().map(|state| (*state).to_owned()).collect(),
        transactional_id_pattern: pattern.map(str::to_owned),
        ..Default::default()
    };
    talk.each("list transactions", |_| list(&[], None));
    talk.each("list transactions of states", |_| {
        list(&["Ongoing", "Odd", "ongoing", "PrepareEpochFence"], None)
    });
    talk.each_of("list transactions by a pattern", 2..=2, |_| {
        list(&[], Some("a.*"))
    });
}

fn quotas(talk: &mut Talk) {
    let ask = |components: &[(&str, i8, Option<&str>)], strict: bool| DescribeClientQuotasRequest {
        components: components
            .iter()
            .map(|(entity_type, match_type, name)| ComponentData {
                entity_type: (*entity_type).to_owned(),
                match_type: *match_type,
                r#match: name.map(str::to_owned),
            })
            .collect(),
        strict,
    };
    let mut each = |step: &str, request: DescribeClientQuotasRequest| talk.each(step, |_| request.clone());
    each("all quotas", ask(&[], false));
    each("quotas of nobody, strictly", ask(&[], true));
    each("quotas of a user", ask(&[("user", 0, Some("alice"))], false));
    each("quotas of any user", ask(&[("user", 2, None)], true));
    each(
        "quotas of a user's client",
        ask(&[("user", 0, Some("a")), ("client-id", 1, None)], false),
    );
    each("quotas of an odd kind", ask(&[("colour", 2, None)], false));
    each("quotas of a kind of nothing", ask(&[("", 2, None)], false));
    each(
        "quotas of a user twice",
        ask(&[("user", 2, None), ("user", 1, None)], false),
    );
    each("quotas matched oddly", ask(&[("user", 9, None)], false));
    each("quotas matched to null", ask(&[("user", 0, None)], false));
    each(
        "quotas matched to a name of any",
        ask(&[("user", 2, Some("a"))], false),
    );
    each(
        "quotas of a name of nothing",
        ask(&[("user", 0, Some(""))], false),
    );
}

/// When a producer wrote is each broker's own.
fn seen(mut answer: DescribeProducersResponse) -> DescribeProducersResponse {
    for partition in answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        for producer in &mut partition.active_producers {
            assert!(producer.last_timestamp > 0, "{producer:?}");
            producer.last_timestamp = 1;
        }
    }
    answer
}

fn producing(talk: &mut Talk) {
    let init = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    talk.wait_until(&init, |answer| answer.error_code == 0);
    let made = talk.quietly(4, &init).expect("an id");
    let id = (made.producer_id, made.producer_epoch);
    produce::send(talk, "admin-b", 1, idempotent_batch(id, 0, &["a", "b", "c"]));
    let ask = |topics: &[(&str, &[i32])]| DescribeProducersRequest {
        topics: topics
            .iter()
            .map(|(name, partitions)| describe_producers_request::TopicRequest {
                name: (*name).to_owned(),
                partition_indexes: partitions.to_vec(),
            })
            .collect(),
    };
    let mut each = |step: &str, request: DescribeProducersRequest| {
        talk.each_seen(step, 0..=0, |_| request.clone(), seen);
    };
    each("producers of partitions", ask(&[("admin-b", &[0, 1])]));
    each("producers of no partition", ask(&[("admin-b", &[1, 77])]));
    each(
        "producers of a topic that nobody knows",
        ask(&[("nothing", &[0])]),
    );
    each("producers of what cannot be", ask(&[("no t", &[0])]));
    each("producers of nothing", ask(&[]));
}
