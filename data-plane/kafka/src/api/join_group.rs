//! JoinGroup: answers when the rebalance is complete.

use super::Handler;
use crate::session::Call;
use millstream_broker::interface::groups::{GroupError, Join, Joined, MemberRef, Protocol};
use millstream_door::Action;
use millstream_kafka_wire::messages::join_group_response::JoinGroupResponseMember;
use millstream_kafka_wire::messages::{JoinGroupRequest, JoinGroupResponse};

pub(super) struct JoinGroup;

impl Handler for JoinGroup {
    type Request = JoinGroupRequest;

    async fn handle(call: &Call, request: JoinGroupRequest) -> JoinGroupResponse {
        let member_id = request.member_id.clone();
        let group = match call.check_group(Action::UseGroup, &request.group_id) {
            Ok(group) => group,
            Err(code) => return refused(call, call.code(&code), member_id),
        };
        let joining = join(call, request);
        let joined = call.broker().groups().join(call.who(), group.clone(), joining);
        match joined.await {
            Ok(joined) => answer(call, joined),
            Err(error) => {
                call.log_too_large(&group, &error);
                let code = call.code(&error);
                match error {
                    GroupError::MemberIdRequired { member_id } => refused(call, code, member_id),
                    _ => refused(call, code, member_id),
                }
            }
        }
    }
}

fn join(call: &Call, request: JoinGroupRequest) -> Join {
    let protocols = request.protocols.into_iter();
    Join {
        member: MemberRef {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
        },
        client: call.client(),
        session_timeout_ms: request.session_timeout_ms,
        // Version 0 has but one timeout.
        rebalance_timeout_ms: if call.version == 0 {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        protocol_type: request.protocol_type,
        protocols: protocols
            .map(|one| Protocol {
                name: one.name,
                metadata: one.metadata,
            })
            .collect(),
        member_id_required: call.version >= 4,
        skip_assignment_supported: call.version >= 9,
        nonce: 0,
    }
}

fn answer(call: &Call, joined: Joined) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| JoinGroupResponseMember {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        metadata: member.metadata,
    });
    JoinGroupResponse {
        throttle_time_ms: 0,
        error_code: 0,
        generation_id: joined.generation,
        protocol_type: joined.protocol_type,
        protocol_name: name(call, joined.protocol),
        leader: joined.leader,
        skip_assignment: joined.skip_assignment,
        member_id: joined.member_id,
        members: members.collect(),
    }
}

fn refused(call: &Call, error_code: i16, member_id: String) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code,
        generation_id: -1,
        protocol_name: name(call, None),
        member_id,
        ..JoinGroupResponse::default()
    }
}

/// Null is not allowed before version 7.
fn name(call: &Call, protocol: Option<String>) -> Option<String> {
    if call.version < 7 {
        Some(protocol.unwrap_or_default())
    } else {
        protocol
    }
}
