//! Consumers, and whoever else reads: what is committed, from the journal and from the store.

use crate::seen::Happening;
use crate::world::{Check, Event, GROUP, NODES, World, partition};
use bytes::Bytes;
use millstream_broker::reading::{Plan, cut, plan_of, read_journal, read_store};
use millstream_kafka_wire::batch::batches;
use millstream_model::segment::SegmentRef;
use millstream_model::{Offset, TimestampMs};
use rand::Rng;

/// How much a consumer takes at once.
const READ_BYTES: usize = 2048;

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
        let Some(served_in) = self.fetched_epoch(node, index) else {
            return Ok(());
        };
        let Ok(records) = self.read(node, index, position)? else {
            return Ok(());
        };
        self.check.served(index, &records, served_in)?;
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
        let (start, end) = (state.log_start().0, state.next_offset());
        let position = position.max(start);
        let plan = plan_of(state, Offset(position), end, READ_BYTES);
        match self.read_plan(node, plan)? {
            Ok(pieces) => self.records(index, pieces, position).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Reads what was planned. Nothing can have moved since, for nothing else has happened.
    pub fn read_plan(&mut self, node: usize, plan: Plan) -> Result<Result<Vec<Bytes>, String>, String> {
        match plan {
            Plan::Nothing | Plan::Memory(_) => Ok(Ok(Vec::new())),
            Plan::Journal {
                runs,
                from,
                end,
                bytes_max,
            } => {
                self.saw(Happening::ReadFromJournal);
                let Some(running) = &self.nodes[node].running else {
                    return Ok(Err("down".to_owned()));
                };
                match read_journal(&running.journal.reader(), GROUP, &runs) {
                    Ok(batches) => Ok(Ok(cut(batches, from, end, bytes_max))),
                    Err(error) if self.may_fail(node) => Ok(Err(format!("hurt: {error}"))),
                    Err(error) => Err(format!("{node} cannot read {runs:?} of its journal: {error}")),
                }
            }
            Plan::Kept { .. } => unreachable!("nobody here plans without the store"),
            Plan::Store {
                segment,
                from,
                end,
                bytes_max,
            } => {
                self.saw(Happening::ReadFromStore);
                let call = read_store(&self.store.tier, &segment, from, end, bytes_max);
                Ok(self.store.wait(call).map_err(|error| error.to_string()))
            }
        }
    }

    /// Some of a segment from an offset on.
    pub fn read_cold(&mut self, index: u32, segment: SegmentRef, position: i64) -> Read {
        let plan = Plan::Store {
            segment,
            from: Offset(position),
            end: segment.end_offset,
            bytes_max: READ_BYTES,
        };
        match self.read_plan(0, plan)? {
            Ok(pieces) => self.records(index, pieces, position).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    /// The records of whole batches from a position on; each batch is the same bytes that were committed, and says the
    /// largest timestamp of its records: retention and lookups by time go by that.
    fn records(&mut self, index: u32, pieces: Vec<Bytes>, position: i64) -> Result<Records, String> {
        let mut found = Vec::new();
        for batch in pieces.into_iter().flat_map(batches) {
            let batch = batch.map_err(|error| error.to_string())?;
            self.check.batch(index, &batch)?;
            let set = batch.records().map_err(|error| error.to_string())?;
            let mut largest = TimestampMs::NONE;
            for record in set.iter() {
                let record = record.map_err(|error| error.to_string())?;
                largest = largest.max(record.timestamp);
                let value = record.value.and_then(|value| value.first_chunk()).copied();
                found.push((record.offset.0, u64::from_le_bytes(value.unwrap_or_default())));
            }
            let said = batch.header().max_timestamp;
            if said != largest && set.header().record_count > 0 {
                return Err(format!(
                    "the batch at {index}/{} says {said} as its largest timestamp, its records have {largest}",
                    batch.header().base_offset
                ));
            }
        }
        found.retain(|(offset, _)| *offset >= position);
        Ok(found)
    }
}
