//! The service itself: every call finds its caller, is counted and traced, and goes to the file of its name.

use crate::caller::caller;
use crate::error::status;
use crate::metrics::Metrics;
use crate::watch::Answers;
use crate::{fetch, groups, offsets, produce, watch};
use async_trait::async_trait;
use millstream_access::Principal;
use millstream_broker::Broker;
use millstream_door::quotas::patience;
use millstream_door::{Action, Quotas};
use millstream_model::limits::GRPC_MESSAGE_BYTES_MAX;
use millstream_rpc::data::data_server::{Data, DataServer};
use millstream_rpc::data::{
    CommitOffsetsRequest, CommitOffsetsResponse, DeleteGroupRequest, DeleteGroupResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DescribeGroupRequest, DescribeGroupResponse,
    FencePartitionRequest, FencePartitionResponse, FetchOffsetsRequest, FetchOffsetsResponse, FetchRequest,
    FetchResponse, InitProducerRequest, InitProducerResponse, ListGroupsRequest, ListGroupsResponse,
    ListOffsetsRequest, ListOffsetsResponse, ProduceRequest, ProduceResponse, WatchRequest,
};
use std::future::Future;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::Instrument;

/// The data door. Cheap to clone.
#[derive(Clone)]
pub struct DataDoor {
    broker: Broker,
    quotas: Quotas,
    metrics: Metrics,
    draining: CancellationToken,
}

impl DataDoor {
    /// A door over `broker`; the quotas are those of all doors. Clients' fetches that wait are answered when `draining`
    /// is cancelled.
    pub fn new(broker: Broker, quotas: Quotas, metrics: Metrics, draining: CancellationToken) -> DataDoor {
        DataDoor {
            broker,
            quotas,
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

    /// Runs one call as its caller, if that may do such a thing.
    async fn call<Q, A, F>(
        &self,
        name: &'static str,
        action: Action,
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
                let run = async {
                    // What names partitions is answered for each of them, by the broker.
                    if !action.is_by_partition() {
                        action.permit(&who).map_err(|denied| status(&denied))?;
                    }
                    self.count(action, &who).await;
                    run(self.broker.clone(), who, request.into_inner()).await
                };
                run.instrument(span).await
            }
        };
        self.metrics.count(name, outcome.is_err());
        outcome.map(Response::new)
    }

    /// Counts a request: who owes some waits a little first. What moves bytes waits by itself, and may be refused.
    async fn count(&self, action: Action, who: &Principal) {
        if !action.moves_bytes() {
            self.quotas
                .begin_call(who, Instant::now() + patience(action))
                .await;
        }
    }
}

#[async_trait]
impl Data for DataDoor {
    type WatchStream = Answers;

    async fn produce(&self, request: Request<ProduceRequest>) -> Result<Response<ProduceResponse>, Status> {
        let quotas = self.quotas.clone();
        self.call(
            "produce",
            Action::Produce,
            request,
            |broker, who, it| async move { produce::produce(&broker, &quotas, &who, it).await },
        )
        .await
    }

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<FetchResponse>, Status> {
        let (quotas, draining) = (self.quotas.clone(), self.draining.clone());
        self.call("fetch", Action::Fetch, request, |broker, who, it| async move {
            fetch::fetch(&broker, &quotas, &who, it, &draining).await
        })
        .await
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Answers>, Status> {
        self.call("watch", Action::Watch, request, |broker, who, it| async move {
            watch::watch(&broker, &who, it)
        })
        .await
    }

    async fn list_offsets(
        &self,
        request: Request<ListOffsetsRequest>,
    ) -> Result<Response<ListOffsetsResponse>, Status> {
        self.call(
            "list_offsets",
            Action::ListOffsets,
            request,
            |broker, who, it| async move { offsets::list(&broker, &who, it).await },
        )
        .await
    }

    async fn init_producer(
        &self,
        request: Request<InitProducerRequest>,
    ) -> Result<Response<InitProducerResponse>, Status> {
        let run = |broker: Broker, who, it| async move { produce::init_producer(&broker, &who, it).await };
        self.call("init_producer", Action::InitProducer, request, run)
            .await
    }

    async fn delete_records(
        &self,
        request: Request<DeleteRecordsRequest>,
    ) -> Result<Response<DeleteRecordsResponse>, Status> {
        let run = |broker: Broker, who, it| async move { offsets::delete_records(&broker, &who, it).await };
        self.call("delete_records", Action::DeleteRecords, request, run)
            .await
    }

    async fn fence_partition(
        &self,
        request: Request<FencePartitionRequest>,
    ) -> Result<Response<FencePartitionResponse>, Status> {
        let run = |broker: Broker, who, it| async move { offsets::fence(&broker, &who, it).await };
        self.call("fence_partition", Action::FencePartition, request, run)
            .await
    }

    async fn commit_offsets(
        &self,
        request: Request<CommitOffsetsRequest>,
    ) -> Result<Response<CommitOffsetsResponse>, Status> {
        self.call(
            "commit_offsets",
            Action::CommitOffsets,
            request,
            |broker, who, it| async move { groups::commit(&broker, &who, it).await },
        )
        .await
    }

    async fn fetch_offsets(
        &self,
        request: Request<FetchOffsetsRequest>,
    ) -> Result<Response<FetchOffsetsResponse>, Status> {
        self.call(
            "fetch_offsets",
            Action::FetchOffsets,
            request,
            |broker, who, it| async move { groups::fetch(&broker, &who, it).await },
        )
        .await
    }

    async fn list_groups(
        &self,
        request: Request<ListGroupsRequest>,
    ) -> Result<Response<ListGroupsResponse>, Status> {
        self.call(
            "list_groups",
            Action::ListGroups,
            request,
            |broker, who, _| async move { groups::list(&broker, &who) },
        )
        .await
    }

    async fn describe_group(
        &self,
        request: Request<DescribeGroupRequest>,
    ) -> Result<Response<DescribeGroupResponse>, Status> {
        let run = |broker: Broker, who, it: DescribeGroupRequest| async move {
            groups::describe(&broker, &who, &it.group)
        };
        self.call("describe_group", Action::DescribeGroup, request, run)
            .await
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
                .map_err(|cause| status(&cause))
        };
        self.call("delete_group", Action::DeleteGroup, request, run).await
    }
}
