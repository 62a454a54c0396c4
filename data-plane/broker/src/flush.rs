//! Each group's background work: what [`Replica::next_work`](crate::replica::Replica::next_work) decides, with the object
//! store, the disk and the catalog.

use crate::condition::WANTED_INTERVAL_MS;
use crate::group::{Core, Group, Slots};
use crate::read::{PLANS_MAX, plan};
use crate::reading::{FailedRead, Plan, push_all};
use crate::replica::{Done, Facts, Taken, Work};
use crate::shell::Shell;
use crate::snapshot;
use bytes::Bytes;
use millstream_journal::{Level, SubmitError};
use millstream_kafka_wire::batch::BatchError;
use millstream_metadata::{Actor, Refusal, ReportSnapshot};
use millstream_model::backoff::Backoff;
use millstream_model::segment::{ObjectRef, SegmentRef};
use millstream_model::{GroupId, PartitionId, TimestampMs};
use millstream_partition::{FlushPlan, FlushRun};
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
    #[error("the local copy: {0}")]
    Local(#[from] std::io::Error),
    #[error("the catalog: {0}")]
    Catalog(#[from] Refusal),
    #[error("the journal: {0}")]
    Journal(#[from] SubmitError),
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

/// When a group's background work is tried.
struct Pace {
    backoff: Backoff,
    not_before: Instant,
    /// When it was tried last.
    tried_at: Instant,
}

impl Shell {
    /// Runs a group's background work until the broker stops.
    pub(crate) async fn work(self: Arc<Shell>, group: Arc<Group>) {
        let now = Instant::now();
        let mut pace = Pace {
            backoff: Backoff::new(self.settings.backoff),
            not_before: now,
            tried_at: now,
        };
        loop {
            let next = (Instant::now() + self.settings.flush_interval).max(pace.not_before);
            // Whoever waits for room triggers the try, however long the store is to be left alone otherwise.
            let soonest = pace.tried_at + WANTED_AFTER;
            let wanted = async {
                group.room_wanted.notified().await;
                tokio::time::sleep_until(soonest).await;
            };
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = group.flush_wanted.notified(), if Instant::now() >= pace.not_before => {}
                () = wanted => {}
                () = self.stopping.cancelled() => return,
            }
            pace.tried_at = Instant::now();
            let worked = self.round(&group).await;
            let failure = worked.as_ref().err().and_then(BackgroundError::of_store);
            self.conditions.worked(group.id, failure);
            match worked {
                Ok(()) => {
                    pace.backoff.reset();
                    pace.not_before = pace.tried_at;
                }
                Err(error) => {
                    let wait = pace.backoff.next(rand::random());
                    tracing::warn!(group = %group.id, %error, again_in = ?wait, "background work failed");
                    pace.not_before = Instant::now() + wait;
                }
            }
        }
    }

    /// One round: everything that is due. The first failure is what the round failed of.
    async fn round(&self, group: &Arc<Group>) -> Result<(), BackgroundError> {
        let mut worked = Ok(());
        let mut saved = Bytes::new();
        group.with(|core| core.replica.begin_round());
        loop {
            let facts = self.facts(group);
            let (work, is_over) = group.with(|core| {
                let facts = Facts {
                    may_flush: facts.may_flush && core.serves_reads(),
                    ..facts
                };
                let work = core.replica.next_work(&facts);
                if let Some(Work::Save(_)) = &work {
                    saved = self.encode(group, core);
                }
                (work, core.replica.is_at_rest())
            });
            let Some(work) = work else {
                if is_over {
                    return worked;
                }
                group.work_waits.notified().await;
                continue;
            };
            let done = match self.carry_out_work(group, work, &saved).await {
                Ok(done) => done,
                Err((done, error)) => {
                    worked = worked.and(Err(error));
                    done
                }
            };
            group.with(|core| core.worked(&self.services, done));
        }
    }

    fn facts(&self, group: &Group) -> Facts {
        let space = self.space.look(&self.services);
        Facts {
            now_ms: self.services.now_ms(),
            time: TimestampMs::now(),
            pressed: space.level >= Level::Flush && space.oldest == Some(group.id),
            may_flush: !self.services.is_stopping(),
        }
    }

    /// Does one thing; with what went wrong, where that did.
    async fn carry_out_work(
        &self,
        group: &Arc<Group>,
        work: Work,
        saved: &Bytes,
    ) -> Result<Done, (Done, BackgroundError)> {
        let metrics = &self.services.metrics;
        let failed = |error| (Done::Failed, error);
        let failing = || {
            metrics.snapshot_failures.inc();
        };
        match work {
            Work::Upload { plan, object } => match self.upload(group, &plan, object).await {
                Ok(segments) => Ok(Done::Uploaded(segments)),
                Err(error) => {
                    metrics.flush_failures.inc();
                    Err(failed(error))
                }
            },
            Work::Save(taken) => self.save(group, taken, saved).await,
            Work::Store { object } => {
                let stored = self
                    .services
                    .tier
                    .put_snapshot(&object, std::slice::from_ref(saved));
                let stored = stored.await.inspect_err(|_| failing());
                stored.map(|_| Done::Stored).map_err(|error| failed(error.into()))
            }
            Work::Report { epoch, snapshot } => {
                let command = ReportSnapshot {
                    group: group.id,
                    epoch,
                    snapshot,
                };
                let by = Actor::Node(self.services.node);
                let reported = self.services.commands.submit(by, command).await;
                let reported = reported.inspect_err(|_| failing());
                reported
                    .map(|_| Done::Reported)
                    .map_err(|error| failed(error.into()))
            }
            Work::Release { up_to } => {
                let released = self.services.writer.release(group.id, up_to).await;
                released
                    .map(|()| Done::Released)
                    .map_err(|error| failed(error.into()))
            }
        }
    }

    /// Puts what a plan names into the store, as one object; no segments when nothing is left of it.
    async fn upload(
        &self,
        group: &Arc<Group>,
        plan: &FlushPlan,
        object: ObjectRef,
    ) -> Result<Vec<(PartitionId, SegmentRef)>, BackgroundError> {
        let mut builder = FlushBuilder::new(object, self.settings.tier.block_bytes);
        for run in &plan.runs {
            self.gather(group, run, &mut builder).await?;
        }
        if builder.is_empty() {
            return Ok(Vec::new());
        }
        let flush = builder.finish();
        self.services.tier.put(&flush).await?;
        let metrics = &self.services.metrics;
        metrics.flushed_objects.inc();
        metrics.flushed_bytes.inc_by(flush.bytes());
        tracing::debug!(group = %group.id, runs = flush.segments.len(), bytes = flush.bytes(), "uploaded");
        Ok(flush.segments)
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

    /// The state as it is, encoded.
    fn encode(&self, group: &Group, core: &Core) -> Bytes {
        let slots = group.slots.as_ref().map(Slots::stored).unwrap_or_default();
        let bytes = snapshot::encode(core.state(), &slots);
        self.services.metrics.snapshots.inc();
        self.services.metrics.snapshot_bytes.inc_by(bytes.len() as u64);
        bytes
    }

    /// Keeps a snapshot on this disk. A leader's counts without that.
    async fn save(
        &self,
        group: &Group,
        taken: Taken,
        bytes: &Bytes,
    ) -> Result<Done, (Done, BackgroundError)> {
        let kept = self.keep_locally(group.id, bytes.clone()).await;
        let done = Done::Saved {
            is_kept: kept.is_ok(),
            length: bytes.len() as u64,
            checksum: crc_fast::crc32_iscsi(bytes),
        };
        match kept {
            Ok(()) => Ok(done),
            Err(error) if taken.leads => {
                tracing::warn!(group = %group.id, %error, "no local copy of a snapshot");
                Ok(done)
            }
            Err(error) => {
                self.services.metrics.snapshot_failures.inc();
                Err((done, error.into()))
            }
        }
    }

    /// Takes a snapshot and keeps it on this disk alone, unless nothing is unsaved.
    pub(crate) async fn save_locally(&self, group: &Arc<Group>) -> Result<(), BackgroundError> {
        let bytes = group.with(|core| {
            core.replica.take_last_snapshot(self.services.now_ms())?;
            Some(self.encode(group, core))
        });
        match bytes {
            Some(bytes) => Ok(self.keep_locally(group.id, bytes).await?),
            None => Ok(()),
        }
    }

    async fn keep_locally(&self, group: GroupId, bytes: Bytes) -> std::io::Result<()> {
        let folder = self.settings.snapshots();
        let saved = tokio::task::spawn_blocking(move || snapshot::save(&folder, group, &bytes)).await;
        saved.unwrap_or_else(|_| Err(std::io::Error::other("the saving task ended early")))
    }
}
