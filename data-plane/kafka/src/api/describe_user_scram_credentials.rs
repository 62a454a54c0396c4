//! DescribeUserScramCredentials: nobody has any. Keys log in with PLAIN, and their secrets are derived, never stored.

use super::Handler;
use crate::session::Call;
use millstream_access::Operation;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult;
use millstream_kafka_wire::messages::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct DescribeUserScramCredentials;

impl Handler for DescribeUserScramCredentials {
    type Request = DescribeUserScramCredentialsRequest;

    async fn handle(
        call: &Call,
        request: DescribeUserScramCredentialsRequest,
    ) -> DescribeUserScramCredentialsResponse {
        if !call.may(Operation::Describe) {
            return DescribeUserScramCredentialsResponse {
                error_code: call.code(&ErrorCode::ClusterAuthorizationFailed),
                error_message: Some("this key may not describe the cluster".to_owned()),
                ..DescribeUserScramCredentialsResponse::default()
            };
        }
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        let asked = request.users.unwrap_or_default();
        asked
            .iter()
            .for_each(|user| *times.entry(&user.name).or_default() += 1);
        let mut told = BTreeSet::new();
        let once = asked.iter().filter(|user| told.insert(&user.name));
        let results = once.map(|user| {
            let (code, text) = match times.get(user.name.as_str()) {
                Some(1) => (
                    ErrorCode::ResourceNotFound,
                    "nobody of this name has SCRAM credentials: keys log in with PLAIN",
                ),
                _ => (
                    ErrorCode::DuplicateResource,
                    "the user is named twice in one request",
                ),
            };
            DescribeUserScramCredentialsResult {
                user: user.name.clone(),
                error_code: call.code(&code),
                error_message: Some(text.to_owned()),
                credential_infos: Vec::new(),
            }
        });
        DescribeUserScramCredentialsResponse {
            // Kafka says an empty text here, not null.
            error_message: Some(String::new()),
            results: results.collect(),
            ..DescribeUserScramCredentialsResponse::default()
        }
    }
}
