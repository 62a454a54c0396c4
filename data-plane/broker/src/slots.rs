//! Finding the slot of a key, and what keeps the slots of an internal group going.

use crate::group::Group;
use crate::interface::slot_of;
use crate::shell::Shell;
use millstream_coordinator::{Ledger, LedgerKey};
use millstream_model::{PartitionId, TopicId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

impl Shell {
    /// Asks the ledger of the key's slot, and waits for its answer. Nothing when the slot does not lead here, or the broker
    /// stops.
    pub(crate) async fn ask<L: Ledger>(&self, key: &L::Key, command: L::Command) -> Option<L::Answer> {
        let partition = slot_of(L::KIND, key.tenant(), &key.name());
        let (group, base_epoch) = self.slot_group(partition)?;
        let answer = group.ask::<L>((partition, base_epoch), key, command)?;
        tokio::select! {
            answer = answer => answer.ok(),
            () = self.stopping.cancelled() => None,
        }
    }

    /// Looks at what the ledger of the key's slot knows; nothing when the slot does not lead here.
    pub(crate) fn look_into<L: Ledger, R>(&self, key: &L::Key, look: impl FnOnce(&L) -> R) -> Option<R> {
        self.look_into_slot(slot_of(L::KIND, key.tenant(), &key.name()), look)
    }

    /// The same of a slot.
    pub(crate) fn look_into_slot<L: Ledger, R>(
        &self,
        partition: PartitionId,
        look: impl FnOnce(&L) -> R,
    ) -> Option<R> {
        let (group, base_epoch) = self.slot_group(partition)?;
        group.look((partition, base_epoch), look)
    }

    /// The group of this node that has the slot, and the base of the slot's epochs.
    fn slot_group(&self, partition: PartitionId) -> Option<(Arc<Group>, i32)> {
        let image = self.image.image();
        let (_, row) = image.partition(partition)?;
        Some((self.group(row.group)?, row.base_epoch))
    }

    /// Lets the slots of this node forget what they keep about topics that are gone.
    pub(crate) fn forget_topics(&self, topics: &BTreeSet<TopicId>) {
        self.all_groups()
            .iter()
            .for_each(|group| group.forget_topics(topics));
    }

    /// Lets the slots of a group do what is due, when it is due, until the broker stops.
    pub(crate) async fn drive_slots(self: Arc<Shell>, group: Arc<Group>) {
        let Some(slots) = &group.slots else { return };
        loop {
            let due = slots.set_alarm();
            let now = self.services.now_ms();
            let due = async {
                match due {
                    Some(at) => tokio::time::sleep(Duration::from_millis(at.saturating_sub(now))).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => group.expire_slots(),
                () = slots.earlier() => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }
}
