//! The same bytes as the `kafka-protocol` crate, for random messages at every version that both know.
//!
//! What we encode that crate must decode, and encode again to the same bytes.

use super::arbitrary::{Arbitrary, Gen};
use crate::message::Message;
use bytes::BytesMut;
use kafka_protocol::protocol::{Decodable, Encodable, Message as Oracle};

const ROUNDS: u64 = 20;

fn compare<M: Message + Arbitrary, O: Oracle + Decodable + Encodable>(seed: u64) -> usize {
    let mut compared = 0;
    for version in M::VERSIONS {
        if version < O::VERSIONS.min || version > O::VERSIONS.max {
            continue;
        }
        for round in 0..ROUNDS {
            let message = M::arbitrary(&mut Gen::new(seed * 1000 + round), version);
            let ours = message.to_bytes(version).unwrap();
            let place = format!("{} v{version} seed {seed} round {round}", M::NAME);
            let mut rest = ours.clone();
            let read =
                O::decode(&mut rest, version).unwrap_or_else(|error| panic!("{place}: {error}: {message:?}"));
            assert!(
                rest.is_empty(),
                "{place}: {} bytes not read: {message:?}",
                rest.len()
            );
            let mut theirs = BytesMut::new();
            read.encode(&mut theirs, version)
                .unwrap_or_else(|error| panic!("{place}: {error}: {message:?}"));
            assert_eq!(ours, theirs, "{place}: {message:?}");
            compared += 1;
        }
    }
    compared
}

macro_rules! oracle {
    ($($name:ident)*) => {
        #[test]
        fn the_same_bytes_as_kafka_protocol() {
            let mut compared = 0;
            let mut seed = 0;
            $(
                seed += 1;
                let versions = compare::<crate::messages::$name, kafka_protocol::messages::$name>(seed);
                assert!(versions > 0, concat!(stringify!($name), " has no version in common"));
                compared += versions;
            )*
            assert!(compared > 9000, "only {compared} comparisons");
        }
    };
}

oracle! {
    AddOffsetsToTxnRequest AddOffsetsToTxnResponse AddPartitionsToTxnRequest AddPartitionsToTxnResponse
    AddRaftVoterRequest AddRaftVoterResponse DeleteShareGroupStateRequest DeleteShareGroupStateResponse
    InitializeShareGroupStateRequest InitializeShareGroupStateResponse ReadShareGroupStateRequest
    ReadShareGroupStateResponse ReadShareGroupStateSummaryRequest ReadShareGroupStateSummaryResponse
    RemoveRaftVoterRequest RemoveRaftVoterResponse WriteShareGroupStateRequest WriteShareGroupStateResponse
    AlterClientQuotasRequest AlterClientQuotasResponse AlterConfigsRequest AlterConfigsResponse
    AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse AlterReplicaLogDirsRequest
    AlterReplicaLogDirsResponse AlterShareGroupOffsetsRequest AlterShareGroupOffsetsResponse
    AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse ApiVersionsRequest
    ApiVersionsResponse ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse
    ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse ConsumerProtocolSubscription
    ConsumerProtocolAssignment CreateAclsRequest CreateAclsResponse CreateDelegationTokenRequest
    CreateDelegationTokenResponse CreatePartitionsRequest CreatePartitionsResponse CreateTopicsRequest
    CreateTopicsResponse DeleteAclsRequest DeleteAclsResponse DeleteGroupsRequest DeleteGroupsResponse
    DeleteRecordsRequest DeleteRecordsResponse DeleteShareGroupOffsetsRequest
    DeleteShareGroupOffsetsResponse DeleteTopicsRequest DeleteTopicsResponse DescribeAclsRequest
    DescribeAclsResponse DescribeClientQuotasRequest DescribeClientQuotasResponse DescribeClusterRequest
    DescribeClusterResponse DescribeConfigsRequest DescribeConfigsResponse DescribeDelegationTokenRequest
    DescribeDelegationTokenResponse DescribeGroupsRequest DescribeGroupsResponse DescribeLogDirsRequest
    DescribeLogDirsResponse DescribeProducersRequest DescribeProducersResponse DescribeQuorumRequest
    DescribeQuorumResponse DescribeShareGroupOffsetsRequest DescribeShareGroupOffsetsResponse
    DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse DescribeTransactionsRequest
    DescribeTransactionsResponse DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse
    ElectLeadersRequest ElectLeadersResponse EndTxnRequest EndTxnResponse ExpireDelegationTokenRequest
    ExpireDelegationTokenResponse FetchRequest FetchResponse FindCoordinatorRequest FindCoordinatorResponse
    GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse ResponseHeader RequestHeader
    HeartbeatRequest HeartbeatResponse IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse
    InitProducerIdRequest InitProducerIdResponse JoinGroupRequest JoinGroupResponse LeaveGroupRequest
    LeaveGroupResponse ListConfigResourcesRequest ListConfigResourcesResponse ListGroupsRequest
    ListGroupsResponse ListOffsetsRequest ListOffsetsResponse ListPartitionReassignmentsRequest
    ListPartitionReassignmentsResponse ListTransactionsRequest ListTransactionsResponse MetadataRequest
    MetadataResponse OffsetCommitRequest OffsetCommitResponse OffsetDeleteRequest OffsetDeleteResponse
    OffsetFetchRequest OffsetFetchResponse OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse
    ProduceRequest ProduceResponse PushTelemetryRequest PushTelemetryResponse RenewDelegationTokenRequest
    RenewDelegationTokenResponse SaslAuthenticateRequest SaslAuthenticateResponse SaslHandshakeRequest
    SaslHandshakeResponse ShareAcknowledgeRequest ShareAcknowledgeResponse ShareFetchRequest
    ShareFetchResponse ShareGroupDescribeRequest ShareGroupDescribeResponse ShareGroupHeartbeatRequest
    ShareGroupHeartbeatResponse SyncGroupRequest SyncGroupResponse TxnOffsetCommitRequest
    TxnOffsetCommitResponse UnregisterBrokerRequest UnregisterBrokerResponse UpdateFeaturesRequest
    UpdateFeaturesResponse WriteTxnMarkersRequest WriteTxnMarkersResponse
}
