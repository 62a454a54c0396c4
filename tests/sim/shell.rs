//! A node's shell: what the broker does around a replica, with a simulated disk and network.

use crate::clients::Ticket;
use crate::controller::Command;
use crate::node::{GROUP, Node, Running};
use crate::world::{Check, Event, NODES, World};
use millstream_broker::replica::{Output, Replica, Settings};
use millstream_journal::{CommitError, Framed, Record};
use millstream_model::{JournalId, TimestampMs};
use millstream_replication::{Assignment, EntryId, Input, Message, ReadEntries};
use rand::Rng;
use std::collections::VecDeque;

impl World {
    fn journal_settings(&mut self) -> millstream_journal::Settings {
        millstream_journal::Settings {
            size_bytes: 24 * 64 * 1024,
            file_bytes: 64 * 1024,
            commit_bytes_max: 16 * 1024,
            prepared_files: 1,
            seed: Some(self.random.random()),
            planted: self.plant.journal(),
        }
    }

    /// An empty disk gets its journal, hence its identity.
    pub fn make_journal(&mut self, node: usize) -> Check {
        let settings = self.journal_settings();
        let opened = self.nodes[node].open(settings)?;
        self.nodes[node].id = opened.journal.id();
        opened.journal.close().map_err(|error| error.to_string())?;
        self.nodes[node].disk = self.nodes[node].disk.kill();
        Ok(())
    }

    /// A process starts: recover, register, serve.
    pub fn start(&mut self, node: usize) -> Check {
        if self.nodes[node].running.is_some() || self.nodes[node].damaged {
            return Ok(());
        }
        if self.is_cut(node, NODES) || self.controller.is_away(self.now_ms) {
            self.after(60, Event::Start { node });
            return Ok(());
        }
        let settings = self.journal_settings();
        let opened = match self.nodes[node].open(settings) {
            Ok(opened) => opened,
            Err(error) if self.nodes[node].expects_errors || self.nodes[node].full => {
                self.note(|| format!("{node} cannot open: {error}"));
                self.power_failure(node);
                self.after(100, Event::Start { node });
                return Ok(());
            }
            Err(error) => return Err(format!("{node} cannot open its journal: {error}")),
        };
        if Node::is_damaged(&opened.found) {
            self.note(|| format!("{node} is damaged: {:?}", opened.found.ending));
            if self.hurt != Some(node) {
                return Err(format!(
                    "{node} is damaged, though nothing was done to it: {:?}",
                    opened.found.ending
                ));
            }
            return self.give_up(node);
        }
        let end = opened.end;
        if !self.nodes[node].ledger.allows(end) {
            let durable = self.nodes[node].ledger.durable_end();
            return Err(format!(
                "{node} comes back with {end:?} after it said that {durable:?} is durable"
            ));
        }
        let recovery = opened
            .recovery
            .map_err(|error| format!("{node}'s journal is sound, but {error}"))?;
        let mut journal = opened.journal;
        let registration = self.controller.register(self.now_ms, self.nodes[node].id, end);
        if let Err(error) = journal.register(registration) {
            self.note(|| format!("{node} cannot register: {error}"));
            self.power_failure(node);
            self.after(100, Event::Start { node });
            return self.publish();
        }
        let start = journal.reader().start(GROUP).unwrap_or_default().1;
        self.note(|| format!("{node} starts as {registration} with {end:?}"));
        self.nodes[node].ledger.start(end);
        let mut replication = millstream_replication::Settings {
            heartbeat_ms: 40,
            retry_ms: 100,
            session_ms: 300,
            window_bytes: 16 * 1024,
            message_bytes_max: 4 * 1024,
            tail_bytes_max: 4 * 1024,
            uncommitted_bytes_max: 64 * 1024,
            planted: self.plant.replication(),
            ..millstream_replication::Settings::new(GROUP, self.nodes[node].id, registration)
        };
        replication.session_ms += node as u64;
        let mut out = Vec::new();
        let settings = Settings {
            replication,
            planted: self.plant.replica(),
        };
        let replica = Replica::new(settings, recovery, &mut out);
        let running = Running {
            preparer: journal.preparer(),
            journal,
            replica,
            registration,
            waiting: VecDeque::new(),
            disk_is_busy: false,
            objects: 0,
            last_commit: None,
            flushing: false,
        };
        self.nodes[node].running = Some(running);
        // A second power failure soon after the first is where a journal that goes on carelessly shows.
        let again = self.faulty && self.hurt.is_none() && self.chance(30);
        if again {
            self.nodes[node].disk.cut_power(self.random.random_range(1..12));
        }
        self.nodes[node].expects_errors = again;
        if self.hurt == Some(node) && self.controller.row.isr.contains(&self.nodes[node].id) {
            self.hurt = None;
        }
        self.carry_out(node, out)?;
        self.step(node, Input::Released { up_to: start })?;
        // The local copy of the catalog: the newest row comes later.
        if let Some(row) = self.nodes[node].row.clone() {
            self.assign(node, row)?;
        }
        self.publish()
    }

    /// Tells everybody the newest row.
    pub fn publish(&mut self) -> Check {
        for to in 0..NODES {
            let row = self.controller.row.clone();
            self.send(NODES, to, Event::Row { to, row }, None);
        }
        Ok(())
    }

    pub fn assign(&mut self, node: usize, assignment: Assignment) -> Check {
        let time = self.wall(node);
        self.step(node, Input::Assign { assignment, time })
    }

    pub fn wall(&self, node: usize) -> TimestampMs {
        TimestampMs(1_700_000_000_000 + i64::try_from(self.nodes[node].now_ms(self.now_ms)).unwrap())
    }

    pub fn step(&mut self, node: usize, input: Input) -> Check {
        let now_ms = self.nodes[node].now_ms(self.now_ms);
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        let mut out = Vec::new();
        running.replica.step(now_ms, input, &mut out);
        self.carry_out(node, out)
    }

    pub fn carry_out(&mut self, node: usize, out: Vec<Output<Ticket>>) -> Check {
        let mut applied = false;
        for output in out {
            if !matches!(output, Output::Send { .. }) {
                self.note(|| brief(node, &output));
            }
            match output {
                Output::Persist { write, entry } => {
                    self.nodes[node].ledger.written(EntryId::of(&entry.header));
                    self.write(node, (write, Framed::new(Record::Entry(entry))));
                }
                Output::Truncate { write, epoch, to } => {
                    let running = self.nodes[node].running.as_ref();
                    let kept = running.and_then(|running| running.replica.machine().log().epoch_at(to));
                    self.nodes[node].ledger.written(EntryId {
                        epoch: kept.unwrap_or_default(),
                        lsn: to,
                    });
                    self.write(
                        node,
                        (
                            write,
                            Framed::new(Record::Truncate {
                                group: GROUP,
                                epoch,
                                lsn: to,
                            }),
                        ),
                    );
                }
                Output::Reset { .. } => return Err(format!("{node} resets its log unasked")),
                Output::Send { to, message } => self.send_peer(node, to, message),
                Output::Applied {
                    applied: done,
                    header,
                    payload,
                } => {
                    applied = true;
                    self.check.applied(node, &done, &header, payload.as_ref())?;
                }
                Output::Acknowledge { ticket, answer } => {
                    let answer = answer.map(|appended| appended.base_offset).map_err(Some);
                    self.reply(node, ticket, answer);
                }
                Output::Lead { .. } => self.check_leader(node)?,
                Output::StepDown { .. } => {}
                Output::Resign { epoch } => self.tell(node, Command::Resign(epoch)),
                Output::ProposeIsr(proposal) => self.tell(node, Command::ProposeIsr(proposal)),
                Output::ReadEntries(read) => self.read_entries(node, read)?,
                Output::InstallSnapshot { .. } => return self.rebuild(node),
                Output::MemberDamaged(member) => {
                    return Err(format!(
                        "{node} finds that {member:?} lost what it had acknowledged"
                    ));
                }
                Output::Halt(reason) if self.nodes[node].expects_errors => {
                    self.note(|| format!("{node} halts as it should: {reason}"));
                }
                Output::Halt(reason) => return Err(format!("{node} halts: {reason}")),
            }
        }
        if applied && let Some(state) = self.nodes[node].state() {
            self.check.state(node, state)?;
        }
        Ok(())
    }

    fn write(&mut self, node: usize, record: (millstream_replication::WriteNumber, Framed)) {
        if let Some(running) = &mut self.nodes[node].running {
            running.waiting.push_back(record);
        }
        self.wake_disk(node);
    }

    fn wake_disk(&mut self, node: usize) {
        let slow_ms = self.nodes[node].slow_ms;
        let Some(running) = &mut self.nodes[node].running else {
            return;
        };
        if running.disk_is_busy || running.waiting.is_empty() {
            return;
        }
        running.disk_is_busy = true;
        let process = running.registration.0;
        let at_ms = self.now_ms + slow_ms + self.random.random_range(1..=4);
        self.at(at_ms, Event::Disk { node, process });
    }

    /// One commit of what waits.
    pub fn disk(&mut self, node: usize, process: u64) -> Check {
        let most = self.random.random_range(1..=12);
        let Some(running) = self.nodes[node]
            .running
            .as_mut()
            .filter(|it| it.registration.0 == process)
        else {
            return Ok(());
        };
        running.disk_is_busy = false;
        let count = running.waiting.len().min(most);
        let records: Vec<Framed> = running
            .waiting
            .iter()
            .take(count)
            .map(|(_, framed)| framed.clone())
            .collect();
        match running.journal.commit(&records) {
            Ok(committed) => {
                running.last_commit = committed.positions.first().copied();
                let done = running.waiting.drain(..count).map(|(write, _)| write).last();
                if let Some(write) = done {
                    self.nodes[node].ledger.durable(write);
                    self.step(node, Input::Durable(write))?;
                }
            }
            Err(CommitError::Full) => {
                self.note(|| format!("{node}'s journal is full"));
                if let Some(running) = &mut self.nodes[node].running {
                    running.disk_is_busy = true;
                }
                self.after(60, Event::Disk { node, process });
                return Ok(());
            }
            Err(error) => return self.journal_failed(node, &error.to_string()),
        }
        self.wake_disk(node);
        Ok(())
    }

    /// The journal takes nothing more from this process: it stops and starts again after a power failure.
    pub fn journal_failed(&mut self, node: usize, why: &str) -> Check {
        if !self.nodes[node].expects_errors {
            return Err(format!("{node}'s journal fails: {why}"));
        }
        self.note(|| format!("{node}'s journal fails: {why}"));
        self.step(node, Input::Damaged)?;
        self.power_failure(node);
        self.after(100, Event::Start { node });
        Ok(())
    }

    fn send_peer(&mut self, from: usize, to: JournalId, message: Message) {
        let Some(to) = self.nodes.iter().position(|node| node.id == to) else {
            return;
        };
        let twice = self.faulty && self.chance(2);
        let again = twice.then(|| Event::Peer {
            from,
            to,
            message: message.clone(),
        });
        self.send(from, to, Event::Peer { from, to, message }, again);
    }

    pub fn peer(&mut self, from: usize, to: usize, message: Message) -> Check {
        if self.is_cut(from, to) {
            return Ok(());
        }
        let from = self.nodes[from].id;
        self.step(to, Input::Message { from, message })
    }

    pub fn tell(&mut self, from: usize, command: Command) {
        self.send(from, NODES, Event::ToController { from, command }, None);
    }

    /// The controller takes a command.
    pub fn command(&mut self, from: usize, command: Command) -> Check {
        if self.controller.is_away(self.now_ms) {
            return Ok(());
        }
        let (now_ms, id) = (self.now_ms, self.nodes[from].id);
        match command {
            Command::Heartbeat {
                registration,
                last,
                row,
            } => {
                self.controller.heartbeat(now_ms, id, registration, last);
                if row < self.controller.row.version {
                    let row = self.controller.row.clone();
                    self.send(NODES, from, Event::Row { to: from, row }, None);
                }
            }
            Command::ProposeIsr(proposal) => match self.controller.propose(id, &proposal) {
                Ok(()) => {
                    self.note(|| format!("the ISR is {:?}", proposal.isr));
                    return self.publish();
                }
                Err(version) => {
                    let base_version = proposal.base_version;
                    self.send(
                        NODES,
                        from,
                        Event::Refused {
                            to: from,
                            base_version,
                            version,
                        },
                        None,
                    );
                }
            },
            Command::Resign(epoch) => {
                self.controller.resign(epoch);
                return self.publish();
            }
            Command::Snapshot { lsn, object } => self.controller.snapshot(lsn, object),
        }
        Ok(())
    }

    pub fn row(&mut self, to: usize, row: Assignment) -> Check {
        if self.is_cut(NODES, to) || self.nodes[to].running.is_none() {
            return Ok(());
        }
        if self.nodes[to]
            .row
            .as_ref()
            .is_none_or(|known| known.version < row.version)
        {
            self.nodes[to].row = Some(row.clone());
        }
        self.assign(to, row)
    }

    pub fn refused(&mut self, to: usize, base_version: u64, version: u64) -> Check {
        self.step(
            to,
            Input::ProposalRefused {
                base_version,
                version,
            },
        )
    }

    pub fn judge(&mut self) -> Check {
        if !self.controller.is_away(self.now_ms) && self.controller.judge(self.now_ms) {
            let row = self.controller.row.clone();
            self.note(|| format!("elected: {row:?}"));
            self.publish()?;
        }
        self.after(40, Event::Judge);
        Ok(())
    }

    pub fn tick(&mut self, node: usize) -> Check {
        self.step(node, Input::Tick)?;
        let row = self.nodes[node].row.as_ref().map_or(0, |row| row.version);
        if let Some(running) = &self.nodes[node].running {
            let (registration, last) = (running.registration, running.replica.machine().last());
            self.tell(
                node,
                Command::Heartbeat {
                    registration,
                    last,
                    row,
                },
            );
        }
        let at_ms = self.now_ms + 25;
        self.at(at_ms, Event::Tick { node });
        Ok(())
    }

    fn read_entries(&mut self, node: usize, read: ReadEntries) -> Check {
        let Some(running) = &self.nodes[node].running else {
            return Ok(());
        };
        let entries = running.journal.reader().entries(GROUP, read.from, read.bytes_max);
        let entries = match entries {
            Ok(entries) => entries,
            Err(_) if self.may_fail(node) => Vec::new(),
            Err(error) => return Err(format!("{node} cannot read {}: {error}", read.from)),
        };
        let (follower, from) = (read.follower, read.from);
        self.step(
            node,
            Input::Entries {
                follower,
                from,
                entries,
            },
        )
    }
}

/// An output in a line.
fn brief(node: usize, output: &Output<Ticket>) -> String {
    match output {
        Output::Persist { write, entry } => {
            let header = &entry.header;
            format!(
                "{node} writes {} as {}/{} {:?}",
                write.0, header.epoch, header.lsn, header.kind
            )
        }
        Output::Applied { applied, .. } => format!("{node} applies {} {:?}", applied.lsn, applied.effect),
        other => format!("{node} {other:?}"),
    }
}
