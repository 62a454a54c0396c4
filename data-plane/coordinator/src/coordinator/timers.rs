//! Deadlines in order.

use crate::command::GroupKey;
use std::collections::{BTreeMap, BTreeSet};

/// What a deadline is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A member's session may be over.
    Session(GroupKey, String),
    /// A member that got an id has not come back with it.
    Pending(GroupKey, String),
    /// The join phase has lasted long enough.
    Join(GroupKey),
    /// The sync phase has lasted long enough.
    Sync(GroupKey),
    /// Offsets may have grown too old.
    Retention,
}

/// At most one deadline for each thing.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<Timer, u64>,
    order: BTreeSet<(u64, Timer)>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at_ms: u64) {
        if let Some(before) = self.due.insert(timer.clone(), at_ms) {
            self.order.remove(&(before, timer.clone()));
        }
        self.order.insert((at_ms, timer));
    }

    pub(super) fn is_set(&self, timer: &Timer) -> bool {
        self.due.contains_key(timer)
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(at_ms) = self.due.remove(timer) {
            self.order.remove(&(at_ms, timer.clone()));
        }
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.order.first().map(|(at_ms, _)| *at_ms)
    }

    /// Takes the earliest that is due.
    pub(super) fn pop(&mut self, now_ms: u64) -> Option<Timer> {
        if self.next()? > now_ms {
            return None;
        }
        let (_, timer) = self.order.pop_first()?;
        self.due.remove(&timer);
        Some(timer)
    }
}
