//! Brokers, disks, replicas and features: what a service decides by itself.

use super::{Refusable, why};
use millstream_kafka_wire::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use millstream_kafka_wire::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse, AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse,
    DescribeQuorumRequest, DescribeQuorumResponse, GetTelemetrySubscriptionsRequest,
    GetTelemetrySubscriptionsResponse, PushTelemetryRequest, PushTelemetryResponse, RemoveRaftVoterRequest,
    RemoveRaftVoterResponse, UnregisterBrokerRequest, UnregisterBrokerResponse, UpdateFeaturesRequest,
    UpdateFeaturesResponse,
};

const NO_QUORUM: &str = "there is no quorum of controllers that clients could see or change";
const NO_TELEMETRY: &str = "metrics of clients are not taken";

impl Refusable for AlterReplicaLogDirsRequest {
    const WHY: &'static str = "there are no log directories that a replica could be moved between";

    fn refused(self, error_code: i16) -> AlterReplicaLogDirsResponse {
        let topics = self.dirs.into_iter().flat_map(|dir| dir.topics);
        let results = topics.map(|topic| AlterReplicaLogDirTopicResult {
            topic_name: topic.name,
            partitions: topic
                .partitions
                .into_iter()
                .map(|partition_index| AlterReplicaLogDirPartitionResult {
                    partition_index,
                    error_code,
                })
                .collect(),
        });
        AlterReplicaLogDirsResponse {
            results: results.collect(),
            ..AlterReplicaLogDirsResponse::default()
        }
    }
}

impl Refusable for AlterPartitionReassignmentsRequest {
    const WHY: &'static str = "replicas are placed by the service: they cannot be reassigned";

    fn refused(self, error_code: i16) -> AlterPartitionReassignmentsResponse {
        AlterPartitionReassignmentsResponse {
            error_code,
            error_message: why::<Self>(),
            ..AlterPartitionReassignmentsResponse::default()
        }
    }
}

impl Refusable for DescribeQuorumRequest {
    const WHY: &'static str = NO_QUORUM;

    fn refused(self, error_code: i16) -> DescribeQuorumResponse {
        DescribeQuorumResponse {
            error_code,
            error_message: why::<Self>(),
            ..DescribeQuorumResponse::default()
        }
    }
}

impl Refusable for AddRaftVoterRequest {
    const WHY: &'static str = NO_QUORUM;

    fn refused(self, error_code: i16) -> AddRaftVoterResponse {
        AddRaftVoterResponse {
            error_code,
            error_message: why::<Self>(),
            ..AddRaftVoterResponse::default()
        }
    }
}

impl Refusable for RemoveRaftVoterRequest {
    const WHY: &'static str = NO_QUORUM;

    fn refused(self, error_code: i16) -> RemoveRaftVoterResponse {
        RemoveRaftVoterResponse {
            error_code,
            error_message: why::<Self>(),
            ..RemoveRaftVoterResponse::default()
        }
    }
}

impl Refusable for UpdateFeaturesRequest {
    const WHY: &'static str = "the service has no features of Kafka's that could be updated";

    fn refused(self, error_code: i16) -> UpdateFeaturesResponse {
        UpdateFeaturesResponse {
            error_code,
            error_message: why::<Self>(),
            ..UpdateFeaturesResponse::default()
        }
    }
}

impl Refusable for UnregisterBrokerRequest {
    const WHY: &'static str = "nodes come and go by themselves: they are not unregistered by clients";

    fn refused(self, error_code: i16) -> UnregisterBrokerResponse {
        UnregisterBrokerResponse {
            error_code,
            error_message: why::<Self>(),
            ..UnregisterBrokerResponse::default()
        }
    }
}

impl Refusable for GetTelemetrySubscriptionsRequest {
    const WHY: &'static str = NO_TELEMETRY;

    fn refused(self, error_code: i16) -> GetTelemetrySubscriptionsResponse {
        GetTelemetrySubscriptionsResponse {
            error_code,
            ..GetTelemetrySubscriptionsResponse::default()
        }
    }
}

impl Refusable for PushTelemetryRequest {
    const WHY: &'static str = NO_TELEMETRY;

    fn refused(self, error_code: i16) -> PushTelemetryResponse {
        PushTelemetryResponse {
            error_code,
            ..PushTelemetryResponse::default()
        }
    }
}
