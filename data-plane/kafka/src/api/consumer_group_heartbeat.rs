//! ConsumerGroupHeartbeat: groups that the broker assigns (KIP-848) are not served, and this says so, as Kafka does
//! where they are switched off. It is advertised for that: librdkafka takes a broker without it for a coordinator that
//! is down, looks for another for ever and tells nobody.

use super::Handler;
use crate::session::Call;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

pub(super) struct ConsumerGroupHeartbeat;

impl Handler for ConsumerGroupHeartbeat {
    type Request = ConsumerGroupHeartbeatRequest;

    async fn handle(call: &Call, _: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        ConsumerGroupHeartbeatResponse {
            error_code: call.code(&ErrorCode::UnsupportedVersion),
            error_message: Some(
                "the new group protocol is not served; set group.protocol=classic".to_owned(),
            ),
            ..ConsumerGroupHeartbeatResponse::default()
        }
    }
}
