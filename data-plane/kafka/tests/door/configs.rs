//! Configs of topics and nodes: replaced, in words, and where their values come from.

use crate::server::Server;
use millstream_kafka_wire::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use millstream_kafka_wire::messages::describe_configs_request::DescribeConfigsResource;
use millstream_kafka_wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use millstream_kafka_wire::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest, DescribeConfigsRequest,
    create_partitions_request, create_topics_request,
};
use millstream_kafka_wire::{ApiKey, ErrorCode};
use millstream_metadata::TopicDefaults;
use std::collections::BTreeMap;

/// A partition and the brokers that a client lists for it.
type Listed<'a> = (i32, &'a [i32]);

fn describe(resource_type: i8, name: &str) -> DescribeConfigsRequest {
    DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configuration_keys: None,
        }],
        include_synonyms: true,
        include_documentation: true,
    }
}

fn by_name(configs: &[DescribeConfigsResourceResult]) -> BTreeMap<&str, &DescribeConfigsResourceResult> {
    configs
        .iter()
        .map(|config| (config.name.as_str(), config))
        .collect()
}

fn set(configs: &[DescribeConfigsResourceResult]) -> Vec<(&str, &str)> {
    let set = configs.iter().filter(|config| config.config_source == 1);
    set.map(|config| (config.name.as_str(), config.value.as_deref().unwrap()))
        .collect()
}

#[tokio::test]
async fn older_clients_replace_all_configs_of_a_topic() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.create_topic("old", 1).await;
    let replace = |configs: &[(&str, &str)], validate_only| AlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: "old".to_owned(),
            configs: configs
                .iter()
                .map(|(name, value)| AlterableConfig {
                    name: (*name).to_owned(),
                    value: Some((*value).to_owned()),
                })
                .collect(),
        }],
        validate_only,
    };
    let both = [("max.message.bytes", "500000"), ("retention.ms", "1000")];
    let one = [("retention.bytes", "7")];
    for (configs, expected) in [(&both[..], &both[..]), (&one, &one), (&[], &[])] {
        for version in ApiKey::AlterConfigs.versions() {
            let answer = client.ask(version, &replace(configs, false)).await;
            let response = &answer.responses[0];
            assert_eq!(
                (response.error_code, response.error_message.as_deref()),
                (0, None)
            );
            let described = client.newest(&describe(2, "old")).await;
            assert_eq!(set(&described.results[0].configs), expected);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn documentation_is_there_for_who_asks() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.create_topic("told", 1).await;
    for (kind, name) in [(2, "told"), (4, "1")] {
        let answer = client.newest(&describe(kind, name)).await;
        assert!(answer.results[0].configs.len() > 5);
        for config in &answer.results[0].configs {
            let text = config.documentation.as_deref().unwrap_or_default();
            assert!(text.len() > 10, "{}", config.name);
        }
        let quiet = DescribeConfigsRequest {
            include_documentation: false,
            ..describe(kind, name)
        };
        let answer = client.newest(&quiet).await;
        assert!(
            answer.results[0]
                .configs
                .iter()
                .all(|it| it.documentation.is_none())
        );
    }
    server.stop().await;
}

/// Kafka's tools print a stack trace for every error here, so there is none where nothing is wrong.
#[tokio::test]
async fn resources_without_configs_have_none() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let invalid = ErrorCode::InvalidRequest.number();
    for (kind, name, code) in [
        (32, "a-group", 0),
        (16, "a-subscription", 0),
        (8, "1", 0),
        (4, "", 0),
        (8, "77", invalid),
        (32, "", invalid),
        (99, "x", invalid),
    ] {
        let answer = client.newest(&describe(kind, name)).await;
        let result = &answer.results[0];
        assert_eq!(
            (result.error_code, result.configs.len()),
            (code, 0),
            "{kind} {name}"
        );
        let text = result.error_message.as_deref().unwrap();
        assert_eq!(text.is_empty(), code == 0);
        assert_ne!(text, "INVALID_REQUEST");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_default_that_was_set_is_shown_with_who_set_it() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.create_topic("plain", 1).await;
    let service = TopicDefaults {
        partitions: Some(5),
        retention_ms: Some(11),
        replication_factor: Some(1),
    };
    let own = TopicDefaults {
        partitions: None,
        retention_ms: Some(22),
        replication_factor: None,
    };
    let nothing = TopicDefaults::default();
    for (own, service, retention, source, partitions) in [
        (nothing, nothing, "604800000", 5, ("1", 5)),
        (nothing, service, "11", 4, ("5", 4)),
        (own, service, "22", 3, ("5", 4)),
        (own, nothing, "22", 3, ("1", 5)),
    ] {
        server.catalog.set_topic_defaults(1, own, service);
        let answer = client.newest(&describe(2, "plain")).await;
        let configs = by_name(&answer.results[0].configs);
        let found = configs["retention.ms"];
        assert_eq!(
            (found.value.as_deref(), found.config_source),
            (Some(retention), source)
        );
        assert_eq!(found.synonyms[0].source, source);
        let answer = client.newest(&describe(4, "1")).await;
        let configs = by_name(&answer.results[0].configs);
        let found = configs["num.partitions"];
        assert_eq!(
            (found.value.as_deref(), found.config_source),
            (Some(partitions.0), partitions.1)
        );
        assert_eq!(configs["log.retention.ms"].value.as_deref(), Some(retention));
        let answer = client.newest(&describe(4, "")).await;
        let all = by_name(&answer.results[0].configs);
        let said: Vec<&str> = all.keys().copied().collect();
        let expected: &[&str] = if own == nothing {
            &[]
        } else {
            &["log.retention.ms"]
        };
        assert_eq!(said, expected, "what was set for all nodes");
    }
    server.stop().await;
}

/// Null, not an empty text, where nothing is wrong.
#[tokio::test]
async fn success_has_no_words() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for version in 1..=7 {
        let request = CreateTopicsRequest {
            topics: vec![create_topics_request::CreatableTopic {
                name: format!("made-{version}"),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = client.ask(version, &request).await;
        assert_eq!(answer.topics[0].error_message, None, "version {version}");
    }
    for version in 1..=4 {
        let answer = client.ask(version, &describe(2, "made-1")).await;
        assert_eq!(answer.results[0].error_message.as_deref(), Some(""));
    }
    server.stop().await;
}

#[tokio::test]
async fn replicas_may_be_named_where_the_service_puts_them() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let refused = ErrorCode::InvalidReplicaAssignment.number();
    let lists: [(&str, &[Listed], i16); 6] = [
        ("good", &[(1, &[1]), (0, &[1]), (2, &[1])], 0),
        ("unknown", &[(0, &[2])], refused),
        ("twice", &[(0, &[1, 1])], refused),
        ("gap", &[(0, &[1]), (2, &[1])], refused),
        ("nobody", &[(0, &[])], refused),
        ("from-one", &[(1, &[1])], refused),
    ];
    for (name, lists, code) in lists {
        let assignments = lists.iter();
        let assignments =
            assignments.map(
                |(partition_index, brokers)| create_topics_request::CreatableReplicaAssignment {
                    partition_index: *partition_index,
                    broker_ids: brokers.to_vec(),
                },
            );
        let topic = create_topics_request::CreatableTopic {
            name: name.to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: assignments.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            ..Default::default()
        };
        let answer = &client.newest(&request).await.topics[0];
        assert_eq!(answer.error_code, code, "{name}: {:?}", answer.error_message);
        assert_eq!(answer.num_partitions, if code == 0 { 3 } else { -1 });
    }
    let more: [(i32, &[&[i32]], i16); 4] = [
        (5, &[&[1]], refused),
        (5, &[&[1], &[3]], refused),
        (5, &[&[1], &[1]], 0),
        (6, &[&[]], refused),
    ];
    for (count, lists, code) in more {
        let assignments = lists
            .iter()
            .map(|list| create_partitions_request::CreatePartitionsAssignment {
                broker_ids: list.to_vec(),
            });
        let request = CreatePartitionsRequest {
            topics: vec![create_partitions_request::CreatePartitionsTopic {
                name: "good".to_owned(),
                count,
                assignments: Some(assignments.collect()),
            }],
            ..Default::default()
        };
        let answer = &client.newest(&request).await.results[0];
        assert_eq!(answer.error_code, code, "{:?}", answer.error_message);
    }
    server.stop().await;
}
