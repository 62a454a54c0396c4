//! Who waits, in order of arrival, by owner: those of an owner that has its share are passed over as one.

use super::{FrameId, Owner};
use std::collections::BTreeMap;

/// Waiting frames.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By owner, then by arrival.
    owners: BTreeMap<Owner, BTreeMap<u64, FrameId>>,
    /// By arrival alone.
    all: BTreeMap<u64, FrameId>,
    places: BTreeMap<FrameId, u64>,
    next: u64,
}

impl Queue {
    pub(super) fn push(&mut self, owner: Owner, id: FrameId) {
        let place = self.next;
        self.next += 1;
        self.owners.entry(owner).or_default().insert(place, id);
        self.all.insert(place, id);
        let before = self.places.insert(id, place);
        debug_assert!(before.is_none(), "bug: a frame waits once");
    }

    pub(super) fn remove(&mut self, owner: Owner, id: FrameId) {
        let Some(place) = self.places.remove(&id) else {
            return;
        };
        self.all.remove(&place);
        if let Some(of_owner) = self.owners.get_mut(&owner) {
            of_owner.remove(&place);
            if of_owner.is_empty() {
                self.owners.remove(&owner);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn oldest(&self) -> Option<FrameId> {
        self.all.values().next().copied()
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = Owner> {
        self.owners.keys().copied()
    }

    pub(super) fn of(&self, owner: Owner) -> impl Iterator<Item = FrameId> {
        self.owners
            .get(&owner)
            .into_iter()
            .flat_map(|of| of.values().copied())
    }
}
