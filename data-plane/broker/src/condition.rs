//! What keeps a broker from serving whole: facts, of which others make words, codes and gauges.

mod look;

use crate::group::Services;
use millstream_model::GroupId;
use millstream_tier::{StoreFault, TierError};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How often those who are refused may have background work tried before its time, ms.
pub(crate) const WANTED_INTERVAL_MS: u64 = 1_000;

/// What is wrong with a broker; the default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// What is known of the journal's damage.
    pub journal_damage: Option<String>,
    /// The journal takes nothing of tenants' until older data has reached the store.
    pub is_journal_full: bool,
    /// The journal's disk had no room for a file that the settings allow.
    pub is_disk_full: bool,
    /// Why groups cannot flush to the store, if some cannot.
    pub store: Option<StoreTrouble>,
    /// Partitions of topics that nobody leads.
    pub unserved_partitions: u64,
    /// Partitions that were put aside, for their state is damaged.
    pub quarantined_partitions: u64,
    /// Objects in the store that a reader met and nobody can read.
    pub damaged_objects: usize,
}

/// The object store fails in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreTrouble {
    /// What is wrong with it, as far as its errors tell.
    pub fault: StoreFault,
    /// Groups whose last attempt failed.
    pub groups: usize,
    /// The error of one of them.
    pub error: String,
}

/// What is remembered between looks.
#[derive(Debug, Default)]
pub(crate) struct ConditionWatch {
    /// By group, the failure of its last round of background work.
    failures: Mutex<BTreeMap<GroupId, (StoreFault, String)>>,
    /// The bytes of the last batch that the journal had no room for: room that is too small for what producers send is
    /// none.
    refused_bytes: AtomicUsize,
    /// When those who are refused last had work tried; 0 for never.
    wanted_ms: AtomicU64,
}

impl ConditionWatch {
    /// A group's background work ended like this.
    pub(crate) fn worked(&self, group: GroupId, failure: Option<&TierError>) {
        let mut failures = self.failures.lock();
        match failure {
            None => drop(failures.remove(&group)),
            Some(error) => drop(failures.insert(group, (error.store_fault(), error.to_string()))),
        }
    }

    /// The journal had no room for a batch; whether it is time to try to make some.
    pub(crate) fn refused(&self, services: &Services, bytes: usize) -> bool {
        self.refused_bytes.store(bytes, Ordering::Relaxed);
        let now_ms = services.now_ms().max(1);
        let before = self.wanted_ms.load(Ordering::Relaxed);
        let is_time = before == 0 || now_ms.saturating_sub(before) >= WANTED_INTERVAL_MS;
        is_time
            && self
                .wanted_ms
                .compare_exchange(before, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn trouble(&self) -> Option<StoreTrouble> {
        let failures = self.failures.lock();
        let (fault, error) = failures.values().next()?.clone();
        Some(StoreTrouble {
            fault,
            groups: failures.len(),
            error,
        })
    }
}
