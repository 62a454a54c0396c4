//! DeleteGroups: groups without members, with all their offsets.

use super::Handler;
use crate::error::Code;
use crate::session::Call;
use millstream_door::Action;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::delete_groups_response::DeletableGroupResult;
use millstream_kafka_wire::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use std::collections::BTreeSet;

pub(super) struct DeleteGroups;

impl Handler for DeleteGroups {
    type Request = DeleteGroupsRequest;

    async fn handle(call: &Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let names: BTreeSet<String> = request.groups_names.into_iter().collect();
        let mut results = Vec::with_capacity(names.len());
        for group_id in names {
            let deleted = delete(call, &group_id).await;
            results.push(DeletableGroupResult {
                group_id,
                error_code: call.code(&deleted),
            });
        }
        DeleteGroupsResponse {
            results,
            ..DeleteGroupsResponse::default()
        }
    }
}

async fn delete(call: &Call, group: &str) -> Result<(), ErrorCode> {
    let group = call
        .check_group(Action::DeleteGroup, group)
        .map_err(|code| match code {
            // No group can have such a name.
            ErrorCode::InvalidGroupId => ErrorCode::GroupIdNotFound,
            code => code,
        })?;
    call.broker()
        .groups()
        .delete(call.who(), group)
        .await
        .map_err(|error| error.code())
}
