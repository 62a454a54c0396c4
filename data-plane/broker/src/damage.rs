//! Objects that are not what was written, or not there: known from the read that met them until one succeeds, so that
//! readiness and metrics tell of them, and read again now and then, for nobody else may.

mod recheck;

use crate::reading::FailedRead;
use millstream_model::limits::DAMAGED_OBJECTS_MAX;
use millstream_model::segment::{ObjectRef, SegmentRef};
use millstream_model::{GroupId, Offset, PartitionId};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where a reader met the damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) group: GroupId,
    pub(crate) partition: PartitionId,
    pub(crate) segment: SegmentRef,
    /// The offset that could not be read.
    pub(crate) offset: Offset,
}

/// The damaged objects that are known.
#[derive(Debug)]
pub(crate) struct DamagedObjects {
    known: Mutex<BTreeMap<ObjectRef, Damage>>,
    /// How many are known: what a read that succeeds looks at.
    count: AtomicUsize,
    gauge: Gauge,
    reads: Counter,
}

impl DamagedObjects {
    pub(crate) fn new(gauge: Gauge, reads: Counter) -> DamagedObjects {
        DamagedObjects {
            known: Mutex::default(),
            count: AtomicUsize::new(0),
            gauge,
            reads,
        }
    }

    /// How many are known.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// A read has failed for good.
    pub(crate) fn met(&self, damage: Damage, error: &FailedRead) {
        self.reads.inc();
        let mut known = self.known.lock();
        if known.contains_key(&damage.segment.object) || known.len() >= DAMAGED_OBJECTS_MAX {
            return;
        }
        let Damage {
            partition, offset, ..
        } = damage;
        tracing::error!(
            %partition, %offset, %error,
            "records are damaged or missing in the object store: their readers are told so until a good copy of the object is \
             there (from a backup, or an older version of it in the bucket); millstream store check tells all that is amiss"
        );
        known.insert(damage.segment.object, damage);
        self.counted(&known);
    }

    /// A read of the segment has succeeded from `from` to before `end`.
    pub(crate) fn read(&self, segment: &SegmentRef, from: Offset, end: Offset) {
        if self.count() == 0 {
            return;
        }
        let mut known = self.known.lock();
        let healed = known.get(&segment.object).is_some_and(|damage| {
            damage.segment.position == segment.position && (from..end).contains(&damage.offset)
        });
        if healed {
            known.remove(&segment.object);
            tracing::info!(object = ?segment.object, "an object that was damaged is read again");
            self.counted(&known);
        }
    }

    /// Nobody will read the object any more.
    fn forget(&self, object: &ObjectRef) {
        let mut known = self.known.lock();
        known.remove(object);
        self.counted(&known);
    }

    fn all(&self) -> Vec<Damage> {
        self.known.lock().values().copied().collect()
    }

    fn counted(&self, known: &BTreeMap<ObjectRef, Damage>) {
        self.count.store(known.len(), Ordering::Relaxed);
        self.gauge.set(i64::try_from(known.len()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests;
