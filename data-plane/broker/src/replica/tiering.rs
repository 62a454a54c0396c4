//! What a group's background work does next: hot data to the store, snapshots, journal space given back. Without store,
//! disk or clock: [`Replica::next_work`] says what to do, [`Replica::worked`] takes what became of it.
//!
//! ```text
//!   Upload ─► commit "tiered up to" ─┐        Save ─► Store ─► Report ─► Release below what reported snapshots
//!     ▲                              ▼         ▲                         know as tiered
//!     └────── while more is due ─────┴── then ─┘
//! ```
//! A restart knows no more than the snapshot it begins with: what that one still has as hot must be in the journal, even
//! when it is in the store by now. So a flush frees nothing by itself; the snapshot that follows it does.
//! While the store is down everything goes on but the release: the journal fills, and says so to producers.

use super::append::Who;
use super::{Appended, Lost, Output, Replica, Snapshots};
use millstream_metadata::SnapshotRef;
use millstream_model::segment::{ObjectOwner, ObjectRef, SegmentRef};
use millstream_model::{Epoch, KeyId, Lsn, PartitionId, TenantId, TimestampMs};
use millstream_partition::{Change, FlushPlan, FlushSettings, plan_flush};
use millstream_replication::Input;

/// When background work is due.
#[derive(Clone, Copy, Debug)]
pub struct TieringSettings {
    /// What a flush moves, and when.
    pub flush: FlushSettings,
    /// A snapshot is taken after this many bytes of log.
    pub snapshot_bytes: u64,
    /// … or this many entries.
    pub snapshot_entries: u64,
    /// … or this long after the last one, when anything has changed.
    pub snapshot_interval_ms: u64,
}

/// Bugs put in on purpose, for the simulator only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    /// The catalog is told of a snapshot before the store has it.
    pub reported_before_stored: bool,
    /// A report counts also when nobody says that the catalog has taken it.
    pub released_before_reported: bool,
}

/// What the shell knows and this does not.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Monotonic.
    pub now_ms: u64,
    /// The wall clock.
    pub time: TimestampMs,
    /// The journal fills, and this group is what holds its oldest file.
    pub pressed: bool,
    /// Whether anything may be moved to the store now.
    pub may_flush: bool,
}

/// One thing to do. What became of it goes to [`Replica::worked`].
#[derive(Debug)]
pub enum Work {
    /// Gather what the plan names into an object and put it into the store: [`Done::Uploaded`].
    Upload {
        /// What.
        plan: FlushPlan,
        /// Its name.
        object: ObjectRef,
    },
    /// Encode the state as it is at this moment and keep it on this disk: [`Done::Saved`].
    Save(Taken),
    /// Put the bytes of the snapshot that was saved last into the store: [`Done::Stored`].
    Store {
        /// Its name.
        object: ObjectRef,
    },
    /// Tell the catalog: [`Done::Reported`].
    Report {
        /// The epoch in which it was taken.
        epoch: Epoch,
        /// The snapshot.
        snapshot: SnapshotRef,
    },
    /// Give the journal's space up to here back: [`Done::Released`].
    Release {
        /// The last entry that nobody needs.
        up_to: Lsn,
    },
}

/// What became of a [`Work`].
#[derive(Debug)]
pub enum Done {
    /// The object is in the store, with these segments; none when nothing was left of the plan.
    Uploaded(Vec<(PartitionId, SegmentRef)>),
    /// The snapshot was encoded.
    Saved {
        /// Whether it is on this disk.
        is_kept: bool,
        /// Its bytes.
        length: u64,
        /// Their checksum.
        checksum: u32,
    },
    /// The snapshot is in the store.
    Stored,
    /// The catalog names it.
    Reported,
    /// The journal has taken the release.
    Released,
    /// It failed; it is tried again in another round.
    Failed,
}

/// A snapshot, as it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The last entry that it contains.
    pub lsn: Lsn,
    /// That entry's epoch.
    pub lsn_epoch: Epoch,
    /// The epoch in which it was taken.
    pub epoch: Epoch,
    /// Whether the replica led then: only a leader's goes to the store.
    pub leads: bool,
}

/// What a restart would have to replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unsaved {
    /// Bytes of batches.
    bytes: u64,
    /// Entries.
    entries: u64,
}

/// Where a round is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    FlushDue,
    Uploading {
        epoch: Epoch,
    },
    /// The segments are on their way into the log.
    Moving {
        left: usize,
        moved: bool,
        lost: bool,
    },
    SnapshotDue,
    Saving(Taken),
    StoreDue(Taken, SnapshotRef),
    Storing(Taken, SnapshotRef),
    ReportDue(Taken, SnapshotRef),
    Reporting(Taken, SnapshotRef),
    ReleaseDue,
    Releasing {
        up_to: Lsn,
    },
}

/// A group's background work.
#[derive(Debug)]
pub(super) struct Tiering {
    settings: TieringSettings,
    planted: Planted,
    phase: Phase,
    /// When the last snapshot was taken.
    saved_at_ms: u64,
    /// Those that this process took.
    snapshots: Snapshots,
    /// The last snapshot that the catalog names.
    reported: Lsn,
    /// What was last released.
    released: Lsn,
    /// Something was flushed since the last snapshot.
    flushed: bool,
    /// The flush of this round failed.
    flush_failed: bool,
    /// A snapshot that is not in the store yet, and should be.
    unreported: bool,
    /// Objects that this process has named for the group. They are counted through all its epochs: work that an election
    /// overtakes still names its object with the epoch before, and must not meet a name that has been used.
    objects: u64,
    /// Bytes applied since the last flush was considered.
    fresh_bytes: u64,
    /// Applied since the last snapshot.
    unsaved: Unsaved,
}

impl Tiering {
    pub(super) fn new(settings: TieringSettings, planted: Planted) -> Tiering {
        Tiering {
            settings,
            planted,
            phase: Phase::Idle,
            saved_at_ms: 0,
            snapshots: Snapshots::default(),
            reported: Lsn::ZERO,
            released: Lsn::ZERO,
            flushed: false,
            flush_failed: false,
            unreported: false,
            objects: 0,
            fresh_bytes: 0,
            unsaved: Unsaved::default(),
        }
    }

    /// An entry was applied, with a batch of so many bytes; says whether enough has come for a flush.
    pub(super) fn applied(&mut self, batch_bytes: u64) -> bool {
        self.unsaved.entries += 1;
        self.unsaved.bytes += batch_bytes;
        self.fresh_bytes += batch_bytes;
        batch_bytes > 0 && self.fresh_bytes >= self.settings.flush.bytes
    }

    fn snapshot_is_due(&self, facts: &Facts) -> bool {
        let (settings, unsaved) = (&self.settings, &self.unsaved);
        let old = facts.now_ms.saturating_sub(self.saved_at_ms) >= settings.snapshot_interval_ms;
        unsaved.bytes >= settings.snapshot_bytes
            || unsaved.entries >= settings.snapshot_entries
            || unsaved.entries > 0 && (facts.pressed || self.flushed || old)
            || self.unreported
    }

    /// A segment's entry was decided; says whether all of them are.
    pub(super) fn moved(&mut self, answer: Result<Appended, Lost>) -> bool {
        let Phase::Moving { left, moved, lost } = &mut self.phase else {
            return false;
        };
        assert!(*left > 0, "bug: more segments are decided than were proposed");
        *left -= 1;
        match answer {
            Ok(_) => *moved = true,
            // What belongs to a partition that is put aside is of no use, and no failure.
            Err(Lost::Quarantined) => {}
            Err(Lost::Undecided) => *lost = true,
        }
        *left == 0
    }
}

impl<T> Replica<T> {
    /// Begins a round, unless one is under way.
    pub fn begin_round(&mut self) {
        if self.tiering.phase == Phase::Idle {
            self.tiering.phase = Phase::FlushDue;
            self.tiering.flush_failed = false;
        }
    }

    /// Whether no round is under way.
    pub fn is_at_rest(&self) -> bool {
        self.tiering.phase == Phase::Idle
    }

    /// The catalog names a snapshot of this group. Nothing is left to report of what this process took, should that be it or
    /// older: the answer to its report may have been lost, and the catalog takes no snapshot twice.
    pub fn snapshot_named(&mut self, lsn: Lsn) {
        self.tiering.reported = self.tiering.reported.max(lsn);
        if lsn >= self.tiering.snapshots.newest() {
            self.tiering.unreported = false;
        }
    }

    /// A snapshot is taken at this moment: the shell encodes the state before anything else happens.
    fn take_snapshot(&mut self, now_ms: u64) -> Taken {
        let taken = Taken {
            lsn: self.state.applied(),
            lsn_epoch: self.state.applied_epoch(),
            epoch: self.machine.epoch(),
            leads: self.leads(),
        };
        let tiering = &mut self.tiering;
        tiering.snapshots.took(&self.state);
        tiering.unsaved = Unsaved::default();
        tiering.saved_at_ms = now_ms;
        tiering.flushed = false;
        tiering.unreported = taken.leads;
        taken
    }

    /// The last snapshot before this process ends; nothing when it would have nothing new, or must not be.
    pub fn take_last_snapshot(&mut self, now_ms: u64) -> Option<Taken> {
        let is_due = self.tiering.unsaved.entries > 0 && self.unknown.is_none();
        is_due.then(|| self.take_snapshot(now_ms))
    }

    /// What to do next in the round; nothing while something is under way, or when the round has ended.
    pub fn next_work(&mut self, facts: &Facts) -> Option<Work> {
        loop {
            let (next, work) = match self.tiering.phase {
                Phase::FlushDue => self.plan_flush(facts),
                Phase::Moving { left: 0, moved, lost } => (self.after_moving(moved, lost), None),
                Phase::SnapshotDue if self.unknown.is_none() && self.tiering.snapshot_is_due(facts) => {
                    let taken = self.take_snapshot(facts.now_ms);
                    (Phase::Saving(taken), Some(Work::Save(taken)))
                }
                Phase::SnapshotDue => (self.after_snapshot(), None),
                Phase::StoreDue(taken, snapshot) => {
                    let object = snapshot.object;
                    (Phase::Storing(taken, snapshot), Some(Work::Store { object }))
                }
                Phase::ReportDue(taken, snapshot) => {
                    let epoch = taken.epoch;
                    (
                        Phase::Reporting(taken, snapshot),
                        Some(Work::Report { epoch, snapshot }),
                    )
                }
                Phase::ReleaseDue => self.plan_release(),
                Phase::Idle
                | Phase::Uploading { .. }
                | Phase::Moving { .. }
                | Phase::Saving(_)
                | Phase::Storing(..)
                | Phase::Reporting(..)
                | Phase::Releasing { .. } => return None,
            };
            self.tiering.phase = next;
            if work.is_some() {
                return work;
            }
        }
    }

    fn plan_flush(&mut self, facts: &Facts) -> (Phase, Option<Work>) {
        self.tiering.fresh_bytes = 0;
        let settings = self.tiering.settings.flush;
        let plan = (facts.may_flush && self.leads())
            .then(|| plan_flush(&self.state, facts.time, settings, facts.pressed))
            .flatten();
        match plan {
            None => (Phase::SnapshotDue, None),
            Some(plan) => {
                let object = self.next_object();
                let epoch = object.epoch;
                (Phase::Uploading { epoch }, Some(Work::Upload { plan, object }))
            }
        }
    }

    fn after_moving(&mut self, moved: bool, lost: bool) -> Phase {
        self.tiering.flushed |= moved;
        self.tiering.flush_failed |= lost;
        // The same plan again and again would fill the store with objects that nobody names.
        match moved && !lost {
            true => Phase::FlushDue,
            false => Phase::SnapshotDue,
        }
    }

    /// A flush that failed is no reason to keep the snapshot waiting, above all when the store is down: it keeps a restart
    /// short. It is a reason to end the round.
    fn after_snapshot(&self) -> Phase {
        match self.tiering.flush_failed {
            true => Phase::Idle,
            false => Phase::ReleaseDue,
        }
    }

    fn plan_release(&mut self) -> (Phase, Option<Work>) {
        let reported = self.tiering.reported;
        let mut up_to = self.tiering.snapshots.releasable(reported);
        if self.planted.release_by_live_state {
            up_to = self.state.tiered_lsn().min(reported);
        }
        match up_to > self.tiering.released {
            true => (Phase::Releasing { up_to }, Some(Work::Release { up_to })),
            false => (Phase::Idle, None),
        }
    }

    /// A name that this process has not used.
    fn next_object(&mut self) -> ObjectRef {
        let number = self.tiering.objects;
        self.tiering.objects += 1;
        ObjectRef {
            owner: ObjectOwner::Shared(self.group()),
            group: self.group(),
            epoch: self.machine.epoch(),
            number,
        }
    }

    /// What became of the last [`Work`].
    pub fn worked(&mut self, now_ms: u64, time: TimestampMs, done: Done, out: &mut Vec<Output<T>>) {
        self.tiering.phase = match (self.tiering.phase, done) {
            (Phase::Uploading { epoch }, Done::Uploaded(segments)) => {
                return self.uploaded(now_ms, time, epoch, &segments, out);
            }
            (Phase::Uploading { .. }, Done::Failed) => {
                self.tiering.flush_failed = true;
                Phase::SnapshotDue
            }
            (
                Phase::Saving(taken),
                Done::Saved {
                    is_kept,
                    length,
                    checksum,
                },
            ) => match (taken.leads, is_kept) {
                // The disk may be full because nothing is released, which waits for the store's copy: that one counts.
                (true, _) => {
                    let snapshot = SnapshotRef {
                        lsn: taken.lsn,
                        epoch: taken.lsn_epoch,
                        object: self.next_object(),
                        length,
                        checksum,
                    };
                    match self.tiering.planted.reported_before_stored {
                        true => Phase::ReportDue(taken, snapshot),
                        false => Phase::StoreDue(taken, snapshot),
                    }
                }
                (false, true) => self.after_snapshot(),
                (false, false) => Phase::Idle,
            },
            (Phase::Storing(..), Done::Stored) if self.tiering.planted.reported_before_stored => {
                self.after_snapshot()
            }
            (Phase::Storing(taken, snapshot), Done::Stored) => Phase::ReportDue(taken, snapshot),
            (Phase::Reporting(taken, snapshot), Done::Reported) => {
                self.snapshot_named(snapshot.lsn);
                self.tiering.unreported = false;
                match self.tiering.planted.reported_before_stored {
                    true => Phase::StoreDue(taken, snapshot),
                    false => self.after_snapshot(),
                }
            }
            (Phase::Releasing { up_to }, Done::Released) => {
                self.tiering.released = up_to;
                self.tiering.phase = Phase::Idle;
                return self.step(now_ms, Input::Released { up_to }, out);
            }
            (Phase::Reporting(_, snapshot), Done::Failed)
                if self.tiering.planted.released_before_reported =>
            {
                self.snapshot_named(snapshot.lsn);
                self.after_snapshot()
            }
            (Phase::Storing(..) | Phase::Reporting(..) | Phase::Releasing { .. }, Done::Failed) => {
                Phase::Idle
            }
            (phase, done) => unreachable!("bug: {done:?} is no answer to {phase:?}"),
        };
    }

    /// The object is in the store: its segments go into the log, if this replica still leads the epoch that names it.
    fn uploaded(
        &mut self,
        now_ms: u64,
        time: TimestampMs,
        epoch: Epoch,
        segments: &[(PartitionId, SegmentRef)],
        out: &mut Vec<Output<T>>,
    ) {
        if segments.is_empty() {
            self.tiering.phase = Phase::SnapshotDue;
            return;
        }
        self.tiering.phase = Phase::Moving {
            left: segments.len(),
            moved: false,
            lost: false,
        };
        for (partition, segment) in segments {
            let tenant = self
                .state
                .partition(partition)
                .map_or(TenantId::SYSTEM, |state| state.tenant());
            let change = Change::Tiered(vec![*segment]);
            let leads = self.leads() && self.machine.epoch() == epoch;
            let by = (tenant, KeyId::NONE);
            let taken = leads
                && self
                    .order_change(now_ms, *partition, by, change, time, Who::Tiering, out)
                    .is_ok();
            if !taken {
                self.tiering.moved(Err(Lost::Undecided));
            }
        }
    }
}
