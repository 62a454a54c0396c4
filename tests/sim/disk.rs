//! A node's journal as its writer's thread runs it: what waits, one commit of it, what is refused and comes again.

use crate::node::{Node, Who};
use crate::seen::Happening;
use crate::world::{Check, Event, GROUP, World};
use millstream_broker::replica::{AGAIN_AFTER, Done, Outcome, Receipt};
use millstream_journal::{CommitError, Record, SubmitError};
use millstream_model::Lsn;
use millstream_replication::WriteNumber;
use rand::Rng;

impl World {
    /// The number of a node's process; 0 when there is none.
    pub fn process(&self, node: usize) -> u64 {
        let running = self.nodes[node].running.as_ref();
        running.map_or(0, |running| running.registration.0)
    }

    /// Hands over what waits, in order.
    pub fn hand_over(&mut self, node: usize) -> Check {
        loop {
            let Node { running, ledger, .. } = &mut self.nodes[node];
            let Some(running) = running else { return Ok(()) };
            let Some((append, receipt)) = running.replica.submit() else {
                break;
            };
            let log = running.replica.machine().log();
            let first = receipt.last.0 + 1 - append.records.len() as u64;
            for (number, framed) in (first..).map(WriteNumber).zip(&append.records) {
                if let Record::Truncate { .. } = framed.record() {
                    self.seen.count(Happening::TruncatedSuffix);
                }
                ledger.written(number, framed.record(), |lsn| log.epoch_at(lsn));
            }
            let reader = running.journal.reader();
            let level_now = || reader.space().level;
            let taken = running.intake.push(append, Who::Write(receipt), level_now);
            self.note(|| format!("{node} hands over up to {}: {taken:?}", receipt.last.0));
            if let Err(refused) = taken {
                self.saw(Happening::RefusedAtOnce);
                self.written(node, receipt, Err(&refused))?;
            }
        }
        self.wake_disk(node);
        Ok(())
    }

    pub fn submit_release(&mut self, node: usize, up_to: Lsn) -> Check {
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        running.work += 1;
        let who = Who::Release(running.work);
        if let Err(refused) = running.intake.push_release(GROUP, up_to, who) {
            return self.journal_failed(node, &refused.to_string());
        }
        self.wake_disk(node);
        Ok(())
    }

    fn wake_disk(&mut self, node: usize) {
        let slow_ms = self.nodes[node].slow_ms;
        let Some(running) = &mut self.nodes[node].running else {
            return;
        };
        if running.disk_is_busy || running.intake.is_empty() {
            return;
        }
        running.disk_is_busy = true;
        let process = running.registration.0;
        let at_ms = self.now_ms + slow_ms + self.random.random_range(1..=4);
        self.at(at_ms, Event::Disk { node, process });
    }

    /// One commit of what waits.
    pub fn disk(&mut self, node: usize, process: u64) -> Check {
        let most = self.random.random_range(200..6_000);
        let Some(running) = self.nodes[node]
            .running
            .as_mut()
            .filter(|it| it.registration.0 == process)
        else {
            return Ok(());
        };
        running.disk_is_busy = false;
        let before = running.journal.space().used;
        let answers = running.intake.take(most).commit(&mut running.journal);
        running.intake.observe(answers.level, answers.damage);
        let recycled = running.journal.space().used < before;
        let mut committed = answers.told.iter().filter_map(|(_, answer)| answer.as_ref().ok());
        let first = committed.find_map(|committed| committed.positions.first().copied());
        running.last_commit = first.or(running.last_commit);
        if recycled {
            self.saw(Happening::Recycled);
        }
        for (who, answer) in answers.told {
            // A process that ended over one of them learns of no other.
            if self.process(node) != process {
                return Ok(());
            }
            match (who, answer) {
                (Who::Write(receipt), answer) => {
                    self.written(node, receipt, answer.as_ref().map(drop))?;
                }
                (Who::Release(step), Ok(_)) => {
                    self.check_released(node)?;
                    self.worked(node, process, step, Done::Released)?;
                }
                (Who::Release(_), Err(error)) => self.journal_failed(node, &error.to_string())?,
            }
        }
        self.hand_over(node)
    }

    /// Whoever starts or is rebuilt begins with the snapshot that the catalog names: what follows it must be there.
    fn check_released(&self, node: usize) -> Check {
        let named = self.group_row().snapshot.map_or(Lsn::ZERO, |named| named.lsn);
        let running = self.nodes[node].running.as_ref();
        let start = running.and_then(|running| running.journal.reader().start(GROUP));
        match start {
            Some((_, start)) if start > named => Err(format!(
                "{node} has released up to {start}, the catalog names a snapshot at {named}"
            )),
            _ => Ok(()),
        }
    }

    /// The journal has answered.
    fn written(&mut self, node: usize, receipt: Receipt, answer: Result<(), &SubmitError>) -> Check {
        if let Err(SubmitError::Commit(CommitError::Full)) = answer {
            self.saw(Happening::FullJournal);
        }
        let now_ms = self.nodes[node].now_ms(self.now_ms);
        let process = self.process(node);
        let Node { running, ledger, .. } = &mut self.nodes[node];
        let Some(running) = running else {
            return Ok(());
        };
        if answer.is_ok() {
            ledger.durable(receipt.last);
        }
        let mut out = Vec::new();
        let Outcome {
            durable: _,
            stalled: _,
            again,
            failed,
        } = running.replica.written(now_ms, receipt, answer, &mut out);
        if again {
            let after_ms = u64::try_from(AGAIN_AFTER.as_millis()).unwrap_or(u64::MAX);
            self.at(self.now_ms + after_ms, Event::Again { node, process });
        }
        if let (true, Err(error)) = (failed, answer) {
            self.excuse(node, &error.to_string())?;
            self.carry_out(node, out)?;
            self.start_again(node);
            return Ok(());
        }
        self.carry_out(node, out)
    }

    /// What was refused may be handed over again.
    pub fn again(&mut self, node: usize, process: u64) -> Check {
        let running = self.nodes[node].running.as_mut();
        let Some(running) = running.filter(|it| it.registration.0 == process) else {
            return Ok(());
        };
        running.replica.write_again();
        self.saw(Happening::HandedOverAgain);
        self.hand_over(node)
    }
}
