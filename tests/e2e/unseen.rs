//! The changelog of a tenant's SQL is a topic of that tenant that nobody sees: at every door its administrator is told what
//! is told of a topic that does not exist, and nothing that it tries does it harm.

use crate::harness::{Server, Start, Work, text_of, until};
use crate::hostile::bystander::{batch_of, fetch, produce};
use crate::wire::Wire;
use millstream_kafka_wire::Request;
use millstream_kafka_wire::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeLogDirsRequest, DescribeTopicPartitionsRequest, ListOffsetsRequest, MetadataRequest,
    alter_configs_request, create_partitions_request, delete_records_request,
    describe_topic_partitions_request, list_offsets_request, metadata_request,
};
use millstream_rust::Client;
use millstream_rust::rpc::data::list_offsets_partition::Position;
use millstream_rust::rpc::data::{
    CommitOffsetsRequest, CommittedOffset, DeleteRecordsPartition, FencePartitionRequest,
    FetchOffsetsRequest, FetchPartition, ListOffsetsPartition, Partition, ProducePartition, WatchRequest,
};
use millstream_rust::rpc::data::{
    DeleteRecordsRequest as DeleteRecords, FetchRequest as Fetch, ListOffsetsRequest as ListOffsets,
    ProduceRequest as Produce,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;
use tonic::{Response, Status};

const HIDDEN: &str = "__sql_changelog";
const ABSENT: &str = "__sql_changelox";
const SOON: Duration = Duration::from_secs(60);

/// An answer without the name that was asked for.
fn words(answer: &impl Debug, name: &str) -> String {
    format!("{answer:?}").replace(name, "NAME")
}

/// A gRPC answer without what differs from call to call.
fn told<A: Debug>(answer: Result<Response<A>, Status>, name: &str) -> String {
    match answer {
        Ok(answer) => words(&answer.into_inner(), name),
        Err(status) => words(&(status.code(), status.message()), name),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_changelog_of_sql_is_not_there_at_any_door() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let cli = server.cli();
    let text = "SET 'auto.offset.reset' = 'earliest';
        CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
        CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;
        INSERT INTO s VALUES ('a', 1);";
    cli.ok(&["sql", "-e", text], "");
    counts(&server, 1).await;
    grpc(&server.client()).await;
    control(&server.client()).await;
    let topics = cli.json(&["topic", "list"]);
    assert!(topics.iter().all(|it| it["name"] != json!(HIDDEN)), "{topics:?}");
    sql(&server);
    kafka(&server);
    // Nothing of that reached it: the next start makes the table of it.
    cli.ok(&["sql", "-e", "INSERT INTO s VALUES ('a', 2);"], "");
    counts(&server, 2).await;
    let identity = server.identity();
    server.kill();
    let server = Server::again(&work, Start::service(), &identity);
    counts(&server, 2).await;
}

async fn counts(server: &Server, wanted: i64) {
    let what = format!("the table has {wanted}");
    until(&what, SOON, async || {
        let rows = server.cli().json(&["sql", "-e", "SELECT n FROM t;"]);
        let found: Vec<i64> = rows.iter().filter_map(|row| row["N"].as_i64()).collect();
        (found == [wanted]).then_some(())
    })
    .await;
}

fn partition(topic: &str) -> Partition {
    Partition {
        topic: topic.into(),
        index: 0,
    }
}

/// The data service, method by method.
async fn grpc(client: &Client) {
    let mut answers = Vec::new();
    for name in [HIDDEN, ABSENT] {
        answers.push(ask_grpc(client, name).await);
    }
    let unknown: Vec<bool> = answers[0].iter().map(|it| it.contains("there is no")).collect();
    assert_eq!(answers[0], answers[1]);
    // All but the last, which is for the service alone.
    assert_eq!(
        unknown,
        [vec![true; 7], vec![false]].concat(),
        "{:#?}",
        answers[0]
    );
}

async fn ask_grpc(client: &Client, name: &str) -> Vec<String> {
    let mut data = client.data();
    let at = || Some(partition(name));
    let produced = Produce {
        partitions: vec![ProducePartition {
            partition: at(),
            batch: batch_of(10),
            owner_epoch: 1,
        }],
        ..Produce::default()
    };
    let fetched = Fetch {
        partitions: vec![FetchPartition {
            partition: at(),
            ..FetchPartition::default()
        }],
        ..Fetch::default()
    };
    let listed = ListOffsets {
        partitions: vec![ListOffsetsPartition {
            partition: at(),
            position: Some(Position::Latest(true)),
        }],
        ..ListOffsets::default()
    };
    let deleted = DeleteRecords {
        partitions: vec![DeleteRecordsPartition {
            partition: at(),
            before_offset: -1,
        }],
    };
    let committed = CommitOffsetsRequest {
        group: "g".into(),
        offsets: vec![CommittedOffset {
            partition: at(),
            offset: 1,
            ..CommittedOffset::default()
        }],
    };
    let kept = FetchOffsetsRequest {
        group: "g".into(),
        partitions: vec![partition(name)],
    };
    let watched = WatchRequest {
        partitions: vec![partition(name)],
    };
    let watched = match data.watch(watched).await {
        Ok(stream) => words(&stream.into_inner().message().await.unwrap(), name),
        Err(status) => panic!("{status}"),
    };
    vec![
        told(data.produce(produced).await, name),
        told(data.fetch(fetched).await, name),
        told(data.list_offsets(listed).await, name),
        told(data.delete_records(deleted).await, name),
        told(data.commit_offsets(committed).await, name),
        told(data.fetch_offsets(kept).await, name),
        watched,
        told(
            data.fence_partition(FencePartitionRequest { partition: at() })
                .await,
            name,
        ),
    ]
}

/// The control plane's topics.
async fn control(client: &Client) {
    let mut answers = Vec::new();
    for name in [HIDDEN, ABSENT] {
        let admin = client.admin();
        let set = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
        answers.push([
            words(&admin.get_topic(name).await.unwrap_err().to_string(), name),
            words(
                &admin
                    .alter_topic(name, set, Vec::new())
                    .await
                    .unwrap_err()
                    .to_string(),
                name,
            ),
            words(&admin.delete_topic(name).await.unwrap_err().to_string(), name),
        ]);
    }
    assert_eq!(answers[0], answers[1]);
}

fn sql(server: &Server) {
    let cli = server.cli();
    let shown = cli.ok(&["sql", "-e", "SHOW ALL TOPICS;"], "");
    assert!(!shown.contains("__sql"), "{shown}");
    let statements = [
        "PRINT 'NAME' FROM BEGINNING LIMIT 1;",
        "CREATE STREAM x (v STRING) WITH (KAFKA_TOPIC = 'NAME', VALUE_FORMAT = 'JSON');",
        "CREATE TABLE y (k STRING PRIMARY KEY, v STRING) WITH (KAFKA_TOPIC = 'NAME', VALUE_FORMAT = 'JSON');",
    ];
    for statement in statements {
        let of = |name: &str| {
            let output = cli.run(&["sql", "-e", &statement.replace("NAME", name)], "");
            assert!(!output.status.success(), "{statement}: {output:?}");
            text_of(&output.stderr).replace(name, "NAME")
        };
        assert_eq!(of(HIDDEN), of(ABSENT), "{statement}");
    }
    // Nor is it taken for a sink, whoever made it.
    let sink = format!("CREATE STREAM z WITH (KAFKA_TOPIC = '{HIDDEN}') AS SELECT * FROM s;");
    let told = cli.refused(&["sql", "-e", &sink]);
    assert!(!told.is_empty());
}

/// Both names are answered with the same words in this version.
fn same<R: Request>(wire: &mut Wire, version: i16, of: impl Fn(&str) -> R) {
    let [hidden, absent] = [HIDDEN, ABSENT].map(|name| words(&wire.call(version, &of(name)), name));
    assert_eq!(hidden, absent, "{} v{version}", R::KEY);
}

/// The Kafka door over the real catalog; `data-plane/kafka/tests/door/unseen.rs` asks in every version, and by id.
fn kafka(server: &Server) {
    let mut wire = Wire::authenticated(&server.doors.kafka, &server.key);
    same(&mut wire, 9, |name| produce(name, batch_of(10)));
    same(&mut wire, 12, |name| fetch(name, 0));
    same(&mut wire, 7, |name| ListOffsetsRequest {
        replica_id: -1,
        topics: vec![list_offsets_request::ListOffsetsTopic {
            name: name.to_owned(),
            partitions: vec![list_offsets_request::ListOffsetsPartition {
                timestamp: -1,
                current_leader_epoch: -1,
                ..Default::default()
            }],
        }],
        ..Default::default()
    });
    same(&mut wire, 2, |name| DeleteRecordsRequest {
        topics: vec![delete_records_request::DeleteRecordsTopic {
            name: name.to_owned(),
            partitions: vec![delete_records_request::DeleteRecordsPartition {
                partition_index: 0,
                offset: -1,
            }],
        }],
        timeout_ms: 1000,
    });
    same(&mut wire, 2, |name| AlterConfigsRequest {
        resources: vec![alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: name.to_owned(),
            configs: vec![alter_configs_request::AlterableConfig {
                name: "retention.ms".to_owned(),
                value: Some("1000".to_owned()),
            }],
        }],
        validate_only: false,
    });
    same(&mut wire, 3, |name| CreatePartitionsRequest {
        topics: vec![create_partitions_request::CreatePartitionsTopic {
            name: name.to_owned(),
            count: 5,
            assignments: None,
        }],
        validate_only: false,
        timeout_ms: 1000,
    });
    same(&mut wire, 0, |name| DescribeTopicPartitionsRequest {
        topics: vec![describe_topic_partitions_request::TopicRequest {
            name: name.to_owned(),
        }],
        response_partition_limit: 10,
        ..Default::default()
    });
    same(&mut wire, 12, |name| MetadataRequest {
        topics: Some(vec![metadata_request::MetadataRequestTopic {
            name: Some(name.to_owned()),
            ..Default::default()
        }]),
        allow_auto_topic_creation: false,
        ..Default::default()
    });
    same(&mut wire, 5, |name| DeleteTopicsRequest {
        topic_names: vec![name.to_owned()],
        timeout_ms: 1000,
        ..Default::default()
    });
    let all = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let lists = [
        format!("{:?}", wire.call(12, &all)),
        format!("{:?}", wire.call(4, &DescribeLogDirsRequest { topics: None })),
    ];
    for list in lists {
        assert!(list.contains("\"s\"") && !list.contains("__sql"), "{list}");
    }
    // A client whose topics are made when they are asked for does not get this one either.
    let makes = MetadataRequest {
        topics: Some(vec![metadata_request::MetadataRequestTopic {
            name: Some(HIDDEN.to_owned()),
            ..Default::default()
        }]),
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    let answer = wire.call(12, &makes);
    let refused = answer.topics[0].error_code != 0 && answer.topics[0].partitions.is_empty();
    assert!(refused, "{answer:?}");
}
