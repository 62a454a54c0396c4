//! What a connection has produced without wanting an answer (acks=0).
//!
//! Kafka handles the requests of a connection one after the other, so who sends such records and asks on for the end of
//! the partition finds them there. Here they have their places at once and are seen once they are committed: who asks waits
//! for that.

use futures::StreamExt;
use millstream_access::Principal;
use millstream_broker::Broker;
use millstream_model::{Offset, PartitionId};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long who asks waits for it: what is not committed by then is in trouble, and the answer is what is known.
const PATIENCE: Duration = Duration::from_secs(1);

/// The last batch of each partition that may not be seen yet, by its first offset.
#[derive(Default)]
pub(crate) struct Silent(Mutex<BTreeMap<PartitionId, Offset>>);

impl Silent {
    /// A batch got its place.
    pub(crate) fn sent(&self, partition: PartitionId, base: Offset) {
        self.0.lock().insert(partition, base);
    }

    /// Waits until all of it is committed.
    pub(crate) async fn seen(&self, broker: &Broker, who: &Principal) {
        let mut missing = std::mem::take(&mut *self.0.lock());
        if missing.is_empty() {
            return;
        }
        // Who may not read is told so by what it asks.
        let Ok(mut watch) = broker.watch(who, missing.keys().copied().collect()) else {
            return;
        };
        let seen = async {
            while !missing.is_empty()
                && let Some(update) = watch.next().await
            {
                missing.retain(|partition, base| {
                    *partition != update.partition || *base >= update.high_watermark
                });
            }
        };
        let _ = tokio::time::timeout(PATIENCE, seen).await;
    }
}
