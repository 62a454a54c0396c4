//! Consumer groups over the wire.

use crate::client::{Client, versions};
use crate::server::Server;
use bytes::Bytes;
use millstream_broker::interface::slot_of;
use millstream_kafka_wire::messages::join_group_request::JoinGroupRequestProtocol;
use millstream_kafka_wire::messages::leave_group_request::MemberIdentity;
use millstream_kafka_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_kafka_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use millstream_kafka_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use millstream_kafka_wire::messages::{
    ConsumerGroupHeartbeatRequest, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};
use millstream_kafka_wire::{ApiKey, ErrorCode};
use millstream_metadata::Grant;
use millstream_model::limits::{GROUP_BYTES_MAX, GROUP_MEMBER_BYTES_MAX};
use millstream_model::{SlotKind, TenantId};

pub fn join_request(group: &str, member_id: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol {
        name: "range".to_owned(),
        metadata: Bytes::from_static(b"topics"),
    };
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member_id.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    }
}

/// Joins in the version's own way: from 4 on a member needs an id first.
async fn join(client: &mut Client, version: i16, group: &str) -> JoinGroupResponse {
    let first = client.ask(version, &join_request(group, "")).await;
    if first.error_code != ErrorCode::MemberIdRequired.number() {
        return first;
    }
    assert!(version >= 4);
    client.ask(version, &join_request(group, &first.member_id)).await
}

#[tokio::test]
async fn a_group_of_one_lives_in_every_version() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for version in versions(ApiKey::JoinGroup) {
        let group = format!("group-{version}");
        let joined = join(&mut client, version, &group).await;
        assert_eq!(
            (joined.error_code, joined.generation_id),
            (0, 1),
            "version {version}"
        );
        assert_eq!(
            (&joined.leader, joined.protocol_name.as_deref()),
            (&joined.member_id, Some("range"))
        );
        assert_eq!(joined.members[0].metadata, Bytes::from_static(b"topics"));
        let assignment = SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: Bytes::from_static(b"all of it"),
        };
        let sync = SyncGroupRequest {
            group_id: group.clone(),
            generation_id: 1,
            member_id: joined.member_id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
            assignments: vec![assignment],
            ..SyncGroupRequest::default()
        };
        let synced = client.ask(version.min(5), &sync).await;
        assert_eq!(
            (synced.error_code, synced.assignment),
            (0, Bytes::from_static(b"all of it"))
        );
        let heartbeat = HeartbeatRequest {
            group_id: group.clone(),
            generation_id: 1,
            member_id: joined.member_id.clone(),
            ..HeartbeatRequest::default()
        };
        assert_eq!(client.ask(version.min(4), &heartbeat).await.error_code, 0);
        let wrong = HeartbeatRequest {
            generation_id: 5,
            ..heartbeat.clone()
        };
        assert_eq!(
            client.ask(version.min(4), &wrong).await.error_code,
            ErrorCode::IllegalGeneration.number()
        );
        let described = client
            .newest(&DescribeGroupsRequest {
                groups: vec![group.clone()],
                ..Default::default()
            })
            .await;
        assert_eq!(described.groups[0].group_state, "Stable");
        assert_eq!(described.groups[0].members[0].client_id, "test");
        assert_eq!(described.groups[0].members[0].client_host, "/127.0.0.1");
        let member = MemberIdentity {
            member_id: joined.member_id.clone(),
            ..MemberIdentity::default()
        };
        let leave = LeaveGroupRequest {
            group_id: group.clone(),
            member_id: joined.member_id.clone(),
            members: vec![member],
        };
        let left = client.ask(version.min(5), &leave).await;
        assert_eq!(left.error_code, 0);
        assert!(left.members.iter().all(|member| member.error_code == 0));
        let gone = client.ask(version.min(4), &heartbeat).await;
        assert_eq!(gone.error_code, ErrorCode::UnknownMemberId.number());
    }
    let listed = client.newest(&ListGroupsRequest::default()).await;
    assert_eq!(listed.groups.len(), 10);
    assert!(
        listed
            .groups
            .iter()
            .all(|group| group.group_state == "Empty" && group.group_type == "classic")
    );
    let stable = ListGroupsRequest {
        states_filter: vec!["Stable".to_owned()],
        ..Default::default()
    };
    assert!(client.newest(&stable).await.groups.is_empty());
    let groups = vec!["group-3".to_owned(), "nothing".to_owned()];
    let deleted = client.newest(&DeleteGroupsRequest { groups_names: groups }).await;
    assert_eq!(deleted.results[0].error_code, 0);
    assert_eq!(deleted.results[1].error_code, ErrorCode::GroupIdNotFound.number());
    server.stop().await;
}

#[tokio::test]
async fn offsets_are_committed_and_fetched_in_every_version() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("committed", 2).await;
    for version in versions(ApiKey::OffsetCommit) {
        let partition = |partition_index, committed_offset| OffsetCommitRequestPartition {
            partition_index,
            committed_offset,
            committed_leader_epoch: -1,
            committed_metadata: Some("note".to_owned()),
            ..OffsetCommitRequestPartition::default()
        };
        let offset = 100 + i64::from(version);
        let request = OffsetCommitRequest {
            group_id: "simple".to_owned(),
            generation_id_or_member_epoch: -1,
            retention_time_ms: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: "committed".to_owned(),
                topic_id: topic,
                partitions: vec![partition(1, offset), partition(7, offset)],
            }],
            ..OffsetCommitRequest::default()
        };
        let response = client.ask(version, &request).await;
        let partitions = &response.topics[0].partitions;
        assert_eq!(partitions[0].error_code, 0, "version {version}");
        assert_eq!(
            partitions[1].error_code,
            ErrorCode::UnknownTopicOrPartition.number()
        );
        assert_eq!(
            fetched(&mut client, version, topic).await,
            offset,
            "version {version}"
        );
    }
    // All that the group has.
    let all = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "simple".to_owned(),
            topics: None,
            ..Default::default()
        }],
        ..OffsetFetchRequest::default()
    };
    let response = client.newest(&all).await;
    assert_eq!(response.groups[0].topics.len(), 1);
    assert_eq!(
        response.groups[0].topics[0].partitions[0].metadata.as_deref(),
        Some("note")
    );
    server.stop().await;
}

async fn fetched(client: &mut Client, version: i16, topic: uuid::Uuid) -> i64 {
    let request = OffsetFetchRequest {
        group_id: "simple".to_owned(),
        topics: Some(vec![OffsetFetchRequestTopic {
            name: "committed".to_owned(),
            partition_indexes: vec![0, 1],
        }]),
        groups: vec![OffsetFetchRequestGroup {
            group_id: "simple".to_owned(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: "committed".to_owned(),
                topic_id: topic,
                partition_indexes: vec![0, 1],
            }]),
            member_epoch: -1,
            ..Default::default()
        }],
        ..OffsetFetchRequest::default()
    };
    let response = client.ask(version, &request).await;
    if version >= 8 {
        assert_eq!(response.groups[0].topics[0].partitions[0].committed_offset, -1);
        response.groups[0].topics[0].partitions[1].committed_offset
    } else {
        assert_eq!(response.topics[0].partitions[0].committed_offset, -1);
        response.topics[0].partitions[1].committed_offset
    }
}

#[tokio::test]
async fn the_coordinator_is_found_in_every_version() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for version in versions(ApiKey::FindCoordinator) {
        let request = FindCoordinatorRequest {
            key: "g".to_owned(),
            key_type: 0,
            coordinator_keys: vec!["g".to_owned(), "h".to_owned()],
        };
        let response = client.ask(version, &request).await;
        let port = i32::from(server.address.port());
        if version < 4 {
            assert_eq!((response.error_code, response.port), (0, port));
        } else {
            assert_eq!(response.coordinators.len(), 2);
            assert!(
                response
                    .coordinators
                    .iter()
                    .all(|found| found.port == port && found.error_code == 0)
            );
        }
    }
    server.stop().await;
}

/// Each group by itself: the leader of its slot is not that of another's.
#[tokio::test]
async fn a_coordinator_is_that_of_the_groups_slot() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let slot = |group: &str| slot_of(SlotKind::Groups, TenantId(1), group.as_bytes());
    assert_ne!(slot("g"), slot("h"));
    server.catalog.orphan_slot(slot("h"));
    let absent = ErrorCode::CoordinatorNotAvailable.number();
    let port = i32::from(server.address.port());
    for version in versions(ApiKey::FindCoordinator) {
        let request = |key: &str| FindCoordinatorRequest {
            key: key.to_owned(),
            key_type: 0,
            coordinator_keys: vec!["h".to_owned(), "g".to_owned()],
        };
        if version < 4 {
            let (g, h) = (
                client.ask(version, &request("g")).await,
                client.ask(version, &request("h")).await,
            );
            assert_eq!(
                (g.error_code, g.port, h.error_code, h.port),
                (0, port, absent, -1)
            );
            continue;
        }
        let response = client.ask(version, &request("")).await;
        let found = response.coordinators.iter();
        let found: Vec<_> = found
            .map(|it| (it.key.as_str(), it.error_code, it.port))
            .collect();
        assert_eq!(found, [("h", absent, -1), ("g", 0, port)]);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_new_group_protocol_is_refused_in_words() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for version in versions(ApiKey::ConsumerGroupHeartbeat) {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: "m".to_owned(),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let refused = client.ask(version, &request).await;
        assert_eq!(refused.error_code, ErrorCode::UnsupportedVersion.number());
        let text = refused.error_message.unwrap_or_default();
        assert!(text.contains("group.protocol=classic"), "{text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn groups_belong_to_their_tenant() {
    let server = Server::start().await;
    let other = server.catalog.key(2, 2, &[Grant::Admin]);
    let writer = server.catalog.key(1, 4, &[Grant::Produce]);
    let (mut one, mut two) = (server.client().await, server.client_of(&other).await);
    assert_eq!(join(&mut one, 9, "same").await.error_code, 0);
    assert!(two.newest(&ListGroupsRequest::default()).await.groups.is_empty());
    let described = two
        .newest(&DescribeGroupsRequest {
            groups: vec!["same".to_owned()],
            ..Default::default()
        })
        .await;
    assert_eq!(
        described.groups[0].error_code,
        ErrorCode::GroupIdNotFound.number()
    );
    let mut writer = server.client_of(&writer).await;
    let refused = writer.ask(9, &join_request("same", "")).await;
    assert_eq!(refused.error_code, ErrorCode::GroupAuthorizationFailed.number());
    server.stop().await;
}

/// A group of one is not "full", and no client should try the same again.
#[tokio::test]
async fn what_is_too_large_of_a_member_is_an_invalid_request() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let invalid = ErrorCode::InvalidRequest.number();
    let mut large = join_request("large", "");
    large.protocols[0].metadata = Bytes::from(vec![0; GROUP_MEMBER_BYTES_MAX + 1]);
    assert_eq!(client.newest(&large).await.error_code, invalid);
    let joined = join(&mut client, 9, "large").await;
    let sync = SyncGroupRequest {
        group_id: "large".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: joined.protocol_type,
        protocol_name: joined.protocol_name,
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id,
            assignment: Bytes::from(vec![0; GROUP_BYTES_MAX + 1]),
        }],
        ..SyncGroupRequest::default()
    };
    assert_eq!(client.newest(&sync).await.error_code, invalid);
    server.stop().await;
}
