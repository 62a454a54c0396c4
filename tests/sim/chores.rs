//! A shell's background duties: opening partitions, flushes, snapshots, trims, recycling, rebuilding.

use crate::clients::Ticket;
use crate::controller::Command;
use crate::node::{GROUP, Ledger, Node};
use crate::world::{Check, Event, PARTITIONS, TENANT, World, partition};
use bytes::Bytes;
use millstream_broker::replica::Propose;
use millstream_journal::{CommitError, Framed, Level, Record};
use millstream_kafka_wire::batch::BatchView;
use millstream_model::entry::{Entry, EntryKind};
use millstream_model::segment::{ObjectOwner, ObjectRef, SegmentRef};
use millstream_model::{KeyId, Lsn, Offset, PartitionId};
use millstream_partition::{Change, FlushPlan, FlushSettings, GroupState, Opened, plan_flush};
use millstream_replication::Input;
use millstream_tier::{Batch, FlushBuilder};
use rand::Rng;

const FLUSH: FlushSettings = FlushSettings {
    bytes: 4_000,
    age_ms: 800,
    object_bytes_max: 20_000,
};

impl World {
    /// Near the end nothing new is begun.
    pub fn quiet(&self) -> bool {
        self.quiet_from_ms.is_some_and(|from_ms| self.now_ms >= from_ms)
    }

    pub fn chore(&mut self, node: usize) -> Check {
        let at_ms = self.now_ms + self.random.random_range(60..120);
        self.at(at_ms, Event::Chore { node });
        self.recover_hurt(node)?;
        if self.nodes[node].running.is_none() {
            return Ok(());
        }
        self.journal_chores(node)?;
        if self.nodes[node].leads() && !self.quiet() {
            self.open_partitions(node)?;
            if self.chance(6) {
                self.trim(node)?;
            }
            if self.chance(50) {
                self.flush(node)?;
            }
        }
        if self.chance(25) {
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
        for index in 0..PARTITIONS {
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
        running.objects += 1;
        let object = ObjectRef {
            owner: ObjectOwner::Shared(GROUP),
            group: GROUP,
            epoch: running.replica.machine().epoch(),
            number: running.objects,
        };
        let built = build(running, object, &plan);
        let flush = match built {
            Ok(flush) => flush,
            Err(_) if self.may_fail(node) => return Ok(()),
            Err(error) => return Err(format!("{node} cannot flush: {error}")),
        };
        let put = self.store.wait(self.store.tier.put(&flush));
        let process = self.process(node);
        self.note(|| format!("{node} flushes {:?}: {put:?}", flush.segments));
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

    fn process(&self, node: usize) -> u64 {
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
        let Some(running) = &mut self.nodes[node].running else {
            return;
        };
        let state = running.replica.state();
        let (lsn, bytes) = (state.applied(), Bytes::from(state.encode_snapshot()));
        self.nodes[node].snapshot = Some(bytes.clone());
        let Some(running) = self.nodes[node]
            .running
            .as_mut()
            .filter(|running| running.replica.leads())
        else {
            return;
        };
        running.objects += 1;
        let object = ObjectRef {
            owner: ObjectOwner::Shared(GROUP),
            group: GROUP,
            epoch: running.replica.machine().epoch(),
            number: running.objects,
        };
        let put = self.store.wait(self.store.tier.put_snapshot(&object, &[bytes]));
        self.note(|| format!("{node} takes a snapshot at {lsn}: {put:?}"));
        if put.is_ok() {
            self.tell(node, Command::Snapshot { lsn, object });
        }
    }

    /// Recycles what lies below the reported snapshot and what the local one knows to be tiered (LOG.md 30): a restart
    /// begins with that one, and must find what it believes to be hot.
    fn release(&mut self, node: usize) -> Check {
        let reported = self.controller.snapshot.map_or(Lsn::ZERO, |(lsn, _)| lsn);
        let local = self.nodes[node]
            .snapshot
            .as_deref()
            .and_then(|it| GroupState::decode_snapshot(it).ok());
        let tiered = local.map_or(Lsn::ZERO, |state| state.tiered_lsn());
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        let up_to = reported.min(tiered);
        match running.journal.release(GROUP, up_to) {
            Ok(()) | Err(CommitError::Full) => self.step(node, Input::Released { up_to }),
            Err(error) => self.journal_failed(node, &error.to_string()),
        }
    }

    /// A replica that lacks what its leader has released is rebuilt from the reported snapshot and the leader's
    /// journal, and starts again.
    pub fn rebuild(&mut self, node: usize) -> Check {
        let leader = (0..self.nodes.len()).find(|other| *other != node && self.nodes[*other].leads());
        let (Some(leader), Some((lsn, object))) = (leader, self.controller.snapshot) else {
            return Ok(());
        };
        let Ok(snapshot) = self.store.wait(self.store.tier.get_snapshot(&object)) else {
            return Ok(());
        };
        let Some(source) = &self.nodes[leader].running else {
            return Ok(());
        };
        let reader = source.journal.reader();
        let (epoch, start) = reader.start(GROUP).unwrap_or_default();
        if start > lsn {
            return Err(format!(
                "{leader} has released up to {start}, the snapshot ends at {lsn}"
            ));
        }
        let mut entries: Vec<Entry> = Vec::new();
        while let next = Lsn(start.0 + 1 + entries.len() as u64)
            && next <= lsn
        {
            match reader.entries(GROUP, next, 8 * 1024) {
                Ok(more) if !more.is_empty() => entries.extend(more),
                _ => return Ok(()), // The leader is not that far, or hurt: it will ask again.
            }
        }
        entries.retain(|entry| entry.header.lsn <= lsn);
        self.note(|| format!("{node} is rebuilt from {leader}: snapshot {lsn}, entries after {start}"));
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        let mut records = Vec::new();
        if let Some((epoch, lsn)) = running.journal.reader().start(GROUP) {
            records.push(Framed::new(Record::Truncate {
                group: GROUP,
                epoch,
                lsn,
            }));
        }
        records.push(Framed::new(Record::Released {
            group: GROUP,
            epoch,
            lsn: start,
        }));
        records.extend(entries.into_iter().map(|entry| Framed::new(Record::Entry(entry))));
        let written = records
            .chunks(8)
            .try_for_each(|chunk| running.journal.commit(chunk).map(drop));
        self.nodes[node].running = None;
        self.nodes[node].disk = self.nodes[node].disk.kill();
        if let Err(error) = written {
            self.note(|| format!("{node} cannot be rebuilt: {error}"));
            return self.give_up(node);
        }
        self.nodes[node].snapshot = Some(snapshot);
        self.nodes[node].ledger = Ledger::default();
        self.after(20, Event::Start { node });
        Ok(())
    }

    /// The node's disk cannot be trusted: it waits until it has left the ISR, then gets an empty one.
    pub fn give_up(&mut self, node: usize) -> Check {
        let id = self.nodes[node].id;
        self.nodes[node].running = None;
        self.nodes[node].damaged = true;
        self.hurt = Some(node);
        self.controller.damaged(self.now_ms, id);
        self.publish()
    }

    fn recover_hurt(&mut self, node: usize) -> Check {
        let id = self.nodes[node].id;
        let in_sync = self.controller.row.isr.contains(&id);
        if self.nodes[node].damaged && !in_sync && !self.controller.is_away(self.now_ms) {
            let clock = self.nodes[node].clock;
            self.nodes[node] = Node::new(clock);
            self.make_journal(node)?;
            let new = self.nodes[node].id;
            self.note(|| format!("{node} gets an empty disk: {new} in the place of {id}"));
            self.controller.replace(id, new);
            self.after(20, Event::Start { node });
            return self.publish();
        }
        if self.hurt == Some(node) && self.nodes[node].running.is_some() && in_sync {
            self.hurt = None;
        }
        Ok(())
    }
}

fn build(
    running: &crate::node::Running,
    object: ObjectRef,
    plan: &FlushPlan,
) -> Result<millstream_tier::Flush, String> {
    let reader = running.journal.reader();
    let mut builder = FlushBuilder::new(object, 1024);
    for run in &plan.runs {
        builder.begin(run.partition);
        for lsn in run.entries.iter().flat_map(|(first, last)| first.0..=last.0) {
            let entry = reader
                .entry(GROUP, Lsn(lsn))
                .map_err(|error| format!("{lsn}: {error}"))?;
            if entry.header.partition != run.partition || entry.header.kind != EntryKind::Append {
                continue;
            }
            let batch = BatchView::read(entry.payload).map_err(|error| error.to_string())?;
            let header = *batch.header();
            if header.next_offset() <= run.from || header.base_offset >= run.end {
                continue;
            }
            builder.push(Batch {
                bytes: batch.into_bytes(),
                base_offset: header.base_offset,
                end_offset: header.next_offset(),
                timestamp_max: header.max_timestamp,
            });
        }
    }
    Ok(builder.finish())
}
