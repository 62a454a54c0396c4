//! What each role may do at the gRPC door, method by method: as at the Kafka door (`data-plane/kafka/tests/door/roles.rs`).

use crate::harness::{Key, Server, Start, Work};
use crate::hostile::bystander::batch_of;
use crate::tenants::tenant;
use millstream_rust::Client;
use millstream_rust::rpc::control::Role;
use millstream_rust::rpc::data::list_offsets_partition::Position;
use millstream_rust::rpc::data::{
    CommitOffsetsRequest, CommittedOffset, DeleteGroupRequest, DeleteRecordsPartition, DeleteRecordsRequest,
    DescribeGroupRequest, Error, FetchOffsetsRequest, FetchPartition, FetchRequest, InitProducerRequest,
    ListGroupsRequest, ListOffsetsPartition, ListOffsetsRequest, Partition, ProducePartition, ProduceRequest,
    WatchRequest,
};
use std::collections::BTreeMap;
use tonic::{Code, Response, Status};

const TOPIC: &str = "t";

fn partition() -> Option<Partition> {
    Some(Partition {
        topic: TOPIC.into(),
        index: 0,
    })
}

/// Whether an answer refuses: as a whole, or for the partition.
fn refused<A>(answer: Result<Response<A>, Status>, of: impl FnOnce(A) -> Option<Error>) -> bool {
    match answer {
        Ok(answer) => of(answer.into_inner()).is_some_and(|error| error.code == "TOPIC_AUTHORIZATION_FAILED"),
        Err(status) => status.code() == Code::PermissionDenied,
    }
}

/// Each method, and whether the caller is refused.
async fn ask_all(client: &Client) -> Vec<(&'static str, bool)> {
    let mut answers = ask_partitions(client).await;
    let mut data = client.data();
    let group = || "g".to_owned();
    let offset = CommittedOffset {
        partition: partition(),
        ..CommittedOffset::default()
    };
    let commit = CommitOffsetsRequest {
        group: group(),
        offsets: vec![offset],
    };
    let offsets = FetchOffsetsRequest {
        group: group(),
        ..FetchOffsetsRequest::default()
    };
    let init = data.init_producer(InitProducerRequest::default()).await;
    answers.push(("InitProducer", refused(init, |_| None)));
    answers.push((
        "CommitOffsets",
        refused(data.commit_offsets(commit).await, |_| None),
    ));
    answers.push((
        "FetchOffsets",
        refused(data.fetch_offsets(offsets).await, |_| None),
    ));
    let listed = data.list_groups(ListGroupsRequest {}).await;
    answers.push(("ListGroups", refused(listed, |_| None)));
    let described = data.describe_group(DescribeGroupRequest { group: group() }).await;
    answers.push(("DescribeGroup", refused(described, |_| None)));
    let deleted = data.delete_group(DeleteGroupRequest { group: group() }).await;
    answers.push(("DeleteGroup", refused(deleted, |_| None)));
    answers
}

async fn ask_partitions(client: &Client) -> Vec<(&'static str, bool)> {
    let mut data = client.data();
    let produce = ProduceRequest {
        partitions: vec![ProducePartition {
            owner_epoch: 0,
            partition: partition(),
            batch: batch_of(10),
        }],
        ..ProduceRequest::default()
    };
    let fetch = FetchRequest {
        partitions: vec![FetchPartition {
            partition: partition(),
            ..FetchPartition::default()
        }],
        ..FetchRequest::default()
    };
    let list = ListOffsetsRequest {
        partitions: vec![ListOffsetsPartition {
            partition: partition(),
            position: Some(Position::Latest(true)),
        }],
        ..ListOffsetsRequest::default()
    };
    let delete = DeleteRecordsRequest {
        partitions: vec![DeleteRecordsPartition {
            partition: partition(),
            before_offset: 0,
        }],
    };
    let watch = WatchRequest {
        partitions: vec![partition().unwrap()],
    };
    vec![
        (
            "Produce",
            refused(data.produce(produce).await, |it| it.results[0].error.clone()),
        ),
        (
            "Fetch",
            refused(data.fetch(fetch).await, |it| it.results[0].error.clone()),
        ),
        (
            "ListOffsets",
            refused(data.list_offsets(list).await, |it| it.results[0].error.clone()),
        ),
        (
            "DeleteRecords",
            refused(data.delete_records(delete).await, |it| {
                it.results[0].error.clone()
            }),
        ),
        ("Watch", refused(data.watch(watch).await, |_| None)),
    ]
}

/// The roles beside the administrator's that may use a method.
const MAY: &[(&str, &[Role])] = &[
    ("Produce", &[Role::Producer, Role::Developer]),
    ("InitProducer", &[Role::Producer, Role::Developer]),
    ("Fetch", &[Role::Consumer, Role::Developer]),
    ("CommitOffsets", &[Role::Consumer, Role::Developer]),
    ("FetchOffsets", &[Role::Consumer, Role::Developer]),
    ("DescribeGroup", &[Role::Consumer, Role::Developer]),
    ("Watch", &[Role::Producer, Role::Consumer, Role::Developer]),
    ("ListOffsets", &[Role::Producer, Role::Consumer, Role::Developer]),
    ("ListGroups", &[Role::Producer, Role::Consumer, Role::Developer]),
    ("DeleteRecords", &[]),
    ("DeleteGroup", &[]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_role_may_what_it_may_at_every_method() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let (_, admin) = tenant(&server.client(), "one").await;
    let admin = server.client_as(&admin);
    admin
        .admin()
        .create_topic(TOPIC, 1, BTreeMap::new())
        .await
        .unwrap();
    let roles = [
        Role::Producer,
        Role::Consumer,
        Role::Developer,
        Role::SqlReader,
        Role::Admin,
    ];
    for role in roles {
        let made = admin.admin().create_key("", "role", role).await.unwrap();
        let key = Key {
            id: made.key.unwrap().id,
            secret: made.secret,
        };
        for (method, refused) in ask_all(&server.client_as(&key)).await {
            let (_, roles) = MAY.iter().find(|(name, _)| *name == method).unwrap();
            let may = role == Role::Admin || roles.contains(&role);
            assert_eq!(refused, !may, "{role:?} at {method}");
        }
    }
}
