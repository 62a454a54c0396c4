//! Many requests at once: answered in order, finished when the door closes.

use crate::client::{Client, batch, versions};
use crate::records::{fetch_request, produce_request};
use crate::server::Server;
use millstream_kafka_wire::ApiKey;
use millstream_kafka_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_kafka_wire::messages::{
    FetchRequest, ListGroupsRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_parked_fetch_does_not_reorder_answers() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("parked", 1).await;
    let fetch = fetch_request("parked", topic, 0, 0, 300);
    let parked = client.send(13, &fetch).await;
    let listed = client.send(5, &ListGroupsRequest::default()).await;
    let sent = Instant::now();
    let first = client.answer::<FetchRequest>(13, parked).await;
    assert!(sent.elapsed() >= Duration::from_millis(250));
    assert!(
        first.responses[0].partitions[0]
            .records
            .as_ref()
            .unwrap()
            .is_empty()
    );
    client.answer::<ListGroupsRequest>(5, listed).await;
    server.stop().await;
}

#[tokio::test]
async fn a_produce_wakes_a_parked_fetch_of_another_connection() {
    let server = Server::start().await;
    let (mut reader, mut writer) = (server.client().await, server.client().await);
    let topic = reader.create_topic("woken", 1).await;
    let parked = reader
        .send(13, &fetch_request("woken", topic, 0, 0, 15_000))
        .await;
    let sent = Instant::now();
    writer
        .ask(13, &produce_request("woken", topic, 0, -1, batch(&["hello"])))
        .await;
    let fetched = reader.answer::<FetchRequest>(13, parked).await;
    assert!(
        !fetched.responses[0].partitions[0]
            .records
            .as_ref()
            .unwrap()
            .is_empty()
    );
    assert!(sent.elapsed() < Duration::from_secs(10));
    server.stop().await;
}

#[tokio::test]
async fn pipelined_produces_keep_their_order() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("ordered", 1).await;
    let mut sent = Vec::new();
    for count in 0..100 {
        let value = count.to_string();
        sent.push(
            client
                .send(13, &produce_request("ordered", topic, 0, -1, batch(&[&value])))
                .await,
        );
    }
    for (offset, id) in (0..).zip(sent) {
        let response = client.answer::<ProduceRequest>(13, id).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, offset));
    }
    server.stop().await;
}

#[tokio::test]
async fn acks_zero_is_not_answered_but_in_order_and_kept_when_the_client_leaves() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("silent", 1).await;
    let mut silent = server.client().await;
    for _ in 0..20 {
        silent
            .send(13, &produce_request("silent", topic, 0, 0, batch(&["x"])))
            .await;
    }
    let listed = silent.send(5, &ListGroupsRequest::default()).await;
    silent.answer::<ListGroupsRequest>(5, listed).await;
    for _ in 0..20 {
        silent
            .send(13, &produce_request("silent", topic, 0, 0, batch(&["y"])))
            .await;
    }
    drop(silent);
    for _ in 0..200 {
        let response = client.ask(13, &fetch_request("silent", topic, 0, 0, 0)).await;
        if response.responses[0].partitions[0].high_watermark == 40 {
            server.stop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the records of a client that left did not all arrive");
}

/// As with Kafka, which handles the requests of a connection one after the other.
#[tokio::test]
async fn who_sends_without_an_answer_finds_the_records_when_it_asks_for_the_end() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("found", 2).await;
    let partition = |partition_index| ListOffsetsPartition {
        partition_index,
        current_leader_epoch: -1,
        timestamp: -1,
        max_num_offsets: 1,
    };
    let ends = ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: "found".to_owned(),
            partitions: vec![partition(0), partition(1)],
        }],
        ..ListOffsetsRequest::default()
    };
    for count in 1..=20 {
        for index in [0, 1] {
            client
                .send(13, &produce_request("found", topic, index, 0, batch(&["x"])))
                .await;
        }
        let told = client.newest(&ends).await;
        let told: Vec<i64> = told.topics[0].partitions.iter().map(|one| one.offset).collect();
        assert_eq!(told, [count, count]);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_failed_silent_produce_closes_the_connection() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client
        .send(
            13,
            &produce_request("", uuid::Uuid::from_u128(5), 0, 0, batch(&["x"])),
        )
        .await;
    assert!(client.is_closed().await);
    server.stop().await;
}

#[tokio::test]
async fn what_is_under_way_is_answered_when_the_door_closes() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("last", 1).await;
    let id = client
        .send(13, &produce_request("last", topic, 0, -1, batch(&["last words"])))
        .await;
    let response = client.answer::<ProduceRequest>(13, id).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    let address = server.address;
    let stopping = tokio::spawn(server.stop());
    assert!(client.is_closed().await);
    stopping.await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn every_version_of_metadata_and_list_groups_is_answered() {
    let server = Server::start().await;
    let mut client: Client = server.client().await;
    client.create_topic("seen", 2).await;
    for version in versions(ApiKey::Metadata) {
        // Null means all; version 0 has no null, and means all by none.
        let topics = (version == 0).then(Vec::new);
        let request = MetadataRequest {
            topics,
            ..Default::default()
        };
        let response = client.ask(version, &request).await;
        assert_eq!(response.brokers[0].port, i32::from(server.address.port()));
        assert_eq!(response.topics[0].name.as_deref(), Some("seen"));
        assert_eq!(response.topics[0].partitions.len(), 2);
        assert_eq!(response.topics[0].partitions[0].leader_id, 1);
    }
    for version in versions(ApiKey::ListGroups) {
        assert_eq!(
            client
                .ask(version, &ListGroupsRequest::default())
                .await
                .error_code,
            0
        );
    }
    server.stop().await;
}
