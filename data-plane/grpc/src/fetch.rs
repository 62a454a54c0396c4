//! Fetch.

use crate::error::of_fetch;
use crate::names::{Names, resolve};
use crate::patience::patience;
use crate::produce::told;
use bytes::{Bytes, BytesMut};
use millstream_access::{AuthError, Principal, revoked};
use millstream_broker::Broker;
use millstream_broker::interface::{Fetch, FetchPartition, Fetched, FetchedPartition, Isolation};
use millstream_door::{Meter, Owes, Quotas};
use millstream_model::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MS_MAX};
use millstream_model::{Offset, PartitionId};
use millstream_rpc::data::{self, FetchRequest, FetchResponse, FetchResult, Partition};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How long who owes is held at least: it may ask again at once, whatever it is told.
const HELD_MIN: Duration = Duration::from_millis(500);

pub(crate) async fn fetch(
    broker: &Broker,
    quotas: &Quotas,
    who: &Principal,
    request: FetchRequest,
    draining: &CancellationToken,
) -> Result<FetchResponse, Status> {
    let isolation = isolation(request.isolation)?;
    let allowance = allowance(quotas, who, request.wait_ms).await;
    let image = broker.image();
    let (mut names, mut asked, mut results) = (Names::default(), Vec::new(), Vec::new());
    for part in request.partitions {
        match resolve(&image, who, part.partition.as_ref()) {
            Ok(id) => {
                if let Some(named) = &part.partition {
                    names.note(id, named);
                }
                asked.push(FetchPartition {
                    partition: id,
                    offset: Offset(part.offset),
                    leader_epoch: None,
                    bytes_max: bytes_max(part.bytes_max),
                });
                results.push(None);
            }
            Err(error) => results.push(Some(FetchResult {
                partition: part.partition,
                error: Some(error),
                high_watermark: -1,
                last_stable_offset: -1,
                log_start_offset: -1,
                ..FetchResult::default()
            })),
        }
    }
    // A partition that is not there is told at once, not after the wait; who may read nothing has waited already.
    let owes = allowance.is_err();
    let wait_ms = if asked.len() < results.len() || owes {
        0
    } else {
        request.wait_ms.min(FETCH_WAIT_MS_MAX.unsigned_abs())
    };
    let asked = Fetch {
        partitions: asked,
        bytes_min: usize::try_from(request.bytes_min).unwrap_or(usize::MAX),
        bytes_max: match allowance {
            Ok(None) => bytes_max(request.bytes_max),
            Ok(Some(left)) => bytes_max(request.bytes_max).min(left),
            Err(_) => 0,
        },
        wait_max: Duration::from_millis(wait_ms.into()),
        isolation,
    };
    // A key that is revoked while its fetch waits gets nothing of what comes after.
    let fetched = tokio::select! {
        biased;
        error = revoked(broker.image_watch(), who) => {
            tracing::info!(%error, "a fetch ends with its key");
            return Err(Status::unauthenticated(AuthError::CLIENT_TEXT));
        }
        fetched = fetched_or_drained(broker, who, asked, draining) => fetched,
    };
    let bytes: usize = fetched.partitions.iter().map(FetchedPartition::bytes).sum();
    let owed = quotas.take(who, Meter::Fetch, bytes as u64);
    let owed = allowance.err().map_or(owed, |owes| owed.max(owes.wait));
    let mut found = fetched.partitions.into_iter();
    let results = results
        .into_iter()
        .filter_map(|it| it.or_else(|| found.next().map(|part| result(&names, part))))
        .collect();
    Ok(FetchResponse {
        results,
        throttle_ms: told(owed),
    })
}

/// What was fetched; when the server stops, what is there by then, so that nobody's wait holds up the end. The service's
/// own readers are stopped by it, and would only ask again.
async fn fetched_or_drained(
    broker: &Broker,
    who: &Principal,
    asked: Fetch,
    draining: &CancellationToken,
) -> Fetched {
    if who.is_service() {
        return broker.fetch(who, asked).await;
    }
    let at_once = Fetch {
        bytes_min: 0,
        wait_max: Duration::ZERO,
        ..asked.clone()
    };
    tokio::select! {
        fetched = broker.fetch(who, asked) => fetched,
        () = draining.cancelled() => broker.fetch(who, at_once).await,
    }
}

/// How many bytes the caller's quota has left: one batch at least, which 1 stands for; none when nothing limits it. Who
/// owes waits as long as its fetch allows, and then reads nothing.
async fn allowance(quotas: &Quotas, who: &Principal, wait_ms: u32) -> Result<Option<usize>, Owes> {
    let until = patience().min(Instant::now() + Duration::from_millis(wait_ms.into()).max(HELD_MIN));
    let paid = async {
        quotas.begin(who, Meter::Requests, 1, until).await?;
        quotas.left(who, Meter::Fetch, until).await
    };
    match paid.await {
        Ok(left) => Ok(left.map(|left| usize::try_from(left).unwrap_or(usize::MAX).max(1))),
        Err(owes) => {
            quotas.refused(owes.meter);
            Err(owes)
        }
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

fn result(names: &Names, part: FetchedPartition) -> FetchResult {
    FetchResult {
        partition: Some(name(names, part.partition)),
        error: part.error.as_ref().map(of_fetch),
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

fn name(names: &Names, id: PartitionId) -> Partition {
    names.of(id)
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
