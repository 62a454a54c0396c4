//! Which leader epoch wrote which part of a partition, so that clients can find where theirs diverges.

use crate::codec::{CodecError, Reader, Writer};
use millstream_model::{LeaderEpoch, Offset};

/// Leader epochs and the offset of the first record that each wrote, both rising.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochHistory {
    starts: Vec<(LeaderEpoch, Offset)>,
}

impl EpochHistory {
    /// A batch of this epoch starts at `offset`.
    pub(crate) fn append(&mut self, epoch: LeaderEpoch, offset: Offset) {
        if self.starts.last().is_none_or(|(last, _)| *last < epoch) {
            self.starts.push((epoch, offset));
        }
    }

    /// Forgets epochs that wrote nothing at or after `log_start`; the one that did keeps its number.
    pub(crate) fn trim(&mut self, log_start: Offset) {
        let after = self.starts.partition_point(|(_, start)| *start <= log_start);
        if after > 1 {
            self.starts.drain(..after - 1);
        }
        if let Some((_, start)) = self.starts.first_mut() {
            *start = (*start).max(log_start);
        }
    }

    /// The epoch that wrote the record at `offset`.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.starts.partition_point(|(_, start)| *start <= offset);
        self.starts.get(after.checked_sub(1)?).map(|(epoch, _)| *epoch)
    }

    /// The largest known epoch at or below `epoch`, and one past its last offset; `log_end` bounds the last one.
    ///
    /// An epoch from before the first known one ends where that one starts; with no records at all, every epoch ends
    /// at the log's end (log.md 23: never "undefined").
    pub fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> (LeaderEpoch, Offset) {
        let after = self.starts.partition_point(|(known, _)| *known <= epoch);
        let end = self.starts.get(after).map_or(log_end, |(_, start)| *start);
        let known = after
            .checked_sub(1)
            .and_then(|index| self.starts.get(index))
            .map_or(epoch, |(known, _)| *known);
        (known, end)
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.count(self.starts.len());
        for (epoch, offset) in &self.starts {
            out.i32(epoch.0);
            out.offset(*offset);
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<EpochHistory, CodecError> {
        let starts = from.list(12, |from| Ok((LeaderEpoch(from.i32()?), from.offset()?)))?;
        Ok(EpochHistory { starts })
    }
}
