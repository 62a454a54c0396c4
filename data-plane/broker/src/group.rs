//! One replica group of this node: the replica behind a lock, its writes on their way to the journal, and what its
//! outputs set off.
//!
//! Everything that changes a group goes through [`Group::with`]: take the lock, change, hand the writes to the journal
//! in order, release the lock, then wake and answer. The journal's completions come back the same way.

mod core;
mod lost;
mod slot;
mod slots;
mod writes;

pub(crate) use self::core::{Core, Ticket};
pub(crate) use slots::{Slots, StoredSlot};

use crate::damage::DamagedObjects;
use crate::metrics::Metrics;
use millstream_journal::{Reader, RealDisk, SlowDisk, Writer};
use millstream_metadata::Commands;
use millstream_model::{GroupId, JournalId, NodeId, Registration, TimestampMs};
use millstream_tier::Tier;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio::sync::Notify;

/// The journal's disk.
pub(crate) type Disk = SlowDisk<RealDisk>;

/// What every group works with.
pub(crate) struct Services {
    pub(crate) writer: Writer,
    pub(crate) reader: Reader<Disk>,
    pub(crate) tier: Tier,
    pub(crate) commands: Arc<dyn Commands>,
    pub(crate) metrics: Metrics,
    pub(crate) damaged: DamagedObjects,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) node: NodeId,
    pub(crate) journal: JournalId,
    /// The number of this start, once the controller has given it and the journal has it.
    pub(crate) registration: OnceLock<Registration>,
    pub(crate) started: Instant,
    /// Produced bytes that the journal has not made durable yet.
    pub(crate) in_flight: AtomicUsize,
    pub(crate) stopping: AtomicBool,
    /// The number of the journal's last commit that was counted.
    pub(crate) counted_commit: AtomicU64,
    /// Until when the store is taken for one that does not answer, milliseconds since the start.
    pub(crate) store_fails_until: AtomicU64,
}

/// For how long a store that failed is not asked for what the journal has, milliseconds: as long as a call of the store may
/// take to fail, so that readers do not wait for it again and again.
const STORE_REST_MS: u64 = 10_000;

impl Services {
    /// Milliseconds since the start, monotonic.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The store has just failed a read.
    pub(crate) fn store_failed(&self) {
        let until = self.now_ms().saturating_add(STORE_REST_MS);
        self.store_fails_until.fetch_max(until, Ordering::Relaxed);
    }

    /// Whether the store has failed a read a moment ago.
    pub(crate) fn store_fails(&self) -> bool {
        self.now_ms() < self.store_fails_until.load(Ordering::Relaxed)
    }

    /// The ledgers' clocks.
    pub(crate) fn now(&self) -> millstream_coordinator::Now {
        millstream_coordinator::Now {
            ms: self.now_ms(),
            time: TimestampMs::now(),
        }
    }

    /// Counts the journal's commits up to this one: their numbers have no gaps.
    pub(crate) fn count_commits(&self, up_to: u64) {
        let before = self.counted_commit.fetch_max(up_to, Ordering::Relaxed);
        if up_to > before {
            let fresh = if before == 0 { 1 } else { up_to - before };
            self.metrics.journal_commits.inc_by(fresh);
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// One replica group of this node.
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) services: Arc<Services>,
    core: Mutex<Core>,
    /// Asks for a flush.
    pub(crate) flush_wanted: Notify,
    /// Asks for another try, for somebody was refused while work rested after a failure.
    pub(crate) room_wanted: Notify,
    /// Says that the round of background work that waited for commits goes on.
    pub(crate) work_waits: Notify,
    /// In a group of internal topics.
    pub(crate) slots: Option<Slots>,
}

impl Group {
    pub(crate) fn new(id: GroupId, services: Arc<Services>, core: Core, slots: Option<Slots>) -> Arc<Group> {
        Arc::new(Group {
            id,
            services,
            core: Mutex::new(core),
            flush_wanted: Notify::new(),
            room_wanted: Notify::new(),
            work_waits: Notify::new(),
            slots,
        })
    }

    /// Changes or reads the group; what follows from it happens before this returns.
    pub(crate) fn with<R>(self: &Arc<Group>, act: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = self.core.lock();
        let result = act(&mut core);
        let effects = core.carry_out(self);
        drop(core);
        effects.run();
        result
    }

    /// Only reads the group.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Core) -> R) -> R {
        look(&self.core.lock())
    }
}
