//! What a group's lock guards, and what becomes of the replica's outputs.

use super::{Group, Services, Slots};
use crate::interface::{ProduceError, Produced};
use crate::kept::Kept;
use crate::replica::{Appended, Done, Lost, Output, Propose, Replica};
use crate::settings::Settings;
use crate::tail::{Batch, Tail};
use crate::waiters::Waiters;
use bytes::Bytes;
use millstream_model::entry::EntryHeader;
use millstream_model::{KeyId, Lsn, PartitionId, Registration, TenantId, TimestampMs};
use millstream_partition::{Applied, Change, Effect, GroupState, Opened};
use millstream_replication::Input;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{Notify, oneshot};

/// Who waits for an entry.
#[derive(Debug)]
pub(crate) enum Ticket {
    /// A producer; with the time that its records were stamped with.
    Produce(
        oneshot::Sender<Result<Produced, ProduceError>>,
        Option<TimestampMs>,
    ),
    /// The service itself.
    Change(oneshot::Sender<Result<Appended, Lost>>),
    /// The ledger of a slot.
    Slot(PartitionId, millstream_coordinator::Ticket),
}

/// What a group's lock guards.
pub(crate) struct Core {
    pub(crate) replica: Replica<Ticket>,
    pub(crate) tail: Tail,
    /// What of the tiered records the journal still has.
    pub(crate) kept: Kept,
    pub(crate) waiters: Waiters,
    /// Elected, and the slots are not told yet: they must first know all that is committed.
    pub(super) elected: bool,
    /// Slots that want something appended.
    pub(super) stirred: BTreeSet<PartitionId>,
    /// The replica's outputs that are still to be carried out.
    pub(crate) out: Vec<Output<Ticket>>,
    /// Of what the journal has not made durable, what was counted for all groups.
    pub(super) counted_bytes: usize,
    /// Whether this is the group's only replica: then what is on this disk is all that is committed.
    pub(crate) alone: bool,
    /// This start has no number yet: nobody leads, and what is on this disk is read.
    pub(crate) waits_for_number: bool,
    /// Readers are served once this entry is applied: until then the state knows records that are gone.
    pub(super) reads_from: Lsn,
    /// Partitions whose opening or deletion is in the log and undecided.
    pub(crate) proposed: BTreeSet<PartitionId>,
    /// Partitions that were put aside.
    pub(crate) quarantined: BTreeSet<PartitionId>,
    effects: Effects,
}

/// Who is answered, and what.
type Answer<T, E> = (oneshot::Sender<Result<T, E>>, Result<T, E>);

/// What is done once the lock is released.
#[derive(Default)]
pub(crate) struct Effects {
    woken: Vec<Arc<Notify>>,
    produced: Vec<Answer<Produced, ProduceError>>,
    changed: Vec<Answer<Appended, Lost>>,
}

impl Effects {
    pub(super) fn run(self) {
        // Who asked may have gone away; that is its business.
        for (sender, answer) in self.produced {
            let _ = sender.send(answer);
        }
        for (sender, answer) in self.changed {
            let _ = sender.send(answer);
        }
        for waiter in self.woken {
            waiter.notify_one();
        }
    }
}

impl Core {
    /// A replica and what its restart has already put out.
    pub(crate) fn new(replica: Replica<Ticket>, out: Vec<Output<Ticket>>, settings: &Settings) -> Core {
        let partitions = replica.state().partitions();
        let quarantined = partitions.filter(|(_, state)| state.quarantine().is_some());
        Core {
            quarantined: quarantined.map(|(id, _)| *id).collect(),
            replica,
            tail: Tail::new(settings.tail_bytes),
            kept: Kept::default(),
            waiters: Waiters::default(),
            elected: false,
            stirred: BTreeSet::new(),
            out,
            counted_bytes: 0,
            alone: false,
            waits_for_number: false,
            reads_from: Lsn::ZERO,
            proposed: BTreeSet::new(),
            effects: Effects::default(),
        }
    }

    /// The committed state.
    pub(crate) fn state(&self) -> &GroupState {
        self.replica.state()
    }

    /// Whether readers are served: by a leader, by the only replica on a damaged disk, which has what precedes the damage
    /// (log.md 5), and by the only replica that cannot reach the controller yet, which has all that is committed (30).
    pub(crate) fn serves_reads(&self) -> bool {
        self.replica.leads() && self.state().applied() >= self.reads_from || self.is_stranded()
    }

    /// Whether the end of the committed log is known.
    pub(crate) fn log_end_is_known(&self) -> bool {
        self.replica.log_end_is_known() || self.is_stranded()
    }

    fn is_stranded(&self) -> bool {
        self.alone && (self.replica.is_halted() || self.waits_for_number)
    }

    /// This start has its number: the catalog's assignments may name it from here on.
    pub(crate) fn registered(&mut self, registration: Registration) {
        self.waits_for_number = false;
        self.replica.register(registration);
    }

    /// Tells the replica something.
    pub(crate) fn step(&mut self, services: &Services, input: Input) {
        self.replica.step(services.now_ms(), input, &mut self.out);
    }

    /// Tells the replica what became of its background work.
    pub(crate) fn worked(&mut self, services: &Services, done: Done) {
        if let Done::Released = done {
            self.kept.recycled(services.reader.oldest());
        }
        self.replica
            .worked(services.now_ms(), TimestampMs::now(), done, &mut self.out);
    }

    /// Puts a change of the service's own into the log; `None` when this replica does not lead.
    pub(crate) fn propose(
        &mut self,
        services: &Services,
        partition: PartitionId,
        (tenant, key): (TenantId, KeyId),
        change: Change,
    ) -> Option<oneshot::Receiver<Result<Appended, Lost>>> {
        let (sender, receiver) = oneshot::channel();
        let time = TimestampMs::now();
        let propose = Propose {
            partition,
            tenant,
            key,
            change,
            time,
            ticket: Ticket::Change(sender),
        };
        match self.replica.propose(services.now_ms(), propose, &mut self.out) {
            Ok(_) => Some(receiver),
            Err(refused) => {
                tracing::debug!(%partition, %refused, "a change was not taken");
                None
            }
        }
    }

    /// Opens a partition that the catalog has put into this group, unless that is under way. Whether nothing is left to try:
    /// who does not lead has nothing to open.
    pub(crate) fn open(
        &mut self,
        services: &Services,
        partition: PartitionId,
        tenant: TenantId,
        base_epoch: i32,
    ) -> bool {
        if !self.replica.leads()
            || self.state().partition(&partition).is_some()
            || !self.proposed.insert(partition)
        {
            return true;
        }
        let opened = Opened {
            base_epoch,
            log_start: Default::default(),
        };
        let by = (tenant, KeyId::NONE);
        let is_taken = self
            .propose(services, partition, by, Change::Opened(opened))
            .is_some();
        if !is_taken {
            self.proposed.remove(&partition);
        }
        is_taken
    }

    /// Does what the replica and the slots want, until they want nothing more.
    pub(super) fn carry_out(&mut self, group: &Arc<Group>) -> Effects {
        loop {
            let mut out = std::mem::take(&mut self.out);
            for output in out.drain(..) {
                self.carry_out_one(group, output);
            }
            if self.out.is_empty() {
                self.out = out;
            }
            self.drive_slots(group);
            // Whatever went into the log goes to the journal, also when nothing else follows from it.
            self.hand_over(group);
            if self.out.is_empty() {
                break;
            }
        }
        std::mem::take(&mut self.effects)
    }

    fn carry_out_one(&mut self, group: &Arc<Group>, output: Output<Ticket>) {
        match output {
            Output::Applied {
                applied,
                header,
                payload,
            } => self.applied(group, &applied, &header, payload),
            Output::Acknowledge { ticket, answer } => self.acknowledged(group, ticket, answer),
            Output::FlushWanted => group.flush_wanted.notify_one(),
            Output::WorkWaits => group.work_waits.notify_one(),
            Output::Lead { epoch } => {
                tracing::info!(group = %group.id, %epoch, "leads");
                group.services.metrics.led_groups.inc();
                self.proposed.clear();
                self.elected = true;
                self.say_lost(group);
                self.waiters.take_all(&mut self.effects.woken);
            }
            Output::StepDown { epoch } => {
                tracing::info!(group = %group.id, %epoch, "leads no more");
                group.services.metrics.led_groups.dec();
                self.proposed.clear();
                self.elected = false;
                self.stirred.clear();
                group.slots.iter().for_each(Slots::resign);
                self.waiters.take_all(&mut self.effects.woken);
            }
            Output::Halt(reason) => {
                tracing::error!(group = %group.id, %reason, "the replica stopped for good; an operator must look");
                group.services.metrics.halted_groups.inc();
                if self.alone {
                    // No other copy will ever say what is committed: everything on this disk is.
                    self.replica.settle_alone(&mut self.out);
                }
                self.waiters.take_all(&mut self.effects.woken);
            }
            Output::MemberDamaged(member) => {
                tracing::error!(group = %group.id, journal = %member.journal, "a member's journal is damaged");
            }
            // One replica per group for now: there is no peer to send to, and no one to propose.
            Output::Send { .. }
            | Output::ProposeIsr(_)
            | Output::ReadEntries(_)
            | Output::InstallSnapshot { .. }
            | Output::Resign { .. } => {
                tracing::warn!(group = %group.id, "this release runs groups of one replica only");
            }
        }
    }

    fn applied(
        &mut self,
        group: &Arc<Group>,
        applied: &Applied,
        header: &EntryHeader,
        payload: Option<Bytes>,
    ) {
        let partition = applied.partition;
        match &applied.effect {
            Effect::Appended {
                base_offset,
                end_offset,
            } => {
                if let Some(position) = group.services.reader.position(group.id, applied.lsn) {
                    let offsets = (*base_offset, *end_offset);
                    self.kept.push(partition, offsets, position);
                }
                if let Some(bytes) = payload {
                    if let Some(slots) = &group.slots {
                        slots.apply(group.services.now(), partition, &bytes);
                    }
                    let batch = Batch {
                        base_offset: *base_offset,
                        end_offset: *end_offset,
                        bytes,
                    };
                    self.tail.push(partition, batch);
                }
            }
            Effect::Opened => {
                self.proposed.remove(&partition);
            }
            Effect::Closed | Effect::Deleted => {
                self.proposed.remove(&partition);
                self.tail.forget(&partition);
                self.kept.forget(&partition);
                self.taken_back(group, partition);
            }
            Effect::Quarantined { reason } => {
                tracing::error!(
                    group = %group.id, %partition, tenant = %header.tenant, lsn = %header.lsn, %reason,
                    "an entry could not be applied; the partition is put aside"
                );
                if self.quarantined.insert(partition) {
                    group.services.metrics.quarantined_partitions.inc();
                }
            }
            Effect::Trimmed { .. } | Effect::Tiered { .. } | Effect::Replaced | Effect::Lost { .. } => {}
            // Nothing that a reader waits for.
            Effect::ForgotProducers | Effect::Owned => return,
            Effect::None | Effect::PassedOver => {
                self.proposed.remove(&partition);
                return;
            }
        }
        self.waiters.take(&partition, &mut self.effects.woken);
    }

    /// A partition is no longer put aside: it is gone.
    fn taken_back(&mut self, group: &Group, partition: PartitionId) {
        let is_aside = self
            .state()
            .partition(&partition)
            .is_some_and(|state| state.quarantine().is_some());
        if !is_aside && self.quarantined.remove(&partition) {
            group.services.metrics.quarantined_partitions.dec();
        }
    }

    fn acknowledged(&mut self, group: &Arc<Group>, ticket: Ticket, answer: Result<Appended, Lost>) {
        match ticket {
            Ticket::Produce(sender, log_append_time) => {
                let answer = match answer {
                    Ok(appended) => Ok(Produced {
                        base_offset: appended.base_offset,
                        log_append_time,
                        log_start: appended.log_start,
                        throttle: std::time::Duration::ZERO,
                    }),
                    Err(Lost::Quarantined) => Err(ProduceError::Storage),
                    Err(Lost::Undecided) if group.services.is_stopping() => Err(ProduceError::ShuttingDown),
                    Err(Lost::Undecided) => Err(ProduceError::NotLeader),
                };
                self.effects.produced.push((sender, answer));
            }
            Ticket::Change(sender) => self.effects.changed.push((sender, answer)),
            Ticket::Slot(partition, ticket) => self.slot_decided(group, partition, ticket, answer.is_ok()),
        }
    }

    /// Wakes everyone who waits for the group: the broker stops.
    pub(crate) fn wake_all(&mut self) {
        self.waiters.take_all(&mut self.effects.woken);
    }
}
