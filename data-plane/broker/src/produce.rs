//! Appending a batch: check it, decide its place under the group's lock, answer when it is durable.

use crate::admission::admit;
use crate::group::{Core, Ticket};
use crate::interface::produce::Waiting;
use crate::interface::{Acks, PendingProduce, Produce, ProduceError, Produced};
use crate::replica::{Append, AppendRefused, Planted};
use crate::shell::{NotServed, Served, Shell};
use crate::topic_config;
use millstream_access::{Operation, Principal};
use millstream_journal::{Level, Space};
use millstream_metadata::Image;
use millstream_model::limits::RECORD_ERRORS_MAX;
use millstream_model::{Offset, PartitionId, TimestampMs};
use millstream_partition::{AppendError, Decision, SequenceError};
use millstream_replication::AppendRefusal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::Span;

/// The longest that back-pressure asks a producer to wait.
const DELAY_MAX: Duration = Duration::from_secs(1);

/// What the journal adds to a batch, and more.
const ENTRY_OVERHEAD_BYTES: usize = 4096;

impl From<NotServed> for ProduceError {
    fn from(reason: NotServed) -> ProduceError {
        match reason {
            NotServed::Unknown => ProduceError::UnknownPartition,
            NotServed::Denied => ProduceError::Denied,
            NotServed::NotHere => ProduceError::NotLeader,
        }
    }
}

/// What the batches before one in a request have taken.
#[derive(Clone, Copy, Default)]
struct Ahead {
    /// Bytes that are prepared and not ordered yet.
    bytes: usize,
    /// Records that the answer names already.
    refused_records: usize,
}

/// A checked batch whose place is not decided yet.
struct Ready {
    served: Served,
    append: Append<Ticket>,
    begun: Begun,
}

/// What its producer is told once it has one.
struct Begun {
    /// Whose it is and where it goes, for what is logged of it.
    span: Span,
    acks: Acks,
    length: usize,
    records: i32,
    log_append_time: Option<TimestampMs>,
    /// What back-pressure wants.
    delay: Duration,
    timeout: Duration,
    acknowledged: oneshot::Receiver<Result<Produced, ProduceError>>,
}

impl Shell {
    /// Decides the places of batches now; each future answers when its batch is durable. Those of one group are taken
    /// together: one lock, and one piece of the journal's next commit.
    pub(crate) fn begin_produces(
        &self,
        who: &Principal,
        requests: Vec<Produce>,
    ) -> Vec<Result<PendingProduce, ProduceError>> {
        let image = self.image.image();
        let mut answers: Vec<_> = requests.iter().map(|_| None).collect();
        let (mut ready, mut ahead) = (Vec::with_capacity(requests.len()), Ahead::default());
        for (place, (request, answer)) in requests.into_iter().zip(&mut answers).enumerate() {
            let span = span_of(who, request.partition);
            match self.prepare(&image, who, request, ahead, &span) {
                Ok(prepared) => {
                    ahead.bytes += prepared.begun.length;
                    ready.push((prepared.served.group.id, place, prepared));
                }
                Err(error) => {
                    ahead.refused_records += error.refused_records().len();
                    *answer = Some(Err(self.refused(&span, error)));
                }
            }
        }
        // Stable: batches for one partition keep their order.
        ready.sort_by_key(|(group, _, _)| *group);
        let mut ready = ready.into_iter().peekable();
        while let Some((id, _, first)) = ready.peek() {
            let (id, group) = (*id, Arc::clone(&first.served.group));
            let mut decided = Vec::new();
            group.with(|core| {
                while let Some((_, place, next)) = ready.next_if(|(group, _, _)| *group == id) {
                    let outcome = append_to(core, &next.served, next.append);
                    decided.push((place, next.begun, outcome));
                }
            });
            for (place, begun, outcome) in decided {
                let answer = match outcome {
                    Ok(outcome) => Ok(self.pending(begun, outcome)),
                    Err(error) => Err(self.refused(&begun.span, error)),
                };
                if let Some(slot) = answers.get_mut(place) {
                    *slot = Some(answer);
                }
            }
        }
        let answers = answers.into_iter();
        answers
            .map(|answer| answer.unwrap_or(Err(ProduceError::ShuttingDown)))
            .collect()
    }

    /// Counts a refusal and tells the log, in the words of its span.
    fn refused(&self, span: &Span, error: ProduceError) -> ProduceError {
        self.services.metrics.refused(&error);
        span.in_scope(|| tracing::debug!(%error, "refused"));
        error
    }

    /// All that is done before the group's lock is taken.
    fn prepare(
        &self,
        image: &Image,
        who: &Principal,
        request: Produce,
        ahead: Ahead,
        span: &Span,
    ) -> Result<Ready, ProduceError> {
        let partition = request.partition;
        let _entered = span.enter();
        if self.services.is_stopping() {
            return Err(ProduceError::ShuttingDown);
        }
        let served = self.find(image, who, Operation::Produce, partition)?;
        span.record("topic", served.topic.name.as_str());
        let length = request.batch.len();
        let now = TimestampMs::now();
        let mut settings = topic_config::settings(&served.topic);
        // What no commit takes must not get into the log: nothing behind it could be written.
        let fits = self
            .settings
            .journal
            .commit_bytes_max
            .saturating_sub(ENTRY_OVERHEAD_BYTES);
        settings.message_bytes_max = settings.message_bytes_max.min(fits);
        let nameable = RECORD_ERRORS_MAX.saturating_sub(ahead.refused_records);
        let admitted = admit(&settings, request.batch, now, nameable)?;
        let delay = self.back_pressure(length, ahead.bytes)?;
        let (batch, log_append_time) = admitted.own(&settings, now, Planted::default());
        let records = batch.header().record_count;
        let (answer, acknowledged) = oneshot::channel();
        let append = Append {
            partition,
            tenant: who.tenant,
            key: who.key,
            owner_epoch: request.owner_epoch,
            batch,
            time: now,
            acks: request.acks,
            in_sync_min: usize::try_from(settings.insync_min).unwrap_or(usize::MAX),
            ticket: Ticket::Produce(answer, log_append_time),
        };
        Ok(Ready {
            served,
            append,
            begun: Begun {
                span: span.clone(),
                acks: request.acks,
                length,
                records,
                log_append_time,
                delay,
                timeout: request.timeout,
                acknowledged,
            },
        })
    }

    /// Counts a batch that has its place, and says what its answer waits for.
    fn pending(&self, begun: Begun, (decision, log_start): (Decision, Offset)) -> PendingProduce {
        let metrics = &self.services.metrics;
        let base_offset = match decision {
            Decision::Append { base_offset, .. } => {
                metrics.produced_batches.inc();
                metrics.produced_bytes.inc_by(begun.length as u64);
                metrics
                    .produced_records
                    .inc_by(u64::try_from(begun.records).unwrap_or(0));
                base_offset
            }
            Decision::Repeat { base_offset, .. } => {
                metrics.produce_repeats.inc();
                base_offset
            }
        };
        let throttle = begun.delay;
        PendingProduce(match begun.acks {
            Acks::None => Waiting::Ready(Some(Ok(Produced {
                base_offset,
                log_append_time: begun.log_append_time,
                log_start,
                throttle,
            }))),
            Acks::Leader | Acks::All => Waiting::ticket(begun.acknowledged, begun.timeout, throttle),
        })
    }

    /// What a filling journal asks of producers (log.md 10); who is refused has room made.
    fn back_pressure(&self, bytes: usize, ahead: usize) -> Result<Duration, ProduceError> {
        let in_flight = self.in_flight(ahead);
        if in_flight > self.settings.in_flight_bytes_max {
            return Err(ProduceError::Full);
        }
        let mut space = self.space.after(&self.services, bytes);
        if space.level >= Level::Flush {
            space = self.space.look(&self.services);
        }
        match self.level(space, in_flight, bytes) {
            Level::Normal | Level::Flush => Ok(Duration::ZERO),
            Level::Delay => Ok(delay(space)),
            Level::Refuse => {
                self.want_room(bytes);
                Err(ProduceError::Full)
            }
        }
    }

    /// Whether the journal would take a batch of so many bytes.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let space = self.space.look(&self.services);
        self.level(space, self.in_flight(0), bytes) < Level::Refuse
    }

    fn in_flight(&self, ahead: usize) -> usize {
        let in_flight = self.services.in_flight.load(Ordering::Relaxed);
        in_flight.saturating_add(ahead)
    }

    /// How full the journal is for a batch of so many bytes.
    ///
    /// What was ordered must get into the journal, or nothing behind it can, not even what makes room: so bytes that
    /// are still under way count as used, and the end of a file that a commit does not fit into as well.
    fn level(&self, space: Space, in_flight: usize, bytes: usize) -> Level {
        let under_way = in_flight.saturating_add(bytes);
        let lost = under_way.min(self.settings.journal.commit_bytes_max);
        let used = space.used.saturating_add(under_way.saturating_add(lost) as u64);
        Level::of(used, space.capacity).max(space.level)
    }
}

/// The topic's name is recorded when it is known.
fn span_of(who: &Principal, partition: PartitionId) -> Span {
    let topic = tracing::field::Empty;
    tracing::debug_span!("produce", tenant = %who.tenant, topic, partition = partition.index.0)
}

/// From nothing at 80 % to the most at 95 %.
fn delay(space: Space) -> Duration {
    let above = space.used.saturating_mul(100) / space.capacity.max(1);
    DELAY_MAX * u32::try_from(above.saturating_sub(79).min(15)).unwrap_or(15) / 15
}

/// Appends to a partition that the catalog has here, opening it first if the group does not know it yet.
fn append_to(
    core: &mut Core,
    served: &Served,
    append: Append<Ticket>,
) -> Result<(Decision, Offset), ProduceError> {
    let services = &served.group.services;
    let partition = append.partition;
    core.open(services, partition, served.topic.tenant, served.row.base_epoch);
    let decision = core
        .replica
        .append(services.now_ms(), append, &mut core.out)
        .map_err(|refused| {
            if services.reader.damage().is_some() {
                ProduceError::Damaged
            } else {
                refusal(refused)
            }
        })?;
    let log_start = core.state().partition(&partition).map(|state| state.log_start());
    Ok((decision, log_start.unwrap_or_default()))
}

fn refusal(refused: AppendRefused) -> ProduceError {
    match refused {
        AppendRefused::Log(AppendRefusal::NotLeader) => ProduceError::NotLeader,
        AppendRefused::Log(AppendRefusal::NotEnoughReplicas { .. }) => ProduceError::NotEnoughReplicas,
        AppendRefused::Log(AppendRefusal::Backlog { .. }) => ProduceError::Full,
        AppendRefused::Log(AppendRefusal::Halted) => ProduceError::Storage,
        AppendRefused::Partition(error) => match error {
            AppendError::Unknown | AppendError::Closed => ProduceError::NotLeader,
            AppendError::Foreign => ProduceError::UnknownPartition,
            AppendError::Quarantined | AppendError::OffsetsUsedUp => ProduceError::Storage,
            AppendError::NotOwner { current } => ProduceError::NotOwner { current },
            AppendError::Sequence(SequenceError::OutOfOrder {
                producer,
                expected,
                found,
            }) => ProduceError::OutOfOrderSequence {
                producer,
                expected,
                found,
            },
            AppendError::Sequence(SequenceError::Fenced {
                producer,
                found,
                current,
            }) => ProduceError::FencedProducer {
                producer,
                found,
                current,
            },
        },
        AppendRefused::NotProposable => ProduceError::Invalid {
            reason: "not a batch".to_owned(),
            record: None,
        },
    }
}
