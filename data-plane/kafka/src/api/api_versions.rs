//! ApiVersions: the table as clients see it.

use super::TABLE;
use crate::connection::{Answer, End};
use crate::session::Call;
use futures::future::BoxFuture;
use millstream_kafka_wire::frame::{RequestFrame, encode_response};
use millstream_kafka_wire::messages::api_versions_response::ApiVersion;
use millstream_kafka_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use millstream_kafka_wire::{ApiKey, ErrorCode, Frame};

pub(super) fn run(call: Call, request: RequestFrame) -> BoxFuture<'static, Result<Answer, End>> {
    Box::pin(async move {
        Ok(Answer::Now {
            frame: answer(request)?,
            throttle: call.muted(),
        })
    })
}

/// The answer, before and after authentication the same. A version that we do not have is answered in version 0, with
/// the table, so that the client can ask again (KIP-511).
pub(crate) fn answer(request: RequestFrame) -> Result<Frame, End> {
    let mut response = ApiVersionsResponse {
        api_keys: table(),
        ..ApiVersionsResponse::default()
    };
    if !ApiKey::ApiVersions.versions().contains(&request.version) {
        response.error_code = ErrorCode::UnsupportedVersion.number();
        return Ok(encode_response(
            request.key,
            0,
            request.correlation_id,
            &response,
        )?);
    }
    let message: ApiVersionsRequest = super::message(&request)?;
    if request.version >= 3
        && !(legal(&message.client_software_name) && legal(&message.client_software_version))
    {
        response.error_code = ErrorCode::InvalidRequest.number();
        response.api_keys.clear();
    }
    Ok(request.answer(&response)?)
}

fn table() -> Vec<ApiVersion> {
    let served = TABLE.iter().map(|api| ApiVersion {
        api_key: api.key.number(),
        min_version: *api.versions().start(),
        max_version: *api.versions().end(),
    });
    served.collect()
}

/// Kafka's rule for software names and versions: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn legal(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let ends = [text.bytes().next(), text.bytes().last()];
    ends.iter()
        .all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
        && text.bytes().all(inner)
}
