//! What a reader is told of a partition's offsets, from its committed state alone.
//!
//! Between an election and the commit of what the new leader found in its log the state may be older than what readers
//! have seen: it may even lack the partition. Until then nothing is said that depends on where the log ends (log.md 23).

use crate::interface::{EpochEnd, FetchError, FoundOffset, Isolation, ListOffset, OffsetError};
use millstream_model::{LeaderEpoch, Offset, TimestampMs};
use millstream_partition::{PartitionState, Place};

/// The answer when no record fits.
pub(crate) const NOT_FOUND: FoundOffset = FoundOffset {
    offset: Offset(-1),
    timestamp: TimestampMs::NONE,
    leader_epoch: LeaderEpoch(-1),
};

/// A partition's first offset and its high watermark; both 0 while its opening is not committed.
pub fn ends(state: Option<&PartitionState>) -> (Offset, Offset) {
    state.map_or_else(Default::default, |state| (state.log_start(), state.next_offset()))
}

/// That a reader may stand at `offset`.
///
/// # Errors
/// When it lies outside of the log: not beyond an end that is not known yet.
pub fn check_position(
    state: Option<&PartitionState>,
    offset: Offset,
    end_is_known: bool,
) -> Result<(), FetchError> {
    let (log_start, log_end) = ends(state);
    if offset < log_start || offset > log_end && end_is_known {
        return Err(FetchError::OffsetOutOfRange {
            offset,
            log_start,
            log_end,
        });
    }
    Ok(())
}

/// One past the last offset that a reader may see.
pub(crate) fn seen_end(state: &PartitionState, isolation: Isolation) -> Offset {
    match isolation {
        Isolation::ReadUncommitted => state.next_offset(),
        Isolation::ReadCommitted => state.last_stable(),
    }
}

/// An answer that is known at once, or where to look for a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The answer.
    Found(FoundOffset),
    /// The first record at or after `time`, from the batch at `from` on.
    Scan {
        /// The batch.
        from: Offset,
        /// The time.
        time: TimestampMs,
    },
    /// The first record with the largest timestamp, where the log starts within a place: what that place's largest is
    /// among the records that are left, only they can tell.
    ScanLargest {
        /// Where that place ends.
        end: Offset,
        /// The first place behind it with the largest timestamp there: its first offset, and the time.
        behind: Option<(Offset, TimestampMs)>,
    },
}

/// What a place spans.
struct Extent {
    base: Offset,
    end: Offset,
    timestamp_max: TimestampMs,
}

fn extent(place: Place) -> Extent {
    let (base, end, timestamp_max) = match place {
        Place::Cold(segment) => (segment.base_offset, segment.end_offset, segment.timestamp_max),
        Place::Hot(run) => (run.base_offset, run.end_offset, run.timestamp_max),
    };
    Extent {
        base,
        end,
        timestamp_max,
    }
}

/// Looks up an offset in a partition whose leader epoch is `current`. Whose records an offset is of may not be known while
/// the end is not: then the epoch is -1.
///
/// # Errors
/// [`OffsetError::NotAvailable`] when the answer depends on an end that is not known yet.
pub fn look_up(
    state: Option<&PartitionState>,
    current: LeaderEpoch,
    what: ListOffset,
    isolation: Isolation,
    end_is_known: bool,
) -> Result<Look, OffsetError> {
    let at = |offset: Offset, leader_epoch: LeaderEpoch| {
        Ok(Look::Found(FoundOffset {
            offset,
            timestamp: TimestampMs::NONE,
            leader_epoch,
        }))
    };
    let at_the_end = || match end_is_known {
        true => Ok(Look::Found(NOT_FOUND)),
        false => Err(OffsetError::NotAvailable),
    };
    let of_the_next = if end_is_known { current } else { LeaderEpoch(-1) };
    let Some(state) = state else {
        return match what {
            ListOffset::Latest if !end_is_known => Err(OffsetError::NotAvailable),
            ListOffset::Latest => at(Offset(0), current),
            ListOffset::Earliest | ListOffset::EarliestLocal => at(Offset(0), of_the_next),
            ListOffset::MaxTimestamp | ListOffset::AtOrAfter(_) => at_the_end(),
            ListOffset::LatestTiered => Ok(Look::Found(NOT_FOUND)),
        };
    };
    // What lies at the end is the next record, not the last one's: after a trim of everything that is where the log starts.
    let epoch_at = |offset: Offset| match state.epochs().epoch_at(offset) {
        Some(epoch) if offset < state.next_offset() => epoch,
        _ => of_the_next,
    };
    let scan = |place: Option<Place>, time: Option<TimestampMs>| {
        let Some(place) = place.map(extent) else {
            return at_the_end();
        };
        Ok(Look::Scan {
            from: place.base.max(state.log_start()),
            time: time.unwrap_or(place.timestamp_max),
        })
    };
    match what {
        ListOffset::Latest if !end_is_known => Err(OffsetError::NotAvailable),
        ListOffset::Latest => at(seen_end(state, isolation), current),
        ListOffset::Earliest => at(state.log_start(), epoch_at(state.log_start())),
        ListOffset::EarliestLocal => {
            let offset = state.tiered_up_to().max(state.log_start());
            at(offset, epoch_at(offset))
        }
        ListOffset::LatestTiered if state.cold().is_empty() => Ok(Look::Found(NOT_FOUND)),
        ListOffset::LatestTiered => {
            let offset = state.tiered_up_to().plus(-1);
            at(offset, epoch_at(offset))
        }
        // What is not committed yet may have a larger one.
        ListOffset::MaxTimestamp if !end_is_known => Err(OffsetError::NotAvailable),
        ListOffset::MaxTimestamp => {
            let behind = state.place_of_max_timestamp(state.log_start());
            let cut = state.place(state.log_start()).map(extent);
            match cut.filter(|cut| cut.base < state.log_start()) {
                None => scan(behind, None),
                Some(cut) => Ok(Look::ScanLargest {
                    end: cut.end,
                    behind: behind.map(extent).map(|place| (place.base, place.timestamp_max)),
                }),
            }
        }
        ListOffset::AtOrAfter(time) => scan(state.place_at_or_after(time), Some(time)),
    }
}

/// Where leader epoch `asked` ends in a partition whose leader epoch is `now`: never "undefined".
///
/// # Errors
/// When there was no such epoch yet, or it may go on beyond what is known to be committed.
pub fn epoch_end(
    state: Option<&PartitionState>,
    now: LeaderEpoch,
    asked: LeaderEpoch,
    end_is_known: bool,
) -> Result<EpochEnd, OffsetError> {
    if asked > now {
        return Err(OffsetError::UnknownEpoch { current: now });
    }
    let (_, log_end) = ends(state);
    let (leader_epoch, end_offset) = match state {
        Some(state) if asked < now => state.epochs().end_of(asked, log_end),
        _ => (asked, log_end),
    };
    // A later epoch that begins there bounds it for good.
    let is_bounded = state.is_some_and(|state| {
        let first = state.epochs().epoch_at(end_offset);
        first.is_some_and(|first| first > asked) && end_offset < log_end
    });
    if !end_is_known && !is_bounded {
        return Err(OffsetError::NotAvailable);
    }
    Ok(EpochEnd {
        leader_epoch,
        end_offset,
    })
}

#[cfg(test)]
mod tests;
