//! ListOffsets, DeleteRecords and FencePartition.

use crate::error::error;
use crate::fetch::isolation;
use crate::names::resolve;
use millstream_access::Principal;
use millstream_broker::Broker;
use millstream_broker::interface::ListOffset;
use millstream_model::{Offset, TimestampMs};
use millstream_rpc::data::list_offsets_partition::Position;
use millstream_rpc::data::{
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsResult, FencePartitionRequest,
    FencePartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsResult,
};
use tonic::Status;

pub(crate) async fn list(
    broker: &Broker,
    who: &Principal,
    request: ListOffsetsRequest,
) -> Result<ListOffsetsResponse, Status> {
    let isolation = isolation(request.isolation)?;
    let image = broker.image();
    let mut results = Vec::new();
    for part in request.partitions {
        let what = match part.position {
            Some(Position::Earliest(_)) => ListOffset::Earliest,
            Some(Position::Latest(_)) => ListOffset::Latest,
            Some(Position::TimestampMax(_)) => ListOffset::MaxTimestamp,
            Some(Position::TimestampMs(at)) => ListOffset::AtOrAfter(TimestampMs(at)),
            None => return Err(Status::invalid_argument("a partition without a position")),
        };
        let found = match resolve(&image, who, part.partition.as_ref()) {
            Ok(id) => broker
                .list_offset(who, id, None, what, isolation)
                .await
                .map_err(|cause| error(&cause)),
            Err(error) => Err(error),
        };
        let (error, offset, timestamp_ms) = match found {
            Ok(found) => (None, found.offset.0, found.timestamp.0),
            Err(error) => (Some(error), -1, -1),
        };
        results.push(ListOffsetsResult {
            partition: part.partition,
            error,
            offset,
            timestamp_ms,
        });
    }
    Ok(ListOffsetsResponse { results })
}

pub(crate) async fn delete_records(
    broker: &Broker,
    who: &Principal,
    request: DeleteRecordsRequest,
) -> Result<DeleteRecordsResponse, Status> {
    let image = broker.image();
    let mut results = Vec::new();
    for part in request.partitions {
        let before = match part.before_offset {
            -1 => None,
            offset if offset >= 0 => Some(Offset(offset)),
            offset => return Err(Status::invalid_argument(format!("{offset} is not an offset"))),
        };
        let moved = match resolve(&image, who, part.partition.as_ref()) {
            Ok(id) => broker
                .delete_records(who, id, before)
                .await
                .map_err(|cause| error(&cause)),
            Err(error) => Err(error),
        };
        let (error, log_start_offset) = match moved {
            Ok(start) => (None, start.0),
            Err(error) => (Some(error), -1),
        };
        results.push(DeleteRecordsResult {
            partition: part.partition,
            error,
            log_start_offset,
        });
    }
    Ok(DeleteRecordsResponse { results })
}

/// Takes a partition over for a part of the service; a tenant's clients own none.
pub(crate) async fn fence(
    broker: &Broker,
    who: &Principal,
    request: FencePartitionRequest,
) -> Result<FencePartitionResponse, Status> {
    if !who.is_service() {
        return Err(Status::permission_denied(
            "partitions are taken over by the service itself",
        ));
    }
    let fenced = match resolve(&broker.image(), who, request.partition.as_ref()) {
        Ok(id) => broker.fence(who, id).await.map_err(|cause| error(&cause)),
        Err(error) => Err(error),
    };
    Ok(match fenced {
        Ok(fenced) => FencePartitionResponse {
            error: None,
            owner_epoch: fenced.owner_epoch.0,
            log_start_offset: fenced.log_start.0,
            high_watermark: fenced.high_watermark.0,
        },
        Err(error) => FencePartitionResponse {
            error: Some(error),
            owner_epoch: 0,
            log_start_offset: -1,
            high_watermark: -1,
        },
    })
}
