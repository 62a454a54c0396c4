//! SyncGroup: answers when the leader has assigned.

use super::Handler;
use crate::session::Call;
use millstream_broker::interface::groups::{MemberRef, Sync};
use millstream_door::Action;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::{SyncGroupRequest, SyncGroupResponse};

pub(super) struct SyncGroup;

impl Handler for SyncGroup {
    type Request = SyncGroupRequest;

    async fn handle(call: &Call, request: SyncGroupRequest) -> SyncGroupResponse {
        // From version 5 on a member has to say what it takes the group for.
        let said = request.protocol_type.is_some() && request.protocol_name.is_some();
        let group = call.check_group(Action::UseGroup, &request.group_id);
        let group = match group {
            Ok(_) if call.version >= 5 && !said => Err(ErrorCode::InconsistentGroupProtocol),
            group => group,
        };
        let group = match group {
            Ok(group) => group,
            Err(code) => {
                return SyncGroupResponse {
                    error_code: call.code(&code),
                    ..SyncGroupResponse::default()
                };
            }
        };
        let assignments = request
            .assignments
            .into_iter()
            .map(|one| (one.member_id, one.assignment));
        let sync = Sync {
            member: MemberRef {
                member_id: request.member_id,
                instance_id: request.group_instance_id,
            },
            generation: request.generation_id,
            protocol_type: request.protocol_type,
            protocol: request.protocol_name,
            assignments: assignments.collect(),
        };
        let synced = call.broker().groups().sync(call.who(), group.clone(), sync);
        match synced.await {
            Ok(synced) => SyncGroupResponse {
                protocol_type: synced.protocol_type,
                protocol_name: synced.protocol,
                assignment: synced.assignment,
                ..SyncGroupResponse::default()
            },
            Err(error) => {
                call.log_too_large(&group, &error);
                SyncGroupResponse {
                    error_code: call.code(&error),
                    ..SyncGroupResponse::default()
                }
            }
        }
    }
}
