//! A shell's background work: what the replica wants uploaded, saved, stored, reported and released.

use crate::seen::Happening;
use crate::world::{Check, Event, World};
use bytes::Bytes;
use millstream_broker::reading::{plan_of, push_all};
use millstream_broker::replica::{Done, Facts, TieringSettings, Work};
use millstream_journal::Level;
use millstream_model::segment::ObjectRef;
use millstream_partition::{FlushPlan, FlushSettings};
use millstream_tier::{Flush, FlushBuilder};

pub const TIERING: TieringSettings = TieringSettings {
    flush: FlushSettings {
        bytes: 4_000,
        age_ms: 800,
        object_bytes_max: 20_000,
    },
    snapshot_bytes: 8_000,
    snapshot_entries: 60,
    snapshot_interval_ms: 400,
};

/// How much is read at a time.
const GATHER_BYTES: usize = 1500;

/// How long the catalog's answer is waited for.
const REPORT_MS: u64 = 200;

impl World {
    /// A round of background work begins, unless one is under way.
    pub fn begin_round(&mut self, node: usize) -> Check {
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        running.replica.begin_round();
        self.work(node)
    }

    fn facts(&self, node: usize) -> Option<Facts> {
        let level = self.nodes[node].running.as_ref()?.journal.space().level;
        Some(Facts {
            now_ms: self.nodes[node].now_ms(self.now_ms),
            time: self.wall(node),
            pressed: level >= Level::Flush,
            may_flush: !self.still(),
        })
    }

    /// Does what is next in a node's round.
    pub fn work(&mut self, node: usize) -> Check {
        let Some(facts) = self.facts(node) else {
            return Ok(());
        };
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        let Some(work) = running.replica.next_work(&facts) else {
            return Ok(());
        };
        self.note(|| format!("{node} works: {work:?}"));
        match work {
            Work::Upload { plan, object } => {
                let done = self.upload(node, object, &plan)?;
                self.works(node, 120, done);
            }
            Work::Save(_) => {
                let done = self.save(node);
                self.works(node, 20, done);
            }
            Work::Store { object } => {
                let done = self.store_snapshot(node, &object);
                self.works(node, 60, done);
            }
            Work::Report { epoch, snapshot } => {
                // Whatever is answered after a while comes too late.
                self.works(node, REPORT_MS, Done::Failed);
                let step = self.step_of(node);
                self.ask_to_name(node, epoch, snapshot, step);
            }
            Work::Release { up_to } => self.submit_release(node, up_to)?,
        }
        Ok(())
    }

    /// What a node works at will be done so, unless something else comes of it first.
    fn works(&mut self, node: usize, within_ms: u64, done: Done) {
        let process = self.process(node);
        if let Some(running) = &mut self.nodes[node].running {
            running.work += 1;
        }
        let step = self.step_of(node);
        let event = Event::Worked {
            node,
            process,
            step,
            done,
        };
        self.after(within_ms, event);
    }

    fn step_of(&self, node: usize) -> u64 {
        let running = self.nodes[node].running.as_ref();
        running.map_or(0, |running| running.work)
    }

    /// What a node works at is done.
    pub fn worked(&mut self, node: usize, process: u64, step: u64, done: Done) -> Check {
        if self.process(node) != process || self.step_of(node) != step {
            return Ok(());
        }
        let (now_ms, time) = (self.nodes[node].now_ms(self.now_ms), self.wall(node));
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        running.work += 1;
        let mut out = Vec::new();
        running.replica.worked(now_ms, time, done, &mut out);
        self.carry_out(node, out)?;
        self.work(node)
    }

    /// Puts what is hot into the store.
    fn upload(&mut self, node: usize, object: ObjectRef, plan: &FlushPlan) -> Result<Done, String> {
        let Some(flush) = self.gather(node, object, plan)? else {
            return Ok(Done::Failed);
        };
        let put = self.store.wait(self.store.tier.put(&flush));
        self.note(|| format!("{node} flushes {:?}: {put:?}", flush.segments));
        match put {
            Ok(_) => {
                self.saw(Happening::Flush);
                Ok(Done::Uploaded(flush.segments))
            }
            Err(_) => {
                self.saw(Happening::FailedUpload);
                Ok(Done::Failed)
            }
        }
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

    /// A local copy of the state.
    fn save(&mut self, node: usize) -> Done {
        let has_no_room = self.nodes[node].full && self.chance(90);
        let Some(running) = &mut self.nodes[node].running else {
            return Done::Failed;
        };
        let bytes = Bytes::from(running.replica.state().encode_snapshot());
        running.saved = bytes.clone();
        let (length, checksum) = (bytes.len() as u64, crc_fast::crc32_iscsi(&bytes));
        self.nodes[node].copy_failed = has_no_room;
        if has_no_room {
            self.saw(Happening::NoLocalSnapshot);
        } else {
            self.nodes[node].snapshot = Some(bytes);
        }
        Done::Saved {
            is_kept: !has_no_room,
            length,
            checksum,
        }
    }

    fn store_snapshot(&mut self, node: usize, object: &ObjectRef) -> Done {
        let Some(running) = &self.nodes[node].running else {
            return Done::Failed;
        };
        let bytes = running.saved.clone();
        let put = self.store.wait(self.store.tier.put_snapshot(object, &[bytes]));
        self.note(|| format!("{node} stores a snapshot: {put:?}"));
        match put {
            Ok(_) => {
                self.saw(Happening::Snapshot);
                Done::Stored
            }
            Err(_) => Done::Failed,
        }
    }
}
