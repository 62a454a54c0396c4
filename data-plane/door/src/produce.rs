//! Batches of one request get their places together, in its order; what a door refuses itself keeps its place among the
//! answers.

use millstream_access::Principal;
use millstream_broker::Broker;
use millstream_broker::interface::{PendingProduce, Produce, ProduceError};

/// Begins what was asked, and answers each in its place. There is no await in here, so that batches of requests that
/// come one after the other get their places in the order of the requests.
pub fn begin<R>(
    broker: &Broker,
    who: &Principal,
    asked: Vec<Result<Produce, R>>,
    refused: impl Fn(ProduceError) -> R,
) -> Vec<Result<PendingProduce, R>> {
    let mut batches = Vec::with_capacity(asked.len());
    let places: Vec<Result<(), R>> = asked
        .into_iter()
        .map(|asked| asked.map(|produce| batches.push(produce)))
        .collect();
    // All at once: cheaper than one after the other.
    let mut begun = broker.begin_produces(who, batches).into_iter();
    let placed = places.into_iter().map(|place| {
        place.and_then(|()| {
            // A batch without an answer would be a bug of the broker; its producer asks again.
            let begun = begun.next().unwrap_or(Err(ProduceError::ShuttingDown));
            begun.map_err(&refused)
        })
    });
    let placed = placed.collect();
    debug_assert!(begun.next().is_none(), "bug: more answers than batches");
    placed
}
