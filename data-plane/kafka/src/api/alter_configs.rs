//! AlterConfigs: puts a topic's configs in place of all that were set. Older clients know no other way; newer ones use
//! IncrementalAlterConfigs.

use super::{Handler, configs};
use crate::session::Call;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::alter_configs_request::AlterConfigsResource;
use millstream_kafka_wire::messages::alter_configs_response::AlterConfigsResourceResponse;
use millstream_kafka_wire::messages::{AlterConfigsRequest, AlterConfigsResponse};
use millstream_metadata::ReplaceTopicConfig;
use std::collections::BTreeMap;

pub(super) struct AlterConfigs;

impl Handler for AlterConfigs {
    type Request = AlterConfigsRequest;

    async fn handle(call: &Call, request: AlterConfigsRequest) -> AlterConfigsResponse {
        let mut responses = Vec::with_capacity(request.resources.len());
        let names = request.resources.iter();
        let twice = configs::Twice::among(names.map(|it| (it.resource_type, it.resource_name.as_str())));
        for resource in request.resources {
            let (resource_type, resource_name) = (resource.resource_type, resource.resource_name.clone());
            let altered = match twice.check(resource_type, &resource_name) {
                Ok(()) => replace(call, resource, request.validate_only).await,
                twice => twice,
            };
            let (code, error_message) = configs::told(altered);
            responses.push(AlterConfigsResourceResponse {
                error_code: call.code(&code),
                error_message,
                resource_type,
                resource_name,
            });
        }
        AlterConfigsResponse {
            responses,
            ..AlterConfigsResponse::default()
        }
    }
}

async fn replace(
    call: &Call,
    resource: AlterConfigsResource,
    validate_only: bool,
) -> Result<(), (ErrorCode, String)> {
    configs::check_alterable(resource.resource_type, &resource.resource_name)?;
    let mut config = BTreeMap::new();
    for one in resource.configs {
        let value = one
            .value
            .ok_or_else(|| (ErrorCode::InvalidRequest, format!("{} = null", one.name)))?;
        if config.insert(one.name.clone(), value).is_some() {
            return Err((ErrorCode::InvalidRequest, format!("{} is given twice", one.name)));
        }
    }
    let command = ReplaceTopicConfig {
        tenant: call.who().tenant,
        name: resource.resource_name,
        config,
        validate_only,
    };
    configs::submit(call, command).await
}
