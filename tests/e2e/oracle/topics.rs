//! Topics: made, grown, emptied, deleted, described.

use super::ask::{Talk, versions};
use super::produce;
use millstream_kafka_wire::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use millstream_kafka_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use millstream_kafka_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use millstream_kafka_wire::messages::delete_topics_request::DeleteTopicState;
use millstream_kafka_wire::messages::metadata_request::MetadataRequestTopic;
use millstream_kafka_wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, MetadataRequest, MetadataResponse,
};
use uuid::Uuid;

/// Configs whose values both brokers know alike.
pub const SHARED: [&str; 3] = ["cleanup.policy", "max.message.bytes", "retention.ms"];

fn new(name: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: replicas,
        ..Default::default()
    }
}

fn configured(name: &str, config: &str, value: Option<&str>) -> CreatableTopic {
    CreatableTopic {
        configs: vec![CreatableTopicConfig {
            name: config.to_owned(),
            value: value.map(str::to_owned),
        }],
        ..new(name, 1, 1)
    }
}

fn assigned(name: &str, partitions: i32, replicas: i16, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    CreatableTopic {
        assignments: assignments
            .iter()
            .map(|(partition_index, brokers)| CreatableReplicaAssignment {
                partition_index: *partition_index,
                broker_ids: brokers.to_vec(),
            })
            .collect(),
        ..new(name, partitions, replicas)
    }
}

fn create(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest {
        topics,
        timeout_ms: 10_000,
        ..Default::default()
    }
}

/// Topics in the order of their names, with the configs that can be compared; ids differ from broker to broker.
fn made(mut answer: CreateTopicsResponse) -> CreateTopicsResponse {
    answer.topics.sort_by(|a, b| a.name.cmp(&b.name));
    for topic in &mut answer.topics {
        topic.topic_id = Uuid::nil();
        let configs = topic.configs.iter_mut();
        configs.for_each(|configs| configs.retain(|config| SHARED.contains(&config.name.as_str())));
        let configs = topic.configs.iter_mut();
        configs.for_each(|configs| configs.sort_by(|a, b| a.name.cmp(&b.name)));
    }
    answer
}

pub fn script(talk: &mut Talk) {
    creating(talk);
    refusing(talk);
    growing(talk);
    emptying(talk);
    deleting(talk);
}

fn creating(talk: &mut Talk) {
    let all = versions::<CreateTopicsRequest>();
    let each = |talk: &mut Talk, step: &str, topics: &dyn Fn(i16) -> Vec<CreatableTopic>| {
        talk.each_seen(step, all.clone(), |version| create(topics(version)), made);
    };
    each(talk, "create three partitions", &|version| {
        vec![new(&format!("three-v{version}"), 3, 1)]
    });
    talk.each_seen(
        "create with the defaults",
        4..=7,
        |version| create(vec![new(&format!("default-v{version}"), -1, -1)]),
        made,
    );
    each(talk, "create what exists", &|version| {
        vec![new(&format!("three-v{version}"), 1, 1)]
    });
    each(talk, "create with a config", &|version| {
        vec![configured(
            &format!("kept-v{version}"),
            "retention.ms",
            Some("3600000"),
        )]
    });
    each(talk, "create compacted", &|version| {
        vec![configured(
            &format!("compacted-v{version}"),
            "cleanup.policy",
            Some("compact"),
        )]
    });
    talk.each_seen(
        "create, only checked",
        all.clone(),
        |version| CreateTopicsRequest {
            validate_only: true,
            ..create(vec![
                new(&format!("checked-v{version}"), 2, 1),
                new(&format!("three-v{version}"), 2, 1),
            ])
        },
        made,
    );
    each(talk, "create nothing", &|_| Vec::new());
    each(talk, "create one good and one bad", &|version| {
        vec![new(&format!("good-v{version}"), 1, 1), new("not good", 1, 1)]
    });
    let broker = talk.broker();
    each(talk, "create where the only broker is", &|version| {
        let name = format!("placed-v{version}");
        vec![assigned(&name, -1, -1, &[(1, &[broker]), (0, &[broker])])]
    });
    each(talk, "create twice on one broker", &|_| {
        vec![assigned("placed", -1, -1, &[(0, &[broker, broker])])]
    });
    each(talk, "create on no broker", &|_| {
        vec![assigned("placed", -1, -1, &[(0, &[])])]
    });
    each(talk, "create a partition twice", &|_| {
        vec![assigned("placed", -1, -1, &[(0, &[broker]), (0, &[broker])])]
    });
}

fn refusing(talk: &mut Talk) {
    let all = versions::<CreateTopicsRequest>();
    let refused: Vec<(&str, Vec<CreatableTopic>)> = vec![
        (
            "create twice in one request",
            vec![new("twice", 1, 1), new("twice", 1, 1)],
        ),
        ("create no partitions", vec![new("none", 0, 1)]),
        ("create minus two partitions", vec![new("negative", -2, 1)]),
        ("create without replicas", vec![new("unreplicated", 1, 0)]),
        (
            "create with more replicas than brokers",
            vec![new("replicated", 1, 3)],
        ),
        ("create with a name of nothing", vec![new("", 1, 1)]),
        ("create with a blank in the name", vec![new("a b", 1, 1)]),
        ("create .", vec![new(".", 1, 1)]),
        ("create ..", vec![new("..", 1, 1)]),
        (
            "create with a name of 250 letters",
            vec![new(&"x".repeat(250), 1, 1)],
        ),
        (
            "create with an unknown config",
            vec![configured("odd", "no.such.config", Some("1"))],
        ),
        (
            "create with a config that is no number",
            vec![configured("odd", "retention.ms", Some("soon"))],
        ),
        (
            "create with a config out of range",
            vec![configured("odd", "retention.ms", Some("-2"))],
        ),
        (
            "create with an unknown word",
            vec![configured("odd", "cleanup.policy", Some("shred"))],
        ),
        (
            "create with a config of null",
            vec![configured("odd", "retention.ms", None)],
        ),
        (
            "create with a count and an assignment",
            vec![assigned("placed", 1, -1, &[(0, &[1])])],
        ),
        (
            "create on a broker that nobody knows",
            vec![assigned("placed", -1, -1, &[(0, &[77])])],
        ),
        (
            "create with a gap in the assignment",
            vec![assigned("placed", -1, -1, &[(0, &[1]), (2, &[1])])],
        ),
    ];
    for (step, topics) in refused {
        talk.each_seen(step, all.clone(), |_| create(topics.clone()), made);
    }
    talk.topic("dot.name", 1, &[]);
    talk.each_seen(
        "create a name that collides",
        all,
        |_| create(vec![new("dot_name", 1, 1)]),
        made,
    );
}

fn growing(talk: &mut Talk) {
    let grow = |name: &str, count: i32| CreatePartitionsTopic {
        name: name.to_owned(),
        count,
        assignments: None,
    };
    let request = |topics: Vec<CreatePartitionsTopic>| CreatePartitionsRequest {
        topics,
        timeout_ms: 10_000,
        ..Default::default()
    };
    talk.topic("growing", 2, &[]);
    talk.each("grow", |version| {
        request(vec![grow("growing", 3 + i32::from(version))])
    });
    talk.each("grow to what it has", |_| request(vec![grow("growing", 6)]));
    talk.each("shrink", |_| request(vec![grow("growing", 1)]));
    talk.each("grow to nothing", |_| request(vec![grow("growing", 0)]));
    talk.each("grow to minus one", |_| request(vec![grow("growing", -1)]));
    talk.each("grow what nobody knows", |_| request(vec![grow("nothing", 4)]));
    talk.each("grow what cannot be", |_| request(vec![grow("no t", 4)]));
    talk.each("grow twice in one request", |_| {
        request(vec![grow("growing", 8), grow("growing", 9)])
    });
    talk.each("grow nothing", |_| request(Vec::new()));
    talk.each("grow, only checked", |_| CreatePartitionsRequest {
        validate_only: true,
        ..request(vec![grow("growing", 9)])
    });
    let broker = talk.broker();
    let onto = |brokers: &[&[i32]]| {
        let lists = brokers.iter().map(|broker_ids| CreatePartitionsAssignment {
            broker_ids: broker_ids.to_vec(),
        });
        Some(lists.collect::<Vec<_>>())
    };
    talk.each("grow where the only broker is, only checked", |_| {
        CreatePartitionsRequest {
            validate_only: true,
            ..request(vec![CreatePartitionsTopic {
                assignments: onto(&[&[broker], &[broker]]),
                ..grow("growing", 8)
            }])
        }
    });
    talk.each("grow by two with one list", |_| {
        request(vec![CreatePartitionsTopic {
            assignments: onto(&[&[broker]]),
            ..grow("growing", 8)
        }])
    });
    talk.each("grow by a list of nothing", |_| {
        request(vec![CreatePartitionsTopic {
            assignments: onto(&[&[]]),
            ..grow("growing", 7)
        }])
    });
    talk.each("grow twice onto one broker", |_| {
        request(vec![CreatePartitionsTopic {
            assignments: onto(&[&[broker, broker]]),
            ..grow("growing", 7)
        }])
    });
    talk.each("grow onto a broker that nobody knows", |_| {
        let assignments = Some(vec![CreatePartitionsAssignment { broker_ids: vec![77] }]);
        request(vec![CreatePartitionsTopic {
            assignments,
            ..grow("growing", 7)
        }])
    });
}

fn emptying(talk: &mut Talk) {
    talk.topic("emptied", 1, &[]);
    for _ in 0..10 {
        produce::send(talk, "emptied", 0, produce::batch(&["a", "b"]));
    }
    let request = |name: &str, partition_index: i32, offset: i64| DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: name.to_owned(),
            partitions: vec![DeleteRecordsPartition {
                partition_index,
                offset,
            }],
        }],
        timeout_ms: 10_000,
    };
    talk.each("delete records", |version| {
        request("emptied", 0, 2 + 2 * i64::from(version))
    });
    talk.each("delete records before the first", |_| request("emptied", 0, 1));
    talk.each("delete records in a batch", |_| request("emptied", 0, 9));
    talk.each("delete records beyond the end", |_| request("emptied", 0, 21));
    talk.each("delete records before minus two", |_| request("emptied", 0, -2));
    talk.each("delete records of no partition", |_| request("emptied", 7, 1));
    talk.each("delete records of nothing", |_| request("nothing", 0, 1));
    talk.each("delete all records", |_| request("emptied", 0, -1));
}

fn deleting(talk: &mut Talk) {
    let named = |names: &[&str]| DeleteTopicsRequest {
        topics: names
            .iter()
            .map(|name| DeleteTopicState {
                name: Some((*name).to_owned()),
                ..Default::default()
            })
            .collect(),
        topic_names: names.iter().map(|name| (*name).to_owned()).collect(),
        timeout_ms: 10_000,
    };
    for version in versions::<DeleteTopicsRequest>() {
        talk.topic(&format!("deleted-v{version}"), 1, &[]);
    }
    talk.each("delete", |version| named(&[&format!("deleted-v{version}")]));
    talk.each("delete what nobody knows", |_| named(&["nothing"]));
    talk.each("delete what cannot be", |_| named(&["no t"]));
    talk.each("delete nothing", |_| named(&[]));
    talk.topic("deleted-twice", 1, &[]);
    talk.each("delete twice in one request", |_| {
        named(&["deleted-twice", "deleted-twice"])
    });
    let id = talk.topic("deleted-by-id", 1, &[]);
    let by = |name: Option<&str>, topic_id: Uuid| DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: name.map(str::to_owned),
            topic_id,
        }],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let nobody = Uuid::from_u128(0xdead);
    talk.ask("delete by name and id", 6, &by(Some("deleted-by-id"), id));
    talk.ask("delete by neither", 6, &by(None, Uuid::nil()));
    talk.ask("delete by an id that nobody has", 6, &by(None, nobody));
    talk.ask("delete by id", 6, &by(None, id));
}

/// Which brokers there are, and what rights, is each service's own.
fn described(mut answer: MetadataResponse) -> MetadataResponse {
    answer.topics.sort_by(|a, b| a.name.cmp(&b.name));
    answer.cluster_id = answer.cluster_id.map(|_| "some".to_owned());
    answer
}

pub fn metadata_script(talk: &mut Talk) {
    let all = versions::<MetadataRequest>();
    let named = |names: &[&str]| MetadataRequest {
        topics: Some(
            names
                .iter()
                .map(|name| MetadataRequestTopic {
                    name: Some((*name).to_owned()),
                    ..Default::default()
                })
                .collect(),
        ),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let id = talk.topic("known", 2, &[]);
    let mut each = |step: &str, request: MetadataRequest| {
        let from = if step.contains("unknown") { 4 } else { *all.start() };
        talk.each_seen(step, from..=*all.end(), |_| request.clone(), described);
    };
    each("describe a topic", named(&["known"]));
    each("describe a topic twice", named(&["known", "known"]));
    each("describe an unknown topic", named(&["unknown", "known"]));
    each("describe what cannot be", named(&["no t"]));
    each("describe nothing unknown", named(&[]));
    each(
        "describe with rights",
        MetadataRequest {
            include_cluster_authorized_operations: true,
            include_topic_authorized_operations: true,
            ..named(&["known"])
        },
    );
    let by = |name: Option<&str>, topic_id: Uuid| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: name.map(str::to_owned),
            topic_id,
        }]),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let nobody = Uuid::from_u128(0xdead);
    talk.each_seen("describe by id", 12..=13, |_| by(None, id), described);
    talk.each_seen(
        "describe by an id that nobody has",
        12..=13,
        |_| by(None, nobody),
        described,
    );
    talk.each_seen("describe by no id", 12..=13, |_| by(None, Uuid::nil()), described);
    talk.each_seen(
        "describe by name and id",
        10..=13,
        |_| by(Some("known"), id),
        described,
    );
    talk.each_seen(
        "describe by name and another id",
        12..=13,
        |_| by(Some("known"), nobody),
        described,
    );
    talk.each_seen("describe by id too early", 10..=11, |_| by(None, id), described);
    talk.each_seen(
        "describe the cluster",
        versions::<DescribeClusterRequest>(),
        |_| DescribeClusterRequest::default(),
        |mut answer| {
            answer.cluster_id = "some".to_owned();
            answer
        },
    );
    talk.each_of("describe the controllers", 1..=2, |_| DescribeClusterRequest {
        endpoint_type: 2,
        ..Default::default()
    });
    talk.each_of("describe endpoints of no kind", 1..=2, |_| {
        DescribeClusterRequest {
            endpoint_type: 3,
            ..Default::default()
        }
    });
}
