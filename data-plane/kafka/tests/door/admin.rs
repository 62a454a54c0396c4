//! Topics and their configs.

use crate::client::{batch, versions};
use crate::records::produce_request;
use crate::server::Server;
use millstream_kafka_wire::messages::create_partitions_request::CreatePartitionsTopic;
use millstream_kafka_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use millstream_kafka_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use millstream_kafka_wire::messages::delete_topics_request::DeleteTopicState;
use millstream_kafka_wire::messages::describe_configs_request::DescribeConfigsResource;
use millstream_kafka_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use millstream_kafka_wire::messages::metadata_request::MetadataRequestTopic;
use millstream_kafka_wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeClusterRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, MetadataRequest,
};
use millstream_kafka_wire::{ApiKey, ErrorCode};
use millstream_metadata::Grant;

fn topic(name: &str, partitions: i32) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: 1,
        ..Default::default()
    }
}

#[tokio::test]
async fn topics_are_created_and_deleted_in_every_version() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for version in versions(ApiKey::CreateTopics) {
        let name = format!("made-{version}");
        let request = CreateTopicsRequest {
            topics: vec![topic(&name, 2)],
            ..Default::default()
        };
        assert_eq!(client.ask(version, &request).await.topics[0].error_code, 0);
        let again = client.ask(version, &request).await;
        assert_eq!(again.topics[0].error_code, ErrorCode::TopicAlreadyExists.number());
    }
    for version in versions(ApiKey::DeleteTopics) {
        let name = format!("made-{version}");
        let state = DeleteTopicState {
            name: Some(name.clone()),
            ..Default::default()
        };
        let request = DeleteTopicsRequest {
            topics: vec![state],
            topic_names: vec![name],
            timeout_ms: 1000,
        };
        assert_eq!(
            client.ask(version, &request).await.responses[0].error_code,
            0,
            "version {version}"
        );
        let again = client.ask(version, &request).await;
        assert_eq!(
            again.responses[0].error_code,
            ErrorCode::UnknownTopicOrPartition.number()
        );
    }
    server.stop().await;
}

/// Nobody knows what is meant by a topic that one entry names and another gives by its id, so nothing is deleted.
#[tokio::test]
async fn a_topic_given_by_name_and_by_id_is_not_deleted() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let twice = client.create_topic("twice", 1).await;
    let once = client.create_topic("once", 1).await;
    let named = |name: &str| DeleteTopicState {
        name: Some(name.to_owned()),
        ..Default::default()
    };
    let of_id = |topic_id| DeleteTopicState {
        topic_id,
        ..Default::default()
    };
    let request = DeleteTopicsRequest {
        topics: vec![of_id(twice), named("once"), named("twice")],
        timeout_ms: 1000,
        ..Default::default()
    };
    let told = client.newest(&request).await.responses;
    let told: Vec<_> = told
        .iter()
        .map(|one| (one.name.as_deref(), one.topic_id, one.error_code))
        .collect();
    let refused = ErrorCode::InvalidRequest.number();
    assert_eq!(told, [(Some("twice"), twice, refused), (Some("once"), once, 0)]);
    let request = DeleteTopicsRequest {
        topics: vec![of_id(twice)],
        timeout_ms: 1000,
        ..Default::default()
    };
    assert_eq!(client.newest(&request).await.responses[0].error_code, 0);
    server.stop().await;
}

#[tokio::test]
async fn wrong_topics_are_refused_in_words() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let with_config = |name: &str, value: &str| CreatableTopic {
        configs: vec![CreatableTopicConfig {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        }],
        ..topic("configured", 1)
    };
    for (wanted, code) in [
        (topic("a b", 1), ErrorCode::InvalidTopicException),
        (topic("none", 0), ErrorCode::InvalidPartitions),
        (
            CreatableTopic {
                replication_factor: 5,
                ..topic("five", 1)
            },
            ErrorCode::InvalidReplicationFactor,
        ),
        (with_config("nonsense", "1"), ErrorCode::InvalidConfig),
        (with_config("retention.ms", "soon"), ErrorCode::InvalidConfig),
    ] {
        let request = CreateTopicsRequest {
            topics: vec![wanted],
            ..Default::default()
        };
        let response = client.newest(&request).await;
        assert_eq!(response.topics[0].error_code, code.number());
        assert!(response.topics[0].error_message.is_some());
    }
    let request = CreateTopicsRequest {
        topics: vec![topic("twice", 1), topic("twice", 1)],
        ..Default::default()
    };
    let response = client.newest(&request).await;
    assert_eq!(response.topics.len(), 1);
    assert_eq!(response.topics[0].error_code, ErrorCode::InvalidRequest.number());
    let request = CreateTopicsRequest {
        topics: vec![topic("dry", 1)],
        validate_only: true,
        ..Default::default()
    };
    assert_eq!(client.newest(&request).await.topics[0].error_code, 0);
    let request = CreateTopicsRequest {
        topics: vec![topic("dry", 1)],
        ..Default::default()
    };
    assert_eq!(
        client.newest(&request).await.topics[0].error_code,
        0,
        "validating makes nothing"
    );
    server.stop().await;
}

#[tokio::test]
async fn unknown_topics_are_made_where_the_tenant_allows_it() {
    let server = Server::start().await;
    let strict = server.catalog.key(3, 5, &[Grant::Admin]);
    let writer = server.catalog.key(1, 6, &[Grant::Produce]);
    let reader = server.catalog.key(1, 7, &[Grant::Consume]);
    let ask = |name: &str, create| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(name.to_owned()),
            ..Default::default()
        }]),
        allow_auto_topic_creation: create,
        ..MetadataRequest::default()
    };
    let unknown = ErrorCode::UnknownTopicOrPartition.number();
    let mut admin = server.client().await;
    assert_eq!(admin.ask(0, &ask("made", true)).await.topics[0].error_code, 0);
    assert_eq!(
        admin.newest(&ask("not-made", false)).await.topics[0].error_code,
        unknown
    );
    let illegal = admin.newest(&ask("a b", true)).await.topics[0].error_code;
    assert_eq!(illegal, ErrorCode::InvalidTopicException.number());
    assert_eq!(
        server
            .client_of(&writer)
            .await
            .newest(&ask("written", true))
            .await
            .topics[0]
            .error_code,
        0
    );
    assert_eq!(
        server
            .client_of(&reader)
            .await
            .newest(&ask("read", true))
            .await
            .topics[0]
            .error_code,
        unknown
    );
    assert_eq!(
        server
            .client_of(&strict)
            .await
            .newest(&ask("strict", true))
            .await
            .topics[0]
            .error_code,
        unknown
    );
    server.stop().await;
}

#[tokio::test]
async fn configs_are_described_and_altered() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.create_topic("configured", 1).await;
    let alter = |operation, value: Option<&str>| {
        let config = AlterableConfig {
            name: "retention.ms".to_owned(),
            config_operation: operation,
            value: value.map(str::to_owned),
        };
        let resource = AlterConfigsResource {
            resource_type: 2,
            resource_name: "configured".to_owned(),
            configs: vec![config],
        };
        IncrementalAlterConfigsRequest {
            resources: vec![resource],
            validate_only: false,
        }
    };
    assert_eq!(
        client.newest(&alter(0, Some("1000"))).await.responses[0].error_code,
        0
    );
    for version in versions(ApiKey::DescribeConfigs) {
        let resource = DescribeConfigsResource {
            resource_type: 2,
            resource_name: "configured".to_owned(),
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            include_synonyms: true,
            ..Default::default()
        };
        let response = client.ask(version, &request).await;
        let configs = &response.results[0].configs;
        let retention = configs
            .iter()
            .find(|config| config.name == "retention.ms")
            .unwrap();
        assert_eq!(retention.value.as_deref(), Some("1000"));
        assert!(configs.len() > 20);
    }
    assert_eq!(client.newest(&alter(1, None)).await.responses[0].error_code, 0);
    assert_eq!(
        client.newest(&alter(7, None)).await.responses[0].error_code,
        ErrorCode::InvalidRequest.number()
    );
    server.stop().await;
}

#[tokio::test]
async fn partitions_are_added_and_records_deleted() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let id = client.create_topic("growing", 1).await;
    let more = CreatePartitionsTopic {
        name: "growing".to_owned(),
        count: 3,
        assignments: None,
    };
    let request = CreatePartitionsRequest {
        topics: vec![more],
        ..Default::default()
    };
    assert_eq!(client.newest(&request).await.results[0].error_code, 0);
    client
        .ask(13, &produce_request("", id, 0, -1, batch(&["a", "b", "c"])))
        .await;
    for (version, offset, code, low) in [
        (0, 1, ErrorCode::None, 1),
        (1, -1, ErrorCode::None, 3),
        (2, 50, ErrorCode::OffsetOutOfRange, -1),
        (2, -7, ErrorCode::OffsetOutOfRange, -1),
    ] {
        let partition = DeleteRecordsPartition {
            partition_index: 0,
            offset,
        };
        let topic = DeleteRecordsTopic {
            name: "growing".to_owned(),
            partitions: vec![partition],
        };
        let request = DeleteRecordsRequest {
            topics: vec![topic],
            timeout_ms: 1000,
        };
        let response = client.ask(version, &request).await;
        let partition = &response.topics[0].partitions[0];
        assert_eq!(
            (partition.error_code, partition.low_watermark),
            (code.number(), low),
            "to {offset}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn the_cluster_is_the_tenants() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for version in versions(ApiKey::DescribeCluster) {
        let request = DescribeClusterRequest {
            endpoint_type: 1,
            ..Default::default()
        };
        let response = client.ask(version, &request).await;
        assert_eq!((response.error_code, response.brokers.len()), (0, 1));
        assert_eq!(response.cluster_id, "000000000001");
    }
    server.stop().await;
}
