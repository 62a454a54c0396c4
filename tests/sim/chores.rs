//! A shell's background duties: trims, the journal's idle hours, what it could not open at once.

use crate::clients::Ticket;
use crate::seen::Happening;
use crate::world::{Check, Event, GROUP, PARTITIONS, TENANT, VICTIM, World, partition};
use millstream_broker::replica::Propose;
use millstream_journal::{CommitError, Framed, Record};
use millstream_model::{KeyId, Offset, PartitionId};
use millstream_partition::{Change, RetentionSettings, plan_retention};
use rand::Rng;

impl World {
    /// Near the end nothing new is begun.
    pub fn quiet(&self) -> bool {
        self.quiet_from_ms.is_some_and(|from_ms| self.now_ms >= from_ms)
    }

    /// At the very end nothing goes into the log any more, so that all can apply the last entry.
    pub fn still(&self) -> bool {
        self.quiet_from_ms
            .is_some_and(|from_ms| self.now_ms >= from_ms + 800)
    }

    pub fn chore(&mut self, node: usize) -> Check {
        let at_ms = self.now_ms + self.random.random_range(60..120);
        self.at(at_ms, Event::Chore { node });
        self.recover_hurt(node)?;
        if self.nodes[node].running.is_none() {
            return Ok(());
        }
        self.journal_chores(node)?;
        self.follow_again(node)?;
        if self.nodes[node].leads() && !self.quiet() {
            // As whoever asks for one does.
            self.open(node, partition(VICTIM))?;
            if self.chance(6) {
                self.trim(node)?;
            }
            if self.chance(3) {
                self.retain(node)?;
            }
            if self.chance(4) {
                self.harm(node)?;
            }
        }
        self.begin_round(node)
    }

    /// Prepares files, writes marks and the empty commit of an idle journal.
    fn journal_chores(&mut self, node: usize) -> Check {
        let choice = self.random.random_range(0..10);
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        // A file that cannot be prepared is made when it is needed.
        let _ = running.preparer.step();
        let done = match choice {
            0..=2 => running.journal.idle().map(drop),
            3..=4 => {
                let machine = running.replica.machine();
                let (epoch, high_watermark) = (machine.epoch(), machine.high_watermark());
                let mark = Framed::new(Record::Mark {
                    group: GROUP,
                    epoch,
                    high_watermark,
                });
                running.journal.commit(&[mark]).map(drop)
            }
            _ => Ok(()),
        };
        match done {
            Ok(()) | Err(CommitError::Full) => Ok(()),
            Err(error) => self.journal_failed(node, &error.to_string()),
        }
    }

    fn propose(&mut self, node: usize, partition: PartitionId, change: Change) -> Check {
        let (now_ms, time) = (self.nodes[node].now_ms(self.now_ms), self.wall(node));
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        let propose = Propose {
            partition,
            tenant: TENANT,
            key: KeyId::NONE,
            change,
            time,
            ticket: Ticket::NONE,
        };
        let mut out = Vec::new();
        if let Err(refused) = running.replica.propose(now_ms, propose, &mut out) {
            self.note(|| format!("{node} does not take a change: {refused}"));
        }
        self.carry_out(node, out)
    }

    /// What the replica did not take when it was told of it.
    fn follow_again(&mut self, node: usize) -> Check {
        let running = self.nodes[node].running.as_ref();
        match running.is_some_and(|running| running.following.local.is_due()) {
            true => self.follow(node),
            false => Ok(()),
        }
    }

    fn trim(&mut self, node: usize) -> Check {
        let id = partition(self.random.random_range(0..PARTITIONS));
        let Some(state) = self.nodes[node].state().and_then(|state| state.partition(&id)) else {
            return Ok(());
        };
        let (start, end) = (state.log_start().0, state.next_offset().0);
        let log_start = Offset(self.random.random_range(start..=start + (end - start) / 4));
        self.propose(node, id, Change::Trim { log_start })
    }

    /// Trims what a topic would no longer keep.
    fn retain(&mut self, node: usize) -> Check {
        let settings = RetentionSettings {
            time_ms: Some(3_000),
            bytes: Some(15_000),
        };
        let (wall, index) = (self.wall(node), self.random.random_range(0..PARTITIONS));
        let state = self.nodes[node].state();
        let due = state
            .and_then(|state| state.partition(&partition(index)))
            .and_then(|partition| plan_retention(partition, wall, settings));
        let Some(log_start) = due else {
            return Ok(());
        };
        self.saw(Happening::Retention);
        self.propose(node, partition(index), Change::Trim { log_start })
    }

    /// Does to one partition what none survives: the others must not notice (log.md 22).
    fn harm(&mut self, node: usize) -> Check {
        let change = match self.random.random_range(0..5) {
            0 => Change::Trim {
                log_start: Offset(1_000),
            },
            1 => Change::Closed,
            2 => Change::ForgetProducers {
                silent_since: self.wall(node),
            },
            _ => Change::Deleted,
        };
        self.propose(node, partition(VICTIM), change)
    }
}
