//! Who may do what, by role and API: what a key's grants do not say is refused, and what they say is not.

use crate::client::{Client, batch};
use crate::records::{fetch_request, produce_request};
use crate::server::Server;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest,
    DeleteRecordsRequest, DeleteTopicsRequest, DescribeAclsRequest, DescribeClientQuotasRequest,
    DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest, DescribeProducersRequest,
    DescribeTopicPartitionsRequest, DescribeUserScramCredentialsRequest, ElectLeadersRequest,
    HeartbeatRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest,
    LeaveGroupRequest, ListConfigResourcesRequest, ListGroupsRequest, ListOffsetsRequest,
    ListPartitionReassignmentsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    SyncGroupRequest, alter_configs_request, create_partitions_request, create_topics_request,
    delete_records_request, delete_topics_request, describe_configs_request, describe_producers_request,
    describe_topic_partitions_request, incremental_alter_configs_request, list_offsets_request,
    offset_commit_request, offset_fetch_request,
};
use millstream_metadata::Grant;
use uuid::Uuid;

const NAME: &str = "t";

/// What a role is refused at each API, in the order of [`ask_all`].
async fn ask_all(client: &mut Client, topic: Uuid) -> Vec<(&'static str, i16)> {
    let mut codes = vec![
        ("Produce", produce(client, topic).await),
        ("Fetch", fetch(client, topic).await),
        ("ListOffsets", list_offsets(client).await),
        ("DeleteRecords", delete_records(client).await),
        ("InitProducerId", init_producer(client).await),
    ];
    codes.extend(ask_groups(client).await);
    codes.extend(ask_cluster(client).await);
    codes.push(("AlterConfigs", replace_configs(client).await));
    codes.push(("DescribeProducers", describe_producers(client).await));
    codes.extend(ask_topics(client).await);
    codes
}

async fn replace_configs(client: &mut Client) -> i16 {
    let request = AlterConfigsRequest {
        resources: vec![alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: NAME.to_owned(),
            configs: Vec::new(),
        }],
        validate_only: true,
    };
    client.newest(&request).await.responses[0].error_code
}

async fn describe_producers(client: &mut Client) -> i16 {
    let request = DescribeProducersRequest {
        topics: vec![describe_producers_request::TopicRequest {
            name: NAME.to_owned(),
            partition_indexes: vec![0],
        }],
    };
    client.newest(&request).await.topics[0].partitions[0].error_code
}

async fn ask_cluster(client: &mut Client) -> Vec<(&'static str, i16)> {
    let pages = DescribeTopicPartitionsRequest {
        topics: vec![describe_topic_partitions_request::TopicRequest {
            name: NAME.to_owned(),
        }],
        ..Default::default()
    };
    let acls = DescribeAclsRequest::default();
    let disks = DescribeLogDirsRequest::default();
    let elect = ElectLeadersRequest::default();
    let moves = ListPartitionReassignmentsRequest::default();
    let quotas = DescribeClientQuotasRequest::default();
    let users = DescribeUserScramCredentialsRequest::default();
    let resources = ListConfigResourcesRequest::default();
    vec![
        (
            "DescribeTopicPartitions",
            client.newest(&pages).await.topics[0].error_code,
        ),
        ("DescribeAcls", client.newest(&acls).await.error_code),
        ("DescribeLogDirs", client.newest(&disks).await.error_code),
        ("ElectLeaders", client.newest(&elect).await.error_code),
        (
            "ListPartitionReassignments",
            client.newest(&moves).await.error_code,
        ),
        ("DescribeClientQuotas", client.newest(&quotas).await.error_code),
        (
            "DescribeUserScramCredentials",
            client.newest(&users).await.error_code,
        ),
        ("ListConfigResources", client.newest(&resources).await.error_code),
    ]
}

async fn produce(client: &mut Client, topic: Uuid) -> i16 {
    let response = client
        .ask(13, &produce_request(NAME, topic, 0, -1, batch(&["x"])))
        .await;
    response.responses[0].partition_responses[0].error_code
}

async fn fetch(client: &mut Client, topic: Uuid) -> i16 {
    let response = client.ask(13, &fetch_request(NAME, topic, 0, 0, 0)).await;
    response.responses[0].partitions[0].error_code
}

async fn list_offsets(client: &mut Client) -> i16 {
    let partition = list_offsets_request::ListOffsetsPartition {
        timestamp: -1,
        current_leader_epoch: -1,
        ..Default::default()
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![list_offsets_request::ListOffsetsTopic {
            name: NAME.to_owned(),
            partitions: vec![partition],
        }],
        ..Default::default()
    };
    client.newest(&request).await.topics[0].partitions[0].error_code
}

async fn delete_records(client: &mut Client) -> i16 {
    let request = DeleteRecordsRequest {
        topics: vec![delete_records_request::DeleteRecordsTopic {
            name: NAME.to_owned(),
            partitions: vec![Default::default()],
        }],
        timeout_ms: 1000,
    };
    client.newest(&request).await.topics[0].partitions[0].error_code
}

async fn init_producer(client: &mut Client) -> i16 {
    let request = InitProducerIdRequest {
        transactional_id: None,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    client.newest(&request).await.error_code
}

async fn ask_groups(client: &mut Client) -> Vec<(&'static str, i16)> {
    let group = || "g".to_owned();
    let join = JoinGroupRequest {
        group_id: group(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        ..Default::default()
    };
    let sync = SyncGroupRequest {
        group_id: group(),
        ..Default::default()
    };
    let beat = HeartbeatRequest {
        group_id: group(),
        ..Default::default()
    };
    let leave = LeaveGroupRequest {
        group_id: group(),
        ..Default::default()
    };
    let describe = DescribeGroupsRequest {
        groups: vec![group()],
        ..Default::default()
    };
    let fetch = OffsetFetchRequest {
        groups: vec![offset_fetch_request::OffsetFetchRequestGroup {
            group_id: group(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let delete = DeleteGroupsRequest {
        groups_names: vec![group()],
    };
    let forget = OffsetDeleteRequest {
        group_id: group(),
        ..Default::default()
    };
    vec![
        (
            "ListGroups",
            client.newest(&ListGroupsRequest::default()).await.error_code,
        ),
        ("JoinGroup", client.newest(&join).await.error_code),
        ("SyncGroup", client.newest(&sync).await.error_code),
        ("Heartbeat", client.newest(&beat).await.error_code),
        ("LeaveGroup", client.newest(&leave).await.error_code),
        ("OffsetCommit", commit(client).await),
        ("OffsetFetch", client.ask(8, &fetch).await.groups[0].error_code),
        (
            "DescribeGroups",
            client.newest(&describe).await.groups[0].error_code,
        ),
        ("OffsetDelete", client.newest(&forget).await.error_code),
        ("DeleteGroups", client.newest(&delete).await.results[0].error_code),
    ]
}

async fn commit(client: &mut Client) -> i16 {
    let request = OffsetCommitRequest {
        group_id: "g".to_owned(),
        generation_id_or_member_epoch: -1,
        topics: vec![offset_commit_request::OffsetCommitRequestTopic {
            name: NAME.to_owned(),
            partitions: vec![Default::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    client.ask(8, &request).await.topics[0].partitions[0].error_code
}

async fn ask_topics(client: &mut Client) -> Vec<(&'static str, i16)> {
    let create = CreateTopicsRequest {
        topics: vec![create_topics_request::CreatableTopic {
            name: "another".to_owned(),
            num_partitions: 1,
            replication_factor: -1,
            ..Default::default()
        }],
        validate_only: true,
        timeout_ms: 1000,
    };
    let grow = CreatePartitionsRequest {
        topics: vec![create_partitions_request::CreatePartitionsTopic {
            name: NAME.to_owned(),
            count: 2,
            assignments: None,
        }],
        validate_only: true,
        timeout_ms: 1000,
    };
    let describe = DescribeConfigsRequest {
        resources: vec![describe_configs_request::DescribeConfigsResource {
            resource_type: 2,
            resource_name: NAME.to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let alter = IncrementalAlterConfigsRequest {
        resources: vec![incremental_alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: NAME.to_owned(),
            ..Default::default()
        }],
        validate_only: true,
    };
    // Last of all, and the administrator is the last to ask.
    let delete = DeleteTopicsRequest {
        topics: vec![delete_topics_request::DeleteTopicState {
            name: Some(NAME.to_owned()),
            ..Default::default()
        }],
        timeout_ms: 1000,
        ..Default::default()
    };
    vec![
        ("CreateTopics", client.newest(&create).await.topics[0].error_code),
        (
            "CreatePartitions",
            client.newest(&grow).await.results[0].error_code,
        ),
        (
            "DescribeConfigs",
            client.newest(&describe).await.results[0].error_code,
        ),
        (
            "IncrementalAlterConfigs",
            client.newest(&alter).await.responses[0].error_code,
        ),
        (
            "DeleteTopics",
            client.newest(&delete).await.responses[0].error_code,
        ),
    ]
}

/// The APIs that only those with one of these grants may use.
const NEEDS: &[(&str, &[Grant])] = &[
    ("Produce", &[Grant::Produce]),
    ("InitProducerId", &[Grant::Produce]),
    ("Fetch", &[Grant::Consume]),
    ("JoinGroup", &[Grant::Consume]),
    ("SyncGroup", &[Grant::Consume]),
    ("Heartbeat", &[Grant::Consume]),
    ("LeaveGroup", &[Grant::Consume]),
    ("OffsetCommit", &[Grant::Consume]),
    ("OffsetFetch", &[Grant::Consume]),
    ("DescribeGroups", &[Grant::Consume]),
    ("ListOffsets", &[Grant::Produce, Grant::Consume]),
    ("ListGroups", &[Grant::Produce, Grant::Consume]),
    ("DescribeConfigs", &[Grant::Produce, Grant::Consume]),
    ("DescribeTopicPartitions", &[Grant::Produce, Grant::Consume]),
    ("DescribeAcls", &[Grant::Produce, Grant::Consume]),
    ("DescribeLogDirs", &[Grant::Produce, Grant::Consume]),
    ("ListPartitionReassignments", &[Grant::Produce, Grant::Consume]),
    ("DescribeClientQuotas", &[Grant::Produce, Grant::Consume]),
    ("DescribeUserScramCredentials", &[Grant::Produce, Grant::Consume]),
    ("ListConfigResources", &[Grant::Produce, Grant::Consume]),
    ("DescribeProducers", &[Grant::Consume]),
    ("ElectLeaders", &[]),
    ("AlterConfigs", &[]),
    ("DeleteRecords", &[]),
    ("OffsetDelete", &[]),
    ("DeleteGroups", &[]),
    ("CreateTopics", &[]),
    ("CreatePartitions", &[]),
    ("IncrementalAlterConfigs", &[]),
    ("DeleteTopics", &[]),
];

#[tokio::test]
async fn every_role_may_what_it_may_at_every_api() {
    let server = Server::start().await;
    let topic = server.client().await.create_topic(NAME, 1).await;
    let roles: [(&str, &[Grant]); 5] = [
        ("producer", &[Grant::Produce]),
        ("consumer", &[Grant::Consume]),
        ("developer", &[Grant::Produce, Grant::Consume]),
        ("sql-reader", &[Grant::SqlRead]),
        ("admin", &[Grant::Admin]),
    ];
    let refusals = [
        ErrorCode::TopicAuthorizationFailed,
        ErrorCode::GroupAuthorizationFailed,
        ErrorCode::ClusterAuthorizationFailed,
    ];
    for (letter, (role, grants)) in (10..).zip(roles) {
        let key = server.catalog.key(1, letter, grants);
        let mut client = server.client_of(&key).await;
        // Who may list no groups sees none.
        let listed = client.newest(&ListGroupsRequest::default()).await.groups;
        assert!(role != "sql-reader" || listed.is_empty(), "{listed:?}");
        for (api, code) in ask_all(&mut client, topic).await {
            let (_, needs) = NEEDS.iter().find(|(name, _)| *name == api).unwrap();
            let may = grants.contains(&Grant::Admin) || grants.iter().any(|grant| needs.contains(grant));
            let refused = refusals.iter().any(|refusal| refusal.number() == code);
            if api == "ListGroups" {
                continue;
            }
            assert_eq!(refused, !may, "{role} at {api}: code {code}");
        }
    }
    server.stop().await;
}
