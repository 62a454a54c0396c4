//! Fetch.

use crate::caller::unauthenticated;
use crate::error::error;
use crate::names::resolve;
use crate::produce::told;
use bytes::{Bytes, BytesMut};
use millstream_access::Principal;
use millstream_broker::Broker;
use millstream_broker::interface::{FetchPartition, FetchedPartition, Isolation};
use millstream_door::fetch::{Reading, read};
use millstream_door::quotas::{fetch_patience, patience};
use millstream_door::{Action, Allowance, Quotas, while_valid};
use millstream_model::Offset;
use millstream_model::limits::FETCH_BYTES_MAX;
use millstream_rpc::data::{self, Error, FetchRequest, FetchResponse, FetchResult, Partition};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

pub(crate) async fn fetch(
    broker: &Broker,
    quotas: &Quotas,
    who: &Principal,
    request: FetchRequest,
    draining: &CancellationToken,
) -> Result<FetchResponse, Status> {
    let isolation = isolation(request.isolation)?;
    let wait_max = Duration::from_millis(request.wait_ms.into());
    let allowance = allowance(quotas, who, wait_max).await;
    let image = broker.image();
    let (named, partitions): (Vec<_>, Vec<_>) = request
        .partitions
        .into_iter()
        .map(|part| {
            let found = resolve(&image, who, part.partition.as_ref()).map(|partition| FetchPartition {
                partition,
                offset: Offset(part.offset),
                leader_epoch: None,
                bytes_max: bytes_max(part.bytes_max),
            });
            (part.partition, found)
        })
        .unzip();
    let reading = Reading {
        partitions,
        bytes_min: usize::try_from(request.bytes_min).unwrap_or(usize::MAX),
        bytes_max: bytes_max(request.bytes_max),
        wait_max,
        isolation,
    };
    let reading = read(broker, quotas, who, allowance, reading, Some(draining));
    // A key that is revoked while its fetch waits gets nothing of what comes after.
    let read = while_valid(broker.image_watch(), who, reading).await;
    let read = read.map_err(|error| {
        tracing::info!(%error, "a fetch ends with its key");
        unauthenticated(&error)
    })?;
    let results = named.into_iter().zip(read.partitions);
    Ok(FetchResponse {
        results: results.map(|(named, read)| result(named, read)).collect(),
        throttle_ms: told(read.owed),
    })
}

/// How much the caller may read; who owes waits as long as its fetch allows.
async fn allowance(quotas: &Quotas, who: &Principal, wait: Duration) -> Allowance {
    let until = fetch_patience(Instant::now(), wait, patience(Action::Fetch));
    match quotas.begin_action(Action::Fetch, who, until).await {
        Ok(_) => quotas.begin_fetch(who, until).await,
        Err(owes) => Allowance::Nothing(owes),
    }
}

pub(crate) fn isolation(number: i32) -> Result<Isolation, Status> {
    match data::Isolation::try_from(number) {
        Ok(data::Isolation::ReadCommitted) => Ok(Isolation::ReadCommitted),
        Ok(data::Isolation::ReadUncommitted | data::Isolation::Unspecified) => Ok(Isolation::ReadUncommitted),
        Err(_) => Err(Status::invalid_argument(format!(
            "isolation {number} is not known"
        ))),
    }
}

fn bytes_max(asked: u32) -> usize {
    match usize::try_from(asked) {
        Ok(0) | Err(_) => FETCH_BYTES_MAX,
        Ok(asked) => asked.min(FETCH_BYTES_MAX),
    }
}

fn result(partition: Option<Partition>, read: Result<FetchedPartition, Error>) -> FetchResult {
    let part = match read {
        Ok(part) => part,
        Err(error) => {
            return FetchResult {
                partition,
                error: Some(error),
                high_watermark: -1,
                last_stable_offset: -1,
                log_start_offset: -1,
                ..FetchResult::default()
            };
        }
    };
    FetchResult {
        partition,
        error: part.error.as_ref().map(error),
        high_watermark: part.high_watermark.0,
        last_stable_offset: part.last_stable.0,
        log_start_offset: part.log_start.0,
        records: joined(part.records),
        aborted: part
            .aborted
            .unwrap_or_default()
            .into_iter()
            .map(|it| data::AbortedTransaction {
                producer_id: it.producer.0,
                first_offset: it.first_offset.0,
            })
            .collect(),
    }
}

/// One `bytes` field: a single chunk is passed on, several are copied together once.
fn joined(mut chunks: Vec<Bytes>) -> Bytes {
    if chunks.len() < 2 {
        return chunks.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    for chunk in chunks {
        whole.extend_from_slice(&chunk);
    }
    whole.freeze()
}
