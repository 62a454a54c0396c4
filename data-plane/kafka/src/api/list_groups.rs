//! ListGroups: the caller's groups, by state and type where it asks so.

use super::Handler;
use crate::session::Call;
use millstream_door::Action;
use millstream_kafka_wire::messages::list_groups_response::ListedGroup;
use millstream_kafka_wire::messages::{ListGroupsRequest, ListGroupsResponse};

/// The only type of group that is served.
const TYPE: &str = "classic";

pub(super) struct ListGroups;

impl Handler for ListGroups {
    type Request = ListGroupsRequest;

    async fn handle(call: &Call, request: ListGroupsRequest) -> ListGroupsResponse {
        if !Action::ListGroups.is_allowed(call.who()) {
            return ListGroupsResponse::default();
        }
        let listed = match call.broker().groups().list(call.who()) {
            Ok(listed) => listed,
            Err(error) => {
                return ListGroupsResponse {
                    error_code: call.code(&error),
                    ..ListGroupsResponse::default()
                };
            }
        };
        let fits = |filter: &[String], word: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(word))
        };
        let fitting = listed.into_iter().filter(|group| {
            fits(&request.states_filter, group.state.as_str()) && fits(&request.types_filter, TYPE)
        });
        let groups = fitting.map(|group| ListedGroup {
            group_id: group.group.as_str().to_owned(),
            protocol_type: group.protocol_type,
            group_state: group.state.as_str().to_owned(),
            group_type: TYPE.to_owned(),
        });
        ListGroupsResponse {
            groups: groups.collect(),
            ..ListGroupsResponse::default()
        }
    }
}
