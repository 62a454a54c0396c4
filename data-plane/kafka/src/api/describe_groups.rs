//! DescribeGroups: members and what they read.

use super::{Handler, authorized};
use crate::error::Code;
use crate::session::Call;
use millstream_broker::interface::groups;
use millstream_door::Action;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use millstream_kafka_wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse};
use std::collections::BTreeSet;

pub(super) struct DescribeGroups;

impl Handler for DescribeGroups {
    type Request = DescribeGroupsRequest;

    async fn handle(call: &Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
        let operations = if request.include_authorized_operations {
            authorized::group(call)
        } else {
            authorized::NOT_ASKED
        };
        // Each is described once, however often it was named: else a small request had a huge answer.
        let mut seen = BTreeSet::new();
        let mut named = request.groups;
        named.retain(|group| seen.insert(group.clone()));
        let groups = named.into_iter().map(|group| {
            let described = describe(call, &group);
            let error_code = call.code(&described);
            let described = match described {
                Ok(Some(described)) => answer(group, described),
                // A group that does not exist is "dead"; from version 6 on that is an error as well.
                Ok(None) => {
                    let absent = if call.version >= 6 {
                        ErrorCode::GroupIdNotFound
                    } else {
                        ErrorCode::None
                    };
                    let error_message = (call.version >= 6).then(|| format!("Group {group} not found."));
                    let (error_code, group_state) = (call.code(&absent), "Dead".to_owned());
                    DescribedGroup {
                        group_id: group,
                        error_code,
                        error_message,
                        group_state,
                        ..Default::default()
                    }
                }
                Err(_) => DescribedGroup {
                    group_id: group,
                    error_code,
                    ..DescribedGroup::default()
                },
            };
            DescribedGroup {
                authorized_operations: operations,
                ..described
            }
        });
        DescribeGroupsResponse {
            groups: groups.collect(),
            ..DescribeGroupsResponse::default()
        }
    }
}

fn describe(call: &Call, group: &str) -> Result<Option<groups::DescribedGroup>, ErrorCode> {
    let group = match call.check_group(Action::DescribeGroup, group) {
        Ok(group) => group,
        // No group can have such a name.
        Err(ErrorCode::InvalidGroupId) => return Ok(None),
        Err(code) => return Err(code),
    };
    call.broker()
        .groups()
        .describe(call.who(), &group)
        .map_err(|error| error.code())
}

fn answer(group_id: String, described: groups::DescribedGroup) -> DescribedGroup {
    let members = described.members.into_iter().map(|member| DescribedGroupMember {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    });
    DescribedGroup {
        group_id,
        group_state: described.state.as_str().to_owned(),
        protocol_type: described.protocol_type,
        protocol_data: described.protocol,
        members: members.collect(),
        ..DescribedGroup::default()
    }
}
