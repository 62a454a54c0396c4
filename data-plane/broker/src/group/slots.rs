//! The slots of an internal group: records in as they commit, batches of records out to the log.
//!
//! ```text
//!   ask, expire ─► slot (its lock) ─► answers
//!                    │ appends wait in the slot
//!                    ▼
//!   Group::with (the group's lock) ─► Replica::append ─► committed ─► slot: apply, decided
//! ```
//! Whoever has the group's lock may take a slot's, never the other way round. What a slot wants appended is taken under the
//! group's lock, in the slot's order, so that two commands cannot overtake one another on their way into the log.
//!
//! A slot is made when it is first met: most of them have nothing, take no memory, no timer and no room in a snapshot.

mod appends;

use super::Group;
use super::slot::{AnySlot, NEVER, Slot, Slotted};
use bytes::Bytes;
use millstream_coordinator::{Ledger, Now, Record, Settings, open};
use millstream_model::slot::slot_tag;
use millstream_model::{PartitionId, SLOTS, SlotKind, TopicId};
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Notify, oneshot};

/// The slots of an internal group.
pub(crate) struct Slots {
    settings: Settings,
    known: RwLock<Known>,
    alarm: Alarm,
}

#[derive(Default)]
struct Known {
    /// Whether the slots lead; one that is made then leads at once.
    lead: bool,
    places: BTreeMap<PartitionId, Place>,
}

#[derive(Clone)]
struct Place {
    slot: Arc<dyn AnySlot>,
    /// The partition's, for its opening.
    base_epoch: i32,
}

/// What a slot's ledger is, as records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredSlot {
    pub(crate) kind: SlotKind,
    pub(crate) index: u32,
    pub(crate) records: Vec<Record>,
}

/// Until when the clock of a group's slots sleeps.
struct Alarm {
    at_ms: AtomicU64,
    earlier: Notify,
}

impl Alarm {
    /// Something is due then.
    fn wanted_at(&self, due_ms: u64) {
        if due_ms < self.at_ms.load(Ordering::SeqCst) {
            self.earlier.notify_one();
        }
    }
}

/// The kind of a partition, if this release knows it and there is such a slot.
fn kind_of(partition: PartitionId) -> Option<SlotKind> {
    let kind = slot_tag(partition.topic).and_then(SlotKind::of_tag)?;
    (partition.index.0 < SLOTS).then_some(kind)
}

impl Slots {
    /// None yet.
    pub(crate) fn new(settings: Settings) -> Slots {
        Slots {
            settings,
            known: RwLock::default(),
            alarm: Alarm {
                at_ms: AtomicU64::new(NEVER),
                earlier: Notify::new(),
            },
        }
    }

    /// What a snapshot has of a slot.
    pub(crate) fn restore(&self, now: Now, stored: &StoredSlot) {
        if let Some(slot) = self.slot(now, stored.kind.slot(stored.index)) {
            stored.records.iter().for_each(|record| slot.restore(record));
        }
    }

    /// All slots that have something, in order.
    pub(crate) fn stored(&self) -> Vec<StoredSlot> {
        let known = self.known.read();
        let stored = known.places.iter().filter_map(|(partition, place)| {
            Some(StoredSlot {
                kind: kind_of(*partition)?,
                index: partition.index.0,
                records: place.slot.records(),
            })
        });
        stored.filter(|stored| !stored.records.is_empty()).collect()
    }

    /// A batch of this partition was committed.
    pub(super) fn apply(&self, now: Now, partition: PartitionId, batch: &Bytes) {
        match self.slot(now, partition) {
            Some(slot) => slot.apply(batch),
            // A replica that has such records does not lead, and keeps its snapshot and its journal: nothing is lost.
            None => {
                tracing::debug!(%partition, "a batch of an internal topic that this release does not know")
            }
        }
    }

    pub(super) fn lead(&self, now: Now) {
        let mut known = self.known.write();
        known.lead = true;
        for place in known.places.values() {
            place.slot.lead(now);
            self.alarm.wanted_at(place.slot.due_ms());
        }
    }

    pub(super) fn resign(&self) {
        let mut known = self.known.write();
        known.lead = false;
        known.places.values().for_each(|place| place.slot.resign());
    }

    /// A slot that leads; none when its group does not.
    fn led(&self, now: Now, partition: PartitionId, base_epoch: i32) -> Option<Arc<dyn AnySlot>> {
        let known = self.known.read();
        if !known.lead {
            return None;
        }
        if let Some(place) = known.places.get(&partition)
            && place.base_epoch == base_epoch
        {
            return Some(Arc::clone(&place.slot));
        }
        drop(known);
        let slot = self.slot(now, partition)?;
        let mut known = self.known.write();
        known.places.get_mut(&partition)?.base_epoch = base_epoch;
        known.lead.then_some(slot)
    }

    /// The slot of a partition, made when it is first met; none when this release knows no such slots.
    fn slot(&self, now: Now, partition: PartitionId) -> Option<Arc<dyn AnySlot>> {
        if let Some(place) = self.known.read().places.get(&partition) {
            return Some(Arc::clone(&place.slot));
        }
        let kind = kind_of(partition)?;
        let mut known = self.known.write();
        let Known { lead, places } = &mut *known;
        let place = places.entry(partition).or_insert_with(|| {
            let slot = open(kind, &self.settings, Slotted);
            if *lead {
                slot.lead(now);
            }
            Place { slot, base_epoch: 0 }
        });
        Some(Arc::clone(&place.slot))
    }

    fn place(&self, partition: PartitionId) -> Option<Place> {
        self.known.read().places.get(&partition).cloned()
    }

    fn all(&self) -> Vec<(PartitionId, Arc<dyn AnySlot>)> {
        let known = self.known.read();
        let all = known.places.iter();
        all.map(|(partition, place)| (*partition, Arc::clone(&place.slot)))
            .collect()
    }

    /// When the first slot is due; from here on the alarm tells of an earlier one.
    pub(crate) fn set_alarm(&self) -> Option<u64> {
        // Whatever comes nearer while this looks is told of, for it is earlier than never.
        self.alarm.at_ms.store(NEVER, Ordering::SeqCst);
        let known = self.known.read();
        let due = known.places.values().map(|place| place.slot.due_ms()).min();
        let due = due.filter(|due| *due != NEVER);
        self.alarm.at_ms.store(due.unwrap_or(NEVER), Ordering::SeqCst);
        due
    }

    /// Waits until something is due earlier than [`Slots::set_alarm`] said.
    pub(crate) async fn earlier(&self) {
        self.alarm.earlier.notified().await;
    }
}

impl Group {
    /// Puts a command to a slot's ledger; the receiver gets its answer. None when the slot does not lead here.
    pub(crate) fn ask<L: Ledger>(
        self: &Arc<Group>,
        (partition, base_epoch): (PartitionId, i32),
        key: &L::Key,
        command: L::Command,
    ) -> Option<oneshot::Receiver<L::Answer>> {
        let slot = self
            .slots
            .as_ref()?
            .led(self.services.now(), partition, base_epoch)?;
        let receiver = Slot::<L>::of(slot.as_ref())?.ask(self.services.now(), key, command);
        self.settle(partition, slot.as_ref());
        Some(receiver)
    }

    /// Looks at what a slot's ledger knows; none when the slot does not lead here.
    pub(crate) fn look<L: Ledger, R>(
        &self,
        (partition, base_epoch): (PartitionId, i32),
        look: impl FnOnce(&L) -> R,
    ) -> Option<R> {
        let slots = self.slots.as_ref()?;
        let slot = slots.led(self.services.now(), partition, base_epoch)?;
        Some(Slot::<L>::of(slot.as_ref())?.look(look))
    }

    /// Lets the slots do what is due.
    pub(crate) fn expire_slots(self: &Arc<Group>) {
        let now = self.services.now();
        self.each_slot(|slot| {
            if slot.due_ms() <= now.ms {
                slot.expire(now);
            }
        });
    }

    /// Lets the slots forget topics that are gone.
    pub(crate) fn forget_topics(self: &Arc<Group>, topics: &BTreeSet<TopicId>) {
        let time = self.services.now().time;
        self.each_slot(|slot| slot.topics_deleted(topics, time));
    }

    fn each_slot(self: &Arc<Group>, act: impl Fn(&dyn AnySlot)) {
        for (partition, slot) in self.slots.iter().flat_map(Slots::all) {
            act(slot.as_ref());
            self.settle(partition, slot.as_ref());
        }
    }

    /// A slot has done something: its next deadline may be nearer, and what it wants appended goes to the log.
    fn settle(self: &Arc<Group>, partition: PartitionId, slot: &dyn AnySlot) {
        if let Some(slots) = &self.slots {
            slots.alarm.wanted_at(slot.due_ms());
        }
        if slot.has_appends() {
            self.with(|core| core.stirred.insert(partition));
        }
    }
}
