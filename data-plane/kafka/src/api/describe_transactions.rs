//! DescribeTransactions: no transactional id is known, for transactions are not served.

use super::Handler;
use crate::session::Call;
use millstream_access::Operation;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::describe_transactions_response::TransactionState;
use millstream_kafka_wire::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse};

pub(super) struct DescribeTransactions;

impl Handler for DescribeTransactions {
    type Request = DescribeTransactionsRequest;

    async fn handle(call: &Call, request: DescribeTransactionsRequest) -> DescribeTransactionsResponse {
        let code = |id: &str| match call.may(Operation::Describe) {
            false => ErrorCode::TransactionalIdAuthorizationFailed,
            true if id.is_empty() => ErrorCode::InvalidRequest,
            true => ErrorCode::TransactionalIdNotFound,
        };
        let states = request.transactional_ids.into_iter().map(|id| TransactionState {
            error_code: call.code(&code(&id)),
            transactional_id: id,
            ..TransactionState::default()
        });
        DescribeTransactionsResponse {
            transaction_states: states.collect(),
            ..DescribeTransactionsResponse::default()
        }
    }
}
