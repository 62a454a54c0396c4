//! One fetch of a caller: within what its quota has left, told at once where a partition cannot be read.

use crate::quotas::{Allowance, Meter, Quotas};
use millstream_access::Principal;
use millstream_broker::Broker;
use millstream_broker::interface::{Fetch, FetchPartition, Fetched, FetchedPartition, Isolation};
use millstream_model::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MS_MAX};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What is to be read.
pub struct Reading<R> {
    /// Partitions in the order in which they may fill the answer; those that the door refuses keep their place.
    pub partitions: Vec<Result<FetchPartition, R>>,
    /// Answer at once when this many record bytes are there.
    pub bytes_min: usize,
    /// Record bytes wanted at most.
    pub bytes_max: usize,
    /// Otherwise wait this long for them.
    pub wait_max: Duration,
    /// What is seen of transactions.
    pub isolation: Isolation,
}

/// What was read.
pub struct Read<R> {
    /// One for each asked, in the same order.
    pub partitions: Vec<Result<FetchedPartition, R>>,
    /// How long the caller owes.
    pub owed: Duration,
}

/// Reads, and takes what was read from the caller's meter. When `draining` is cancelled, clients are answered with what
/// is there by then, so that nobody's wait holds up the end.
pub async fn read<R>(
    broker: &Broker,
    quotas: &Quotas,
    who: &Principal,
    allowance: Allowance,
    reading: Reading<R>,
    draining: Option<&CancellationToken>,
) -> Read<R> {
    let (fetch, places) = fetch_of(reading, allowance);
    let fetched = match draining.filter(|_| !who.is_service()) {
        Some(draining) => fetched_or_drained(broker, who, fetch, draining).await,
        // The service's own readers are stopped by the end, and would only ask again.
        None => broker.fetch(who, fetch).await,
    };
    let bytes: usize = fetched.partitions.iter().map(FetchedPartition::bytes).sum();
    let owed = quotas.take(who, Meter::Fetch, bytes as u64);
    let owes = allowance.owes().map_or(Duration::ZERO, |owes| owes.wait);
    Read {
        partitions: placed(places, fetched),
        owed: owed.max(owes),
    }
}

/// What the broker is asked, and each partition's place in the answer. A partition that is refused is told at once, not
/// after the wait; who may read nothing has waited already.
fn fetch_of<R>(reading: Reading<R>, allowance: Allowance) -> (Fetch, Vec<Result<(), R>>) {
    let mut partitions = Vec::with_capacity(reading.partitions.len());
    let places: Vec<Result<(), R>> = reading
        .partitions
        .into_iter()
        .map(|asked| asked.map(|partition| partitions.push(partition)))
        .collect();
    let at_once = places.iter().any(Result::is_err) || allowance.owes().is_some();
    let longest = Duration::from_millis(u64::from(FETCH_WAIT_MS_MAX.unsigned_abs()));
    let fetch = Fetch {
        partitions,
        bytes_min: reading.bytes_min,
        bytes_max: allowance.cut(reading.bytes_max.min(FETCH_BYTES_MAX)),
        wait_max: match at_once {
            true => Duration::ZERO,
            false => reading.wait_max.min(longest),
        },
        isolation: reading.isolation,
    };
    (fetch, places)
}

fn placed<R>(places: Vec<Result<(), R>>, fetched: Fetched) -> Vec<Result<FetchedPartition, R>> {
    let mut fetched = fetched.partitions.into_iter();
    // The broker answers every partition; one that it did not would end the answer here.
    places
        .into_iter()
        .map_while(|place| match place {
            Ok(()) => fetched.next().map(Ok),
            Err(refused) => Some(Err(refused)),
        })
        .collect()
}

async fn fetched_or_drained(
    broker: &Broker,
    who: &Principal,
    fetch: Fetch,
    draining: &CancellationToken,
) -> Fetched {
    let at_once = Fetch {
        bytes_min: 0,
        wait_max: Duration::ZERO,
        ..fetch.clone()
    };
    tokio::select! {
        fetched = broker.fetch(who, fetch) => fetched,
        () = draining.cancelled() => broker.fetch(who, at_once).await,
    }
}
