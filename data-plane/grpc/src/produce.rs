//! Produce and InitProducer.

use crate::error::{error, status};
use crate::names::resolve;
use millstream_access::Principal;
use millstream_broker::Broker;
use millstream_broker::interface::{Acks, InitProducer, PendingProduce, Produce, Produced};
use millstream_door::quotas::patience;
use millstream_door::{Action, Owes, Quotas, produce};
use millstream_model::OwnerEpoch;
use millstream_rpc::data::{
    self, Error, InitProducerRequest, InitProducerResponse, ProducePartition, ProduceRequest,
    ProduceResponse, ProduceResult,
};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

pub(crate) async fn produce(
    broker: &Broker,
    quotas: &Quotas,
    who: &Principal,
    request: ProduceRequest,
) -> Result<ProduceResponse, Status> {
    let acks = match data::Acks::try_from(request.acks) {
        Ok(data::Acks::None) => Acks::None,
        Ok(data::Acks::Leader) => Acks::Leader,
        Ok(data::Acks::All | data::Acks::Unspecified) => Acks::All,
        Err(_) => {
            return Err(Status::invalid_argument(format!(
                "acks {} is not known",
                request.acks
            )));
        }
    };
    let timeout = match request.timeout_ms {
        0 => TIMEOUT_DEFAULT,
        ms => Duration::from_millis(ms.into()),
    };
    let owed = match pay(quotas, who, &request).await {
        Ok(owed) => owed,
        Err(owes) => return Ok(refused(request, &owes)),
    };
    let image = broker.image();
    // Every batch gets its place before the first is awaited, in the request's order.
    let (named, asked): (Vec<_>, Vec<_>) = request
        .partitions
        .into_iter()
        .map(|it| {
            let ProducePartition {
                partition,
                batch,
                owner_epoch,
            } = it;
            let found = resolve(&image, who, partition.as_ref()).map(|partition| Produce {
                partition,
                batch,
                owner_epoch: OwnerEpoch(owner_epoch),
                acks,
                timeout,
            });
            (partition, found)
        })
        .unzip();
    let begun = produce::begin(broker, who, asked, |cause| error(&cause));
    let mut response = ProduceResponse {
        throttle_ms: told(owed),
        ..ProduceResponse::default()
    };
    for (partition, begun) in named.into_iter().zip(begun) {
        let ended = settle(begun).await;
        if let Ok(produced) = &ended {
            response.throttle_ms = response.throttle_ms.max(told(produced.throttle));
        }
        response.results.push(result(partition, ended));
    }
    Ok(response)
}

/// Waits until the caller owes nothing, and counts the request and its batches; how long it owes then.
async fn pay(quotas: &Quotas, who: &Principal, request: &ProduceRequest) -> Result<Duration, Owes> {
    let until = Instant::now() + patience(Action::Produce);
    let bytes: u64 = request.partitions.iter().map(|it| it.batch.len() as u64).sum();
    let owed = quotas.begin_action(Action::Produce, who, until).await?;
    Ok(quotas.begin_produce(who, bytes, until).await?.max(owed))
}

/// The answer to a caller that owes for longer than its call may wait: nothing was begun, try again later.
fn refused(request: ProduceRequest, owes: &Owes) -> ProduceResponse {
    let error = error(owes);
    let partitions = request.partitions.into_iter();
    ProduceResponse {
        results: partitions
            .map(|it| result(it.partition, Err(error.clone())))
            .collect(),
        throttle_ms: told(owes.wait),
    }
}

/// A wait as messages say it.
pub(crate) fn told(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)
}

async fn settle(begun: Result<PendingProduce, Error>) -> Result<Produced, Error> {
    begun?.await.map_err(|cause| error(&cause))
}

fn result(partition: Option<data::Partition>, ended: Result<Produced, Error>) -> ProduceResult {
    match ended {
        Ok(produced) => ProduceResult {
            partition,
            error: None,
            base_offset: produced.base_offset.0,
            log_append_time_ms: produced.log_append_time.map(|time| time.0),
            log_start_offset: produced.log_start.0,
        },
        Err(error) => ProduceResult {
            partition,
            error: Some(error),
            base_offset: -1,
            log_append_time_ms: None,
            log_start_offset: -1,
        },
    }
}

pub(crate) async fn init_producer(
    broker: &Broker,
    who: &Principal,
    request: InitProducerRequest,
) -> Result<InitProducerResponse, Status> {
    let transactional_id = (!request.transactional_id.is_empty()).then_some(request.transactional_id);
    let asked = InitProducer {
        transactional_id,
        current: None,
    };
    let (id, epoch) = broker
        .init_producer_id(who, asked)
        .await
        .map_err(|cause| status(&cause))?;
    Ok(InitProducerResponse {
        producer_id: id.0,
        producer_epoch: epoch.0.unsigned_abs().into(),
    })
}
