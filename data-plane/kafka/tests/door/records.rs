//! Records in and out, in every version.

use crate::client::{batch, versions};
use crate::server::Server;
use bytes::Bytes;
use millstream_kafka_wire::batch::{
    BatchBuilder, BatchView, Compression, HEADER_BYTES, LENGTH_END, NewRecord, batches,
};
use millstream_kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use millstream_kafka_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_kafka_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use millstream_kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_kafka_wire::messages::{
    FetchRequest, InitProducerIdRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest, ProduceRequest,
};
use millstream_kafka_wire::{ApiKey, ErrorCode, Records};
use millstream_metadata::Grant;
use millstream_model::TimestampMs;
use millstream_model::limits::BATCH_DECOMPRESSED_BYTES_MAX;
use uuid::Uuid;

pub fn produce_request(
    topic: &str,
    topic_id: Uuid,
    partition: i32,
    acks: i16,
    batch: Bytes,
) -> ProduceRequest {
    let data = PartitionProduceData {
        index: partition,
        records: Some(Records::from(batch)),
    };
    let topic = TopicProduceData {
        name: topic.to_owned(),
        topic_id,
        partition_data: vec![data],
    };
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![topic],
        ..ProduceRequest::default()
    }
}

pub fn fetch_request(topic: &str, topic_id: Uuid, partition: i32, offset: i64, wait_ms: i32) -> FetchRequest {
    let asked = FetchPartition {
        partition,
        fetch_offset: offset,
        current_leader_epoch: -1,
        partition_max_bytes: 1024 * 1024,
        ..FetchPartition::default()
    };
    FetchRequest {
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: 10 * 1024 * 1024,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            topic_id,
            partitions: vec![asked],
        }],
        ..FetchRequest::default()
    }
}

fn values(records: &Records) -> Vec<String> {
    let mut found = Vec::new();
    for piece in records.pieces() {
        for batch in batches(piece.clone()) {
            for record in batch.unwrap().records().unwrap().iter() {
                found.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
            }
        }
    }
    found
}

#[tokio::test]
async fn what_is_produced_is_fetched_in_every_version() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("all", 1).await;
    for (offset, version) in (0..).zip(versions(ApiKey::Produce)) {
        let request = produce_request(
            "all",
            topic,
            0,
            if version % 2 == 0 { 1 } else { -1 },
            batch(&["v"]),
        );
        let response = client.ask(version, &request).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(
            (partition.error_code, partition.base_offset),
            (0, offset),
            "version {version}"
        );
    }
    for version in versions(ApiKey::Fetch) {
        let response = client.ask(version, &fetch_request("all", topic, 0, 3, 0)).await;
        assert_eq!((response.error_code, response.session_id), (0, 0));
        let partition = &response.responses[0].partitions[0];
        assert_eq!(
            (partition.error_code, partition.high_watermark),
            (0, 11),
            "version {version}"
        );
        assert_eq!(
            values(partition.records.as_ref().unwrap()).len(),
            8,
            "version {version}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn old_produces_are_refused_in_words() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("old", 1).await;
    for version in 0..3 {
        let response = client
            .ask(version, &produce_request("old", topic, 0, 1, batch(&["v"])))
            .await;
        let code = response.responses[0].partition_responses[0].error_code;
        assert_eq!(code, ErrorCode::UnsupportedVersion.number());
    }
    server.stop().await;
}

#[tokio::test]
async fn wrong_produces_are_refused_partition_by_partition() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("strict", 1).await;
    let mut broken = batch(&["v"]).to_vec();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let twice = [batch(&["a"]), batch(&["b"])].concat();
    let good = batch(&["good"]);
    for (what, request, code) in [
        (
            "crc",
            produce_request("", topic, 0, -1, Bytes::from(broken)),
            ErrorCode::CorruptMessage,
        ),
        (
            "cut off",
            produce_request("", topic, 0, -1, good.slice(..30)),
            ErrorCode::InvalidRecord,
        ),
        (
            "no partition",
            produce_request("", topic, 1, -1, good.clone()),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (
            "negative",
            produce_request("", topic, -1, -1, good.clone()),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (
            "no topic",
            produce_request("", Uuid::from_u128(9), 0, -1, good.clone()),
            ErrorCode::UnknownTopicId,
        ),
        (
            "acks",
            produce_request("", topic, 0, 2, good.clone()),
            ErrorCode::InvalidRequiredAcks,
        ),
        (
            "empty",
            produce_request("", topic, 0, -1, Bytes::new()),
            ErrorCode::InvalidRecord,
        ),
    ] {
        let response = client.ask(13, &request).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(
            partition.error_code,
            code.number(),
            "{what}: {:?}",
            partition.error_message
        );
        assert_eq!(partition.base_offset, -1);
    }
    let response = client
        .ask(13, &produce_request("", topic, 0, -1, Bytes::from(twice)))
        .await;
    assert_ne!(
        response.responses[0].partition_responses[0].error_code, 0,
        "one batch per partition"
    );
    let response = client.ask(13, &produce_request("", topic, 0, -1, good)).await;
    assert_eq!(response.responses[0].partition_responses[0].base_offset, 0);
    server.stop().await;
}

#[tokio::test]
async fn fetch_errors_are_kafkas() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("read", 1).await;
    let beyond = client.ask(17, &fetch_request("", topic, 0, 100, 5_000)).await;
    assert_eq!(
        beyond.responses[0].partitions[0].error_code,
        ErrorCode::OffsetOutOfRange.number()
    );
    let unknown = client
        .ask(17, &fetch_request("", Uuid::from_u128(3), 0, 0, 5_000))
        .await;
    assert_eq!(
        unknown.responses[0].partitions[0].error_code,
        ErrorCode::UnknownTopicId.number()
    );
    let unknown = client
        .ask(12, &fetch_request("nowhere", Uuid::nil(), 0, 0, 5_000))
        .await;
    assert_eq!(
        unknown.responses[0].partitions[0].error_code,
        ErrorCode::UnknownTopicOrPartition.number()
    );
    let session = FetchRequest {
        session_id: 77,
        session_epoch: 3,
        ..fetch_request("", topic, 0, 0, 0)
    };
    assert_eq!(
        client.ask(17, &session).await.error_code,
        ErrorCode::FetchSessionIdNotFound.number()
    );
    let mut fenced = fetch_request("", topic, 0, 0, 0);
    fenced.topics[0].partitions[0].current_leader_epoch = 99;
    let fenced = client.ask(17, &fenced).await;
    assert_eq!(
        fenced.responses[0].partitions[0].error_code,
        ErrorCode::UnknownLeaderEpoch.number()
    );
    server.stop().await;
}

#[tokio::test]
async fn tenants_do_not_meet() {
    let server = Server::start().await;
    let other = server.catalog.key(2, 2, &[Grant::Admin]);
    let (mut one, mut two) = (server.client().await, server.client_of(&other).await);
    let ones = one.create_topic("same", 1).await;
    let twos = two.create_topic("same", 1).await;
    one.ask(
        12,
        &produce_request("same", Uuid::nil(), 0, -1, batch(&["of one"])),
    )
    .await;
    let read = two.ask(12, &fetch_request("same", Uuid::nil(), 0, 0, 0)).await;
    assert_eq!(read.responses[0].partitions[0].high_watermark, 0);
    let foreign = two.ask(13, &fetch_request("", ones, 0, 0, 0)).await;
    let absent = two.ask(13, &fetch_request("", Uuid::from_u128(1), 0, 0, 0)).await;
    let code = |response: &millstream_kafka_wire::messages::FetchResponse| {
        response.responses[0].partitions[0].error_code
    };
    assert_eq!(code(&foreign), code(&absent));
    let write = two
        .ask(13, &produce_request("", ones, 0, -1, batch(&["x"])))
        .await;
    assert_eq!(
        write.responses[0].partition_responses[0].error_code,
        ErrorCode::UnknownTopicId.number()
    );
    assert_ne!(ones, twos);
    server.stop().await;
}

#[tokio::test]
async fn grants_are_kept() {
    let server = Server::start().await;
    let topic = server.client().await.create_topic("kept", 1).await;
    let reader = server.catalog.key(1, 3, &[Grant::Consume]);
    let writer = server.catalog.key(1, 4, &[Grant::Produce]);
    let (mut reader, mut writer) = (server.client_of(&reader).await, server.client_of(&writer).await);
    let write = produce_request("", topic, 0, -1, batch(&["x"]));
    let read = fetch_request("", topic, 0, 0, 0);
    let denied = ErrorCode::TopicAuthorizationFailed.number();
    assert_eq!(
        reader.ask(13, &write).await.responses[0].partition_responses[0].error_code,
        denied
    );
    assert_eq!(
        writer.ask(13, &write).await.responses[0].partition_responses[0].error_code,
        0
    );
    assert_eq!(
        writer.ask(13, &read).await.responses[0].partitions[0].error_code,
        denied
    );
    assert_eq!(
        reader.ask(13, &read).await.responses[0].partitions[0].error_code,
        0
    );
    server.stop().await;
}

#[tokio::test]
async fn offsets_are_listed_in_every_version() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("listed", 1).await;
    client
        .ask(13, &produce_request("", topic, 0, -1, batch(&["a", "b", "c"])))
        .await;
    let request = |timestamp| {
        let asked = ListOffsetsPartition {
            timestamp,
            current_leader_epoch: -1,
            max_num_offsets: 1,
            ..ListOffsetsPartition::default()
        };
        let topic = ListOffsetsTopic {
            name: "listed".to_owned(),
            partitions: vec![asked],
        };
        ListOffsetsRequest {
            replica_id: -1,
            topics: vec![topic],
            ..ListOffsetsRequest::default()
        }
    };
    for version in versions(ApiKey::ListOffsets) {
        for (timestamp, offset) in [(-1, 3), (-2, 0), (0, 0)] {
            let response = client.ask(version, &request(timestamp)).await;
            let partition = &response.topics[0].partitions[0];
            assert_eq!(partition.error_code, 0);
            let found = if version == 0 {
                partition.old_style_offsets[0]
            } else {
                partition.offset
            };
            assert_eq!(found, offset, "version {version}, timestamp {timestamp}");
        }
    }
    let unknown = client.ask(1, &request(-3)).await;
    assert_eq!(
        unknown.topics[0].partitions[0].error_code,
        ErrorCode::UnsupportedVersion.number()
    );
    for version in versions(ApiKey::OffsetForLeaderEpoch) {
        let partition = OffsetForLeaderPartition {
            current_leader_epoch: -1,
            leader_epoch: 1,
            ..OffsetForLeaderPartition::default()
        };
        let topic = OffsetForLeaderTopic {
            topic: "listed".to_owned(),
            partitions: vec![partition],
        };
        let request = OffsetForLeaderEpochRequest {
            replica_id: -1,
            topics: vec![topic],
        };
        let response = client.ask(version, &request).await;
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.end_offset), (0, 3));
    }
    server.stop().await;
}

#[tokio::test]
async fn producer_ids_are_given_to_idempotent_producers_only() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut seen = std::collections::BTreeSet::new();
    for version in versions(ApiKey::InitProducerId) {
        let request = InitProducerIdRequest {
            transactional_id: None,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let response = client.ask(version, &request).await;
        assert_eq!((response.error_code, response.producer_epoch), (0, 0));
        assert!(seen.insert(response.producer_id));
    }
    let request = InitProducerIdRequest {
        transactional_id: Some("t".to_owned()),
        ..Default::default()
    };
    let response = client.newest(&request).await;
    assert_eq!(response.error_code, ErrorCode::UnsupportedVersion.number());
    server.stop().await;
}

/// A batch of so many records of a megabyte of zeros, and the same whose records are there twice.
fn zeros(records: usize) -> (Bytes, Bytes) {
    let value = vec![b'0'; 1_000_000];
    let mut builder = BatchBuilder::new().compression(Compression::Gzip);
    for _ in 0..records {
        let record = NewRecord {
            timestamp: TimestampMs(1_000),
            value: Some(&value),
            ..NewRecord::default()
        };
        builder.push(record).unwrap();
    }
    let once = builder.build().unwrap();
    // Two gzip streams in a row unpack to both.
    let mut twice = once.to_vec();
    twice.extend_from_slice(&once[HEADER_BYTES..]);
    let length = u32::try_from(twice.len() - LENGTH_END).unwrap();
    twice[LENGTH_END - 4..LENGTH_END].copy_from_slice(&length.to_be_bytes());
    let twice = BatchView::read(Bytes::from(twice)).unwrap();
    // Another largest time makes the checksum anew.
    (once, twice.with_max_timestamp(TimestampMs(1_001)).into_bytes())
}

/// What counts is the size as sent; what it unpacks to has a bound of its own.
#[tokio::test]
async fn a_batch_that_unpacks_to_much_is_taken_up_to_a_bound() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("packed", 1).await;
    let (taken, beyond) = zeros(40);
    assert!(beyond.len() < 200_000, "{}", beyond.len());
    let newest = *ApiKey::Produce.versions().end();
    let request = produce_request("packed", topic, 0, -1, taken.clone());
    let answer = client.ask(newest, &request).await;
    let answer = &answer.responses[0].partition_responses[0];
    assert_eq!(
        (answer.error_code, answer.base_offset),
        (0, 0),
        "{:?}",
        answer.error_message
    );
    let request = produce_request("packed", topic, 0, -1, beyond);
    let answer = client.ask(newest, &request).await;
    let answer = &answer.responses[0].partition_responses[0];
    // An error that no client repeats.
    assert_eq!(answer.error_code, ErrorCode::InvalidRecord.number());
    let why = answer.error_message.as_deref().unwrap_or_default();
    assert!(
        why.contains(&format!(
            "decompresses to more than {BATCH_DECOMPRESSED_BYTES_MAX} bytes"
        )),
        "{why}"
    );
    let fetched = client.ask(17, &fetch_request("", topic, 0, 0, 0)).await;
    let fetched = fetched.responses[0].partitions[0].records.as_ref().unwrap();
    assert_eq!(fetched.len(), taken.len(), "it goes as it came");
    let found = values(fetched);
    assert_eq!(
        (found.len(), found.iter().map(String::len).sum()),
        (40, 40_000_000)
    );
    server.stop().await;
}
