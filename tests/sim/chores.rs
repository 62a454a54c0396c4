//! A shell's background duties: opening partitions, flushes, snapshots, trims, recycling.

use crate::clients::Ticket;
use crate::controller::Command;
use crate::node::GROUP;
use crate::seen::Happening;
use crate::world::{Check, Event, PARTITIONS, TENANT, VICTIM, World, partition};
use bytes::Bytes;
use millstream_broker::reading::{plan_of, push_all};
use millstream_broker::replica::Propose;
use millstream_journal::{CommitError, Framed, Level, Record};
use millstream_model::segment::{ObjectRef, SegmentRef};
use millstream_model::{KeyId, Lsn, Offset, PartitionId};
use millstream_partition::{
    Change, FlushPlan, FlushSettings, Opened, RetentionSettings, plan_flush, plan_retention,
};
use millstream_tier::{Flush, FlushBuilder};
use rand::Rng;

const FLUSH: FlushSettings = FlushSettings {
    bytes: 4_000,
    age_ms: 800,
    object_bytes_max: 20_000,
};

/// How much is read at a time.
const GATHER_BYTES: usize = 1500;

impl World {
    /// Near the end nothing new is begun.
    pub fn quiet(&self) -> bool {
        self.quiet_from_ms.is_some_and(|from_ms| self.now_ms >= from_ms)
    }

    /// At the very end nothing goes into the log any more, so that all can apply the last entry.
    fn still(&self) -> bool {
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
        let pressed = self.nodes[node]
            .running
            .as_ref()
            .is_some_and(|running| running.journal.space().level >= Level::Flush);
        if self.nodes[node].leads() && pressed && !self.still() {
            self.flush(node)?;
        }
        if self.nodes[node].leads() && !self.quiet() {
            self.open_partitions(node)?;
            if self.chance(6) {
                self.trim(node)?;
            }
            if self.chance(3) {
                self.retain(node)?;
            }
            if self.chance(4) {
                self.harm(node)?;
            }
            if self.chance(50) {
                self.flush(node)?;
            }
        }
        if pressed || self.chance(25) {
            self.take_snapshot(node);
        }
        self.release(node)
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

    fn open_partitions(&mut self, node: usize) -> Check {
        for index in 0..=VICTIM {
            let id = partition(index);
            if self.nodes[node]
                .state()
                .is_some_and(|state| state.partition(&id).is_none())
            {
                self.propose(
                    node,
                    id,
                    Change::Opened(Opened {
                        base_epoch: 0,
                        log_start: Offset(0),
                    }),
                )?;
            }
        }
        Ok(())
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

    /// Uploads what is hot; its segments go into the log a little later.
    fn flush(&mut self, node: usize) -> Check {
        let wall = self.wall(node);
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        if running.flushing {
            return Ok(());
        }
        let force = running.journal.space().level >= Level::Flush;
        let Some(plan) = plan_flush(running.replica.state(), wall, FLUSH, force) else {
            return Ok(());
        };
        let object = running.next_object();
        let Some(flush) = self.gather(node, object, &plan)? else {
            return Ok(());
        };
        let put = self.store.wait(self.store.tier.put(&flush));
        let process = self.process(node);
        self.note(|| format!("{node} flushes {:?}: {put:?}", flush.segments));
        self.saw(match put {
            Ok(_) => Happening::Flush,
            Err(_) => Happening::FailedUpload,
        });
        if put.is_ok() {
            if let Some(running) = &mut self.nodes[node].running {
                running.flushing = true;
            }
            self.after(
                120,
                Event::Uploaded {
                    node,
                    process,
                    segments: flush.segments,
                },
            );
        }
        Ok(())
    }

    /// What a plan names, in an object; nothing when the disk is hurt.
    fn gather(&mut self, node: usize, object: ObjectRef, plan: &FlushPlan) -> Result<Option<Flush>, String> {
        let mut builder = FlushBuilder::new(object, 1024);
        for run in &plan.runs {
            builder.begin(run.partition);
            let mut next = run.from;
            while next < run.end {
                let state = self.nodes[node].state();
                let Some(state) = state.and_then(|state| state.partition(&run.partition)) else {
                    return Ok(None);
                };
                let plan = plan_of(state, next, run.end, GATHER_BYTES);
                let Ok(pieces) = self.read_plan(node, plan)? else {
                    return Ok(None);
                };
                let end = push_all(&pieces, run.end, &mut builder);
                let end = end.map_err(|error| format!("{node} cannot flush: {error}"))?;
                next = end.ok_or_else(|| format!("{node} has nothing at {next} to flush"))?;
            }
        }
        Ok(Some(builder.finish()))
    }

    pub fn process(&self, node: usize) -> u64 {
        self.nodes[node]
            .running
            .as_ref()
            .map_or(0, |running| running.registration.0)
    }

    pub fn uploaded(&mut self, node: usize, process: u64, segments: Vec<(PartitionId, SegmentRef)>) -> Check {
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        if running.registration.0 != process {
            return Ok(());
        }
        running.flushing = false;
        let epoch = running.replica.machine().epoch();
        for (id, segment) in segments {
            if self.nodes[node].leads() && segment.object.epoch == epoch {
                self.propose(node, id, Change::Tiered(vec![segment]))?;
            }
        }
        Ok(())
    }

    /// A local copy of the state; the leader's also goes to the store and is reported.
    fn take_snapshot(&mut self, node: usize) {
        let has_no_room = self.nodes[node].full && self.chance(90);
        let Some(running) = &mut self.nodes[node].running else {
            return;
        };
        let state = running.replica.state();
        running.snapshots.took(state);
        let (lsn, bytes) = (state.applied(), Bytes::from(state.encode_snapshot()));
        if has_no_room {
            self.saw(Happening::NoLocalSnapshot);
            self.nodes[node].copy_failed = true;
        } else {
            self.nodes[node].snapshot = Some(bytes.clone());
            self.nodes[node].copy_failed = false;
        }
        let Some(running) = self.nodes[node]
            .running
            .as_mut()
            .filter(|running| running.replica.leads())
        else {
            return;
        };
        let object = running.next_object();
        let put = self.store.wait(self.store.tier.put_snapshot(&object, &[bytes]));
        self.note(|| format!("{node} takes a snapshot at {lsn}: {put:?}"));
        if put.is_ok() {
            self.saw(Happening::Snapshot);
            self.tell(node, Command::Snapshot { lsn, object });
        }
    }

    /// Gives back the journal's space, as far as the broker would.
    fn release(&mut self, node: usize) -> Check {
        let reported = self.controller.snapshot.map_or(Lsn::ZERO, |(lsn, _)| lsn);
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        let up_to = running.replica.releasable(&mut running.snapshots, reported);
        self.submit_release(node, up_to)
    }
}
