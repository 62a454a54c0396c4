//! Each group's background work: hot data to the object store, snapshots, and giving journal space back.
//!
//! ```text
//!   plan ─► read hot batches ─► upload ─► commit "tiered up to"
//!                                                 │
//!                                                 ▼
//!   state ─► local copy ─► upload ─► report to the catalog ─► release below what these snapshots know as tiered
//! ```
//! A restart knows no more than the snapshot it begins with: what that one still has as hot must be in the journal, even
//! when it is in the store by now. So a flush frees nothing by itself; the snapshot that follows it does.
//! While the store is down everything goes on but the release: the journal fills, and says so to producers.

use crate::condition::WANTED_INTERVAL_MS;
use crate::group::{Group, Unsaved};
use crate::read::{PLANS_MAX, plan};
use crate::reading::{FailedRead, Plan, push_all};
use crate::replica::{Lost, Snapshots};
use crate::shell::Shell;
use crate::snapshot;
use bytes::Bytes;
use millstream_journal::{Level, SubmitError};
use millstream_kafka_wire::batch::BatchError;
use millstream_metadata::{Actor, Refusal, ReportSnapshot, SnapshotRef};
use millstream_model::segment::{ObjectOwner, ObjectRef};
use millstream_model::{Epoch, KeyId, Lsn, PartitionId, TenantId, TimestampMs};
use millstream_partition::{Change, FlushPlan, FlushRun, plan_flush};
use millstream_replication::Input;
use millstream_tier::{FlushBuilder, TierError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes read at a time when gathering an object.
const GATHER_BYTES: usize = 8 * 1024 * 1024;

/// For how long even those who wait for room let it rest.
const WANTED_AFTER: Duration = Duration::from_millis(WANTED_INTERVAL_MS);

/// Background work that failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackgroundError {
    #[error("{0}")]
    Read(#[from] FailedRead),
    #[error("{0}")]
    Store(#[from] TierError),
    #[error("a committed batch cannot be read: {0}")]
    Batch(#[from] BatchError),
    #[error("{0}")]
    Lost(#[from] Lost),
    #[error("the local copy: {0}")]
    Local(#[from] std::io::Error),
    #[error("the catalog: {0}")]
    Catalog(#[from] Refusal),
    #[error("the journal: {0}")]
    Journal(#[from] SubmitError),
    #[error("the leadership ended")]
    NotLeader,
}

impl BackgroundError {
    /// The store's part in it.
    fn of_store(&self) -> Option<&TierError> {
        match self {
            BackgroundError::Store(error) | BackgroundError::Read(FailedRead::Store(error)) => Some(error),
            _ => None,
        }
    }
}

/// What a group's background work remembers between rounds.
struct Round {
    group: Arc<Group>,
    /// When the last snapshot was taken.
    saved_at: Instant,
    /// Those that this process took.
    snapshots: Snapshots,
    /// The last snapshot that the catalog names.
    reported: Lsn,
    /// What was last released.
    released: Lsn,
    /// Something was flushed since the last snapshot.
    flushed: bool,
    /// A snapshot that is on disk and not in the store yet.
    unreported: bool,
    backoff: Duration,
    not_before: Instant,
    /// When it was tried last.
    tried_at: Instant,
}

impl Shell {
    /// Runs a group's background work until the broker stops.
    pub(crate) async fn keep(self: Arc<Shell>, group: Arc<Group>, reported: Lsn) {
        let now = Instant::now();
        let mut round = Round {
            group,
            saved_at: now,
            snapshots: Snapshots::default(),
            reported,
            released: Lsn::ZERO,
            flushed: false,
            unreported: false,
            backoff: self.settings.backoff.0,
            not_before: now,
            tried_at: now,
        };
        loop {
            let next = (Instant::now() + self.settings.flush_interval).max(round.not_before);
            let group = Arc::clone(&round.group);
            // Whoever waits for room triggers the try, however long the store is to be left alone otherwise.
            let soonest = round.tried_at + WANTED_AFTER;
            let wanted = async {
                group.room_wanted.notified().await;
                tokio::time::sleep_until(soonest).await;
            };
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = group.flush_wanted.notified(), if Instant::now() >= round.not_before => {}
                () = wanted => {}
                () = self.stopping.cancelled() => return,
            }
            round.tried_at = Instant::now();
            let worked = self.round(&mut round).await;
            let failure = worked.as_ref().err().and_then(BackgroundError::of_store);
            self.conditions.worked(group.id, failure);
            match worked {
                Ok(()) => {
                    round.backoff = self.settings.backoff.0;
                    round.not_before = round.tried_at;
                }
                Err(BackgroundError::NotLeader | BackgroundError::Lost(_)) => {}
                Err(error) => {
                    tracing::warn!(group = %round.group.id, %error, again_in = ?round.backoff, "background work failed");
                    round.not_before = Instant::now() + round.backoff;
                    round.backoff = (round.backoff * 2).min(self.settings.backoff.1);
                }
            }
        }
    }

    async fn round(&self, round: &mut Round) -> Result<(), BackgroundError> {
        let space = self.space.look(&self.services);
        let pressed = space.level >= Level::Flush && space.oldest == Some(round.group.id);
        let flushed = self.flush(&round.group, pressed, &mut round.flushed).await;
        if flushed.is_err() {
            self.services.metrics.flush_failures.inc();
        }
        // The snapshot is wanted also, and above all, when the store is down: it keeps a restart short.
        let unsaved = round.group.read(|core| core.unsaved);
        if self.snapshot_is_due(round, unsaved, pressed) || round.unreported {
            let saved = self.snapshot(round).await;
            if saved.is_err() {
                self.services.metrics.snapshot_failures.inc();
            }
            saved?;
        }
        flushed?;
        self.release(round).await
    }

    fn snapshot_is_due(&self, round: &Round, unsaved: Unsaved, pressed: bool) -> bool {
        let settings = &self.settings;
        unsaved.bytes >= settings.snapshot_bytes
            || unsaved.entries >= settings.snapshot_entries
            || unsaved.entries > 0
                && (pressed || round.flushed || round.saved_at.elapsed() >= settings.snapshot_interval)
    }

    /// Flushes everything that is due, object by object.
    async fn flush(
        &self,
        group: &Arc<Group>,
        force: bool,
        flushed: &mut bool,
    ) -> Result<(), BackgroundError> {
        loop {
            let settings = self.settings.flush;
            let planned = group.with(|core| {
                core.fresh_bytes = 0;
                let due = (core.replica.leads() && core.serves_reads())
                    .then(|| plan_flush(core.state(), TimestampMs::now(), settings, force));
                due.flatten().map(|plan| (plan, core.replica.machine().epoch()))
            });
            let Some((plan, epoch)) = planned else {
                return Ok(());
            };
            let progressed = self.flush_one(group, &plan, epoch).await?;
            *flushed |= progressed;
            // The same plan again and again would fill the store with objects that nobody names.
            if !progressed || self.services.is_stopping() {
                return Ok(());
            }
        }
    }

    /// Flushes one object's worth; whether that was of use to any partition.
    async fn flush_one(
        &self,
        group: &Arc<Group>,
        plan: &FlushPlan,
        epoch: Epoch,
    ) -> Result<bool, BackgroundError> {
        let object = self.object(group, epoch);
        let mut builder = FlushBuilder::new(object, self.settings.tier.block_bytes);
        for run in &plan.runs {
            self.gather(group, run, &mut builder).await?;
        }
        if builder.is_empty() {
            return Ok(false);
        }
        let flush = builder.finish();
        self.services.tier.put(&flush).await?;
        let metrics = &self.services.metrics;
        metrics.flushed_objects.inc();
        metrics.flushed_bytes.inc_by(flush.bytes());
        let proposed = group.with(|core| {
            if core.replica.machine().epoch() != epoch {
                return None;
            }
            let tenant_of = |core: &crate::group::Core, partition: &PartitionId| {
                core.state()
                    .partition(partition)
                    .map_or(TenantId::SYSTEM, |state| state.tenant())
            };
            let mut waiting = Vec::with_capacity(flush.segments.len());
            for (partition, segment) in &flush.segments {
                let by = (tenant_of(core, partition), KeyId::NONE);
                let change = Change::Tiered(vec![*segment]);
                waiting.push(core.propose(&self.services, *partition, by, change)?);
            }
            Some(waiting)
        });
        let mut progressed = false;
        for receiver in proposed.ok_or(BackgroundError::NotLeader)? {
            match receiver.await.map_err(|_| BackgroundError::NotLeader)? {
                Ok(_) => progressed = true,
                Err(Lost::Quarantined) => {}
                Err(lost) => return Err(lost.into()),
            }
        }
        tracing::debug!(group = %group.id, runs = flush.segments.len(), bytes = flush.bytes(), "flushed");
        Ok(progressed)
    }

    /// Adds a partition's run to an object.
    async fn gather(
        &self,
        group: &Arc<Group>,
        run: &FlushRun,
        builder: &mut FlushBuilder,
    ) -> Result<(), BackgroundError> {
        builder.begin(run.partition);
        let (mut next, mut moved) = (run.from, 0);
        while next < run.end {
            let plan = group.read(|core| plan(core, &run.partition, next, run.end, GATHER_BYTES));
            if let Plan::Store { .. } = plan {
                // Trimmed or deleted meanwhile, or flushed by a repeated plan: nothing of it is missing.
                return Ok(());
            }
            let pieces = match self.carry_out(group, plan).await {
                Err(FailedRead::Moved) if moved < PLANS_MAX => {
                    moved += 1;
                    continue;
                }
                pieces => pieces?,
            };
            let read = push_all(&pieces, run.end, builder)?;
            match read {
                Some(end) => next = end,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn object(&self, group: &Group, epoch: Epoch) -> ObjectRef {
        ObjectRef {
            owner: ObjectOwner::Shared(group.id),
            group: group.id,
            epoch,
            number: group.next_object(),
        }
    }

    /// Takes a snapshot: on disk, in the store, in the catalog.
    async fn snapshot(&self, round: &mut Round) -> Result<(), BackgroundError> {
        let group = &round.group;
        let taken = self.take_snapshot(group, &mut round.snapshots);
        round.saved_at = Instant::now();
        round.unreported = taken.leads;
        round.flushed = false;
        if let Err(error) = self.keep_locally(group, &taken).await {
            if !taken.leads {
                return Err(error);
            }
            // The disk may be full because nothing is released, which waits for the store's copy: that one counts.
            tracing::warn!(group = %group.id, %error, "no local copy of a snapshot");
        }
        if !taken.leads {
            return Ok(());
        }
        let object = self.object(group, taken.epoch);
        self.services
            .tier
            .put_snapshot(&object, std::slice::from_ref(&taken.bytes))
            .await?;
        let snapshot = SnapshotRef {
            lsn: taken.lsn,
            epoch: taken.lsn_epoch,
            object,
            length: taken.bytes.len() as u64,
            checksum: crc_fast::crc32_iscsi(&taken.bytes),
        };
        let command = ReportSnapshot {
            group: group.id,
            epoch: taken.epoch,
            snapshot,
        };
        self.services
            .commands
            .submit(Actor::Node(self.services.node), command)
            .await?;
        round.reported = taken.lsn;
        round.unreported = false;
        Ok(())
    }

    /// Takes a snapshot and keeps it on disk.
    pub(crate) async fn save_locally(&self, group: &Arc<Group>) -> Result<(), BackgroundError> {
        let taken = self.take_snapshot(group, &mut Snapshots::default());
        self.keep_locally(group, &taken).await
    }

    fn take_snapshot(&self, group: &Arc<Group>, snapshots: &mut Snapshots) -> Taken {
        let taken = group.with(|core| {
            core.unsaved = Unsaved::default();
            snapshots.took(core.state());
            let ledger = core.ledger.as_ref().map(|ledger| ledger.coordinator.ledger());
            let records = ledger.into_iter().flat_map(|ledger| ledger.records());
            Taken {
                bytes: snapshot::encode(core.state(), records),
                lsn: core.state().applied(),
                lsn_epoch: core.state().applied_epoch(),
                epoch: core.replica.machine().epoch(),
                leads: core.replica.leads(),
            }
        });
        self.services.metrics.snapshots.inc();
        self.services
            .metrics
            .snapshot_bytes
            .inc_by(taken.bytes.len() as u64);
        taken
    }

    async fn keep_locally(&self, group: &Arc<Group>, taken: &Taken) -> Result<(), BackgroundError> {
        let (folder, id, bytes) = (self.settings.snapshots(), group.id, taken.bytes.clone());
        let saved = tokio::task::spawn_blocking(move || snapshot::save(&folder, id, &bytes)).await;
        Ok(saved.unwrap_or_else(|_| Err(std::io::Error::other("the saving task ended early")))?)
    }

    /// Gives back the journal's space below what a restart from the catalog's snapshot needs.
    async fn release(&self, round: &mut Round) -> Result<(), BackgroundError> {
        let up_to = round
            .group
            .read(|core| core.replica.releasable(&mut round.snapshots, round.reported));
        if up_to <= round.released {
            return Ok(());
        }
        self.services.writer.release(round.group.id, up_to).await?;
        round.released = up_to;
        round
            .group
            .with(|core| core.step(&self.services, Input::Released { up_to }));
        Ok(())
    }
}

/// A snapshot that was taken.
pub(crate) struct Taken {
    bytes: Bytes,
    lsn: Lsn,
    /// The epoch of the entry at `lsn`.
    lsn_epoch: Epoch,
    /// The epoch in which it was taken.
    epoch: Epoch,
    leads: bool,
}
