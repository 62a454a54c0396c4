//! Transactions: a producer learns it from FindCoordinator; these are for who asks without a coordinator.

use super::Refusable;
use crate::api::find_coordinator::NO_TRANSACTIONS;
use millstream_kafka_wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use millstream_kafka_wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use millstream_kafka_wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use millstream_kafka_wire::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use millstream_kafka_wire::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse, WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
};

impl Refusable for AddPartitionsToTxnRequest {
    const WHY: &'static str = NO_TRANSACTIONS;

    fn refused(self, error_code: i16) -> AddPartitionsToTxnResponse {
        let topic = |topic: AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
            name: topic.name,
            results_by_partition: topic
                .partitions
                .into_iter()
                .map(|partition_index| AddPartitionsToTxnPartitionResult {
                    partition_index,
                    partition_error_code: error_code,
                })
                .collect(),
        };
        AddPartitionsToTxnResponse {
            error_code,
            results_by_topic_v3_and_below: self.v3_and_below_topics.into_iter().map(topic).collect(),
            ..AddPartitionsToTxnResponse::default()
        }
    }
}

impl Refusable for AddOffsetsToTxnRequest {
    const WHY: &'static str = NO_TRANSACTIONS;

    fn refused(self, error_code: i16) -> AddOffsetsToTxnResponse {
        AddOffsetsToTxnResponse {
            error_code,
            ..AddOffsetsToTxnResponse::default()
        }
    }
}

impl Refusable for EndTxnRequest {
    const WHY: &'static str = NO_TRANSACTIONS;

    fn refused(self, error_code: i16) -> EndTxnResponse {
        EndTxnResponse {
            error_code,
            ..EndTxnResponse::default()
        }
    }
}

impl Refusable for WriteTxnMarkersRequest {
    const WHY: &'static str = NO_TRANSACTIONS;

    fn refused(self, error_code: i16) -> WriteTxnMarkersResponse {
        let markers = self.markers.into_iter().map(|marker| WritableTxnMarkerResult {
            producer_id: marker.producer_id,
            topics: marker
                .topics
                .into_iter()
                .map(|topic| WritableTxnMarkerTopicResult {
                    name: topic.name,
                    partitions: topic
                        .partition_indexes
                        .into_iter()
                        .map(|partition_index| WritableTxnMarkerPartitionResult {
                            partition_index,
                            error_code,
                        })
                        .collect(),
                })
                .collect(),
        });
        WriteTxnMarkersResponse {
            markers: markers.collect(),
        }
    }
}

impl Refusable for TxnOffsetCommitRequest {
    const WHY: &'static str = NO_TRANSACTIONS;

    fn refused(self, error_code: i16) -> TxnOffsetCommitResponse {
        let topics = self.topics.into_iter().map(|topic| TxnOffsetCommitResponseTopic {
            name: topic.name,
            partitions: topic
                .partitions
                .into_iter()
                .map(|partition| TxnOffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code,
                })
                .collect(),
        });
        TxnOffsetCommitResponse {
            topics: topics.collect(),
            ..TxnOffsetCommitResponse::default()
        }
    }
}
