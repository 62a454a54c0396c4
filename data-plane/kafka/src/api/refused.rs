//! APIs that Kafka has and Millstream does not serve. Each is answered UNSUPPORTED_VERSION in its own shape, in words
//! where the shape has room for them: clients that do not look at ApiVersions first would else see a closed connection
//! and nothing more. They are not advertised, so that clients that do look say by themselves what is missing.

mod cluster;
mod groups;
mod security;
mod share;
mod transactions;

use super::{Api, Handler, run};
use crate::session::Call;
use millstream_kafka_wire::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddRaftVoterRequest, AlterClientQuotasRequest,
    AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, AlterShareGroupOffsetsRequest,
    AlterUserScramCredentialsRequest, ConsumerGroupDescribeRequest, CreateAclsRequest,
    CreateDelegationTokenRequest, DeleteAclsRequest, DeleteShareGroupOffsetsRequest,
    DeleteShareGroupStateRequest, DescribeDelegationTokenRequest, DescribeQuorumRequest,
    DescribeShareGroupOffsetsRequest, EndTxnRequest, ExpireDelegationTokenRequest,
    GetTelemetrySubscriptionsRequest, InitializeShareGroupStateRequest, PushTelemetryRequest,
    ReadShareGroupStateRequest, ReadShareGroupStateSummaryRequest, RemoveRaftVoterRequest,
    RenewDelegationTokenRequest, ShareAcknowledgeRequest, ShareFetchRequest, ShareGroupDescribeRequest,
    ShareGroupHeartbeatRequest, StreamsGroupDescribeRequest, StreamsGroupHeartbeatRequest,
    TxnOffsetCommitRequest, UnregisterBrokerRequest, UpdateFeaturesRequest, WriteShareGroupStateRequest,
    WriteTxnMarkersRequest,
};
use millstream_kafka_wire::{ErrorCode, Request};
use std::marker::PhantomData;

/// A request that nobody serves.
trait Refusable: Request + Send {
    /// What the one who asks is told.
    const WHY: &'static str;

    /// The answer in the request's own shape: the code wherever a code belongs, [`Self::WHY`] beside it.
    fn refused(self, code: i16) -> Self::Response;
}

/// Why, as messages carry it.
fn why<R: Refusable>() -> Option<String> {
    Some(R::WHY.to_owned())
}

/// The handler of such requests.
struct Refused<R>(PhantomData<R>);

impl<R: Refusable> Handler for Refused<R> {
    type Request = R;

    async fn handle(call: &Call, request: R) -> R::Response {
        tracing::debug!(api = R::KEY.name(), why = R::WHY, "refused what is not served");
        request.refused(call.code(&ErrorCode::UnsupportedVersion))
    }
}

const fn refuse<R: Refusable>() -> Api {
    Api {
        key: R::KEY,
        from: 0,
        run: run::<Refused<R>>,
    }
}

/// Everything that is refused, by number.
pub(crate) const TABLE: &[Api] = &[
    refuse::<AddPartitionsToTxnRequest>(),
    refuse::<AddOffsetsToTxnRequest>(),
    refuse::<EndTxnRequest>(),
    refuse::<WriteTxnMarkersRequest>(),
    refuse::<TxnOffsetCommitRequest>(),
    refuse::<CreateAclsRequest>(),
    refuse::<DeleteAclsRequest>(),
    refuse::<AlterReplicaLogDirsRequest>(),
    refuse::<CreateDelegationTokenRequest>(),
    refuse::<RenewDelegationTokenRequest>(),
    refuse::<ExpireDelegationTokenRequest>(),
    refuse::<DescribeDelegationTokenRequest>(),
    refuse::<AlterPartitionReassignmentsRequest>(),
    refuse::<AlterClientQuotasRequest>(),
    refuse::<AlterUserScramCredentialsRequest>(),
    refuse::<DescribeQuorumRequest>(),
    refuse::<UpdateFeaturesRequest>(),
    refuse::<UnregisterBrokerRequest>(),
    refuse::<ConsumerGroupDescribeRequest>(),
    refuse::<GetTelemetrySubscriptionsRequest>(),
    refuse::<PushTelemetryRequest>(),
    refuse::<ShareGroupHeartbeatRequest>(),
    refuse::<ShareGroupDescribeRequest>(),
    refuse::<ShareFetchRequest>(),
    refuse::<ShareAcknowledgeRequest>(),
    refuse::<AddRaftVoterRequest>(),
    refuse::<RemoveRaftVoterRequest>(),
    refuse::<InitializeShareGroupStateRequest>(),
    refuse::<ReadShareGroupStateRequest>(),
    refuse::<WriteShareGroupStateRequest>(),
    refuse::<DeleteShareGroupStateRequest>(),
    refuse::<ReadShareGroupStateSummaryRequest>(),
    refuse::<StreamsGroupHeartbeatRequest>(),
    refuse::<StreamsGroupDescribeRequest>(),
    refuse::<DescribeShareGroupOffsetsRequest>(),
    refuse::<AlterShareGroupOffsetsRequest>(),
    refuse::<DeleteShareGroupOffsetsRequest>(),
];
