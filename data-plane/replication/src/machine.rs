//! The machine: its state, the parts that leader and follower share, and where each input goes.

mod follow;
mod isr;
mod lead;
mod progress;
mod writes;

use crate::event::{AppendBody, AppendRefusal, Assignment, HaltReason, Input, Member, Output};
use crate::history::{EntryId, EpochHistory, Recovered};
use crate::message::Message;
use crate::settings::Settings;
use crate::tail::Tail;
use follow::Follower;
use lead::Leader;
use millstream_model::entry::{Entry, EntryHeader};
use millstream_model::{Epoch, JournalId, Lsn, Registration, TimestampMs};
use writes::Writes;

/// One replica's view of its group's log.
///
/// ```text
///            assignment names me and my registration
///   Follower ───────────────────────────────────────► Leader
///      ▲      a higher epoch, or another leader          │
///      └──────────────── StepDown ◄──────────────────────┘        any ── Damaged, contradiction ──► Halted
/// ```
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    log: EpochHistory,
    tail: Tail,
    writes: Writes,
    /// What a restart found in the journal and is not this log.
    stale: Option<EpochHistory>,
    high_watermark: Lsn,
    /// The highest epoch heard of.
    epoch: Epoch,
    /// The newest row seen.
    assignment: Option<Assignment>,
    state: State,
}

#[derive(Debug)]
enum State {
    Follower(Follower),
    Leader(Box<Leader>),
    Halted(HaltReason),
}

/// What a machine is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Leads the epoch.
    Leader,
    /// Follows this journal, or nobody yet.
    Follower(Option<JournalId>),
    /// Stopped for good.
    Halted(HaltReason),
}

impl Machine {
    /// A machine that knows what its journal holds and waits for an assignment or a leader's message.
    pub fn new(settings: Settings, recovered: Recovered) -> Machine {
        let Recovered {
            log,
            high_watermark,
            stale,
        } = recovered;
        let last = log.last();
        assert!(high_watermark <= last.lsn, "bug: what is committed is in the log");
        Machine {
            settings,
            tail: Tail::default(),
            writes: Writes::new(last.lsn),
            stale,
            high_watermark,
            epoch: last.epoch,
            assignment: None,
            state: State::Follower(Follower::new(None, high_watermark)),
            log,
        }
    }

    /// Takes one input and pushes what is to be done, in order. `now_ms` is monotonic and only measures waiting.
    pub fn step(&mut self, now_ms: u64, input: Input, out: &mut Vec<Output>) {
        if let State::Halted(_) = self.state {
            if let Input::Append(_) = input {
                out.push(Output::Refused(AppendRefusal::Halted));
            }
            return;
        }
        match input {
            Input::Append(body) => {
                if let Err(refusal) = self.append(now_ms, body, out) {
                    out.push(Output::Refused(refusal));
                }
            }
            Input::Durable(write) => self.durable(now_ms, write, out),
            Input::Message { from, message } => self.message(now_ms, from, message, out),
            Input::Assign { assignment, time } => self.assign(now_ms, assignment, time, out),
            Input::ProposalRefused {
                base_version,
                version,
            } => self.proposal_refused(base_version, version),
            Input::Entries {
                follower,
                from,
                entries,
            } => self.entries_read(now_ms, follower, from, entries, out),
            Input::Installed { base } => self.installed(base, out),
            Input::Released { up_to } => self.log.release(up_to.min(self.high_watermark)),
            Input::Damaged => self.halt(HaltReason::JournalDamaged, out),
            Input::Unreadable { lsn, version } => self.halt(HaltReason::NewerRelease { lsn, version }, out),
            Input::Tick => self.tick(now_ms, out),
        }
    }

    /// Puts an entry at the end of the log, when this replica leads; says which one it became.
    ///
    /// # Errors
    /// As [`Machine::check_append`].
    pub fn append(
        &mut self,
        now_ms: u64,
        body: AppendBody,
        out: &mut Vec<Output>,
    ) -> Result<EntryId, AppendRefusal> {
        self.check_append(now_ms)?;
        Ok(self.append_as_leader(now_ms, body, out))
    }

    /// Whether an append would be taken now, so that a caller can ask before it decides anything.
    ///
    /// # Errors
    /// When this replica does not lead, too few members live, or too much waits already.
    pub fn check_append(&self, now_ms: u64) -> Result<(), AppendRefusal> {
        let leader = match &self.state {
            State::Leader(leader) if leader.resigned_at_ms.is_none() => leader,
            State::Halted(_) => return Err(AppendRefusal::Halted),
            _ => return Err(AppendRefusal::NotLeader),
        };
        let minimum = self.minimum();
        let live = self.live_in_sync(now_ms);
        if live < minimum {
            return Err(AppendRefusal::NotEnoughReplicas { live, minimum });
        }
        if leader.pending_bytes >= self.settings.uncommitted_bytes_max {
            return Err(AppendRefusal::Backlog {
                bytes: leader.pending_bytes,
            });
        }
        Ok(())
    }

    /// This process start has its number, which was not known when the machine was made: from here on an assignment can
    /// appoint it (log.md 13, 14).
    pub fn register(&mut self, registration: Registration) {
        assert!(
            !matches!(self.state, State::Leader(_)),
            "bug: nobody leads before its start has a number"
        );
        self.settings.registration = registration;
    }

    /// What it is now.
    pub fn role(&self) -> Role {
        match &self.state {
            State::Follower(follower) => Role::Follower(follower.leader),
            State::Leader(_) => Role::Leader,
            State::Halted(reason) => Role::Halted(*reason),
        }
    }

    /// The highest epoch it has heard of.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The newest assignment it has seen.
    pub fn assignment(&self) -> Option<&Assignment> {
        self.assignment.as_ref()
    }

    /// Everything up to here is committed, and this replica may apply it.
    pub fn high_watermark(&self) -> Lsn {
        self.high_watermark
    }

    /// The log's last entry, committed or not.
    pub fn last(&self) -> EntryId {
        self.log.last()
    }

    /// Everything up to here is on this replica's disk.
    pub fn durable_lsn(&self) -> Lsn {
        self.writes.durable()
    }

    /// The log's epochs.
    pub fn log(&self) -> &EpochHistory {
        &self.log
    }

    /// The end of the log when this leader was elected: until the high watermark has passed it, the latest offset is
    /// not known (log.md 23). `None` when it has passed, or this replica does not lead.
    pub fn elected_log_end(&self) -> Option<Lsn> {
        match &self.state {
            State::Leader(leader) if self.high_watermark < leader.elected_log_end => {
                Some(leader.elected_log_end)
            }
            _ => None,
        }
    }

    /// How many of the committed ISR live: this replica and those heard from within a session. For a topic whose
    /// minimum is above its group's (log.md 17).
    pub fn live_in_sync(&self, now_ms: u64) -> usize {
        let (State::Leader(leader), Some(assignment)) = (&self.state, &self.assignment) else {
            return 0;
        };
        let lives = |journal: &&JournalId| {
            **journal == self.settings.me
                || leader
                    .followers
                    .get(*journal)
                    .is_some_and(|it| it.lives(now_ms, self.settings.session_ms))
        };
        assignment.isr.iter().filter(lives).count()
    }

    /// Each other member and what it has said to have on disk in this epoch; empty unless this replica leads.
    pub fn followers(&self) -> impl Iterator<Item = (JournalId, Option<Lsn>)> {
        let leader = match &self.state {
            State::Leader(leader) => Some(leader),
            _ => None,
        };
        leader.into_iter().flat_map(|leader| {
            leader
                .followers
                .iter()
                .map(|(journal, it)| (*journal, it.durable))
        })
    }

    fn minimum(&self) -> usize {
        self.assignment
            .as_ref()
            .map_or(1, |assignment| assignment.minimum.max(1))
    }

    fn myself(&self) -> Member {
        Member {
            journal: self.settings.me,
            registration: self.settings.registration,
        }
    }

    /// Writes an entry that is not in the log yet.
    fn persist(&mut self, entry: Entry, out: &mut Vec<Output>) {
        if let Some(stale) = self.stale.take() {
            self.start_anew(stale.base().lsn, stale.last().lsn, out);
        }
        self.log.push(EntryId::of(&entry.header));
        let write = self.writes.persist();
        if !self.alone() {
            self.tail.push(entry.clone());
            self.tail
                .shrink(self.settings.tail_bytes_max, self.writes.durable());
        }
        out.push(Output::Persist { write, entry });
    }

    /// The journal's log begins again behind the snapshot that `self.log` starts after. What it has after `keep` is cut
    /// first: to release a part of a log leaves what comes behind it.
    fn start_anew(&mut self, keep: Lsn, end: Lsn, out: &mut Vec<Output>) {
        let base = self.log.base();
        if end > keep && end >= base.lsn {
            let write = self.writes.truncate(keep);
            out.push(Output::Truncate {
                write,
                epoch: self.epoch,
                to: keep,
            });
        }
        let write = self.writes.reset(base.lsn);
        out.push(Output::Reset { write, base });
    }

    /// Whether there is nobody to send anything to.
    fn alone(&self) -> bool {
        match &self.state {
            State::Leader(leader) => leader.followers.is_empty(),
            _ => false,
        }
    }

    fn commit(&mut self, up_to: Lsn, out: &mut Vec<Output>) {
        if up_to > self.high_watermark {
            assert!(
                up_to <= self.log.last().lsn,
                "bug: only what is in the log commits"
            );
            self.high_watermark = up_to;
            out.push(Output::Committed { up_to });
        }
    }

    fn durable(&mut self, now_ms: u64, write: crate::event::WriteNumber, out: &mut Vec<Output>) {
        if !self.writes.complete(write) {
            return;
        }
        match &self.state {
            State::Leader(_) => self.own_disk_moved(now_ms, out),
            State::Follower(_) => self.follower_disk_moved(out),
            State::Halted(_) => {}
        }
    }

    fn message(&mut self, now_ms: u64, from: JournalId, message: Message, out: &mut Vec<Output>) {
        if from == self.settings.me {
            return;
        }
        let epoch = message.epoch();
        if epoch > self.epoch {
            self.step_down(out);
            self.epoch = epoch;
            self.state = State::Follower(Follower::new(None, self.high_watermark));
        }
        match message {
            Message::Append(append) => self.appended(from, append, out),
            Message::Install(install) => self.install(from, install, out),
            Message::Acknowledge(acknowledge) if epoch == self.epoch => {
                self.acknowledged(now_ms, from, acknowledge, out);
            }
            // What it says of a message of an earlier epoch says nothing of this one's.
            Message::Refuse(refuse) if epoch == self.epoch && refuse.refused == epoch => {
                self.refused(now_ms, from, refuse, out);
            }
            Message::Acknowledge(_) | Message::Refuse(_) => {}
        }
    }

    fn assign(&mut self, now_ms: u64, assignment: Assignment, time: TimestampMs, out: &mut Vec<Output>) {
        let seen = self.assignment.as_ref().map(|seen| (seen.epoch, seen.version));
        if assignment.epoch < self.epoch || Some((assignment.epoch, assignment.version)) <= seen {
            return;
        }
        if let State::Leader(leader) = &self.state
            && leader.epoch == assignment.epoch
        {
            self.reassign(now_ms, assignment, out);
            return;
        }
        self.step_down(out);
        let planted = self.settings.planted.epoch_led_by_two_incarnations;
        let named = assignment
            .leader
            .is_some_and(|leader| leader == self.myself() || planted && leader.journal == self.settings.me);
        let fresh = assignment.epoch > self.log.last().epoch || planted;
        let leader = assignment
            .leader
            .map(|leader| leader.journal)
            .filter(|journal| *journal != self.settings.me);
        let same_epoch = assignment.epoch == self.epoch;
        self.epoch = assignment.epoch;
        self.assignment = Some(assignment);
        if named && fresh {
            self.lead(now_ms, time, out);
        } else if let (State::Follower(follower), true) = (&mut self.state, same_epoch) {
            follower.leader = follower.leader.or(leader);
        } else {
            self.state = State::Follower(Follower::new(leader, self.high_watermark));
        }
    }

    /// Ends a leadership, if there is one.
    fn step_down(&mut self, out: &mut Vec<Output>) {
        if let State::Leader(leader) = &self.state {
            out.push(Output::StepDown { epoch: leader.epoch });
            self.state = State::Follower(Follower::new(None, self.high_watermark));
        }
    }

    fn halt(&mut self, reason: HaltReason, out: &mut Vec<Output>) {
        self.step_down(out);
        self.state = State::Halted(reason);
        out.push(Output::Halt(reason));
    }

    /// The header of the next entry of the log.
    fn next_header(&self, body: &AppendBody) -> EntryHeader {
        let last = self.log.last();
        EntryHeader {
            kind: body.kind,
            group: self.settings.group,
            epoch: self.epoch,
            previous_epoch: last.epoch,
            lsn: last.lsn.next(),
            time: body.time,
            partition: body.partition,
            tenant: body.tenant,
            key: body.key,
        }
    }
}
