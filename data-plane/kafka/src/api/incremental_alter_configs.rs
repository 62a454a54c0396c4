//! IncrementalAlterConfigs: sets and unsets configs of topics.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::incremental_alter_configs_request::AlterConfigsResource;
use millstream_kafka_wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use millstream_kafka_wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use millstream_metadata::Command;
use std::collections::BTreeMap;

const TOPIC: i8 = 2;
const SET: i8 = 0;
const DELETE: i8 = 1;

pub(super) struct IncrementalAlterConfigs;

impl Handler for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;

    async fn handle(call: &Call, request: IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
        let mut responses = Vec::with_capacity(request.resources.len());
        for resource in request.resources {
            let (resource_type, resource_name) = (resource.resource_type, resource.resource_name.clone());
            let (code, error_message) = match alter(call, resource, request.validate_only).await {
                Ok(()) => (ErrorCode::None, None),
                Err((code, text)) => (code, Some(text)),
            };
            let error_code = call.code(&code);
            responses.push(AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type,
                resource_name,
            });
        }
        IncrementalAlterConfigsResponse {
            responses,
            ..IncrementalAlterConfigsResponse::default()
        }
    }
}

async fn alter(
    call: &Call,
    resource: AlterConfigsResource,
    validate_only: bool,
) -> Result<(), (ErrorCode, String)> {
    if resource.resource_type != TOPIC {
        return Err((
            ErrorCode::InvalidRequest,
            "only topics have configs to alter".to_owned(),
        ));
    }
    let mut changes = BTreeMap::new();
    for config in resource.configs {
        let value = match config.config_operation {
            SET => Some(
                config
                    .value
                    .ok_or_else(|| (ErrorCode::InvalidConfig, format!("{} = null", config.name)))?,
            ),
            DELETE => None,
            _ => return Err((ErrorCode::InvalidConfig, format!("{} is no list", config.name))),
        };
        if changes.insert(config.name.clone(), value).is_some() {
            return Err((
                ErrorCode::InvalidRequest,
                format!("{} is given twice", config.name),
            ));
        }
    }
    let name = resource.resource_name;
    let command = Command::AlterTopicConfig {
        tenant: call.who().tenant,
        name,
        changes,
        validate_only,
    };
    let done = call.submit(command).await;
    done.map(|_| ())
        .map_err(|refusal| (refusal.code(), refusal.to_string()))
}
