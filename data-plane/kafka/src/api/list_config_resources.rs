//! ListConfigResources: what has configs that DescribeConfigs tells.

use super::{Handler, configs};
use crate::session::Call;
use crate::topics;
use millstream_access::Operation;
use millstream_door::leadership::nodes;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::list_config_resources_response::ConfigResource;
use millstream_kafka_wire::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use std::collections::BTreeSet;

pub(super) struct ListConfigResources;

impl Handler for ListConfigResources {
    type Request = ListConfigResourcesRequest;

    async fn handle(call: &Call, request: ListConfigResourcesRequest) -> ListConfigResourcesResponse {
        // Version 0 lists subscriptions to clients' metrics and nothing else.
        let wanted: BTreeSet<i8> = match request.resource_types {
            _ if call.version == 0 => [configs::CLIENT_METRICS].into(),
            types if types.is_empty() => configs::RESOURCES.into(),
            types => types.into_iter().collect(),
        };
        let refused = if !call.may(Operation::Describe) {
            Some(ErrorCode::ClusterAuthorizationFailed)
        } else if wanted.iter().any(|kind| !configs::RESOURCES.contains(kind)) {
            Some(ErrorCode::UnsupportedVersion)
        } else {
            None
        };
        if let Some(code) = refused {
            return ListConfigResourcesResponse {
                error_code: call.code(&code),
                ..ListConfigResourcesResponse::default()
            };
        }
        let resources = wanted.into_iter().flat_map(|kind| names(call, kind));
        ListConfigResourcesResponse {
            config_resources: resources.collect(),
            ..ListConfigResourcesResponse::default()
        }
    }
}

/// The resources of one kind. Groups and clients' metrics have no configs here.
fn names(call: &Call, resource_type: i8) -> Vec<ConfigResource> {
    let image = call.image();
    let names: Vec<String> = match resource_type {
        configs::TOPIC => {
            let visible = topics::all(&image, call);
            visible.map(|topic| topic.name.as_str().to_owned()).collect()
        }
        configs::BROKER | configs::BROKER_LOGGER => nodes(&image).map(|node| node.id.0.to_string()).collect(),
        _ => Vec::new(),
    };
    let resources = names.into_iter().map(|resource_name| ConfigResource {
        resource_name,
        resource_type,
    });
    resources.collect()
}
