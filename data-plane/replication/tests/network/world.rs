//! The world around three machines: time, network, faults, and the checks.

use crate::controller::Controller;
use crate::node::Node;
use bytes::Bytes;
use millstream_model::entry::{Entry, EntryKind};
use millstream_model::{GroupId, JournalId, KeyId, Lsn, PartitionId, Registration, TenantId, TimestampMs};
use millstream_replication::{
    AppendBody, Assignment, EntryId, Input, Message, Output, Planted, ProposeIsr, Role, Settings,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

const NODES: usize = 3;
const STEPS: u64 = 3_000;

enum Event {
    Message {
        from: usize,
        to: usize,
        message: Message,
    },
    Row {
        to: usize,
        row: Assignment,
    },
    Propose {
        from: usize,
        proposal: ProposeIsr,
    },
    Refused {
        to: usize,
        base_version: u64,
        version: u64,
    },
}

pub struct World {
    random: StdRng,
    now_ms: u64,
    settings: Settings,
    nodes: Vec<Node>,
    controller: Controller,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    /// A node that nobody reaches.
    cut: Option<usize>,
    /// What was committed anywhere.
    committed: BTreeMap<Lsn, Entry>,
    payloads: u32,
    /// Filled when wanted: formatting takes most of a run's time.
    pub trace: Option<String>,
}

impl World {
    pub fn new(seed: u64, planted: Planted) -> World {
        let journals: Vec<JournalId> = (1..=NODES as u8)
            .map(|it| JournalId::from_bytes([it; 16]))
            .collect();
        let settings = Settings {
            heartbeat_ms: 20,
            retry_ms: 60,
            session_ms: 150,
            window_bytes: 2_000,
            message_bytes_max: 500,
            tail_bytes_max: 600,
            uncommitted_bytes_max: 20_000,
            planted,
            ..Settings::new(GroupId(1), journals[0], Registration(0))
        };
        World {
            random: StdRng::seed_from_u64(seed),
            now_ms: 1_000,
            settings,
            nodes: journals.iter().map(|journal| Node::new(*journal)).collect(),
            controller: Controller::new(&journals, 2),
            queue: BTreeMap::new(),
            queued: 0,
            cut: None,
            committed: BTreeMap::new(),
            payloads: 0,
            trace: None,
        }
    }

    pub fn run(&mut self) -> Result<(), String> {
        for node in 0..NODES {
            self.start(node)?;
        }
        for _ in 0..STEPS {
            self.now_ms += self.random.random_range(0..4);
            self.fault()?;
            self.progress(true)?;
        }
        self.heal()
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            *trace += &line();
        }
    }

    /// Nothing fails any more: everybody must come to hold everything that was committed, and go on.
    fn heal(&mut self) -> Result<(), String> {
        self.cut = None;
        for node in 0..NODES {
            if self.nodes[node].machine.is_none() {
                self.start(node)?;
            }
        }
        let before = self.committed.len();
        for _ in 0..4_000 {
            self.now_ms += 2;
            self.progress(false)?;
        }
        if self.committed.len() <= before {
            return Err(format!("nothing commits after healing: {before} entries"));
        }
        let last = *self.committed.keys().last().unwrap();
        for node in &self.nodes {
            let machine = node.machine.as_ref().unwrap();
            let high_watermark = machine.high_watermark();
            if high_watermark.0 + 200 < last.0 {
                return Err(format!(
                    "{} is at {high_watermark}, {last} is committed",
                    node.journal
                ));
            }
        }
        if self.controller.row.isr.len() < NODES {
            return Err(format!("the ISR stays at {:?}", self.controller.row.isr));
        }
        Ok(())
    }

    fn fault(&mut self) -> Result<(), String> {
        let node = self.random.random_range(0..NODES);
        match self.random.random_range(0..400) {
            0 => {
                let kept = self.random.random_range(0..=self.nodes[node].unsynced());
                let now_ms = self.now_ms;
                self.note(|| format!("{now_ms} crash {node} keeps {kept}\n"));
                self.nodes[node].crash(kept);
            }
            1..=4 if self.nodes[node].machine.is_none() => self.start(node)?,
            5 => self.cut = Some(node),
            6..=7 => self.cut = None,
            8 => self.snapshot(node)?,
            _ => {}
        }
        Ok(())
    }

    /// A snapshot at the node's high watermark; what it covers is released.
    fn snapshot(&mut self, node: usize) -> Result<(), String> {
        let Some(machine) = &self.nodes[node].machine else {
            return Ok(());
        };
        let lsn = machine.high_watermark();
        let Some(epoch) = machine.log().epoch_at(lsn) else {
            return Ok(());
        };
        self.nodes[node].snapshot = EntryId { epoch, lsn };
        self.feed(node, Input::Released { up_to: lsn })
    }

    fn start(&mut self, node: usize) -> Result<(), String> {
        let registration = self.controller.register(self.nodes[node].journal);
        let settings = self.nodes[node].registered(self.settings, registration);
        let now_ms = self.now_ms;
        self.note(|| format!("{now_ms} start {node} as {registration}\n"));
        self.nodes[node].start(settings)?;
        if let Some(assignment) = self.nodes[node].row.clone() {
            self.feed(
                node,
                Input::Assign {
                    assignment,
                    time: TimestampMs(0),
                },
            )?;
        }
        self.publish();
        Ok(())
    }

    fn publish(&mut self) {
        for to in 0..NODES {
            let row = self.controller.row.clone();
            self.send(Event::Row { to, row }, 40);
        }
    }

    fn send(&mut self, event: Event, delay_ms: u64) {
        let at = self.now_ms + self.random.random_range(1..=delay_ms);
        self.queued += 1;
        self.queue.insert((at, self.queued), event);
    }

    /// Ticks, appends, syncs and delivers whatever is due.
    fn progress(&mut self, faulty: bool) -> Result<(), String> {
        for node in 0..NODES {
            if self.random.random_range(0..10) == 0 {
                self.feed(node, Input::Tick)?;
            }
            if self.random.random_range(0..5) == 0 {
                self.append(node)?;
            }
            let slow = faulty && node == 2 && self.now_ms % 1_000 < 300;
            if !slow && self.random.random_range(0..4) == 0 {
                let count = self.random.random_range(1..8);
                if let Some(write) = self.nodes[node].sync(count) {
                    self.feed(node, Input::Durable(write))?;
                }
            }
        }
        self.elect();
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= self.now_ms
        {
            let event = entry.remove();
            self.deliver(event, faulty)?;
        }
        Ok(())
    }

    fn append(&mut self, node: usize) -> Result<(), String> {
        let leads = self.nodes[node]
            .machine
            .as_ref()
            .is_some_and(|it| it.role() == Role::Leader);
        if !leads {
            return Ok(());
        }
        self.payloads += 1;
        let body = AppendBody {
            kind: EntryKind::Append,
            time: TimestampMs(0),
            partition: PartitionId::NONE,
            tenant: TenantId::SYSTEM,
            key: KeyId::NONE,
            payload: Bytes::from(self.payloads.to_le_bytes().to_vec()),
        };
        self.feed(node, Input::Append(body))
    }

    fn elect(&mut self) {
        let live: Vec<JournalId> = (0..NODES)
            .filter(|node| self.nodes[*node].machine.is_some() && self.cut != Some(*node))
            .map(|node| self.nodes[node].journal)
            .collect();
        let leads = self
            .controller
            .row
            .leader
            .is_some_and(|leader| live.contains(&leader.journal));
        if !leads && self.random.random_range(0..40) == 0 {
            let pick = self.random.random_range(0..NODES);
            if self.controller.elect(&live, pick) {
                let line = format!("{} elected {:?}\n", self.now_ms, self.controller.row);
                self.note(|| line);
                self.publish();
            }
        }
    }

    fn deliver(&mut self, event: Event, faulty: bool) -> Result<(), String> {
        let reached = |node: usize| self.cut != Some(node);
        match event {
            Event::Message { from, to, message } => {
                if !reached(from) || !reached(to) || faulty && self.random.random_range(0..30) == 0 {
                    return Ok(());
                }
                if faulty && self.random.random_range(0..30) == 0 {
                    self.send(
                        Event::Message {
                            from,
                            to,
                            message: message.clone(),
                        },
                        200,
                    );
                }
                let from = self.nodes[from].journal;
                self.feed(to, Input::Message { from, message })
            }
            Event::Row { to, row } => {
                if !reached(to) || self.nodes[to].machine.is_none() {
                    if self.nodes[to].machine.is_some() {
                        self.send(Event::Row { to, row }, 100);
                    }
                    return Ok(());
                }
                if self.nodes[to]
                    .row
                    .as_ref()
                    .is_none_or(|known| known.version < row.version)
                {
                    self.nodes[to].row = Some(row.clone());
                }
                self.feed(
                    to,
                    Input::Assign {
                        assignment: row,
                        time: TimestampMs(0),
                    },
                )
            }
            Event::Propose { from, proposal } => {
                if !reached(from) || faulty && self.random.random_range(0..5) == 0 {
                    return Ok(());
                }
                match self.controller.propose(self.nodes[from].journal, &proposal) {
                    Ok(()) => self.publish(),
                    Err(version) => {
                        let base_version = proposal.base_version;
                        self.send(
                            Event::Refused {
                                to: from,
                                base_version,
                                version,
                            },
                            30,
                        );
                    }
                }
                Ok(())
            }
            Event::Refused {
                to,
                base_version,
                version,
            } => self.feed(
                to,
                Input::ProposalRefused {
                    base_version,
                    version,
                },
            ),
        }
    }

    fn feed(&mut self, node: usize, input: Input) -> Result<(), String> {
        let out = self.nodes[node].step(self.now_ms, input);
        for output in out {
            let now_ms = self.now_ms;
            self.note(|| format!("{now_ms} {node} {output:?}\n"));
            self.handle(node, output)?;
        }
        Ok(())
    }

    fn handle(&mut self, node: usize, output: Output) -> Result<(), String> {
        match output {
            Output::Send { to, message } => {
                let to = self.nodes.iter().position(|it| it.journal == to).unwrap();
                let delay = if self.random.random_range(0..20) == 0 {
                    60
                } else {
                    6
                };
                self.send(
                    Event::Message {
                        from: node,
                        to,
                        message,
                    },
                    delay,
                );
            }
            Output::Resign { epoch }
                if self.controller.row.epoch == epoch && self.random.random_range(0..2) == 0 =>
            {
                self.controller.row.leader = None;
            }
            Output::ProposeIsr(proposal) => self.send(Event::Propose { from: node, proposal }, 20),
            Output::ReadEntries(read) => {
                let entries = self.nodes[node].read(read.from, read.to);
                let (follower, from) = (read.follower, read.from);
                self.feed(
                    node,
                    Input::Entries {
                        follower,
                        from,
                        entries,
                    },
                )?;
            }
            Output::InstallSnapshot { base } => self.load_snapshot(node, base)?,
            Output::Committed { up_to } => self.check_committed(node, up_to)?,
            Output::Lead { .. } => self.check_leader(node)?,
            Output::MemberDamaged(member) => return Err(format!("{member:?} is taken for damaged")),
            Output::Halt(reason) => return Err(format!("{node} halts: {reason}")),
            _ => {}
        }
        Ok(())
    }

    /// The newest snapshot in the store: at the end of what is committed.
    fn load_snapshot(&mut self, node: usize, least: EntryId) -> Result<(), String> {
        let Some((_, entry)) = self.committed.last_key_value() else {
            return Ok(());
        };
        let base = EntryId::of(&entry.header);
        assert!(base.lsn >= least.lsn);
        self.nodes[node].snapshot = base;
        self.feed(node, Input::Installed { base })
    }

    fn check_committed(&mut self, node: usize, up_to: Lsn) -> Result<(), String> {
        let snapshot = self.nodes[node].snapshot.lsn;
        let from = self
            .committed
            .keys()
            .next_back()
            .map_or(Lsn(1), |last| Lsn(last.0.saturating_sub(300).max(1)));
        for lsn in (from.0..=up_to.0).map(Lsn).filter(|lsn| *lsn > snapshot) {
            let Some(entry) = self.nodes[node].log.get(&lsn) else {
                return Err(format!("{node} commits {lsn} and lacks it"));
            };
            let known = self.committed.entry(lsn).or_insert_with(|| entry.clone());
            if known != entry {
                return Err(format!("{node} commits {entry:?}, but {known:?} was committed"));
            }
        }
        Ok(())
    }

    fn check_leader(&self, node: usize) -> Result<(), String> {
        let machine = self.nodes[node].machine.as_ref().unwrap();
        let snapshot = self.nodes[node].snapshot.lsn;
        let missing = self
            .committed
            .iter()
            .find(|(lsn, entry)| **lsn > snapshot && self.nodes[node].log.get(*lsn) != Some(entry));
        match missing {
            Some((lsn, entry)) if machine.role() == Role::Leader => Err(format!(
                "{node} leads {} without {lsn}: {entry:?}",
                machine.epoch()
            )),
            _ => Ok(()),
        }
    }
}
