//! ListPartitionReassignments: nothing is ever under way, for replicas stay where they were placed.

use super::Handler;
use crate::session::Call;
use millstream_access::Operation;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

pub(super) struct ListPartitionReassignments;

impl Handler for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;

    async fn handle(call: &Call, _: ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse {
        let (error_code, error_message) = match call.may(Operation::Describe) {
            true => (0, None),
            false => {
                let code = ErrorCode::ClusterAuthorizationFailed;
                (
                    call.code(&code),
                    Some("this key may not describe the cluster".to_owned()),
                )
            }
        };
        ListPartitionReassignmentsResponse {
            error_code,
            error_message,
            ..ListPartitionReassignmentsResponse::default()
        }
    }
}
