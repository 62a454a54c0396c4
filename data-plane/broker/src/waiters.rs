//! Who waits for a partition to change: one-shot, so that a change costs nothing when nobody waits.

use millstream_model::PartitionId;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// Waiters by partition. A waiter registers under the same lock under which it looked, so no change is missed.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    by_partition: HashMap<PartitionId, Vec<Weak<Notify>>>,
}

impl Waiters {
    /// Wakes `waiter` at the partition's next change, unless it is dropped before.
    pub(crate) fn register(&mut self, partition: PartitionId, waiter: &Arc<Notify>) {
        let waiters = self.by_partition.entry(partition).or_default();
        let same = Arc::as_ptr(waiter);
        waiters.retain(|other| other.strong_count() > 0 && other.as_ptr() != same);
        waiters.push(Arc::downgrade(waiter));
    }

    /// Takes those who wait for the partition, to be woken once the lock is released.
    pub(crate) fn take(&mut self, partition: &PartitionId, woken: &mut Vec<Arc<Notify>>) {
        if let Some(waiters) = self.by_partition.remove(partition) {
            woken.extend(waiters.iter().filter_map(Weak::upgrade));
        }
    }

    /// Takes everyone: the leadership changed, or the broker stops.
    pub(crate) fn take_all(&mut self, woken: &mut Vec<Arc<Notify>>) {
        for (_, waiters) in self.by_partition.drain() {
            woken.extend(waiters.iter().filter_map(Weak::upgrade));
        }
    }
}
