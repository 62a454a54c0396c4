//! A tenant's topic that is the service's own (the changelog of its SQL) is not there for its clients, whatever they ask:
//! by name and by id, in every version, an administrator gets what a topic gets that does not exist.

use crate::client::{Client, batch, versions};
use crate::records::{fetch_request, produce_request};
use crate::server::Server;
use millstream_kafka_wire::messages::*;
use millstream_kafka_wire::{ErrorCode, Request};
use uuid::Uuid;

const HIDDEN: &str = "__sql_changelog";
const ABSENT: &str = "__sql_changelox";

/// A topic, as requests name it.
#[derive(Clone, Copy)]
struct Named {
    name: &'static str,
    id: Uuid,
}

struct Asking {
    client: Client,
    hidden: Named,
    absent: Named,
}

impl Asking {
    /// In every version both are answered with the same words.
    async fn ask<R: Request>(&mut self, of: impl Fn(Named) -> R) {
        for version in versions(R::KEY) {
            let mut told = Vec::new();
            for named in [self.hidden, self.absent] {
                let answer = format!("{:?}", self.client.ask(version, &of(named)).await);
                let answer = answer.replace(named.name, "NAME");
                told.push(answer.replace(&named.id.to_string(), "ID"));
            }
            assert_eq!(told[0], told[1], "{} v{version}", R::KEY);
        }
    }

    /// Who asks for everything is told of the other topic, and not of this one.
    async fn ask_all<R: Request>(&mut self, from: i16, request: R) {
        for version in from..=*R::KEY.versions().end() {
            let answer = format!("{:?}", self.client.ask(version, &request).await);
            let tells = |text: &str| answer.contains(text);
            let id = self.hidden.id.to_string();
            assert!(!tells(HIDDEN) && !tells(&id), "{} v{version}: {answer}", R::KEY);
        }
    }
}

fn one<T>(value: T) -> Vec<T> {
    vec![value]
}

#[tokio::test]
async fn what_the_service_keeps_in_a_tenant_is_not_there_for_its_administrator() {
    let server = Server::start().await;
    let hidden = Named {
        name: HIDDEN,
        id: server.catalog.put_internal(1, HIDDEN, 1).0,
    };
    let absent = Named {
        name: ABSENT,
        id: Uuid::from_bytes([9; 16]),
    };
    let mut client = server.client().await;
    client.create_topic("seen", 1).await;
    let mut asking = Asking {
        client,
        hidden,
        absent,
    };
    records(&mut asking).await;
    offsets(&mut asking).await;
    descriptions(&mut asking).await;
    lists(&mut asking).await;
    changes(&mut asking).await;
    let name = HIDDEN.parse().unwrap();
    let image = server.catalog.image();
    let row = image.topic(server.admin.tenant, &name).unwrap();
    assert_eq!((row.partitions.len(), row.config.len()), (1, 0));
    assert_eq!(row.state, millstream_metadata::TopicState::Active);
    server.stop().await;
}

async fn records(asking: &mut Asking) {
    for acks in [1, -1] {
        let produce = |it: Named| produce_request(it.name, it.id, 0, acks, batch(&["x"]));
        asking.ask(produce).await;
    }
    asking
        .ask(|it: Named| fetch_request(it.name, it.id, 0, 0, 0))
        .await;
    for timestamp in [-2, -1, 0] {
        let partition = list_offsets_request::ListOffsetsPartition {
            timestamp,
            current_leader_epoch: -1,
            max_num_offsets: 1,
            ..Default::default()
        };
        let list = |it: Named| ListOffsetsRequest {
            replica_id: -1,
            topics: one(list_offsets_request::ListOffsetsTopic {
                name: it.name.to_owned(),
                partitions: one(partition.clone()),
            }),
            ..Default::default()
        };
        asking.ask(list).await;
    }
    let epoch = |it: Named| OffsetForLeaderEpochRequest {
        topics: one(offset_for_leader_epoch_request::OffsetForLeaderTopic {
            topic: it.name.to_owned(),
            partitions: one(offset_for_leader_epoch_request::OffsetForLeaderPartition {
                current_leader_epoch: -1,
                leader_epoch: 1,
                ..Default::default()
            }),
        }),
        ..Default::default()
    };
    asking.ask(epoch).await;
    let delete = |it: Named| DeleteRecordsRequest {
        topics: one(delete_records_request::DeleteRecordsTopic {
            name: it.name.to_owned(),
            partitions: one(Default::default()),
        }),
        timeout_ms: 1000,
    };
    asking.ask(delete).await;
}

async fn offsets(asking: &mut Asking) {
    let commit = |it: Named| OffsetCommitRequest {
        group_id: "g".to_owned(),
        generation_id_or_member_epoch: -1,
        topics: one(offset_commit_request::OffsetCommitRequestTopic {
            name: it.name.to_owned(),
            topic_id: it.id,
            partitions: one(Default::default()),
        }),
        ..Default::default()
    };
    asking.ask(commit).await;
    let fetch = |it: Named| OffsetFetchRequest {
        group_id: "g".to_owned(),
        topics: Some(one(offset_fetch_request::OffsetFetchRequestTopic {
            name: it.name.to_owned(),
            partition_indexes: one(0),
        })),
        groups: one(offset_fetch_request::OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            topics: Some(one(offset_fetch_request::OffsetFetchRequestTopics {
                name: it.name.to_owned(),
                topic_id: it.id,
                partition_indexes: one(0),
            })),
            ..Default::default()
        }),
        ..Default::default()
    };
    asking.ask(fetch).await;
    let forget = |it: Named| OffsetDeleteRequest {
        group_id: "g".to_owned(),
        topics: one(offset_delete_request::OffsetDeleteRequestTopic {
            name: it.name.to_owned(),
            partitions: one(Default::default()),
        }),
    };
    asking.ask(forget).await;
}

async fn descriptions(asking: &mut Asking) {
    let metadata = |it: Named| MetadataRequest {
        topics: Some(one(metadata_request::MetadataRequestTopic {
            name: Some(it.name.to_owned()),
            ..Default::default()
        })),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    for version in *MetadataRequest::KEY.versions().start()..4 {
        // Whoever asks so has it made: of this name there is one, and still nothing is told of it.
        let answer = asking.client.ask(version, &metadata(asking.hidden)).await;
        assert!(answer.topics[0].error_code != 0 && answer.topics[0].partitions.is_empty());
    }
    for version in 4..=*MetadataRequest::KEY.versions().end() {
        let told = asking.client.ask(version, &metadata(asking.hidden)).await.topics;
        let unknown = ErrorCode::UnknownTopicOrPartition.number();
        assert_eq!((told[0].error_code, told[0].partitions.len()), (unknown, 0));
        assert!(told[0].topic_id.is_nil(), "{told:?}");
    }
    let by_id = MetadataRequest {
        topics: Some(one(metadata_request::MetadataRequestTopic {
            topic_id: asking.hidden.id,
            ..Default::default()
        })),
        ..Default::default()
    };
    for version in 12..=*MetadataRequest::KEY.versions().end() {
        let told = asking.client.ask(version, &by_id).await.topics;
        assert_eq!(told[0].error_code, ErrorCode::UnknownTopicId.number());
        assert_eq!(told[0].name, None);
    }
    let pages = |it: Named| DescribeTopicPartitionsRequest {
        topics: one(describe_topic_partitions_request::TopicRequest {
            name: it.name.to_owned(),
        }),
        response_partition_limit: 10,
        ..Default::default()
    };
    asking.ask(pages).await;
    let configs = |it: Named| DescribeConfigsRequest {
        resources: one(describe_configs_request::DescribeConfigsResource {
            resource_type: 2,
            resource_name: it.name.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    asking.ask(configs).await;
    let disks = |it: Named| DescribeLogDirsRequest {
        topics: Some(one(describe_log_dirs_request::DescribableLogDirTopic {
            topic: it.name.to_owned(),
            partitions: one(0),
        })),
    };
    asking.ask(disks).await;
    let producers = |it: Named| DescribeProducersRequest {
        topics: one(describe_producers_request::TopicRequest {
            name: it.name.to_owned(),
            partition_indexes: one(0),
        }),
    };
    asking.ask(producers).await;
    let moves = |it: Named| ListPartitionReassignmentsRequest {
        topics: Some(one(
            list_partition_reassignments_request::ListPartitionReassignmentsTopics {
                name: it.name.to_owned(),
                partition_indexes: one(0),
            },
        )),
        ..Default::default()
    };
    asking.ask(moves).await;
    let elect = |it: Named| ElectLeadersRequest {
        topic_partitions: Some(one(elect_leaders_request::TopicPartitions {
            topic: it.name.to_owned(),
            partitions: one(0),
        })),
        ..Default::default()
    };
    asking.ask(elect).await;
}

async fn lists(asking: &mut Asking) {
    asking
        .ask_all(
            1,
            MetadataRequest {
                topics: None,
                ..Default::default()
            },
        )
        .await;
    asking.ask_all(0, MetadataRequest::default()).await;
    asking
        .ask_all(
            0,
            DescribeTopicPartitionsRequest {
                response_partition_limit: 100,
                ..Default::default()
            },
        )
        .await;
    asking.ask_all(1, DescribeLogDirsRequest { topics: None }).await;
    asking.ask_all(0, ListConfigResourcesRequest::default()).await;
    asking
        .ask_all(
            0,
            ElectLeadersRequest {
                topic_partitions: None,
                ..Default::default()
            },
        )
        .await;
    asking
        .ask_all(0, ListPartitionReassignmentsRequest::default())
        .await;
    let everything = OffsetFetchRequest {
        group_id: "g".to_owned(),
        topics: None,
        groups: one(offset_fetch_request::OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            topics: None,
            ..Default::default()
        }),
        ..Default::default()
    };
    for version in 2..=*OffsetFetchRequest::KEY.versions().end() {
        let answer = format!("{:?}", asking.client.ask(version, &everything).await);
        assert!(!answer.contains(HIDDEN), "{answer}");
    }
}

async fn changes(asking: &mut Asking) {
    let grow = |it: Named| CreatePartitionsRequest {
        topics: one(create_partitions_request::CreatePartitionsTopic {
            name: it.name.to_owned(),
            count: 2,
            assignments: None,
        }),
        validate_only: false,
        timeout_ms: 1000,
    };
    asking.ask(grow).await;
    let replace = |it: Named| AlterConfigsRequest {
        resources: one(alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: it.name.to_owned(),
            configs: one(alter_configs_request::AlterableConfig {
                name: "retention.ms".to_owned(),
                value: Some("1000".to_owned()),
            }),
        }),
        validate_only: false,
    };
    asking.ask(replace).await;
    let alter = |it: Named| IncrementalAlterConfigsRequest {
        resources: one(incremental_alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: it.name.to_owned(),
            configs: one(incremental_alter_configs_request::AlterableConfig {
                name: "retention.ms".to_owned(),
                config_operation: 0,
                value: Some("1000".to_owned()),
            }),
        }),
        validate_only: false,
    };
    asking.ask(alter).await;
    let delete = |it: Named| DeleteTopicsRequest {
        topics: one(delete_topics_request::DeleteTopicState {
            name: Some(it.name.to_owned()),
            ..Default::default()
        }),
        topic_names: one(it.name.to_owned()),
        timeout_ms: 1000,
    };
    asking.ask(delete).await;
    let by_id = |it: Named| DeleteTopicsRequest {
        topics: one(delete_topics_request::DeleteTopicState {
            topic_id: it.id,
            ..Default::default()
        }),
        timeout_ms: 1000,
        ..Default::default()
    };
    asking.ask(by_id).await;
}
