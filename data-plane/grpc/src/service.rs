//! The service itself: every call finds its caller, is counted and traced, and goes to the file of its name.

use crate::caller::caller;
use crate::metrics::Metrics;
use crate::watch::Answers;
use crate::{fetch, groups, offsets, produce, watch};
use async_trait::async_trait;
use millstream_access::Principal;
use millstream_broker::Broker;
use millstream_model::limits::GRPC_MESSAGE_BYTES_MAX;
use millstream_rpc::data::data_server::{Data, DataServer};
use millstream_rpc::data::{
    CommitOffsetsRequest, CommitOffsetsResponse, DeleteGroupRequest, DeleteGroupResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DescribeGroupRequest, DescribeGroupResponse,
    FetchOffsetsRequest, FetchOffsetsResponse, FetchRequest, FetchResponse, InitProducerRequest,
    InitProducerResponse, ListGroupsRequest, ListGroupsResponse, ListOffsetsRequest, ListOffsetsResponse,
    ProduceRequest, ProduceResponse, WatchRequest,
};
use std::future::Future;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::Instrument;

/// The data door. Cheap to clone.
#[derive(Clone)]
pub struct DataDoor {
    broker: Broker,
    metrics: Metrics,
    draining: CancellationToken,
}

impl DataDoor {
    /// A door over `broker`. Clients' fetches that wait are answered when `draining` is cancelled.
    pub fn new(broker: Broker, metrics: Metrics, draining: CancellationToken) -> DataDoor {
        DataDoor {
            broker,
            metrics,
            draining,
        }
    }

    /// The tonic service, with this door's message limits.
    pub fn into_service(self) -> DataServer<DataDoor> {
        DataServer::new(self)
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX)
    }

    /// Runs one call as its caller.
    async fn call<Q, A, F>(
        &self,
        name: &'static str,
        request: Request<Q>,
        run: impl FnOnce(Broker, Principal, Q) -> F,
    ) -> Result<Response<A>, Status>
    where
        F: Future<Output = Result<A, Status>>,
    {
        let outcome = match caller(&self.broker, &request) {
            Err(status) => Err(status),
            Ok(who) => {
                let span = tracing::debug_span!("grpc", call = name, tenant = %who.tenant);
                run(self.broker.clone(), who, request.into_inner())
                    .instrument(span)
                    .await
            }
        };
        self.metrics.count(name, outcome.is_err());
        outcome.map(Response::new)
    }
}

#[async_trait]
impl Data for DataDoor {
    type WatchStream = Answers;

    async fn produce(&self, request: Request<ProduceRequest>) -> Result<Response<ProduceResponse>, Status> {
        self.call("produce", request, |broker, who, it| async move {
            produce::produce(&broker, &who, it).await
        })
        .await
    }

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<FetchResponse>, Status> {
        let draining = self.draining.clone();
        self.call("fetch", request, |broker, who, it| async move {
            fetch::fetch(&broker, &who, it, &draining).await
        })
        .await
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Answers>, Status> {
        self.call("watch", request, |broker, who, it| async move {
            watch::watch(&broker, &who, it)
        })
        .await
    }

    async fn list_offsets(
        &self,
        request: Request<ListOffsetsRequest>,
    ) -> Result<Response<ListOffsetsResponse>, Status> {
        self.call("list_offsets", request, |broker, who, it| async move {
            offsets::list(&broker, &who, it).await
        })
        .await
    }

    async fn init_producer(
        &self,
        request: Request<InitProducerRequest>,
    ) -> Result<Response<InitProducerResponse>, Status> {
        let run = |broker: Broker, who, it| async move { produce::init_producer(&broker, &who, it).await };
        self.call("init_producer", request, run).await
    }

    async fn delete_records(
        &self,
        request: Request<DeleteRecordsRequest>,
    ) -> Result<Response<DeleteRecordsResponse>, Status> {
        let run = |broker: Broker, who, it| async move { offsets::delete_records(&broker, &who, it).await };
        self.call("delete_records", request, run).await
    }

    async fn commit_offsets(
        &self,
        request: Request<CommitOffsetsRequest>,
    ) -> Result<Response<CommitOffsetsResponse>, Status> {
        self.call("commit_offsets", request, |broker, who, it| async move {
            groups::commit(&broker, &who, it).await
        })
        .await
    }

    async fn fetch_offsets(
        &self,
        request: Request<FetchOffsetsRequest>,
    ) -> Result<Response<FetchOffsetsResponse>, Status> {
        self.call("fetch_offsets", request, |broker, who, it| async move {
            groups::fetch(&broker, &who, it).await
        })
        .await
    }

    async fn list_groups(
        &self,
        request: Request<ListGroupsRequest>,
    ) -> Result<Response<ListGroupsResponse>, Status> {
        self.call("list_groups", request, |broker, who, _| async move {
            groups::list(&broker, &who)
        })
        .await
    }

    async fn describe_group(
        &self,
        request: Request<DescribeGroupRequest>,
    ) -> Result<Response<DescribeGroupResponse>, Status> {
        let run = |broker: Broker, who, it: DescribeGroupRequest| async move {
            groups::describe(&broker, &who, &it.group)
        };
        self.call("describe_group", request, run).await
    }

    async fn delete_group(
        &self,
        request: Request<DeleteGroupRequest>,
    ) -> Result<Response<DeleteGroupResponse>, Status> {
        let run = |broker: Broker, who, it: DeleteGroupRequest| async move {
            let group = groups::group_name(&it.group)?;
            let deleted = broker.groups().delete(&who, group).await;
            deleted
                .map(|()| DeleteGroupResponse {})
                .map_err(|cause| crate::error::group_status(&cause))
        };
        self.call("delete_group", request, run).await
    }
}
