//! Ids for idempotent producers: random ones from blocks that the controller reserves (log.md 29).

use millstream_metadata::{Actor, AllocateProducerIds, Commands};
use millstream_model::{NodeId, ProducerId};
use rand::seq::SliceRandom;
use tokio::sync::Mutex;

/// Ids that this node may give out, in random order, so that they tell nothing.
#[derive(Default)]
pub(crate) struct ProducerIds {
    free: Mutex<Vec<i64>>,
}

impl ProducerIds {
    /// An id that nobody has had; `None` when no block can be had.
    pub(crate) async fn next(&self, commands: &dyn Commands, node: NodeId) -> Option<ProducerId> {
        let mut free = self.free.lock().await;
        if free.is_empty() {
            let answer = commands.submit(Actor::Node(node), AllocateProducerIds).await;
            match answer.map(|committed| committed.reply) {
                Ok(block) => {
                    let first = block.first.0;
                    free.extend(first..first.saturating_add(i64::from(block.count)));
                    free.shuffle(&mut rand::rng());
                }
                Err(refusal) => tracing::warn!(%refusal, "no producer ids"),
            }
        }
        free.pop().map(ProducerId)
    }
}
