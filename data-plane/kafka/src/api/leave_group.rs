//! LeaveGroup: one member, or from version 3 on several.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use millstream_broker::interface::groups::{GroupError, Leave, Leaving, Left, MemberRef};
use millstream_door::Action;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::leave_group_request::MemberIdentity;
use millstream_kafka_wire::messages::leave_group_response::MemberResponse;
use millstream_kafka_wire::messages::{LeaveGroupRequest, LeaveGroupResponse};

pub(super) struct LeaveGroup;

impl Handler for LeaveGroup {
    type Request = LeaveGroupRequest;

    async fn handle(call: &Call, request: LeaveGroupRequest) -> LeaveGroupResponse {
        let left = match leave(call, request).await {
            Ok(left) => left,
            Err(code) => {
                return LeaveGroupResponse {
                    error_code: call.code(&code),
                    ..LeaveGroupResponse::default()
                };
            }
        };
        if call.version < 3 {
            let result = left.into_iter().next().map_or(Ok(()), |left| left.result);
            return LeaveGroupResponse {
                error_code: call.code(&result),
                ..LeaveGroupResponse::default()
            };
        }
        let members = left.into_iter().map(|left| MemberResponse {
            error_code: call.code(&left.result),
            member_id: left.member_id,
            group_instance_id: left.instance_id,
        });
        LeaveGroupResponse {
            members: members.collect(),
            ..LeaveGroupResponse::default()
        }
    }
}

async fn leave(call: &Call, request: LeaveGroupRequest) -> Result<Vec<Left>, ErrorCode> {
    let group = call.check_group(Action::UseGroup, &request.group_id)?;
    let members = if call.version < 3 {
        vec![MemberIdentity {
            member_id: request.member_id,
            ..MemberIdentity::default()
        }]
    } else {
        request.members
    };
    let members = members.into_iter().map(|member| Leaving {
        member: MemberRef {
            member_id: member.member_id,
            instance_id: member.group_instance_id,
        },
    });
    let leave = Leave {
        members: members.collect(),
    };
    let members: Vec<MemberRef> = leave
        .members
        .iter()
        .map(|leaving| leaving.member.clone())
        .collect();
    match call.broker().groups().leave(call.who(), group, leave).await {
        // There is no such group, so none of them is in it.
        Err(GroupError::UnknownMember) => Ok(members.into_iter().map(unknown).collect()),
        left => left.map_err(|error| error.code()),
    }
}

fn unknown(member: MemberRef) -> Left {
    Left {
        member_id: member.member_id,
        instance_id: member.instance_id,
        result: Err(GroupError::UnknownMember),
    }
}
