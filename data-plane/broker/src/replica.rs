//! One replica of one group: replication, partition state and the leader's overlay composed, without I/O or clocks.
//!
//! ```text
//!   append ─┐                         ┌─► submit               ─► the journal, in this order ─► written
//!   propose ┼─► Replica (one thread ──┼─► Send, ProposeIsr, …  ─► peers, controller
//!   input  ─┘   at a time) ───────────┴─► Applied, Acknowledge ─► readers, producers
//! ```
//! The broker runs it over the real journal, the simulator over a simulated one: the same code decides, applies and
//! acknowledges. A producer is answered in one place ([`Replica::acknowledge`]), after the durability that it asked
//! for is true; state changes in one place, when an entry commits.

mod append;
mod output;
mod proposal;
mod recovery;
mod release;
#[cfg(test)]
mod tests;
mod tiering;
mod writes;

pub use append::{Append, AppendRefused, Propose};
pub use output::{Appended, Lost, Output};
pub use proposal::{proposal_refused, proposed_isr};
pub use recovery::{Recovery, RecoveryError, takes_named_snapshot};
use release::Snapshots;
pub use tiering::{Done, Facts, Planted as PlantedTiering, Taken, TieringSettings, Work};
pub use writes::{AGAIN_AFTER, Outcome, Planted as PlantedWrites, Receipt};

use crate::interface::Acks;
use append::{Waiting, Who};
use bytes::Bytes;
use millstream_journal::{Append as Submission, Record, SubmitError};
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::slot::{is_unknown_slot, slot_tag};
use millstream_model::{GroupId, JournalId, Lsn, PartitionId, Registration};
use millstream_partition::{Change, Effect, GroupState, Overlay, PayloadError};
use millstream_replication::{EntryId, Input, Machine, Output as Ordered, Role};
use std::collections::VecDeque;
use tiering::Tiering;
use writes::Writes;

/// Bugs put in on purpose, for the simulator only: each one loses or invents data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    /// Entries change the state when they are written, not when they are committed.
    pub apply_before_commit: bool,
    /// The journal is recycled up to where the live state knows everything to be in the store (against log.md 30).
    pub release_by_live_state: bool,
    /// What a leader knew beyond the committed state stays when its leadership ends (against log.md 20).
    pub overlay_outlives_its_epoch: bool,
    /// A batch that an idempotent producer repeats is appended again.
    pub repeat_is_appended: bool,
    /// A new leader says where the log ends before what it found there is committed (against log.md 23).
    pub end_is_known_at_once: bool,
    /// The largest timestamp is what a batch's header says, not what its records have: retention goes by it.
    pub header_timestamp_believed: bool,
    /// Batches bear the leader epoch before the one in which they are ordered (against log.md 26).
    pub stamped_an_epoch_low: bool,
    /// Who waits for a commit is not told when the leadership ends.
    pub waiters_forgotten: bool,
    /// A start begins with the snapshot on its disk, however old it is.
    pub older_snapshot_counts: bool,
    /// Those on the way to the journal.
    pub writes: PlantedWrites,
    /// Those of the background work.
    pub tiering: PlantedTiering,
}

/// A replica's settings.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Those of its log.
    pub replication: millstream_replication::Settings,
    /// Bytes that a commit of its journal takes.
    pub commit_bytes_max: usize,
    /// When its background work is due.
    pub tiering: TieringSettings,
    /// Bugs put in on purpose. Never set outside tests.
    pub planted: Planted,
}

/// An entry that is in the log and not yet known to be committed.
#[derive(Debug)]
struct Undecided {
    header: EntryHeader,
    change: Result<Change, PayloadError>,
    /// Absent for entries that a restart found in the journal and nobody needs in memory.
    payload: Option<Bytes>,
}

impl Undecided {
    fn of(entry: Entry) -> Undecided {
        Undecided {
            header: entry.header,
            change: Change::of(&entry),
            payload: Some(entry.payload),
        }
    }

    /// The tag of the slot that it is a batch of, if only a newer release knows such slots.
    fn unknown_tag(&self) -> Option<u16> {
        let topic = self.header.partition.topic;
        let is_batch = self.header.kind == EntryKind::Append;
        (is_batch && is_unknown_slot(topic))
            .then(|| slot_tag(topic))
            .flatten()
    }
}

/// One replica of one group. `T` names whoever waits for an answer.
#[derive(Debug)]
pub struct Replica<T> {
    planted: Planted,
    /// Its journal: how assignments name it.
    me: JournalId,
    /// The tag of something that only a newer release can read.
    unknown: Option<u16>,
    machine: Machine,
    state: GroupState,
    overlay: Overlay,
    /// Contiguous, from the one after `state.applied()` to the log's end.
    undecided: VecDeque<Undecided>,
    /// Who waits for a commit, by LSN.
    for_commit: VecDeque<Waiting<T>>,
    /// Who waits for this replica's disk alone, by LSN.
    for_disk: VecDeque<Waiting<T>>,
    /// What the journal is still to make durable.
    writes: Writes,
    /// What moves it to the store and gives it back.
    tiering: Tiering,
    /// Reused for the machine's outputs.
    ordered: Vec<Ordered>,
}

impl<T> Replica<T> {
    /// A replica that continues from what it found on its disk; what a mark there says is committed is applied.
    pub fn new(settings: Settings, recovery: Recovery, out: &mut Vec<Output<T>>) -> Replica<T> {
        let Recovery {
            state,
            recovered,
            undecided,
            unknown,
            ..
        } = recovery;
        let unknown = unknown.or_else(|| undecided.iter().find_map(Undecided::unknown_tag));
        assert_eq!(
            state.group(),
            settings.replication.group,
            "bug: a replica begins with its own group's state"
        );
        let mut replica = Replica {
            planted: settings.planted,
            me: settings.replication.me,
            unknown,
            machine: Machine::new(settings.replication, recovered),
            state,
            overlay: Overlay::new(),
            undecided,
            for_commit: VecDeque::new(),
            for_disk: VecDeque::new(),
            writes: Writes::new(settings.commit_bytes_max, settings.planted.writes),
            tiering: Tiering::new(settings.tiering, settings.planted.tiering),
            ordered: Vec::new(),
        };
        replica.apply_up_to(replica.machine.high_watermark(), out);
        replica
    }

    /// Its group.
    pub fn group(&self) -> GroupId {
        self.state.group()
    }

    /// The committed state.
    pub fn state(&self) -> &GroupState {
        &self.state
    }

    /// The log.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.machine.role() == Role::Leader
    }

    /// Whether it has stopped for good.
    pub fn is_halted(&self) -> bool {
        matches!(self.machine.role(), Role::Halted(_))
    }

    /// The only replica of its group has halted: applies all that its disk holds, for with one replica that is
    /// exactly what is committed (log.md 5).
    pub fn settle_alone(&mut self, out: &mut Vec<Output<T>>) {
        assert!(
            self.is_halted(),
            "bug: only a replica that has halted is settled alone"
        );
        self.apply_up_to(self.machine.durable_lsn(), out);
    }

    /// Whether the end of the committed log is known: not between an election and the commit of what the new leader
    /// found in its log (log.md 23).
    pub fn log_end_is_known(&self) -> bool {
        self.leads() && (self.planted.end_is_known_at_once || self.machine.elected_log_end().is_none())
    }

    /// The tag of something in its snapshot or its log that only a newer release can read. Such a replica does not lead, and
    /// it takes no snapshot of its own, which would lack it: the one that it has stays as it is, and nothing of the
    /// journal behind that is given back (log.md 41).
    pub fn unknown(&self) -> Option<u16> {
        self.unknown
    }

    /// This process start has its number; see [`Machine::register`].
    pub fn register(&mut self, registration: Registration) {
        self.machine.register(registration);
    }

    /// Whether an entry of the partition is in the log and not yet known to be committed.
    pub fn is_undecided(&self, partition: &PartitionId) -> bool {
        self.undecided
            .iter()
            .any(|entry| entry.header.partition == *partition)
    }

    /// Takes anything but an append.
    pub fn step(&mut self, now_ms: u64, mut input: Input, out: &mut Vec<Output<T>>) {
        if let (Input::Assign { assignment, .. }, Some(_)) = (&mut input, self.unknown) {
            // Whoever leads answers for all that is in the log.
            assignment.leader.take_if(|leader| leader.journal == self.me);
        }
        let mut ordered = std::mem::take(&mut self.ordered);
        self.machine.step(now_ms, input, &mut ordered);
        self.carry_out(&mut ordered, out);
        self.ordered = ordered;
        self.answer_durable(out);
    }

    /// What the journal is to be given next; its answer belongs to [`Replica::written`]. To be asked until there is nothing
    /// more, after everything that may have put something into the log.
    pub fn submit(&mut self) -> Option<(Submission, Receipt)> {
        self.writes.next()
    }

    /// The journal has answered for what [`Replica::submit`] gave, be it at once; answers come in the order of submission.
    pub fn written(
        &mut self,
        now_ms: u64,
        receipt: Receipt,
        answer: Result<(), &SubmitError>,
        out: &mut Vec<Output<T>>,
    ) -> Outcome {
        let outcome = self.writes.written(receipt, answer);
        if let Some(number) = outcome.durable {
            self.step(now_ms, Input::Durable(number), out);
        }
        if outcome.failed {
            self.step(now_ms, Input::Damaged, out);
        }
        outcome
    }

    /// What the journal refused may be handed over again.
    pub fn write_again(&mut self) {
        self.writes.again();
    }

    /// Payload bytes that the journal has not made durable yet.
    pub fn waiting_bytes(&self) -> usize {
        self.writes.bytes()
    }

    /// The shell has loaded a snapshot that [`Output::InstallSnapshot`] asked for. One that comes when this replica leads
    /// by now has nothing that it lacks.
    pub fn install(&mut self, now_ms: u64, snapshot: GroupState, out: &mut Vec<Output<T>>) {
        let follows = matches!(self.machine.role(), Role::Follower(_));
        if !follows || snapshot.applied() <= self.state.applied() {
            return;
        }
        let base = EntryId {
            epoch: snapshot.applied_epoch(),
            lsn: snapshot.applied(),
        };
        while self
            .undecided
            .pop_front_if(|entry| entry.header.lsn <= base.lsn)
            .is_some()
        {}
        self.state = snapshot;
        self.step(now_ms, Input::Installed { base }, out);
    }

    /// Turns what the log's machine wants into what the shell has to do, in order.
    fn carry_out(&mut self, ordered: &mut Vec<Ordered>, out: &mut Vec<Output<T>>) {
        for output in ordered.drain(..) {
            match output {
                Ordered::Persist { write, entry } => {
                    self.writes.push(write, Record::Entry(entry.clone()));
                    self.logged(entry, out);
                }
                Ordered::Truncate { write, epoch, to } => {
                    let (group, lsn) = (self.group(), to);
                    self.writes.push(write, Record::Truncate { group, epoch, lsn });
                    self.forget_after(to, out);
                }
                Ordered::Reset { write, base } => {
                    let EntryId { epoch, lsn } = base;
                    let group = self.group();
                    self.writes.push(write, Record::Released { group, epoch, lsn });
                    // What a snapshot brought is in the state already; nothing of the old log remains.
                    self.undecided.clear();
                }
                Ordered::Committed { up_to } => self.apply_up_to(up_to, out),
                Ordered::Lead { epoch } => {
                    if !self.planted.overlay_outlives_its_epoch {
                        self.rebuild_overlay();
                    }
                    out.push(Output::Lead { epoch });
                }
                Ordered::StepDown { epoch } => {
                    if !self.planted.overlay_outlives_its_epoch {
                        self.overlay.clear();
                    }
                    self.lose_all(out);
                    out.push(Output::StepDown { epoch });
                }
                Ordered::Send { to, message } => out.push(Output::Send { to, message }),
                Ordered::Resign { epoch } => out.push(Output::Resign { epoch }),
                Ordered::ProposeIsr(proposal) => out.push(Output::ProposeIsr(proposal)),
                Ordered::ReadEntries(read) => out.push(Output::ReadEntries(read)),
                Ordered::InstallSnapshot { base } => out.push(Output::InstallSnapshot { base }),
                Ordered::MemberDamaged(member) => out.push(Output::MemberDamaged(member)),
                Ordered::Halt(reason) => out.push(Output::Halt(reason)),
                // Appends go through `Machine::append`, which returns its refusal.
                Ordered::Refused(_) => {}
            }
        }
    }

    /// An entry went to the end of the log.
    fn logged(&mut self, entry: Entry, out: &mut Vec<Output<T>>) {
        let lsn = entry.header.lsn;
        let undecided = Undecided::of(entry);
        self.unknown = self.unknown.or(undecided.unknown_tag());
        if let (true, Ok(change)) = (self.leads(), &undecided.change) {
            self.overlay.ordered(&self.state, &undecided.header, change);
        }
        self.undecided.push_back(undecided);
        if self.planted.apply_before_commit {
            self.apply_up_to(lsn, out);
        }
    }

    /// Applies every entry up to `lsn`, and answers who waited for it.
    fn apply_up_to(&mut self, lsn: Lsn, out: &mut Vec<Output<T>>) {
        while let Some(entry) = self.undecided.front().filter(|entry| entry.header.lsn <= lsn) {
            if let Err(PayloadError::Version { version }) = entry.change {
                self.stop_at(entry.header.lsn, version, out);
                return;
            }
            let Some(Undecided {
                header,
                change,
                payload,
            }) = self.undecided.pop_front()
            else {
                return;
            };
            let producer = match &change {
                Ok(Change::Append(facts)) => facts.sequenced().map(|producer| producer.id),
                _ => None,
            };
            let applied = self.state.apply_change(&header, change);
            self.overlay.decided(&header.partition, producer);
            let taken = !matches!(applied.effect, Effect::Quarantined { .. } | Effect::PassedOver);
            let batch_bytes = match (&applied.effect, &payload) {
                (Effect::Appended { .. }, Some(batch)) => batch.len() as u64,
                _ => 0,
            };
            if self.tiering.applied(batch_bytes) {
                out.push(Output::FlushWanted);
            }
            out.push(Output::Applied {
                applied,
                header,
                payload,
            });
            while let Some(waiting) = self.for_commit.pop_front_if(|waiting| waiting.lsn <= header.lsn) {
                self.acknowledge(waiting, taken, out);
            }
        }
    }

    /// A committed entry is of a newer release: whoever knows its form applies it, so this one must not pass over it.
    fn stop_at(&mut self, lsn: Lsn, version: u8, out: &mut Vec<Output<T>>) {
        let mut ordered = Vec::new();
        self.machine
            .step(0, Input::Unreadable { lsn, version }, &mut ordered);
        self.carry_out(&mut ordered, out);
    }

    /// Answers who asked for no more than this replica's disk.
    fn answer_durable(&mut self, out: &mut Vec<Output<T>>) {
        let durable = self.machine.durable_lsn();
        while let Some(waiting) = self.for_disk.pop_front_if(|waiting| waiting.lsn <= durable) {
            self.acknowledge(waiting, true, out);
        }
    }

    /// The one place where a producer is told that its batch is as durable as it asked.
    fn acknowledge(&mut self, waiting: Waiting<T>, taken: bool, out: &mut Vec<Output<T>>) {
        assert!(
            self.planted.apply_before_commit
                || match waiting.acks {
                    Acks::All => waiting.lsn <= self.machine.high_watermark(),
                    Acks::Leader | Acks::None => waiting.lsn <= self.machine.durable_lsn(),
                },
            "bug: what is acknowledged is durable, or committed where all are asked for"
        );
        let log_start = self
            .state
            .partition(&waiting.partition)
            .map(|partition| partition.log_start());
        let answer = match taken {
            true => Ok(Appended {
                lsn: waiting.lsn,
                base_offset: waiting.base_offset,
                log_start: log_start.unwrap_or_default(),
            }),
            false => Err(Lost::Quarantined),
        };
        self.answer(waiting.who, answer, out);
    }

    fn answer(&mut self, who: Who<T>, answer: Result<Appended, Lost>, out: &mut Vec<Output<T>>) {
        match who {
            Who::Asked(ticket) => out.push(Output::Acknowledge { ticket, answer }),
            Who::Tiering => out.extend(self.tiering.moved(answer).then_some(Output::WorkWaits)),
        }
    }

    /// The log was cut after `to`.
    fn forget_after(&mut self, to: Lsn, out: &mut Vec<Output<T>>) {
        while self
            .undecided
            .pop_back_if(|entry| entry.header.lsn > to)
            .is_some()
        {}
        let mut cut = Vec::new();
        for queue in [&mut self.for_commit, &mut self.for_disk] {
            while let Some(waiting) = queue.pop_back_if(|waiting| waiting.lsn > to) {
                cut.push(waiting.who);
            }
        }
        for who in cut {
            self.answer(who, Err(Lost::Undecided), out);
        }
    }

    /// The leadership ended: nobody here will learn what becomes of the undecided.
    fn lose_all(&mut self, out: &mut Vec<Output<T>>) {
        if self.planted.waiters_forgotten {
            return;
        }
        let waiting: Vec<Waiting<T>> = self.for_commit.drain(..).chain(self.for_disk.drain(..)).collect();
        for waiting in waiting {
            self.answer(waiting.who, Err(Lost::Undecided), out);
        }
    }

    /// A new leader decides on top of what its log holds beyond the committed state.
    fn rebuild_overlay(&mut self) {
        self.overlay.clear();
        for entry in &self.undecided {
            if let Ok(change) = &entry.change {
                self.overlay.ordered(&self.state, &entry.header, change);
            }
        }
    }
}
