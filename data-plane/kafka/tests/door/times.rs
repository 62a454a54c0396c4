//! Timestamps that a topic does not allow: refused by record, and named.

use crate::client::versions;
use crate::records::{fetch_request, produce_request};
use crate::server::Server;
use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchBuilder, BatchView, Compression, NewRecord};
use millstream_kafka_wire::messages::produce_response::PartitionProduceResponse;
use millstream_kafka_wire::{ApiKey, ErrorCode};
use millstream_model::TimestampMs;
use millstream_model::limits::RECORD_ERRORS_MAX;
use uuid::Uuid;

const DAY_MS: i64 = 86_400_000;

/// A compressed batch of records at these times from now; its header says another largest one.
fn timed(times: impl IntoIterator<Item = i64>, said: i64) -> Bytes {
    let now = TimestampMs::now().0;
    let mut builder = BatchBuilder::new().compression(Compression::Gzip);
    for time in times {
        let record = NewRecord {
            timestamp: TimestampMs(now + time),
            value: Some(b"v"),
            ..NewRecord::default()
        };
        builder.push(record).unwrap();
    }
    let batch = BatchView::read(builder.build().unwrap()).unwrap();
    batch.with_max_timestamp(TimestampMs(said)).into_bytes()
}

fn named(partition: &PartitionProduceResponse) -> Vec<i32> {
    let named = partition.record_errors.iter();
    named.map(|record| record.batch_index).collect()
}

#[tokio::test]
async fn records_out_of_time_are_refused_by_name() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("timely", 1).await;
    for version in versions(ApiKey::Produce) {
        let late = timed([0, DAY_MS, 1, 2 * DAY_MS], -1);
        let answer = client
            .ask(version, &produce_request("timely", topic, 0, -1, late))
            .await;
        let partition = &answer.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, ErrorCode::InvalidTimestamp.number());
        assert_eq!(partition.base_offset, -1);
        if version < 8 {
            continue;
        }
        assert_eq!(named(partition), [1, 3], "version {version}");
        let why = partition.record_errors[0].batch_index_error_message.as_deref();
        assert!(why.unwrap().contains("message.timestamp.after.max.ms"), "{why:?}");
        let text = partition.error_message.as_deref().unwrap();
        assert!(text.starts_with("2 of the batch's records"), "{text}");
    }
    // What the header says is nobody's fault but its writer's.
    let good = timed([-DAY_MS, 0], i64::MAX);
    let answer = client.ask(13, &produce_request("", topic, 0, -1, good)).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    let fetched = client.ask(13, &fetch_request("", topic, 0, 0, 0)).await;
    let records = fetched.responses[0].partitions[0].records.as_ref().unwrap();
    let batch = BatchView::read(records.pieces()[0].clone()).unwrap();
    batch.check().unwrap();
    assert!(batch.header().max_timestamp <= TimestampMs::now());
    server.stop().await;
}

#[tokio::test]
async fn one_answer_names_so_many_records_and_counts_the_rest() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.create_topic("timely", 3).await;
    let count = RECORD_ERRORS_MAX - 10;
    let bad = || timed((0..count).map(|_| DAY_MS), -1);
    let mut request = produce_request("timely", Uuid::nil(), 0, -1, bad());
    for partition in 1..3 {
        let more = produce_request("timely", Uuid::nil(), partition, -1, bad());
        request.topic_data[0]
            .partition_data
            .extend(more.topic_data.into_iter().flat_map(|topic| topic.partition_data));
    }
    let answer = client.ask(12, &request).await;
    let partitions = &answer.responses[0].partition_responses;
    let lengths: Vec<usize> = partitions.iter().map(|it| named(it).len()).collect();
    assert_eq!(lengths, [count, 10, 0]);
    for partition in partitions {
        assert_eq!(partition.error_code, ErrorCode::InvalidTimestamp.number());
        let text = partition.error_message.as_deref().unwrap();
        assert!(
            text.starts_with(&format!("{count} of the batch's records")),
            "{text}"
        );
    }
    server.stop().await;
}
