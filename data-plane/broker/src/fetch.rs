//! Fetching: read what is there, or wait for it, woken by commits and never by a clock's ticks.

use crate::bounds::{check_position, ends};
use crate::group::{Core, Group};
use crate::interface::{
    AbortedTransaction, Fetch, FetchError, FetchPartition, Fetched, FetchedPartition, Isolation,
};
use crate::metrics::Counted;
use crate::read::{GaveUp, Tries, plan_for_reader};
use crate::read_memory::ReadShare;
use crate::reading::Plan;
use crate::shell::{NotServed, Served, Shell};
use millstream_access::{Operation, Principal};
use millstream_model::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MS_MAX};
use millstream_model::{LeaderEpoch, Offset};
use millstream_partition::PartitionState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// After so many bytes a fetch lets others have the thread: reading them takes a millisecond or so, and reads that need
/// not wait for a disk do not yield by themselves.
const IN_A_ROW_BYTES: usize = 4 * 1024 * 1024;

impl From<NotServed> for FetchError {
    fn from(reason: NotServed) -> FetchError {
        match reason {
            NotServed::Unknown => FetchError::UnknownPartition,
            NotServed::Denied => FetchError::Denied,
            NotServed::NotHere => FetchError::NotLeader,
        }
    }
}

/// How a reader's leader epoch compares with the partition's.
pub(crate) enum EpochCheck {
    Fits,
    Fenced,
    Unknown,
}

/// Compares a reader's leader epoch with the partition's.
pub(crate) fn check_epoch(asked: Option<LeaderEpoch>, current: LeaderEpoch) -> EpochCheck {
    match asked {
        Some(epoch) if epoch.0 >= 0 && epoch < current => EpochCheck::Fenced,
        Some(epoch) if epoch > current => EpochCheck::Unknown,
        _ => EpochCheck::Fits,
    }
}

/// A partition that could be looked at, and what to read of it.
struct Looked {
    answer: FetchedPartition,
    plan: Plan,
}

impl Shell {
    /// Reads batches; waits for enough of them.
    pub(crate) async fn fetch(&self, who: &Principal, request: Fetch) -> Fetched {
        let wait = request
            .wait_max
            .min(Duration::from_millis(FETCH_WAIT_MS_MAX.unsigned_abs().into()));
        let deadline = Instant::now() + wait;
        let waiter = Arc::new(Notify::new());
        // The first look is without registering: usually there is something.
        let mut registered = wait.is_zero();
        let (mut round, mut share) = self.read_round(who, &request, None).await;
        loop {
            let bytes: usize = round.iter().map(FetchedPartition::bytes).sum();
            let failed = round.iter().any(|partition| partition.error.is_some());
            if bytes >= request.bytes_min
                || failed
                || self.draining.is_cancelled()
                || self.services.is_stopping()
                || request.partitions.is_empty()
            {
                return self.answer(round, bytes, &share);
            }
            if registered {
                // Who asked may be gone before it is woken, and the fetch with it.
                let parked = Counted::one_of(&self.services.metrics.fetches_parked);
                let woken = tokio::time::timeout_at(deadline, waiter.notified()).await;
                drop(parked);
                if woken.is_err() {
                    return self.answer(round, bytes, &share);
                }
            }
            registered = true;
            // What was read so far is read again with what came since: nothing is held while waiting.
            drop((round, share));
            (round, share) = self.read_round(who, &request, Some(&waiter)).await;
        }
    }

    fn answer(&self, mut partitions: Vec<FetchedPartition>, bytes: usize, share: &ReadShare) -> Fetched {
        // One piece holds the share for all: an answer is sent, and dropped, as a whole.
        if let Some(piece) = partitions.iter_mut().find_map(|read| read.records.first_mut()) {
            *piece = share.held_by(std::mem::take(piece));
        }
        let metrics = &self.services.metrics;
        metrics.fetches.inc();
        metrics.fetched_bytes.inc_by(bytes as u64);
        Fetched { partitions }
    }

    /// Looks at every partition once, and registers the waiter with each.
    async fn read_round(
        &self,
        who: &Principal,
        request: &Fetch,
        waiter: Option<&Arc<Notify>>,
    ) -> (Vec<FetchedPartition>, ReadShare) {
        let wanted = request.bytes_max.min(FETCH_BYTES_MAX);
        let (mut room, mut share) = self.read_memory.take(wanted).await;
        let mut answers = Vec::with_capacity(request.partitions.len());
        let mut in_a_row = 0;
        for asked in &request.partitions {
            let answer = self
                .read_partition(who, asked, request.isolation, room, waiter)
                .await;
            let bytes = answer.bytes();
            // A first batch larger than the room is sent alone.
            room = room.saturating_sub(bytes);
            in_a_row += bytes;
            answers.push(answer);
            if in_a_row >= IN_A_ROW_BYTES {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
        share.keep(answers.iter().map(FetchedPartition::bytes).sum());
        (answers, share)
    }

    #[tracing::instrument(
        name = "fetch", level = "debug", skip_all,
        fields(tenant = %who.tenant, topic = tracing::field::Empty, partition = asked.partition.index.0)
    )]
    async fn read_partition(
        &self,
        who: &Principal,
        asked: &FetchPartition,
        isolation: Isolation,
        room: usize,
        waiter: Option<&Arc<Notify>>,
    ) -> FetchedPartition {
        let served = match self.find(&self.image.image(), who, Operation::Consume, asked.partition) {
            Ok(served) => served,
            Err(reason) => return FetchedPartition::failed(asked.partition, reason.into()),
        };
        tracing::Span::current().record("topic", served.topic.name.as_str());
        let mut tries = Tries::default();
        loop {
            let looked = served
                .group
                .with(|core| look(core, &served, asked, isolation, room, waiter));
            let Looked { mut answer, plan } = match looked {
                Ok(looked) => looked,
                Err(error) => return FetchedPartition::failed(asked.partition, error),
            };
            let (counter, place) = (plan.counter(&self.services.metrics), plan.in_store());
            match self.carry_out(&served.group, plan).await {
                Ok(records) => {
                    answer.records = records;
                    if let Some(counter) = counter {
                        counter.inc_by(answer.bytes() as u64);
                    }
                    return answer;
                }
                Err(error) => {
                    let Err(gave_up) = tries.failed(&error, place) else {
                        continue;
                    };
                    let offset = asked.offset;
                    let told = match gave_up {
                        GaveUp::Storage => {
                            tracing::warn!(
                                tenant = %who.tenant, partition = %asked.partition, %error, "a fetch failed"
                            );
                            FetchError::Storage
                        }
                        GaveUp::Damaged => {
                            self.gave_up(&served.group, asked.partition, place, &error);
                            FetchError::Damaged { offset }
                        }
                    };
                    return FetchedPartition::failed(asked.partition, told);
                }
            }
        }
    }
}

/// Checks a fetch of one partition under the group's lock, and plans it.
fn look(
    core: &mut Core,
    served: &Served,
    asked: &FetchPartition,
    isolation: Isolation,
    room: usize,
    waiter: Option<&Arc<Notify>>,
) -> Result<Looked, FetchError> {
    if !core.serves_reads() {
        return Err(not_led(&served.group));
    }
    let id = asked.partition;
    core.open(
        &served.group.services,
        id,
        served.topic.tenant,
        served.row.base_epoch,
    );
    if let Some(waiter) = waiter {
        core.waiters.register(id, waiter);
    }
    let current = served.row.leader_epoch(core.replica.machine().epoch());
    match check_epoch(asked.leader_epoch, current) {
        EpochCheck::Fits => {}
        EpochCheck::Fenced => return Err(FetchError::FencedEpoch { current }),
        EpochCheck::Unknown => return Err(FetchError::UnknownEpoch { current }),
    }
    let state = core.state().partition(&id);
    if state.is_some_and(PartitionState::is_closed) {
        return Err(FetchError::NotLeader);
    }
    check_position(state, asked.offset, core.log_end_is_known())?;
    let (log_start, high_watermark) = ends(state);
    let Some(state) = state else {
        return Ok(unopened(asked, current));
    };
    if state.quarantine().is_some() && asked.offset >= high_watermark {
        // It takes no more entries: who waited here would wait for ever.
        let offset = asked.offset;
        return Err(FetchError::Damaged { offset });
    }
    let (end, aborted) = match isolation {
        Isolation::ReadUncommitted => (high_watermark, None),
        Isolation::ReadCommitted => (state.last_stable(), Some(aborted(state, asked.offset))),
    };
    let plan = match room.min(asked.bytes_max) {
        0 => Plan::Nothing,
        bytes_max => plan_for_reader(&served.group.services, core, &id, (asked.offset, end), bytes_max),
    };
    let answer = FetchedPartition {
        partition: id,
        error: None,
        high_watermark,
        last_stable: state.last_stable(),
        log_start,
        leader_epoch: current,
        aborted,
        records: Vec::new(),
    };
    Ok(Looked { answer, plan })
}

/// Why a group that is here does not serve.
pub(crate) fn not_led(group: &Group) -> FetchError {
    match group.services.reader.damage() {
        Some(_) => FetchError::Storage,
        None if group.services.is_stopping() => FetchError::ShuttingDown,
        None => FetchError::NotLeader,
    }
}

/// A partition that the catalog has and the committed log has not yet: it is empty, as far as is known.
fn unopened(asked: &FetchPartition, leader_epoch: LeaderEpoch) -> Looked {
    let zero = Offset(0);
    let answer = FetchedPartition {
        partition: asked.partition,
        error: None,
        high_watermark: zero,
        last_stable: zero,
        log_start: zero,
        leader_epoch,
        aborted: None,
        records: Vec::new(),
    };
    Looked {
        answer,
        plan: Plan::Nothing,
    }
}

fn aborted(state: &PartitionState, from: Offset) -> Vec<AbortedTransaction> {
    let ranges = state.transactions().aborted_within(from, state.last_stable());
    ranges
        .map(|range| AbortedTransaction {
            producer: range.producer,
            first_offset: range.first_offset,
        })
        .collect()
}
