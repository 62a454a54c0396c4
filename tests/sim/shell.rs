//! A node's shell: what the broker does around a replica, with a simulated disk and network.

use crate::clients::Ticket;
use crate::seen::Happening;
use crate::world::{Check, Event, GROUP, World};
use bytes::Bytes;
use millstream_broker::replica::{Appended, Lost, Output};
use millstream_model::entry::EntryHeader;
use millstream_model::{Epoch, JournalId, TimestampMs};
use millstream_partition::{Applied, Effect};
use millstream_replication::{EntryId, HaltReason, Input, Message, ReadEntries};

impl World {
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
                Output::Send { to, message } => self.send_peer(node, to, message),
                Output::Applied {
                    applied: done,
                    header,
                    payload,
                } => {
                    applied = true;
                    self.applied(node, &done, &header, payload.as_ref())?;
                }
                Output::Acknowledge { ticket, answer } => self.acknowledge(node, ticket, answer)?,
                // A round begins now and then anyway.
                Output::FlushWanted => {}
                Output::WorkWaits => {
                    let process = self.process(node);
                    self.after(2, Event::Work { node, process });
                }
                Output::Lead { epoch } => self.leads(node, epoch)?,
                Output::StepDown { .. } => self.saw(Happening::StepDown),
                Output::Resign { epoch } => self.ask_to_resign(node, epoch),
                Output::ProposeIsr(proposal) => self.ask_for_isr(node, proposal),
                Output::ReadEntries(read) => self.read_entries(node, read)?,
                Output::InstallSnapshot { .. } => return self.rebuild(node),
                Output::MemberDamaged(member) => {
                    return Err(format!(
                        "{node} finds that {member:?} lost what it had acknowledged"
                    ));
                }
                Output::Halt(HaltReason::JournalDamaged) if self.nodes[node].expects_errors => {
                    self.note(|| format!("{node} halts as it should"));
                }
                Output::Halt(reason) => return Err(format!("{node} halts: {reason}")),
            }
        }
        self.hand_over(node)?;
        self.check_waiters(node)?;
        if applied && let Some(state) = self.nodes[node].state() {
            self.check.state(node, state)?;
        }
        Ok(())
    }

    fn applied(
        &mut self,
        node: usize,
        done: &Applied,
        header: &EntryHeader,
        payload: Option<&Bytes>,
    ) -> Check {
        if self.check.applied(node, done, header, payload)? {
            self.check_committed(EntryId::of(header))?;
        }
        match done.effect {
            Effect::Quarantined { .. } => self.saw(Happening::Quarantine),
            Effect::Deleted => self.saw(Happening::Deletion),
            Effect::Tiered { .. } => self.saw(Happening::Tiered),
            Effect::Trimmed { .. } => self.saw(Happening::Trim),
            _ => {}
        }
        Ok(())
    }

    fn acknowledge(&mut self, node: usize, ticket: Ticket, answer: Result<Appended, Lost>) -> Check {
        if let Ok(appended) = &answer {
            let durable = self.nodes[node].ledger.durable_end().lsn;
            if appended.lsn > durable {
                return Err(format!(
                    "{node} acknowledges {}, on its disk is all up to {durable}",
                    appended.lsn
                ));
            }
        } else {
            self.saw(Happening::Undecided);
        }
        if let Some(running) = &mut self.nodes[node].running {
            running.waiters.retain(|other| *other != ticket);
        }
        let answer = answer.map(|appended| appended.base_offset).map_err(Some);
        self.reply(node, ticket, answer);
        Ok(())
    }

    /// Who leads no more leaves nobody waiting.
    fn check_waiters(&self, node: usize) -> Check {
        match &self.nodes[node].running {
            Some(running) if !running.replica.leads() && !running.waiters.is_empty() => Err(format!(
                "{node} leads no more and has not answered {:?}",
                running.waiters
            )),
            _ => Ok(()),
        }
    }

    fn leads(&mut self, node: usize, epoch: Epoch) -> Check {
        self.saw(Happening::Election);
        self.check.leads(epoch);
        self.check_leader(node)
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

    pub fn tick(&mut self, node: usize) -> Check {
        self.step(node, Input::Tick)?;
        self.check_ends(node)?;
        self.beat(node);
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
        Output::Applied { applied, .. } => format!("{node} applies {} {:?}", applied.lsn, applied.effect),
        other => format!("{node} {other:?}"),
    }
}
