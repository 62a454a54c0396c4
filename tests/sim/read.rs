//! Consumers, and whoever else reads: what is committed, from the journal and from the store.

use crate::node::GROUP;
use crate::seen::Happening;
use crate::world::{Check, Event, NODES, World, partition};
use bytes::Bytes;
use millstream_kafka_wire::batch::batches;
use millstream_model::entry::EntryKind;
use millstream_model::segment::SegmentRef;
use millstream_model::{Lsn, Offset};
use millstream_partition::{HotRun, Place};
use rand::Rng;

/// Records: (offset, value).
pub type Records = Vec<(i64, u64)>;

/// What was read, or why nothing for now. The outer error is one that must not be.
pub type Read = Result<Result<Records, String>, String>;

impl World {
    /// A consumer reads on, mostly from the leader.
    pub fn consume(&mut self, index: u32) -> Check {
        let at_ms = self.now_ms + 40;
        self.at(at_ms, Event::Consume { partition: index });
        let guess = self.random.random_range(0..NODES);
        let leads = (0..NODES).find(|node| self.nodes[*node].leads());
        let node = leads.filter(|_| !self.chance(30)).unwrap_or(guess);
        let position = self.positions[index as usize];
        let Ok(records) = self.read(node, index, position)? else {
            return Ok(());
        };
        for (offset, value) in records {
            self.check.read(index, offset, value)?;
            self.positions[index as usize] = offset + 1;
        }
        Ok(())
    }

    /// What one replica has committed of a partition from an offset on.
    pub fn read(&mut self, node: usize, index: u32, position: i64) -> Read {
        let Some(running) = &self.nodes[node].running else {
            return Ok(Err("down".to_owned()));
        };
        let Some(state) = running.replica.state().partition(&partition(index)) else {
            return Ok(Ok(Vec::new()));
        };
        let (start, end) = (state.log_start().0, state.next_offset().0);
        let position = position.max(start);
        let read = match state.place(Offset(position)) {
            None => Ok(Vec::new()),
            Some(Place::Cold(segment)) => self.read_cold(index, &segment, position)?,
            Some(Place::Hot(run)) => self.read_hot(node, index, &run)?,
        };
        Ok(read.map(|mut records| {
            records.retain(|(offset, _)| (position..end).contains(offset));
            records
        }))
    }

    /// Some of a segment from an offset on.
    pub fn read_cold(&mut self, index: u32, segment: &SegmentRef, position: i64) -> Read {
        let call = self.store.tier.read(segment, Offset(position), 2048);
        let run = match self.store.wait(call) {
            Ok(run) => run,
            Err(error) => return Ok(Err(error.to_string())),
        };
        self.saw(Happening::ReadFromStore);
        let mut found = Vec::new();
        for block in run.blocks {
            self.records(index, block, &mut found)?;
        }
        Ok(Ok(found))
    }

    fn read_hot(&mut self, node: usize, index: u32, run: &HotRun) -> Read {
        let Some(running) = &self.nodes[node].running else {
            return Ok(Err("down".to_owned()));
        };
        let reader = running.journal.reader();
        self.saw(Happening::ReadFromJournal);
        let mut found = Vec::new();
        for lsn in run.first.0..=run.last.0 {
            let entry = match reader.entry(GROUP, Lsn(lsn)) {
                Ok(entry) => entry,
                Err(_) if self.may_fail(node) => return Ok(Err("hurt".to_owned())),
                Err(error) => return Err(format!("{node} cannot read {lsn} of its journal: {error}")),
            };
            if entry.header.partition == partition(index) && entry.header.kind == EntryKind::Append {
                self.records(index, entry.payload, &mut found)?;
            }
        }
        Ok(Ok(found))
    }

    /// The records of whole batches, each the same bytes that were committed.
    fn records(&self, index: u32, bytes: Bytes, found: &mut Records) -> Check {
        for batch in batches(bytes) {
            let batch = batch.map_err(|error| error.to_string())?;
            self.check.batch(index, &batch)?;
            let set = batch.records().map_err(|error| error.to_string())?;
            for record in set.iter() {
                let record = record.map_err(|error| error.to_string())?;
                let value = record.value.and_then(|value| value.first_chunk()).copied();
                found.push((record.offset.0, u64::from_le_bytes(value.unwrap_or_default())));
            }
        }
        Ok(())
    }
}
