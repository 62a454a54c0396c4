//! Heartbeat: a member is alive.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use millstream_broker::interface::groups;
use millstream_door::Action;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::{HeartbeatRequest, HeartbeatResponse};

pub(super) struct Heartbeat;

impl Handler for Heartbeat {
    type Request = HeartbeatRequest;

    async fn handle(call: &Call, request: HeartbeatRequest) -> HeartbeatResponse {
        let result = heartbeat(call, request).await;
        HeartbeatResponse {
            error_code: call.code(&result),
            ..HeartbeatResponse::default()
        }
    }
}

async fn heartbeat(call: &Call, request: HeartbeatRequest) -> Result<(), ErrorCode> {
    let group = call.check_group(Action::UseGroup, &request.group_id)?;
    let heartbeat = groups::Heartbeat {
        member: groups::MemberRef {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
        },
        generation: request.generation_id,
    };
    call.broker()
        .groups()
        .heartbeat(call.who(), group, heartbeat)
        .await
        .map_err(|error| error.code())
}
