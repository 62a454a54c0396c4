//! Bytes made to hurt: each gets an error that says where and why, and none gets memory for nothing.

use crate::message::Message;
use crate::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, FetchRequest, MetadataRequest,
    OffsetFetchRequest, SaslHandshakeRequest,
};
use crate::reader::{DecodeError, Problem, Reader};
use crate::writer::EncodeError;
use bytes::Bytes;

fn refusal<M: Message>(version: i16, bytes: &[u8]) -> DecodeError {
    M::from_bytes(Bytes::copy_from_slice(bytes), version).unwrap_err()
}

#[test]
fn a_long_list_in_a_short_frame() {
    let found = refusal::<MetadataRequest>(1, &i32::MAX.to_be_bytes());
    assert_eq!(found.field, "MetadataRequest.Topics");
    assert_eq!(found.offset, 4);
    assert!(matches!(found.problem, Problem::Short { left: 0, .. }), "{found}");
    let flexible = refusal::<MetadataRequest>(9, &[0xff, 0xff, 0xff, 0xff, 0x07]);
    assert!(matches!(flexible.problem, Problem::Short { .. }), "{flexible}");
}

#[test]
fn a_long_list_of_nothing() {
    // Empty topics of two bytes each, which would take gigabytes as structs.
    let count = 40_000_000usize;
    let mut bytes = vec![0u8; 4 + 2 * count];
    bytes[..4].copy_from_slice(&(count as i32).to_be_bytes());
    let found = MetadataRequest::from_bytes(bytes.into(), 1).unwrap_err();
    assert_eq!(found.problem, Problem::TooLarge);
}

#[test]
fn negative_lengths() {
    assert_eq!(
        refusal::<MetadataRequest>(1, &(-2i32).to_be_bytes()).problem,
        Problem::Negative { length: -2 }
    );
    assert_eq!(
        refusal::<SaslHandshakeRequest>(0, &[0xff, 0xfe]).problem,
        Problem::Negative { length: -2 }
    );
    let found = refusal::<MetadataRequest>(9, &[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(matches!(found.problem, Problem::Negative { .. }), "{found}");
}

#[test]
fn null_where_there_is_none() {
    assert_eq!(
        refusal::<SaslHandshakeRequest>(0, &[0xff, 0xff]).problem,
        Problem::Null
    );
    assert_eq!(refusal::<MetadataRequest>(0, &[0xff; 4]).problem, Problem::Null);
    assert_eq!(
        MetadataRequest::from_bytes(Bytes::from_static(&[0xff; 4]), 1)
            .unwrap()
            .topics,
        None
    );
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let field = "MetadataRequest.Topics";
    assert_eq!(all.to_bytes(0), Err(EncodeError::Null { field }));
}

#[test]
fn text_that_is_not_utf8() {
    let found = refusal::<SaslHandshakeRequest>(0, &[0, 2, 0xc3, 0x28]);
    assert_eq!((found.offset, found.problem), (2, Problem::Text));
}

#[test]
fn varints_without_end() {
    for bytes in [
        &[0x80; 9][..],
        &[0xff, 0xff, 0xff, 0xff, 0x1f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ] {
        assert_eq!(refusal::<ApiVersionsRequest>(3, bytes).problem, Problem::Varint);
    }
    assert!(matches!(
        refusal::<ApiVersionsRequest>(3, &[0x80, 0x80]).problem,
        Problem::Short { .. }
    ));
}

#[test]
fn unknown_tags_are_skipped_and_lying_ones_are_not() {
    // name "a", version "b", then two tagged fields that nobody knows.
    let known = ApiVersionsRequest {
        client_software_name: "a".into(),
        client_software_version: "b".into(),
    };
    let bytes = [2, b'a', 2, b'b', 2, 70, 3, 1, 2, 3, 0x80, 0x01, 0];
    assert_eq!(
        ApiVersionsRequest::from_bytes(Bytes::copy_from_slice(&bytes), 3),
        Ok(known)
    );
    let cut = refusal::<ApiVersionsRequest>(3, &[2, b'a', 2, b'b', 1, 70, 9, 1]);
    assert_eq!(cut.problem, Problem::Short { needed: 9, left: 1 });
    // Tag 1 of the response is an int64; here it says that it has 9 bytes.
    let mut lie = vec![0, 0, 1, 0, 0, 0, 0, 1, 1, 9];
    lie.extend_from_slice(&[0; 9]);
    assert_eq!(
        refusal::<ApiVersionsResponse>(3, &lie).problem,
        Problem::Tag {
            tag: 1,
            said: 9,
            had: 8
        }
    );
    // So many tags that only a fool would count them.
    let many = refusal::<ApiVersionsRequest>(3, &[1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(matches!(many.problem, Problem::Short { .. }), "{many}");
}

#[test]
fn texts_too_long_to_say() {
    let long = SaslHandshakeRequest {
        mechanism: "x".repeat(40_000),
    };
    let field = "SaslHandshakeRequest.Mechanism";
    assert_eq!(
        long.to_bytes(0),
        Err(EncodeError::TooLong {
            field,
            length: 40_000
        })
    );
}

#[test]
fn fields_that_a_version_lacks_are_left_out() {
    let request = FetchRequest {
        rack_id: "r".into(),
        ..FetchRequest::default()
    };
    let back = FetchRequest::from_bytes(request.to_bytes(10).unwrap(), 10).unwrap();
    assert_eq!(back, FetchRequest::default());
    let old = OffsetFetchRequest {
        group_id: "g".into(),
        ..OffsetFetchRequest::default()
    };
    assert!(old.to_bytes(8).is_ok());
    assert!(CreateTopicsRequest::default().to_bytes(0).is_ok());
}

#[test]
fn a_reader_says_where_it_stands() {
    let mut reader = Reader::new(Bytes::from_static(&[0, 4, b'P', b'L', b'A', b'I', 1, 2]));
    SaslHandshakeRequest::decode(&mut reader, 0).unwrap();
    assert_eq!((reader.position(), reader.remaining()), (6, 2));
    assert_eq!(reader.rest(), Bytes::from_static(&[1, 2]));
    reader.finish("x").unwrap();
}
