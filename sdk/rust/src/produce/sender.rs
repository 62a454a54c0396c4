//! The task that sends what is due, retries what failed for a while, and tells the waiters.

use super::accumulate::{Ending, Outgoing, Place, RETRY};
use super::{Acks, Shared};
use crate::client::Client;
use crate::error::Error;
use millstream_model::{Backoff, ProducerEpoch, ProducerId};
use millstream_rpc::data::{
    self, InitProducerRequest, Partition, ProducePartition, ProduceRequest, ProduceResponse,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Record bytes in one request; a message may have twice as many.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long the service may take to answer a produce.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run(shared: Arc<Shared>) {
    let producer = match init(&shared).await {
        Ok(producer) => producer,
        Err(error) => {
            shared.state.lock().fail(&error);
            shared.settled.notify_waiters();
            return;
        }
    };
    loop {
        let woken = shared.wake.notified();
        let (due, next) =
            shared
                .state
                .lock()
                .take_due(Instant::now(), producer, &shared.settings, REQUEST_BYTES_MAX);
        if !due.is_empty() {
            tokio::spawn(send(Arc::clone(&shared), due));
            continue;
        }
        if shared.state.lock().is_finished() {
            return;
        }
        match next {
            None => woken.await,
            Some(at) => {
                tokio::select! {
                    () = woken => {}
                    () = tokio::time::sleep_until(at.into()) => {}
                }
            }
        }
    }
}

async fn init(shared: &Shared) -> Result<Option<(ProducerId, ProducerEpoch)>, Error> {
    if !shared.settings.idempotent {
        return Ok(None);
    }
    if shared.settings.acks != Acks::All {
        return Err(Error::Invalid("an idempotent producer needs acks=all".into()));
    }
    if shared.settings.identity.is_some() {
        return Ok(shared.settings.identity);
    }
    let until = Instant::now() + shared.settings.delivery_timeout;
    let mut backoff = Backoff::new(RETRY);
    loop {
        match shared.client.init_producer().await {
            Ok(producer) => return Ok(Some(producer)),
            Err(error) if error.is_retriable() && Instant::now() < until => {
                tokio::time::sleep(backoff.next(rand::random())).await;
            }
            Err(error) => return Err(error),
        }
    }
}

impl Client {
    /// A new id for an idempotent producer.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn init_producer(&self) -> Result<(ProducerId, ProducerEpoch), Error> {
        let request = InitProducerRequest::default();
        let response = self.data().init_producer(request).await?.into_inner();
        let epoch = i16::try_from(response.producer_epoch);
        let epoch =
            epoch.map_err(|_| Error::Protocol(format!("producer epoch {}", response.producer_epoch)))?;
        Ok((ProducerId(response.producer_id), ProducerEpoch(epoch)))
    }
}

async fn send(shared: Arc<Shared>, due: Vec<Outgoing>) {
    let places: Vec<Place> = due.iter().map(|it| it.place.clone()).collect();
    let request = ProduceRequest {
        partitions: due
            .into_iter()
            .map(|it| ProducePartition {
                partition: Some(Partition {
                    topic: it.place.0.to_string(),
                    index: it.place.1,
                }),
                batch: it.batch,
                owner_epoch: 0,
            })
            .collect(),
        acks: match shared.settings.acks {
            Acks::None => data::Acks::None,
            Acks::Leader => data::Acks::Leader,
            Acks::All => data::Acks::All,
        }
        .into(),
        timeout_ms: u32::try_from(REQUEST_TIMEOUT.as_millis()).unwrap_or(u32::MAX),
    };
    let mut client = shared.client.data();
    // A little longer than the service waits, so that its own answer comes first.
    let answer =
        tokio::time::timeout(REQUEST_TIMEOUT + Duration::from_secs(5), client.produce(request)).await;
    let answer = match answer {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(Error::from(status)),
        Err(_) => Err(Error::Timeout("a produce request was not answered".into())),
    };
    match answer {
        Ok(response) => settle(&shared, &places, &response),
        Err(error) => {
            for place in &places {
                refuse(&shared, place, error.clone());
            }
        }
    }
    shared.settled.notify_waiters();
    shared.wake.notify_one();
}

fn settle(shared: &Shared, places: &[Place], response: &ProduceResponse) {
    if response.throttle_ms > 0 {
        let until = Instant::now() + Duration::from_millis(response.throttle_ms.into());
        shared.state.lock().mute(until);
    }
    for (index, place) in places.iter().enumerate() {
        match response.results.get(index) {
            None => refuse(shared, place, Error::Protocol("a result is missing".into())),
            Some(result) => match &result.error {
                None => {
                    let ending = Ending::Delivered {
                        base_offset: result.base_offset,
                    };
                    shared.state.lock().finish(place, &ending);
                }
                Some(error) => refuse(shared, place, Error::partition(result.partition.as_ref(), error)),
            },
        }
    }
}

/// A batch was refused or its fate is unclear: again later, or its waiters are told.
fn refuse(shared: &Shared, place: &Place, error: Error) {
    let mut state = shared.state.lock();
    if error.is_retriable() {
        let late = state.retry(place, error, shared.settings.delivery_timeout);
        if let Some(late) = late.filter(|_| shared.settings.idempotent) {
            // It may or may not have been written, so the sequence cannot go on.
            state.fail(&late);
        }
        return;
    }
    if error.refuses_records() && state.split(place, &shared.settings) {
        return;
    }
    let fatal = matches!(&error, Error::Partition { code, .. }
        if matches!(code.as_str(), "OUT_OF_ORDER_SEQUENCE_NUMBER" | "UNKNOWN_PRODUCER_ID" | "INVALID_PRODUCER_EPOCH"));
    state.finish(place, &Ending::Failed(error.clone()));
    if fatal {
        state.fail(&error);
    }
}
