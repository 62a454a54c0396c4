//! One store of one task: committed values, and what changed since. Pure: no clock, no I/O.

use std::collections::{BTreeMap, HashMap, hash_map};
use std::ops::Bound;

/// A key of a store: the group's key columns, encoded, and the start of its window (0 where there are no windows).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey {
    /// The key columns' bytes.
    pub key: Box<[u8]>,
    /// The window's start, ms.
    pub window: i64,
}

/// Stored bytes that do not decode: the database is damaged, or written by another version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored {what} is damaged")]
pub struct Corrupt {
    /// What was being read.
    pub what: &'static str,
}

/// A value that a checkpoint can carry.
pub trait Stored: Clone {
    /// Appends its stored form.
    fn encode(&self, out: &mut Vec<u8>);

    /// About how many bytes it takes in memory.
    fn bytes(&self) -> usize;
}

/// Values by key in two layers: *hot* (committed) and *overlay* (changed since the last commit).
#[derive(Clone, Debug)]
pub struct Store<V> {
    hot: BTreeMap<StateKey, V>,
    /// Looked up for every row, walked once per commit: no order is needed.
    overlay: HashMap<StateKey, Option<V>>,
    /// Keys by window, so that expired windows are found without a scan; holds what overlay over hot holds.
    windows: BTreeMap<i64, Vec<Box<[u8]>>>,
    windowed: bool,
    /// About what keys and values in `hot` take.
    hot_bytes: usize,
    /// The same of `overlay`.
    overlay_bytes: usize,
    /// The same of `hot` once the overlay is folded into it.
    settled_bytes: usize,
    /// The same of `windows`.
    window_bytes: usize,
}

/// What a map keeps beside a key and its value: its share of a node, and of the room that is kept for more.
const ENTRY_BYTES: usize = 32;

/// Whether a key had a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It had one.
    Present,
    /// It had none.
    New,
}

/// Notes a key under its window; what that takes.
fn remember(windows: &mut BTreeMap<i64, Vec<Box<[u8]>>>, key: &StateKey) -> usize {
    windows.entry(key.window).or_default().push(key.key.clone());
    noted_bytes(&key.key)
}

fn noted_bytes(key: &[u8]) -> usize {
    size_of::<Box<[u8]>>() + key.len()
}

fn key_bytes(key: &StateKey) -> usize {
    size_of::<StateKey>() + key.key.len() + ENTRY_BYTES
}

impl<V: Stored> Store<V> {
    /// An empty store. Windowed ones can [`Store::expire`].
    pub fn new(windowed: bool) -> Self {
        Self {
            hot: BTreeMap::new(),
            overlay: HashMap::new(),
            windows: BTreeMap::new(),
            windowed,
            hot_bytes: 0,
            overlay_bytes: 0,
            settled_bytes: 0,
            window_bytes: 0,
        }
    }

    /// Puts a committed value, while the store is being loaded.
    pub fn load(&mut self, key: StateKey, value: V) {
        assert!(self.overlay.is_empty(), "bug: loading comes before running");
        self.remember(&key);
        self.set_hot(key, Some(value));
        self.settled_bytes = self.hot_bytes;
    }

    fn set_hot(&mut self, key: StateKey, value: Option<V>) {
        let key_bytes = key_bytes(&key);
        let added = value.as_ref().map_or(0, |value| key_bytes + value.bytes());
        let old = match value {
            Some(value) => self.hot.insert(key, value),
            None => self.hot.remove(&key),
        };
        let gone = old.map_or(0, |old| key_bytes + old.bytes());
        self.hot_bytes = self.hot_bytes + added - gone;
    }

    fn remember(&mut self, key: &StateKey) {
        if self.windowed {
            self.window_bytes += remember(&mut self.windows, key);
        }
    }

    fn set_overlay(&mut self, key: StateKey, value: Option<V>) {
        let key_bytes = key_bytes(&key);
        let settled = self.get(&key).map_or(0, |old| key_bytes + old.bytes());
        let will = value.as_ref().map_or(0, |value| key_bytes + value.bytes());
        self.settled_bytes = self.settled_bytes + will - settled;
        let added = value.as_ref().map_or(0, V::bytes);
        let gone = match self.overlay.insert(key, value) {
            Some(old) => old.as_ref().map_or(0, V::bytes),
            None => {
                self.overlay_bytes += key_bytes;
                0
            }
        };
        self.overlay_bytes = self.overlay_bytes + added - gone;
    }

    /// The value as the running task sees it.
    pub fn get(&self, key: &StateKey) -> Option<&V> {
        match self.overlay.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.hot.get(key),
        }
    }

    /// Sets the value as the running task sees it.
    pub fn put(&mut self, key: StateKey, value: V) {
        if self.windowed && self.get(&key).is_none() {
            self.remember(&key);
        }
        self.set_overlay(key, Some(value));
    }

    /// Changes the value as the running task sees it, in place, at one lookup. Where there is none, `change` gets
    /// one of `new`, and is told so. When it errs it must leave the value as it was.
    pub fn update<R, E>(
        &mut self,
        key: StateKey,
        new: impl FnOnce() -> V,
        change: impl FnOnce(&mut V, Presence) -> Result<R, E>,
    ) -> Result<R, E> {
        let hot = &self.hot;
        match self.overlay.entry(key) {
            hash_map::Entry::Occupied(mut at) => {
                if let Some(value) = at.get_mut() {
                    let before = value.bytes();
                    let changed = change(value, Presence::Present);
                    self.overlay_bytes = self.overlay_bytes + value.bytes() - before;
                    self.settled_bytes = self.settled_bytes + value.bytes() - before;
                    return changed;
                }
                let mut value = new();
                let changed = change(&mut value, Presence::New)?;
                if self.windowed {
                    self.window_bytes += remember(&mut self.windows, at.key());
                }
                self.overlay_bytes += value.bytes();
                self.settled_bytes += key_bytes(at.key()) + value.bytes();
                at.insert(Some(value));
                Ok(changed)
            }
            hash_map::Entry::Vacant(at) => {
                let (mut value, presence, settled) = match hot.get(at.key()) {
                    Some(value) => {
                        let settled = key_bytes(at.key()) + value.bytes();
                        (value.clone(), Presence::Present, settled)
                    }
                    None => (new(), Presence::New, 0),
                };
                let changed = change(&mut value, presence)?;
                if self.windowed && presence == Presence::New {
                    self.window_bytes += remember(&mut self.windows, at.key());
                }
                let will = key_bytes(at.key()) + value.bytes();
                self.overlay_bytes += will;
                self.settled_bytes = self.settled_bytes + will - settled;
                at.insert(Some(value));
                Ok(changed)
            }
        }
    }

    /// Removes the value as the running task sees it.
    pub fn remove(&mut self, key: &StateKey) {
        if self.hot.contains_key(key) {
            self.set_overlay(key.clone(), None);
        } else if let Some(old) = self.overlay.remove(key) {
            self.overlay_bytes -= key_bytes(key) + old.as_ref().map_or(0, V::bytes);
            self.settled_bytes -= old.as_ref().map_or(0, |old| key_bytes(key) + old.bytes());
        }
    }

    /// Removes every window that starts before `start`; returns how many values went.
    pub fn expire(&mut self, start: i64) -> usize {
        let mut gone = 0;
        while let Some(entry) = self.windows.first_entry() {
            if *entry.key() >= start {
                break;
            }
            let (window, keys) = entry.remove_entry();
            for key in keys {
                self.window_bytes -= noted_bytes(&key);
                let key = StateKey { key, window };
                gone += usize::from(self.get(&key).is_some());
                self.remove(&key);
            }
        }
        gone
    }

    /// What a checkpoint must write: absolute values, `None` for what went.
    pub fn changes(&self) -> hash_map::Iter<'_, StateKey, Option<V>> {
        self.overlay.iter()
    }

    /// The checkpoint is durable: what changed becomes committed.
    pub fn fold(&mut self) {
        self.overlay_bytes = 0;
        for (key, value) in std::mem::take(&mut self.overlay) {
            self.set_hot(key, value);
        }
        debug_assert_eq!(
            self.hot_bytes, self.settled_bytes,
            "bug: a change was not counted"
        );
    }

    /// The task failed: what changed since the last commit is forgotten.
    pub fn drop_overlay(&mut self) {
        self.overlay.clear();
        self.windows.clear();
        (self.overlay_bytes, self.window_bytes) = (0, 0);
        self.settled_bytes = self.hot_bytes;
        if self.windowed {
            for key in self.hot.keys() {
                self.window_bytes += remember(&mut self.windows, key);
            }
        }
    }

    /// Committed values of one key, windows from `from` to `to`, in window order.
    pub fn committed(&self, key: &[u8], from: Bound<i64>, to: Bound<i64>) -> Vec<(&StateKey, &V)> {
        let within = |window: i64| StateKey {
            key: key.into(),
            window,
        };
        let low = match from {
            Bound::Included(start) => Bound::Included(within(start)),
            Bound::Excluded(start) => Bound::Excluded(within(start)),
            Bound::Unbounded => Bound::Included(within(i64::MIN)),
        };
        let high = match to {
            Bound::Included(start) => Bound::Included(within(start)),
            Bound::Excluded(start) => Bound::Excluded(within(start)),
            Bound::Unbounded => Bound::Included(within(i64::MAX)),
        };
        if is_empty(&low, &high) {
            return Vec::new();
        }
        self.hot.range((low, high)).collect()
    }

    /// All committed values, by key, then window.
    pub fn committed_scan(&self) -> impl Iterator<Item = (&StateKey, &V)> {
        self.hot.iter()
    }

    /// How many values are committed.
    pub fn committed_len(&self) -> usize {
        self.hot.len()
    }

    /// About how many bytes of memory its values take once what has changed is committed: keys, values, and what holds
    /// them. A changed value counts once.
    pub fn settled_bytes(&self) -> usize {
        self.settled_bytes + self.window_bytes
    }

    /// About how many bytes what has changed takes until then, beside the committed values.
    pub fn overlay_bytes(&self) -> usize {
        self.overlay_bytes
    }
}

/// `BTreeMap::range` panics on ranges that end before they begin.
fn is_empty(low: &Bound<StateKey>, high: &Bound<StateKey>) -> bool {
    match (low, high) {
        (Bound::Included(a), Bound::Included(b)) => a > b,
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => a >= b,
        _ => false,
    }
}
