//! What administrators' tools ask of topics, partitions and what is not there.

use crate::client::{batch, versions};
use crate::records::produce_request;
use crate::server::Server;
use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord, Producer};
use millstream_kafka_wire::messages::describe_log_dirs_request::DescribableLogDirTopic;
use millstream_kafka_wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use millstream_kafka_wire::messages::*;
use millstream_kafka_wire::{ApiKey, ErrorCode};
use millstream_metadata::{Grant, Quota};
use millstream_model::{ProducerEpoch, ProducerId, TimestampMs};
use uuid::Uuid;

fn idempotent(id: (i64, i16), base_sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new().producer(Producer {
        id: ProducerId(id.0),
        epoch: ProducerEpoch(id.1),
        base_sequence,
    });
    builder
        .push(NewRecord {
            timestamp: TimestampMs::now(),
            key: None,
            value: Some(b"v"),
            headers: &[],
        })
        .unwrap();
    builder.build().unwrap()
}

#[tokio::test]
async fn producers_are_who_wrote() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.create_topic("written", 2).await;
    let before = TimestampMs::now().0;
    for sequence in 0..3 {
        let batch = idempotent((77, 4), sequence);
        let answer = client
            .ask(12, &produce_request("written", Uuid::nil(), 1, -1, batch))
            .await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    let request = DescribeProducersRequest {
        topics: vec![describe_producers_request::TopicRequest {
            name: "written".to_owned(),
            // Each is described once.
            partition_indexes: vec![0, 1, 9, 1],
        }],
    };
    let answer = client.newest(&request).await;
    let partitions = &answer.topics[0].partitions;
    assert_eq!(partitions.len(), 3);
    assert_eq!(
        (partitions[0].error_code, partitions[0].active_producers.len()),
        (0, 0)
    );
    let [producer] = partitions[1].active_producers.as_slice() else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (
            producer.producer_id,
            producer.producer_epoch,
            producer.last_sequence
        ),
        (77, 4, 2)
    );
    assert!(producer.last_timestamp >= before);
    assert_eq!(producer.current_txn_start_offset, -1);
    assert_eq!(
        partitions[2].error_code,
        ErrorCode::UnknownTopicOrPartition.number()
    );
    // Who may not read may not see who writes, and nobody sees another tenant's.
    for (tenant, grant, code) in [
        (1, Grant::Produce, ErrorCode::TopicAuthorizationFailed),
        (2, Grant::Admin, ErrorCode::UnknownTopicOrPartition),
    ] {
        let key = server.catalog.key(tenant, 40 + tenant as u8, &[grant]);
        let answer = server.client_of(&key).await.newest(&request).await;
        assert_eq!(answer.topics[0].partitions[1].error_code, code.number());
        assert!(answer.topics[0].partitions[1].active_producers.is_empty());
    }
    server.stop().await;
}

#[tokio::test]
async fn disks_say_what_a_tenants_partitions_take() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.create_topic("kept", 2).await;
    let stranger = server.catalog.key(2, 42, &[Grant::Admin]);
    server.client_of(&stranger).await.create_topic("theirs", 1).await;
    let sent = batch(&["some", "words"]);
    let bytes = sent.len() as i64;
    client
        .ask(12, &produce_request("kept", Uuid::nil(), 1, -1, sent))
        .await;
    for version in versions(ApiKey::DescribeLogDirs) {
        let answer = client
            .ask(version, &DescribeLogDirsRequest { topics: None })
            .await;
        let [dir] = answer.results.as_slice() else {
            panic!("{answer:?}")
        };
        assert_eq!((answer.error_code, dir.error_code), (0, 0));
        assert!(!dir.log_dir.contains('/'), "no path of the node's disk");
        assert_eq!((dir.total_bytes, dir.usable_bytes), (-1, -1));
        let [topic] = dir.topics.as_slice() else {
            panic!("{answer:?}")
        };
        assert_eq!(topic.name, "kept");
        let sizes: Vec<i64> = topic.partitions.iter().map(|it| it.partition_size).collect();
        assert_eq!(sizes, [0, bytes], "version {version}");
    }
    let topics = Some(vec![DescribableLogDirTopic {
        topic: "theirs".to_owned(),
        partitions: vec![0],
    }]);
    let answer = client.newest(&DescribeLogDirsRequest { topics }).await;
    assert!(answer.results[0].topics.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn pages_of_partitions_join_without_a_gap() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for (name, partitions) in [("b", 3), ("a", 4), ("c", 1)] {
        client.create_topic(name, partitions).await;
    }
    for limit in 1..=9 {
        for names in [vec![], vec!["c", "b", "a"]] {
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let request = DescribeTopicPartitionsRequest {
                    topics: names
                        .iter()
                        .map(|name| TopicRequest {
                            name: (*name).to_owned(),
                        })
                        .collect(),
                    response_partition_limit: limit,
                    cursor,
                };
                let answer = client.newest(&request).await;
                let found: Vec<(String, i32)> = answer
                    .topics
                    .iter()
                    .flat_map(|topic| {
                        let name = topic.name.clone().unwrap();
                        let partitions = topic.partitions.iter();
                        partitions.map(move |partition| (name.clone(), partition.partition_index))
                    })
                    .collect();
                assert!(found.len() <= limit as usize);
                seen.extend(found);
                match answer.next_cursor {
                    None => break,
                    Some(next) => {
                        cursor = Some(Cursor {
                            topic_name: next.topic_name,
                            partition_index: next.partition_index,
                        });
                    }
                }
            }
            let all = [("a", 4), ("b", 3), ("c", 1)];
            let all: Vec<(String, i32)> = all
                .iter()
                .flat_map(|(name, count)| (0..*count).map(|index| ((*name).to_owned(), index)))
                .collect();
            assert_eq!(seen, all, "pages of {limit}");
        }
    }
    server.stop().await;
}

/// A cap that holds is told; what there is none of is an empty list, not an error.
#[tokio::test]
async fn quotas_of_keys_are_told_as_quotas_of_users() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let capped = server.catalog.key(1, 50, &[Grant::Produce]);
    let theirs = server.catalog.key(2, 51, &[Grant::Produce]);
    for key in [&capped, &theirs] {
        server.catalog.set_key_quota(
            key,
            Quota {
                produce_bytes_per_second: Some(1000),
                requests_per_second: Some(7),
                ..Quota::default()
            },
        );
    }
    let component =
        |entity_type: &str, match_type, name: Option<&str>| describe_client_quotas_request::ComponentData {
            entity_type: entity_type.to_owned(),
            match_type,
            r#match: name.map(str::to_owned),
        };
    let id = capped.id.to_string();
    let cases = [
        (vec![], false, 1),
        (vec![], true, 0),
        (vec![component("user", 2, None)], true, 1),
        (vec![component("user", 0, Some(&id))], true, 1),
        (vec![component("user", 0, Some("nobody"))], true, 0),
        (vec![component("user", 0, Some(theirs.id.as_str()))], false, 0),
        (vec![component("user", 1, None)], false, 0),
        (vec![component("client-id", 2, None)], false, 0),
        (
            vec![component("user", 2, None), component("client-id", 2, None)],
            false,
            0,
        ),
    ];
    for (components, strict, count) in cases {
        let request = DescribeClientQuotasRequest { components, strict };
        let answer = client.newest(&request).await;
        let entries = answer.entries.unwrap();
        assert_eq!(entries.len(), count, "{request:?}");
        for entry in entries {
            assert_eq!(entry.entity[0].entity_name.as_deref(), Some(id.as_str()));
            let values: Vec<(&str, f64)> = entry
                .values
                .iter()
                .map(|value| (value.key.as_str(), value.value))
                .collect();
            assert_eq!(values, [("producer_byte_rate", 1000.0)]);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn what_there_is_none_of_is_an_empty_list() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for version in versions(ApiKey::DescribeAcls) {
        let answer = client.ask(version, &DescribeAclsRequest::default()).await;
        assert_eq!((answer.error_code, answer.resources.len()), (0, 0));
        assert_eq!(answer.error_message, None);
    }
    let answer = client.newest(&ListTransactionsRequest::default()).await;
    assert_eq!((answer.error_code, answer.transaction_states.len()), (0, 0));
    let request = DescribeTransactionsRequest {
        transactional_ids: vec!["x".to_owned()],
    };
    let answer = client.newest(&request).await;
    let code = ErrorCode::TransactionalIdNotFound.number();
    assert_eq!(answer.transaction_states[0].error_code, code);
    let answer = client.newest(&ListPartitionReassignmentsRequest::default()).await;
    assert_eq!((answer.error_code, answer.topics.len()), (0, 0));
    server.stop().await;
}

/// A key that may only use records learns nothing of the cluster, and changes nothing.
#[tokio::test]
async fn elections_are_for_who_manages() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.create_topic("led", 1).await;
    let topics = Some(vec![elect_leaders_request::TopicPartitions {
        topic: "led".to_owned(),
        partitions: vec![0, 0],
    }]);
    let request = ElectLeadersRequest {
        topic_partitions: topics,
        ..Default::default()
    };
    for version in versions(ApiKey::ElectLeaders) {
        let answer = client.ask(version, &request).await;
        let results = &answer.replica_election_results[0].partition_result;
        assert_eq!(results.len(), 1, "each is answered once");
        assert_eq!(results[0].error_code, ErrorCode::ElectionNotNeeded.number());
    }
    let consumer = server.catalog.key(1, 60, &[Grant::Consume]);
    let answer = server.client_of(&consumer).await.newest(&request).await;
    assert_eq!(answer.error_code, ErrorCode::ClusterAuthorizationFailed.number());
    server.stop().await;
}
