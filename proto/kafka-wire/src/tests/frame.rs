//! Frames: headers, lengths, and record bytes that are shared all the way.

use crate::api::ApiKey;
use crate::frame::{RequestFrame, decode_response, encode_request, encode_response};
use crate::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use crate::messages::produce_request::{PartitionProduceData, TopicProduceData};
use crate::messages::{ApiVersionsRequest, ApiVersionsResponse, FetchRequest, FetchResponse, ProduceRequest};
use crate::reader::Problem;
use crate::records::Records;
use bytes::{Buf, Bytes};

/// What a connection hands on: the frame without its length, which must be right.
fn strip(mut frame: Bytes) -> Bytes {
    let length = frame.get_i32();
    assert_eq!(length as usize, frame.len());
    frame
}

fn fetched(pieces: Vec<Bytes>) -> FetchResponse {
    let partition = PartitionData {
        records: Some(Records::from(pieces)),
        ..PartitionData::default()
    };
    let topic = FetchableTopicResponse {
        topic: "t".into(),
        partitions: vec![partition.clone(), partition],
        ..FetchableTopicResponse::default()
    };
    FetchResponse {
        responses: vec![topic],
        ..FetchResponse::default()
    }
}

#[test]
fn requests_keep_header_and_message() {
    for version in ApiKey::Fetch.versions() {
        let request = FetchRequest {
            max_wait_ms: 500,
            ..FetchRequest::default()
        };
        let frame = strip(
            encode_request(version, 77, Some("client"), &request)
                .unwrap()
                .into_bytes(),
        );
        let read = RequestFrame::read(frame).unwrap();
        assert_eq!(
            (read.key, read.version, read.correlation_id),
            (ApiKey::Fetch, version, 77)
        );
        assert_eq!(read.client_id.as_deref(), Some("client"));
        assert_eq!(read.message::<FetchRequest>().unwrap(), request);
    }
}

#[test]
fn a_client_without_a_name_is_heard() {
    let request = ApiVersionsRequest::default();
    let frame = strip(encode_request(3, 1, None, &request).unwrap().into_bytes());
    assert_eq!(RequestFrame::read(frame).unwrap().client_id, None);
}

#[test]
fn api_versions_of_the_future_still_has_a_header() {
    let mut frame = strip(
        encode_request(4, 9, Some("new"), &ApiVersionsRequest::default())
            .unwrap()
            .into_bytes(),
    )
    .to_vec();
    frame[2..4].copy_from_slice(&99i16.to_be_bytes());
    let read = RequestFrame::read(frame.into()).unwrap();
    assert_eq!(
        (read.key, read.version, read.correlation_id),
        (ApiKey::ApiVersions, 99, 9)
    );
    let problem = read.clone().message::<ApiVersionsRequest>().unwrap_err().problem;
    assert_eq!(problem, Problem::Version { version: 99 });
    let refusal = ApiVersionsResponse {
        error_code: 35,
        ..ApiVersionsResponse::default()
    };
    let answer = strip(
        encode_response(read.key, 0, read.correlation_id, &refusal)
            .unwrap()
            .into_bytes(),
    );
    assert_eq!(
        decode_response::<ApiVersionsRequest>(answer, 0).unwrap(),
        (9, refusal)
    );
}

#[test]
fn unknown_keys_are_named() {
    let found =
        RequestFrame::read(Bytes::from_static(&[0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff])).unwrap_err();
    assert_eq!(found.problem, Problem::ApiKey { key: i16::MAX });
    assert_eq!(
        found.to_string(),
        "RequestHeader.RequestApiKey at byte 0: API key 32767 is not known"
    );
}

#[test]
fn a_fetch_response_shares_its_records() {
    let pieces = vec![
        Bytes::from(vec![1; 5000]),
        Bytes::from(vec![2; 9000]),
        Bytes::from(vec![3; 10]),
    ];
    let response = fetched(pieces.clone());
    for version in ApiKey::Fetch.versions().filter(|version| *version < 13) {
        let frame = encode_response(ApiKey::Fetch, version, 5, &response).unwrap();
        for piece in &pieces[..2] {
            let shared = frame
                .pieces
                .iter()
                .filter(|found| found.as_ptr() == piece.as_ptr())
                .count();
            assert_eq!(shared, 2, "v{version}");
        }
        let joined = strip(frame.into_bytes());
        let (correlation_id, back) = decode_response::<FetchRequest>(joined, version).unwrap();
        assert_eq!(correlation_id, 5);
        assert_eq!(
            back.responses[0].partitions[1].records,
            response.responses[0].partitions[1].records
        );
    }
}

#[test]
fn a_produce_request_shares_its_frame() {
    let partition = PartitionProduceData {
        index: 0,
        records: Some(Bytes::from(vec![9; 3000]).into()),
    };
    let topic = TopicProduceData {
        name: "t".into(),
        partition_data: vec![partition],
        ..Default::default()
    };
    let request = ProduceRequest {
        acks: -1,
        topic_data: vec![topic],
        ..Default::default()
    };
    let frame = strip(encode_request(9, 1, Some("p"), &request).unwrap().into_bytes());
    let range = frame.as_ptr_range();
    let read: ProduceRequest = RequestFrame::read(frame).unwrap().message().unwrap();
    assert_eq!(read, request);
    let records = read.topic_data[0].partition_data[0].records.as_ref().unwrap();
    assert!(range.contains(&records.pieces()[0].as_ptr()));
}

#[test]
fn an_answer_takes_the_version_of_its_request() {
    let frame = strip(
        encode_request(12, 3, Some("c"), &FetchRequest::default())
            .unwrap()
            .into_bytes(),
    );
    let read = RequestFrame::read(frame).unwrap();
    let answer = strip(read.answer(&fetched(vec![])).unwrap().into_bytes());
    let (correlation_id, back) = decode_response::<FetchRequest>(answer, 12).unwrap();
    assert_eq!((correlation_id, back), (3, fetched(vec![])));
}
