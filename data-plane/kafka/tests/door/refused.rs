//! What Kafka has and is not served: answered in each request's own shape, on a connection that goes on.

use crate::client::Client;
use crate::server::Server;
use millstream_kafka_wire::messages::*;
use millstream_kafka_wire::{ApiKey, ErrorCode, Request};
use std::collections::BTreeSet;

/// Asks in every version; each answer must bear the code, and words wherever there is room.
async fn ask<R: Request>(client: &mut Client, asked: &mut BTreeSet<ApiKey>, request: R) {
    for version in R::KEY.versions() {
        let text = format!("{:?}", client.ask(version, &request).await);
        let code = format!("error_code: {}", ErrorCode::UnsupportedVersion.number());
        assert!(text.contains(&code), "{} v{version}: {text}", R::KEY);
        let mute = text.contains("error_message: None") || text.contains("error_message: Some(\"\")");
        assert!(
            !mute || !has_words(R::KEY, version),
            "{} v{version}: {text}",
            R::KEY
        );
    }
    asked.insert(R::KEY);
}

/// DescribeQuorum has room for words in its newest version only.
fn has_words(key: ApiKey, version: i16) -> bool {
    key != ApiKey::DescribeQuorum || version >= 2
}

/// A request whose lists have one element each, so that its answer has a place for the code.
fn one<T: Default>() -> Vec<T> {
    vec![T::default()]
}

#[tokio::test]
async fn a_known_request_that_is_not_served_is_answered_in_its_own_shape() {
    let server = Server::start().await;
    let client = &mut server.client().await;
    let asked = &mut BTreeSet::new();
    transactions(client, asked).await;
    security(client, asked).await;
    cluster(client, asked).await;
    groups(client, asked).await;
    share(client, asked).await;

    let advertised = client.newest(&versions_request()).await;
    let advertised: BTreeSet<i16> = advertised.api_keys.iter().map(|api| api.api_key).collect();
    // What is advertised and always refused is not served; README says how many are.
    let beat = client.newest(&ConsumerGroupHeartbeatRequest::default()).await;
    assert_eq!(beat.error_code, ErrorCode::UnsupportedVersion.number());
    let served = advertised.len() - 1;
    let readme = include_str!("../../../../README.md");
    let theirs = include_str!("../../../../tests/e2e/oracle/recorded/api_versions.txt");
    let said = format!("is answered: {served} of {} are served", theirs.lines().count());
    assert!(readme.contains(&said), "README does not say that {said}");
    for key in ApiKey::all() {
        let served = advertised.contains(&key.number());
        assert!(
            served != asked.contains(&key),
            "{key} is neither served nor refused, or both"
        );
    }
    server.stop().await;
}

fn versions_request() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1".to_owned(),
    }
}

async fn transactions(client: &mut Client, asked: &mut BTreeSet<ApiKey>) {
    let topics = vec![add_partitions_to_txn_request::AddPartitionsToTxnTopic {
        name: "t".to_owned(),
        partitions: vec![3],
    }];
    let request = AddPartitionsToTxnRequest {
        v3_and_below_topics: topics,
        ..Default::default()
    };
    ask(client, asked, request).await;
    ask(client, asked, AddOffsetsToTxnRequest::default()).await;
    ask(client, asked, EndTxnRequest::default()).await;
    let topics = vec![write_txn_markers_request::WritableTxnMarkerTopic {
        name: "t".to_owned(),
        partition_indexes: vec![3],
    }];
    let markers = vec![write_txn_markers_request::WritableTxnMarker {
        topics,
        ..Default::default()
    }];
    ask(client, asked, WriteTxnMarkersRequest { markers }).await;
    let topics = vec![txn_offset_commit_request::TxnOffsetCommitRequestTopic {
        name: "t".to_owned(),
        partitions: one(),
    }];
    let request = TxnOffsetCommitRequest {
        topics,
        ..Default::default()
    };
    ask(client, asked, request).await;
}

async fn security(client: &mut Client, asked: &mut BTreeSet<ApiKey>) {
    ask(client, asked, CreateAclsRequest { creations: one() }).await;
    ask(client, asked, DeleteAclsRequest { filters: one() }).await;
    ask(client, asked, CreateDelegationTokenRequest::default()).await;
    ask(client, asked, RenewDelegationTokenRequest::default()).await;
    ask(client, asked, ExpireDelegationTokenRequest::default()).await;
    ask(client, asked, DescribeDelegationTokenRequest::default()).await;
    let request = AlterClientQuotasRequest {
        entries: one(),
        ..Default::default()
    };
    ask(client, asked, request).await;
    let request = AlterUserScramCredentialsRequest {
        deletions: one(),
        upsertions: one(),
    };
    ask(client, asked, request).await;
}

async fn cluster(client: &mut Client, asked: &mut BTreeSet<ApiKey>) {
    let topics = vec![alter_replica_log_dirs_request::AlterReplicaLogDirTopic {
        name: "t".to_owned(),
        partitions: vec![3],
    }];
    let dirs = vec![alter_replica_log_dirs_request::AlterReplicaLogDir {
        path: "/".to_owned(),
        topics,
    }];
    ask(client, asked, AlterReplicaLogDirsRequest { dirs }).await;
    ask(client, asked, AlterPartitionReassignmentsRequest::default()).await;
    ask(client, asked, DescribeQuorumRequest::default()).await;
    ask(client, asked, UpdateFeaturesRequest::default()).await;
    ask(client, asked, UnregisterBrokerRequest::default()).await;
    ask(client, asked, GetTelemetrySubscriptionsRequest::default()).await;
    ask(client, asked, PushTelemetryRequest::default()).await;
    ask(client, asked, AddRaftVoterRequest::default()).await;
    ask(client, asked, RemoveRaftVoterRequest::default()).await;
}

async fn groups(client: &mut Client, asked: &mut BTreeSet<ApiKey>) {
    let group_ids = vec!["g".to_owned()];
    let request = ConsumerGroupDescribeRequest {
        group_ids: group_ids.clone(),
        ..Default::default()
    };
    ask(client, asked, request).await;
    ask(client, asked, StreamsGroupHeartbeatRequest::default()).await;
    let request = StreamsGroupDescribeRequest {
        group_ids,
        ..Default::default()
    };
    ask(client, asked, request).await;
}

async fn share(client: &mut Client, asked: &mut BTreeSet<ApiKey>) {
    ask(client, asked, ShareGroupHeartbeatRequest::default()).await;
    ask(client, asked, ShareFetchRequest::default()).await;
    ask(client, asked, ShareAcknowledgeRequest::default()).await;
    let request = ShareGroupDescribeRequest {
        group_ids: vec!["g".to_owned()],
        ..Default::default()
    };
    ask(client, asked, request).await;
    ask(client, asked, DescribeShareGroupOffsetsRequest { groups: one() }).await;
    ask(client, asked, AlterShareGroupOffsetsRequest::default()).await;
    ask(client, asked, DeleteShareGroupOffsetsRequest::default()).await;
    macro_rules! state {
        ($($request:ident $module:ident $data:ident)*) => {
            $(
                let topics = vec![$module::$data { partitions: one(), ..Default::default() }];
                ask(client, asked, $request { group_id: "g".to_owned(), topics }).await;
            )*
        };
    }
    state! {
        InitializeShareGroupStateRequest initialize_share_group_state_request InitializeStateData
        ReadShareGroupStateRequest read_share_group_state_request ReadStateData
        WriteShareGroupStateRequest write_share_group_state_request WriteStateData
        DeleteShareGroupStateRequest delete_share_group_state_request DeleteStateData
        ReadShareGroupStateSummaryRequest read_share_group_state_summary_request ReadStateSummaryData
    }
}

/// The answer names what was asked for, so that a client finds its own entry.
#[tokio::test]
async fn a_refusal_names_what_was_asked_for() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let upsertion = |name: &str| alter_user_scram_credentials_request::ScramCredentialUpsertion {
        name: name.to_owned(),
        ..Default::default()
    };
    let request = AlterUserScramCredentialsRequest {
        deletions: vec![alter_user_scram_credentials_request::ScramCredentialDeletion {
            name: "bob".to_owned(),
            mechanism: 1,
        }],
        upsertions: vec![upsertion("bob"), upsertion("alice")],
    };
    let answer = client.newest(&request).await;
    let users: Vec<&str> = answer.results.iter().map(|result| result.user.as_str()).collect();
    assert_eq!(users, ["alice", "bob"]);
    let text = answer.results[0].error_message.as_deref().unwrap_or_default();
    assert!(text.contains("millstream key create"), "{text}");

    let entity = |name: &str| alter_client_quotas_request::EntityData {
        entity_type: "user".to_owned(),
        entity_name: Some(name.to_owned()),
    };
    let request = AlterClientQuotasRequest {
        entries: vec![alter_client_quotas_request::EntryData {
            entity: vec![entity("alice")],
            ops: Vec::new(),
        }],
        validate_only: false,
    };
    let answer = client.newest(&request).await;
    assert_eq!(answer.entries[0].entity[0].entity_name.as_deref(), Some("alice"));
    server.stop().await;
}

/// The first request of a transactional producer is where it is told; every client gives up on this code.
#[tokio::test]
async fn a_transactional_producer_is_told_by_the_first_request() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let code = ErrorCode::ClusterAuthorizationFailed.number();
    let text = Some("transactions are not served");
    let readme = include_str!("../../../../README.md");
    assert!(readme.contains("*transactions are not served* (as CLUSTER_AUTHORIZATION_FAILED,"));
    for version in ApiKey::FindCoordinator.versions() {
        let request = FindCoordinatorRequest {
            key: "x".to_owned(),
            // Version 0 knows groups only.
            key_type: 1,
            coordinator_keys: vec!["x".to_owned()],
        };
        let answer = client.ask(version, &request).await;
        match version {
            0 => assert_eq!(answer.error_code, 0),
            1..=3 => assert_eq!((answer.error_code, answer.error_message.as_deref()), (code, text)),
            _ => {
                let found = &answer.coordinators[0];
                assert_eq!((found.error_code, found.error_message.as_deref()), (code, text));
                assert_eq!((found.key.as_str(), found.node_id), ("x", -1));
            }
        }
    }
    let request = ProduceRequest {
        transactional_id: Some("x".to_owned()),
        acks: -1,
        topic_data: vec![produce_request::TopicProduceData {
            name: "t".to_owned(),
            partition_data: one(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = client.ask(12, &request).await;
    let partition = &answer.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, ErrorCode::InvalidTxnState.number());
    assert_eq!(partition.error_message.as_deref(), text);
    server.stop().await;
}
