//! ListTransactions: there are none. What a filter cannot mean is said as by Kafka.

use super::Handler;
use crate::session::Call;
use millstream_kafka_wire::messages::{ListTransactionsRequest, ListTransactionsResponse};

/// The states that a transaction can have in Kafka.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

pub(super) struct ListTransactions;

impl Handler for ListTransactions {
    type Request = ListTransactionsRequest;

    async fn handle(_: &Call, request: ListTransactionsRequest) -> ListTransactionsResponse {
        let unknown = request.state_filters.into_iter();
        let unknown = unknown.filter(|state| !STATES.contains(&state.as_str()));
        ListTransactionsResponse {
            unknown_state_filters: unknown.collect(),
            ..ListTransactionsResponse::default()
        }
    }
}
