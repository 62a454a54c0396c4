//! DescribeCluster: the nodes, as the caller's virtual cluster.

use super::{Handler, authorized};
use crate::session::Call;
use millstream_door::leadership::nodes;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::describe_cluster_response::DescribeClusterBroker;
use millstream_kafka_wire::messages::{DescribeClusterRequest, DescribeClusterResponse};

/// Kafka's `EndpointType`: brokers.
const BROKERS: i8 = 1;
/// The same: controllers.
const CONTROLLERS: i8 = 2;

pub(super) struct DescribeCluster;

impl Handler for DescribeCluster {
    type Request = DescribeClusterRequest;

    async fn handle(call: &Call, request: DescribeClusterRequest) -> DescribeClusterResponse {
        if call.version >= 1 && request.endpoint_type != BROKERS {
            let code = match request.endpoint_type {
                CONTROLLERS => ErrorCode::MismatchedEndpointType,
                _ => ErrorCode::UnsupportedEndpointType,
            };
            return DescribeClusterResponse {
                error_code: call.code(&code),
                error_message: Some("controllers have no endpoint for clients".to_owned()),
                ..DescribeClusterResponse::default()
            };
        }
        let image = call.image();
        let brokers = nodes(&image).map(|node| DescribeClusterBroker {
            broker_id: node.id.0,
            host: node.kafka.host.clone(),
            port: i32::from(node.kafka.port),
            rack: None,
            is_fenced: false,
        });
        DescribeClusterResponse {
            endpoint_type: BROKERS,
            cluster_id: call.who().tenant.account(),
            controller_id: call.broker().node().0,
            brokers: brokers.collect(),
            cluster_authorized_operations: if request.include_cluster_authorized_operations {
                authorized::cluster(call)
            } else {
                authorized::NOT_ASKED
            },
            ..DescribeClusterResponse::default()
        }
    }
}
