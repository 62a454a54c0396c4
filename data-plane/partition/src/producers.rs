//! Idempotent producers of one partition: which sequence comes next, and which recent batches would be repeats.
//!
//! Kafka's rules: a producer that is not known may start anywhere, a new epoch starts at 0, sequences wrap from
//! 2^31 - 1 to 0, and the last five batches are remembered so that a repeat is answered with its first offset. Who is
//! forgotten for having been silent is the leader's decision, an entry of the log (log.md 21).

use crate::change::ProducerFacts;
use crate::codec::{CodecError, Reader, Writer};
use millstream_model::limits::{PARTITION_PRODUCERS_MAX, PRODUCER_BATCHES_MAX};
use millstream_model::{Lsn, Offset, ProducerEpoch, ProducerId, TimestampMs};
use std::collections::{BTreeMap, VecDeque};

/// A batch that a producer wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    /// Its first sequence.
    pub first_sequence: i32,
    /// Its last sequence.
    pub last_sequence: i32,
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The entry that holds it.
    pub lsn: Lsn,
}

/// What is remembered about a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// Its last batches in this epoch, oldest first; none after a transaction marker of a newer epoch.
    pub batches: VecDeque<ProducerBatch>,
    /// When its last entry was written.
    pub time: TimestampMs,
}

/// Why a batch does not follow the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// A gap, or a repeat that is no longer remembered.
    #[error("producer {producer} sent sequence {found} where {expected} was expected")]
    OutOfOrder {
        /// Who sent it.
        producer: ProducerId,
        /// The sequence that would have fitted.
        expected: i32,
        /// The one found.
        found: i32,
    },
    /// A newer incarnation of the producer has written.
    #[error("producer {producer} sent epoch {found}, fenced by {current}")]
    Fenced {
        /// Who sent it.
        producer: ProducerId,
        /// The epoch found.
        found: ProducerEpoch,
        /// The newest one.
        current: ProducerEpoch,
    },
}

/// The sequence after this one.
fn next_sequence(sequence: i32) -> i32 {
    if sequence == i32::MAX { 0 } else { sequence + 1 }
}

impl ProducerState {
    /// A producer's first batch.
    pub(crate) fn new(epoch: ProducerEpoch, time: TimestampMs) -> ProducerState {
        ProducerState {
            epoch,
            batches: VecDeque::new(),
            time,
        }
    }

    /// Whether the batch follows the last one; `Some` when it repeats a remembered one.
    pub(crate) fn check(&self, facts: &ProducerFacts) -> Result<Option<ProducerBatch>, SequenceError> {
        if facts.epoch < self.epoch {
            return Err(SequenceError::Fenced {
                producer: facts.id,
                found: facts.epoch,
                current: self.epoch,
            });
        }
        if facts.epoch > self.epoch {
            return match facts.first_sequence {
                0 => Ok(None),
                found => Err(SequenceError::OutOfOrder {
                    producer: facts.id,
                    expected: 0,
                    found,
                }),
            };
        }
        let Some(last) = self.batches.back() else {
            return Ok(None);
        };
        let repeat = |batch: &&ProducerBatch| {
            batch.first_sequence == facts.first_sequence && batch.last_sequence == facts.last_sequence
        };
        if let Some(batch) = self.batches.iter().rev().find(repeat) {
            return Ok(Some(*batch));
        }
        let expected = next_sequence(last.last_sequence);
        if facts.first_sequence == expected {
            Ok(None)
        } else {
            Err(SequenceError::OutOfOrder {
                producer: facts.id,
                expected,
                found: facts.first_sequence,
            })
        }
    }

    /// Remembers a batch that was appended.
    pub(crate) fn append(&mut self, facts: &ProducerFacts, base_offset: Offset, lsn: Lsn, time: TimestampMs) {
        if facts.epoch != self.epoch {
            self.epoch = facts.epoch;
            self.batches.clear();
        }
        if self.batches.len() == PRODUCER_BATCHES_MAX {
            self.batches.pop_front();
        }
        self.batches.push_back(ProducerBatch {
            first_sequence: facts.first_sequence,
            last_sequence: facts.last_sequence,
            base_offset,
            lsn,
        });
        self.time = time;
    }
}

/// The idempotent producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: BTreeMap<ProducerId, ProducerState>,
    /// Nobody's last entry is older than this.
    oldest: TimestampMs,
}

impl Producers {
    /// What is remembered about a producer.
    pub fn get(&self, id: ProducerId) -> Option<&ProducerState> {
        self.by_id.get(&id)
    }

    /// Everybody who is remembered, by id.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerState)> {
        self.by_id.iter().map(|(id, state)| (*id, state))
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether there is somebody who has written nothing since `until`.
    pub(crate) fn is_any_silent(&self, until: TimestampMs, is_busy: impl Fn(ProducerId) -> bool) -> bool {
        let silent = |(id, state): (&ProducerId, &ProducerState)| state.time <= until && !is_busy(*id);
        self.oldest <= until && self.by_id.iter().any(silent)
    }

    /// Forgets who has written nothing since; whether there was anybody.
    pub(crate) fn forget(&mut self, silent_since: TimestampMs, is_busy: impl Fn(ProducerId) -> bool) -> bool {
        let before = self.by_id.len();
        self.by_id
            .retain(|id, state| state.time > silent_since || is_busy(*id));
        let times = self.by_id.values().map(|state| state.time);
        self.oldest = times.min().unwrap_or(self.oldest);
        self.by_id.len() < before
    }

    /// Forgets all but these: batches of any of them may be gone, and the next one of each may have any sequence.
    pub(crate) fn forget_all(&mut self, is_busy: impl Fn(ProducerId) -> bool) {
        self.by_id.retain(|id, _| is_busy(*id));
        let times = self.by_id.values().map(|state| state.time);
        self.oldest = times.min().unwrap_or(self.oldest);
    }

    /// Remembers a committed batch; `time` never falls from call to call.
    pub(crate) fn append(&mut self, facts: &ProducerFacts, base_offset: Offset, lsn: Lsn, time: TimestampMs) {
        self.known(facts.id, facts.epoch, time)
            .append(facts, base_offset, lsn, time);
    }

    /// A transaction marker: a newer epoch fences the old one.
    pub(crate) fn marker(&mut self, id: ProducerId, epoch: ProducerEpoch, time: TimestampMs) {
        let state = self.known(id, epoch, time);
        if epoch > state.epoch {
            state.epoch = epoch;
            state.batches.clear();
        }
        state.time = time;
    }

    /// The producer; one that is new here pushes out the oldest when there are too many, a tenth of them, so that each
    /// costs little.
    fn known(&mut self, id: ProducerId, epoch: ProducerEpoch, time: TimestampMs) -> &mut ProducerState {
        if !self.by_id.contains_key(&id) && self.by_id.len() >= PARTITION_PRODUCERS_MAX {
            let mut ages: Vec<_> = self.by_id.iter().map(|(id, state)| (state.time, *id)).collect();
            ages.sort_unstable();
            for (_, id) in ages.iter().take(PARTITION_PRODUCERS_MAX / 10) {
                self.by_id.remove(id);
            }
        }
        if self.by_id.is_empty() {
            self.oldest = time;
        }
        self.by_id
            .entry(id)
            .or_insert_with(|| ProducerState::new(epoch, time))
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.time(self.oldest);
        out.count(self.by_id.len());
        for (id, state) in &self.by_id {
            out.i64(id.0);
            out.i16(state.epoch.0);
            out.time(state.time);
            out.count(state.batches.len());
            for batch in &state.batches {
                out.i32(batch.first_sequence);
                out.i32(batch.last_sequence);
                out.offset(batch.base_offset);
                out.u64(batch.lsn.0);
            }
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Producers, CodecError> {
        let oldest = from.time()?;
        let producers = from.list(22, |from| {
            let id = ProducerId(from.i64()?);
            let epoch = ProducerEpoch(from.i16()?);
            let time = from.time()?;
            let batches = from.list(24, |from| {
                Ok(ProducerBatch {
                    first_sequence: from.i32()?,
                    last_sequence: from.i32()?,
                    base_offset: from.offset()?,
                    lsn: Lsn(from.u64()?),
                })
            })?;
            Ok((
                id,
                ProducerState {
                    epoch,
                    batches: batches.into(),
                    time,
                },
            ))
        })?;
        Ok(Producers {
            by_id: producers.into_iter().collect(),
            oldest,
        })
    }
}
