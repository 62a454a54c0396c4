//! FindCoordinator: which node keeps a group, which is the leader of the group's slot.

use super::Handler;
use crate::session::Call;
use millstream_broker::interface::slot_of;
use millstream_door::leadership::leadership;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::find_coordinator_response::Coordinator;
use millstream_kafka_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use millstream_metadata::NodeRow;
use millstream_model::SlotKind;
use std::sync::Arc;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// What a transactional producer is told, here and at every other request that belongs to a transaction.
pub(super) const NO_TRANSACTIONS: &str = "transactions are not served";

pub(super) struct FindCoordinator;

impl Handler for FindCoordinator {
    type Request = FindCoordinatorRequest;

    async fn handle(call: &Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
        let key_type = request.key_type;
        if call.version < 4 {
            let found = coordinator(call, key_type, request.key);
            // Texts are never null here, and older versions say "NONE" where nothing is wrong: so does Kafka.
            let said_nothing = found.error_message.as_deref().is_some_and(str::is_empty);
            return FindCoordinatorResponse {
                error_code: found.error_code,
                error_message: match said_nothing {
                    true => Some(ErrorCode::None.name().to_owned()),
                    false => found.error_message,
                },
                node_id: found.node_id,
                host: found.host,
                port: found.port,
                ..FindCoordinatorResponse::default()
            };
        }
        let keys = request.coordinator_keys.into_iter();
        FindCoordinatorResponse {
            coordinators: keys.map(|key| coordinator(call, key_type, key)).collect(),
            error_message: Some(String::new()),
            ..FindCoordinatorResponse::default()
        }
    }
}

fn coordinator(call: &Call, key_type: i8, key: String) -> Coordinator {
    let found = find(call, key_type, &key);
    let (code, text) = match &found {
        Ok(_) => (ErrorCode::None, ""),
        Err((code, text)) => (*code, *text),
    };
    let (node_id, host, port) = match &found {
        Ok(node) => (node.id.0, node.kafka.host.clone(), i32::from(node.kafka.port)),
        Err(_) => (-1, String::new(), -1),
    };
    Coordinator {
        key,
        node_id,
        host,
        port,
        error_code: call.code(&code),
        error_message: Some(text.to_owned()),
    }
}

fn find(call: &Call, key_type: i8, key: &str) -> Result<Arc<NodeRow>, (ErrorCode, &'static str)> {
    let image = call.image();
    match key_type {
        GROUP => {
            let absent = (
                ErrorCode::CoordinatorNotAvailable,
                "the coordinator is not available yet",
            );
            let slot = slot_of(SlotKind::Groups, call.who().tenant, key.as_bytes());
            let topic = image.topic_by_id(slot.topic).ok_or(absent)?;
            leadership(&image, topic, slot.index)
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
