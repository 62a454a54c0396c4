//! FindCoordinator: which node keeps a group. The groups' ledger has one leader, so all groups have the same.

use super::Handler;
use crate::session::Call;
use crate::topics::leadership;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::find_coordinator_response::Coordinator;
use millstream_kafka_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use millstream_metadata::NodeRow;
use millstream_model::{PartitionIndex, TenantId};
use std::sync::Arc;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// The internal topic of consumer groups.
const GROUPS_TOPIC: &str = "__groups";

pub(super) struct FindCoordinator;

impl Handler for FindCoordinator {
    type Request = FindCoordinatorRequest;

    async fn handle(call: &Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
        let found = find(call, request.key_type);
        let (code, text) = match &found {
            Ok(_) => (ErrorCode::None, None),
            Err((code, text)) => (*code, Some((*text).to_owned())),
        };
        let (node_id, host, port) = match &found {
            Ok(node) => (node.id.0, node.kafka.host.clone(), i32::from(node.kafka.port)),
            Err(_) => (-1, String::new(), -1),
        };
        let error_code = call.code(&code);
        if call.version < 4 {
            let error_message = text;
            return FindCoordinatorResponse {
                error_code,
                error_message,
                node_id,
                host,
                port,
                ..FindCoordinatorResponse::default()
            };
        }
        let coordinators = request.coordinator_keys.into_iter().map(|key| Coordinator {
            key,
            node_id,
            host: host.clone(),
            port,
            error_code,
            error_message: text.clone(),
        });
        FindCoordinatorResponse {
            coordinators: coordinators.collect(),
            ..FindCoordinatorResponse::default()
        }
    }
}

fn find(call: &Call, key_type: i8) -> Result<Arc<NodeRow>, (ErrorCode, &'static str)> {
    let image = call.image();
    match key_type {
        GROUP => {
            let absent = (
                ErrorCode::CoordinatorNotAvailable,
                "the coordinator is not available yet",
            );
            let name = GROUPS_TOPIC.parse().map_err(|_| absent)?;
            let topic = image.topic(TenantId::SYSTEM, &name).ok_or(absent)?;
            leadership(&image, topic, PartitionIndex(0))
                .and_then(|known| known.leader)
                .ok_or(absent)
        }
        // The producer's next request, InitProducerId, is refused in clear words.
        TRANSACTION => image.node(call.broker().node()).cloned().ok_or((
            ErrorCode::CoordinatorNotAvailable,
            "the coordinator is not available yet",
        )),
        _ => Err((ErrorCode::InvalidRequest, "there are coordinators of groups only")),
    }
}
