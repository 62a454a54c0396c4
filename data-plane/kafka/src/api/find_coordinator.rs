//! FindCoordinator: which node keeps a group. The groups' ledger has one leader, so all groups have the same.

use super::Handler;
use crate::session::Call;
use millstream_door::leadership::leadership;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::find_coordinator_response::Coordinator;
use millstream_kafka_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use millstream_metadata::NodeRow;
use millstream_model::{PartitionIndex, TenantId};
use std::sync::Arc;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// What a transactional producer is told, here and at every other request that belongs to a transaction.
pub(super) const NO_TRANSACTIONS: &str = "transactions are not served";

/// The internal topic of consumer groups.
const GROUPS_TOPIC: &str = "__groups";

pub(super) struct FindCoordinator;

impl Handler for FindCoordinator {
    type Request = FindCoordinatorRequest;

    async fn handle(call: &Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
        let found = find(call, request.key_type);
        // Texts are never null here, and older versions say "NONE" where nothing is wrong: so does Kafka.
        let (code, text) = match &found {
            Ok(_) if call.version < 4 => (ErrorCode::None, ErrorCode::None.name()),
            Ok(_) => (ErrorCode::None, ""),
            Err((code, text)) => (*code, *text),
        };
        let (node_id, host, port) = match &found {
            Ok(node) => (node.id.0, node.kafka.host.clone(), i32::from(node.kafka.port)),
            Err(_) => (-1, String::new(), -1),
        };
        let error_code = call.code(&code);
        if call.version < 4 {
            let error_message = Some(text.to_owned());
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
            error_message: Some(text.to_owned()),
        });
        FindCoordinatorResponse {
            coordinators: coordinators.collect(),
            error_message: Some(String::new()),
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
        TRANSACTION => {
            call.log_transactional_producer();
            // The one code on which librdkafka gives up and Java shows the text; on any other, one of them asks for ever
            // or says something else.
            Err((ErrorCode::ClusterAuthorizationFailed, NO_TRANSACTIONS))
        }
        _ => Err((ErrorCode::InvalidRequest, "there are coordinators of groups only")),
    }
}
