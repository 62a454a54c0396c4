//! API keys, header versions and error codes.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;

#[test]
fn keys_and_numbers_agree() {
    for key in ApiKey::all() {
        assert_eq!(ApiKey::from_number(key.number()), Some(key));
        assert!(key.versions().end() <= key.versions_known().end());
        assert!(!key.versions().is_empty(), "{key}");
    }
    assert_eq!(ApiKey::from_number(-1), None);
    assert_eq!(ApiKey::from_number(i16::MAX), None);
    assert_eq!(ApiKey::from_number(4), None);
    assert_eq!(ApiKey::from_number(18), Some(ApiKey::ApiVersions));
    assert_eq!(ApiKey::OffsetForLeaderEpoch.to_string(), "OffsetForLeaderEpoch");
}

#[test]
fn versions_start_where_old_clients_do() {
    assert_eq!(ApiKey::Produce.versions(), 0..=13);
    assert_eq!(ApiKey::Fetch.versions(), 0..=18);
    assert_eq!(ApiKey::ListOffsets.versions(), 0..=11);
    assert_eq!(ApiKey::OffsetCommit.versions(), 0..=10);
    assert_eq!(ApiKey::CreateTopics.versions(), 0..=7);
    // Kafka 4.3 has version 6 but does not advertise it.
    assert_eq!(ApiKey::InitProducerId.versions(), 0..=5);
    assert_eq!(ApiKey::InitProducerId.versions_known(), 0..=6);
}

#[test]
fn headers_follow_the_flexible_version() {
    assert_eq!(ApiKey::Produce.request_header_version(8), 1);
    assert_eq!(ApiKey::Produce.request_header_version(9), 2);
    assert_eq!(ApiKey::Produce.response_header_version(8), 0);
    assert_eq!(ApiKey::Produce.response_header_version(9), 1);
    assert_eq!(ApiKey::SaslHandshake.request_header_version(1), 1);
    assert_eq!(ApiKey::SaslHandshake.response_header_version(1), 0);
    assert_eq!(ApiKey::ApiVersions.request_header_version(4), 2);
    assert_eq!(ApiKey::ApiVersions.request_header_version(99), 2);
    assert_eq!(ApiKey::ApiVersions.response_header_version(4), 0);
}

#[test]
fn error_codes_have_their_numbers() {
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
    }
    assert!(ErrorCode::ALL.is_sorted_by_key(|code| code.number()));
    assert_eq!(ErrorCode::from_number(134), None);
    assert_eq!(ErrorCode::NotLeaderOrFollower.number(), 6);
    assert_eq!(ErrorCode::UnsupportedForMessageFormat.number(), 43);
    assert_eq!(ErrorCode::UnsupportedVersion.to_string(), "UNSUPPORTED_VERSION");
    assert!(ErrorCode::NotLeaderOrFollower.is_retriable());
    assert!(!ErrorCode::TopicAuthorizationFailed.is_retriable());
    assert!(ErrorCode::None.is_none());
}
