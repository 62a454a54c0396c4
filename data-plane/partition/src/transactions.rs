//! Open and aborted transactions of one partition: what a `read_committed` reader may not see.

use crate::change::Marker;
use crate::codec::{CodecError, Reader, Writer};
use millstream_model::{Offset, ProducerId};
use std::collections::BTreeMap;

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedRange {
    /// Who wrote it.
    pub producer: ProducerId,
    /// The offset of its first record here.
    pub first_offset: Offset,
    /// The offset of its marker.
    pub last_offset: Offset,
}

/// The transactions of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    open: BTreeMap<ProducerId, Offset>,
    /// In the order of their markers.
    aborted: Vec<AbortedRange>,
}

impl Transactions {
    /// A transactional batch.
    pub(crate) fn append(&mut self, producer: ProducerId, base_offset: Offset) {
        self.open.entry(producer).or_insert(base_offset);
    }

    /// A marker at `offset`; one for no open transaction ends nothing.
    pub(crate) fn marker(&mut self, producer: ProducerId, marker: Marker, offset: Offset) {
        let Some(first_offset) = self.open.remove(&producer) else {
            return;
        };
        if marker == Marker::Abort {
            self.aborted.push(AbortedRange {
                producer,
                first_offset,
                last_offset: offset,
            });
        }
    }

    /// Forgets what ended below the log's start.
    pub(crate) fn trim(&mut self, log_start: Offset) {
        self.aborted.retain(|range| range.last_offset >= log_start);
    }

    /// The first offset of an open transaction.
    pub fn first_open(&self) -> Option<Offset> {
        self.open.values().min().copied()
    }

    /// Where the producer's open transaction begins, if it has one.
    pub fn start_of(&self, producer: ProducerId) -> Option<Offset> {
        self.open.get(&producer).copied()
    }

    /// Whether the producer has a transaction open.
    pub fn is_open(&self, producer: ProducerId) -> bool {
        self.open.contains_key(&producer)
    }

    /// The aborted transactions that touch `from..end`.
    pub fn aborted_within(&self, from: Offset, end: Offset) -> impl Iterator<Item = &AbortedRange> {
        self.aborted
            .iter()
            .filter(move |range| range.last_offset >= from && range.first_offset < end)
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.count(self.open.len());
        for (producer, first) in &self.open {
            out.i64(producer.0);
            out.offset(*first);
        }
        out.count(self.aborted.len());
        for range in &self.aborted {
            out.i64(range.producer.0);
            out.offset(range.first_offset);
            out.offset(range.last_offset);
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Transactions, CodecError> {
        let open = from.list(16, |from| Ok((ProducerId(from.i64()?), from.offset()?)))?;
        let aborted = from.list(24, |from| {
            Ok(AbortedRange {
                producer: ProducerId(from.i64()?),
                first_offset: from.offset()?,
                last_offset: from.offset()?,
            })
        })?;
        Ok(Transactions {
            open: open.into_iter().collect(),
            aborted,
        })
    }
}
