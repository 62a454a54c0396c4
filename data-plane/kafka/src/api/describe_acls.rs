//! DescribeAcls: there are none. What a key may do is its role, and a list without rows is what that comes to.

use super::Handler;
use crate::session::Call;
use millstream_access::Operation;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::{DescribeAclsRequest, DescribeAclsResponse};

pub(super) struct DescribeAcls;

impl Handler for DescribeAcls {
    type Request = DescribeAclsRequest;

    async fn handle(call: &Call, _: DescribeAclsRequest) -> DescribeAclsResponse {
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
        DescribeAclsResponse {
            error_code,
            error_message,
            ..DescribeAclsResponse::default()
        }
    }
}
