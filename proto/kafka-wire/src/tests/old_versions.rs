//! Versions that Kafka 4.3 no longer has, as clients of Kafka 1.0's time write them: bytes laid out by hand.

use crate::api::ApiKey;
use crate::frame::RequestFrame;
use crate::message::Message;
use crate::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use crate::messages::{
    CreateTopicsResponse, DescribeConfigsResponse, FetchRequest, FetchResponse, ListOffsetsRequest,
    ListOffsetsResponse, OffsetCommitRequest, OffsetFetchRequest, ProduceRequest, ProduceResponse,
};
use bytes::{BufMut, Bytes, BytesMut};

/// Lays out bytes field by field.
struct Layout(BytesMut);

impl Layout {
    fn new() -> Layout {
        Layout(BytesMut::new())
    }

    fn byte(mut self, value: i8) -> Layout {
        self.0.put_i8(value);
        self
    }

    fn short(mut self, value: i16) -> Layout {
        self.0.put_i16(value);
        self
    }

    fn int(mut self, value: i32) -> Layout {
        self.0.put_i32(value);
        self
    }

    fn long(mut self, value: i64) -> Layout {
        self.0.put_i64(value);
        self
    }

    fn text(mut self, value: &str) -> Layout {
        self.0.put_i16(value.len() as i16);
        self.0.put_slice(value.as_bytes());
        self
    }

    fn end(self) -> Bytes {
        self.0.freeze()
    }
}

/// Decodes the layout and encodes it again to the same bytes.
fn read<M: Message>(version: i16, layout: Layout) -> M {
    let bytes = layout.end();
    let message = M::from_bytes(bytes.clone(), version).unwrap();
    assert_eq!(message.to_bytes(version).unwrap(), bytes);
    message
}

#[test]
fn produce_0_to_2() {
    for version in 0..3 {
        let layout = Layout::new()
            .short(1)
            .int(5000)
            .int(1)
            .text("t")
            .int(1)
            .int(3)
            .int(4)
            .int(0x0102_0304);
        let request: ProduceRequest = read(version, layout);
        assert_eq!((request.acks, request.timeout_ms), (1, 5000));
        assert_eq!(
            request.topic_data[0].partition_data[0]
                .records
                .as_ref()
                .unwrap()
                .len(),
            4
        );
    }
    read::<ProduceResponse>(0, Layout::new().int(1).text("t").int(1).int(3).short(43).long(-1));
    read::<ProduceResponse>(
        1,
        Layout::new()
            .int(1)
            .text("t")
            .int(1)
            .int(3)
            .short(43)
            .long(-1)
            .int(0),
    );
    read::<ProduceResponse>(
        2,
        Layout::new()
            .int(1)
            .text("t")
            .int(1)
            .int(3)
            .short(43)
            .long(-1)
            .long(-1)
            .int(0),
    );
}

#[test]
fn fetch_0_to_3() {
    for version in 0..3 {
        let layout = Layout::new()
            .int(-1)
            .int(100)
            .int(1)
            .int(1)
            .text("t")
            .int(1)
            .int(0)
            .long(42)
            .int(1_048_576);
        let request: FetchRequest = read(version, layout);
        assert_eq!(request.topics[0].partitions[0].fetch_offset, 42);
        assert_eq!(request.max_bytes, i32::MAX);
    }
    let layout = Layout::new()
        .int(-1)
        .int(100)
        .int(1)
        .int(65536)
        .int(1)
        .text("t")
        .int(1)
        .int(0)
        .long(42)
        .int(1_048_576);
    assert_eq!(read::<FetchRequest>(3, layout).max_bytes, 65536);
    read::<FetchResponse>(
        0,
        Layout::new()
            .int(1)
            .text("t")
            .int(1)
            .int(0)
            .short(0)
            .long(9)
            .int(0),
    );
    read::<FetchResponse>(
        3,
        Layout::new()
            .int(0)
            .int(1)
            .text("t")
            .int(1)
            .int(0)
            .short(0)
            .long(9)
            .int(0),
    );
}

#[test]
fn list_offsets_0() {
    let layout = Layout::new()
        .int(-1)
        .int(1)
        .text("t")
        .int(1)
        .int(0)
        .long(-1)
        .int(1);
    let request: ListOffsetsRequest = read(0, layout);
    let partition = &request.topics[0].partitions[0];
    assert_eq!((partition.timestamp, partition.max_num_offsets), (-1, 1));
    let layout = Layout::new()
        .int(1)
        .text("t")
        .int(1)
        .int(0)
        .short(0)
        .int(1)
        .long(77);
    let response: ListOffsetsResponse = read(0, layout);
    let partition = ListOffsetsPartitionResponse {
        old_style_offsets: vec![77],
        ..ListOffsetsPartitionResponse::default()
    };
    let topic = ListOffsetsTopicResponse {
        name: "t".into(),
        partitions: vec![partition],
    };
    assert_eq!(response.topics, [topic]);
}

#[test]
fn offset_commit_0_and_1_and_offset_fetch_0() {
    let layout = Layout::new()
        .text("g")
        .int(1)
        .text("t")
        .int(1)
        .int(0)
        .long(5)
        .text("m");
    let request: OffsetCommitRequest = read(0, layout);
    assert_eq!(request.generation_id_or_member_epoch, -1);
    let layout = Layout::new()
        .text("g")
        .int(2)
        .text("member")
        .int(1)
        .text("t")
        .int(1)
        .int(0)
        .long(5)
        .long(-1)
        .text("m");
    let request: OffsetCommitRequest = read(1, layout);
    assert_eq!(request.topics[0].partitions[0].commit_timestamp, -1);
    assert_eq!(
        (request.generation_id_or_member_epoch, request.member_id.as_str()),
        (2, "member")
    );
    let layout = Layout::new().text("g").int(1).text("t").int(2).int(0).int(1);
    let request: OffsetFetchRequest = read(0, layout);
    assert_eq!(request.topics.unwrap()[0].partition_indexes, [0, 1]);
}

#[test]
fn create_topics_0_and_describe_configs_0() {
    read::<CreateTopicsResponse>(0, Layout::new().int(1).text("t").short(36));
    read::<CreateTopicsResponse>(1, Layout::new().int(1).text("t").short(36).text("there is one"));
    let layout = Layout::new().int(0).int(1).short(0).short(-1).byte(2).text("t");
    let layout = layout
        .int(1)
        .text("retention.ms")
        .text("1")
        .byte(0)
        .byte(1)
        .byte(0);
    let response: DescribeConfigsResponse = read(0, layout);
    assert!(response.results[0].configs[0].is_default);
}

#[test]
fn a_whole_frame_of_sarama_told_1_0() {
    // Metadata 1 for all topics, client id "sarama", correlation id 2.
    let layout = Layout::new().short(3).short(1).int(2).text("sarama").int(-1);
    let frame = RequestFrame::read(layout.end()).unwrap();
    assert_eq!(
        (frame.key, frame.version, frame.correlation_id),
        (ApiKey::Metadata, 1, 2)
    );
    let request: crate::messages::MetadataRequest = frame.message().unwrap();
    assert_eq!(request.topics, None);
    assert!(request.allow_auto_topic_creation);
}
