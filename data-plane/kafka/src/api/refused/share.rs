//! Share groups: what their consumers and their state ask for.

use super::{Refusable, why};
use millstream_kafka_wire::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse, DeleteShareGroupStateRequest, DeleteShareGroupStateResponse,
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse, InitializeShareGroupStateRequest,
    InitializeShareGroupStateResponse, ReadShareGroupStateRequest, ReadShareGroupStateResponse,
    ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse, ShareAcknowledgeRequest,
    ShareAcknowledgeResponse, ShareFetchRequest, ShareFetchResponse, ShareGroupDescribeRequest,
    ShareGroupDescribeResponse, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse,
    WriteShareGroupStateRequest, WriteShareGroupStateResponse, delete_share_group_state_response,
    describe_share_group_offsets_response, initialize_share_group_state_response,
    read_share_group_state_response, read_share_group_state_summary_response, share_group_describe_response,
    write_share_group_state_response,
};

const NO_SHARE: &str = "share groups are not served";

impl Refusable for ShareGroupHeartbeatRequest {
    const WHY: &'static str = NO_SHARE;

    fn refused(self, error_code: i16) -> ShareGroupHeartbeatResponse {
        ShareGroupHeartbeatResponse {
            error_code,
            error_message: why::<Self>(),
            ..ShareGroupHeartbeatResponse::default()
        }
    }
}

impl Refusable for ShareFetchRequest {
    const WHY: &'static str = NO_SHARE;

    fn refused(self, error_code: i16) -> ShareFetchResponse {
        ShareFetchResponse {
            error_code,
            error_message: why::<Self>(),
            ..ShareFetchResponse::default()
        }
    }
}

impl Refusable for ShareAcknowledgeRequest {
    const WHY: &'static str = NO_SHARE;

    fn refused(self, error_code: i16) -> ShareAcknowledgeResponse {
        ShareAcknowledgeResponse {
            error_code,
            error_message: why::<Self>(),
            ..ShareAcknowledgeResponse::default()
        }
    }
}

impl Refusable for AlterShareGroupOffsetsRequest {
    const WHY: &'static str = NO_SHARE;

    fn refused(self, error_code: i16) -> AlterShareGroupOffsetsResponse {
        AlterShareGroupOffsetsResponse {
            error_code,
            error_message: why::<Self>(),
            ..AlterShareGroupOffsetsResponse::default()
        }
    }
}

impl Refusable for DeleteShareGroupOffsetsRequest {
    const WHY: &'static str = NO_SHARE;

    fn refused(self, error_code: i16) -> DeleteShareGroupOffsetsResponse {
        DeleteShareGroupOffsetsResponse {
            error_code,
            error_message: why::<Self>(),
            ..DeleteShareGroupOffsetsResponse::default()
        }
    }
}

impl Refusable for ShareGroupDescribeRequest {
    const WHY: &'static str = NO_SHARE;

    fn refused(self, error_code: i16) -> ShareGroupDescribeResponse {
        let groups = self.group_ids.into_iter();
        let groups = groups.map(|group_id| share_group_describe_response::DescribedGroup {
            error_code,
            error_message: why::<Self>(),
            group_id,
            ..Default::default()
        });
        ShareGroupDescribeResponse {
            groups: groups.collect(),
            ..ShareGroupDescribeResponse::default()
        }
    }
}

impl Refusable for DescribeShareGroupOffsetsRequest {
    const WHY: &'static str = NO_SHARE;

    fn refused(self, error_code: i16) -> DescribeShareGroupOffsetsResponse {
        let groups = self.groups.into_iter().map(|group| {
            describe_share_group_offsets_response::DescribeShareGroupOffsetsResponseGroup {
                group_id: group.group_id,
                topics: Vec::new(),
                error_code,
                error_message: why::<Self>(),
            }
        });
        DescribeShareGroupOffsetsResponse {
            groups: groups.collect(),
            ..DescribeShareGroupOffsetsResponse::default()
        }
    }
}

impl Refusable for InitializeShareGroupStateRequest {
    const WHY: &'static str = NO_SHARE;

    fn refused(self, error_code: i16) -> InitializeShareGroupStateResponse {
        let results = self.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter();
            let partitions = partitions.map(|asked| initialize_share_group_state_response::PartitionResult {
                partition: asked.partition,
                error_code,
                error_message: why::<Self>(),
            });
            initialize_share_group_state_response::InitializeStateResult {
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
            }
        });
        InitializeShareGroupStateResponse {
            results: results.collect(),
        }
    }
}

impl Refusable for ReadShareGroupStateRequest {
    const WHY: &'static str = NO_SHARE;

    fn refused(self, error_code: i16) -> ReadShareGroupStateResponse {
        let results = self.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter();
            let partitions = partitions.map(|asked| read_share_group_state_response::PartitionResult {
                partition: asked.partition,
                error_code,
                error_message: why::<Self>(),
                ..Default::default()
            });
            read_share_group_state_response::ReadStateResult {
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
            }
        });
        ReadShareGroupStateResponse {
            results: results.collect(),
        }
    }
}

impl Refusable for WriteShareGroupStateRequest {
    const WHY: &'static str = NO_SHARE;

    fn refused(self, error_code: i16) -> WriteShareGroupStateResponse {
        let results = self.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter();
            let partitions = partitions.map(|asked| write_share_group_state_response::PartitionResult {
                partition: asked.partition,
                error_code,
                error_message: why::<Self>(),
            });
            write_share_group_state_response::WriteStateResult {
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
            }
        });
        WriteShareGroupStateResponse {
            results: results.collect(),
        }
    }
}

impl Refusable for DeleteShareGroupStateRequest {
    const WHY: &'static str = NO_SHARE;

    fn refused(self, error_code: i16) -> DeleteShareGroupStateResponse {
        let results = self.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter();
            let partitions = partitions.map(|asked| delete_share_group_state_response::PartitionResult {
                partition: asked.partition,
                error_code,
                error_message: why::<Self>(),
            });
            delete_share_group_state_response::DeleteStateResult {
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
            }
        });
        DeleteShareGroupStateResponse {
            results: results.collect(),
        }
    }
}

impl Refusable for ReadShareGroupStateSummaryRequest {
    const WHY: &'static str = NO_SHARE;

    fn refused(self, error_code: i16) -> ReadShareGroupStateSummaryResponse {
        let results = self.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter();
            let partitions =
                partitions.map(|asked| read_share_group_state_summary_response::PartitionResult {
                    partition: asked.partition,
                    error_code,
                    error_message: why::<Self>(),
                    ..Default::default()
                });
            read_share_group_state_summary_response::ReadStateSummaryResult {
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
            }
        });
        ReadShareGroupStateSummaryResponse {
            results: results.collect(),
        }
    }
}
