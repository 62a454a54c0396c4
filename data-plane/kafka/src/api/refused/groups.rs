//! Groups that the broker assigns: consumer groups of KIP-848 and groups of Kafka Streams. Classic ones are served.

use super::{Refusable, why};
use millstream_kafka_wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, StreamsGroupDescribeRequest,
    StreamsGroupDescribeResponse, StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse,
    consumer_group_describe_response, streams_group_describe_response,
};

const CLASSIC_ONLY: &str = "the new group protocol is not served; groups are classic ones";
const NO_STREAMS: &str = "the streams group protocol is not served; set group.protocol=classic";

impl Refusable for ConsumerGroupDescribeRequest {
    const WHY: &'static str = CLASSIC_ONLY;

    fn refused(self, error_code: i16) -> ConsumerGroupDescribeResponse {
        let groups = self.group_ids.into_iter();
        let groups = groups.map(|group_id| consumer_group_describe_response::DescribedGroup {
            error_code,
            error_message: why::<Self>(),
            group_id,
            ..Default::default()
        });
        ConsumerGroupDescribeResponse {
            groups: groups.collect(),
            ..ConsumerGroupDescribeResponse::default()
        }
    }
}

impl Refusable for StreamsGroupHeartbeatRequest {
    const WHY: &'static str = NO_STREAMS;

    fn refused(self, error_code: i16) -> StreamsGroupHeartbeatResponse {
        StreamsGroupHeartbeatResponse {
            error_code,
            error_message: why::<Self>(),
            ..StreamsGroupHeartbeatResponse::default()
        }
    }
}

impl Refusable for StreamsGroupDescribeRequest {
    const WHY: &'static str = NO_STREAMS;

    fn refused(self, error_code: i16) -> StreamsGroupDescribeResponse {
        let groups = self.group_ids.into_iter();
        let groups = groups.map(|group_id| streams_group_describe_response::DescribedGroup {
            error_code,
            error_message: why::<Self>(),
            group_id,
            ..Default::default()
        });
        StreamsGroupDescribeResponse {
            groups: groups.collect(),
            ..StreamsGroupDescribeResponse::default()
        }
    }
}
