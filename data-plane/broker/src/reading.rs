//! Reading committed batches: what to read, as the state says; from the journal and from the object store; and gathering
//! them into an object. No lock, no cache, no task: the simulator runs it as the broker does.

use bytes::Bytes;
use millstream_journal::{Disk, Position, ReadError, Reader};
use millstream_kafka_wire::batch::{BatchError, BatchHeader, batches};
use millstream_model::entry::ENTRY_HEADER_BYTES;
use millstream_model::segment::SegmentRef;
use millstream_model::{GroupId, Lsn, Offset, PartitionId, TimestampMs};
use millstream_partition::{HotRun, PartitionState, Place};
use millstream_tier::{Batch, FlushBuilder, Tier, TierError};

/// What to read, and up to where a reader may see.
#[derive(Debug)]
pub enum Plan {
    /// Nothing is there.
    Nothing,
    /// These batches.
    Memory(Vec<Bytes>),
    /// The batches in these runs of the journal that reach from `from` to `end`.
    Journal {
        /// Where they lie.
        runs: Vec<HotRun>,
        /// The first offset that is wanted.
        from: Offset,
        /// One past the last.
        end: Offset,
        /// As many as fit, at least one.
        bytes_max: usize,
    },
    /// The batches in these entries of the journal, which are in the store, too.
    Kept {
        /// Whose they are.
        partition: PartitionId,
        /// Where they lie.
        places: Vec<Position>,
        /// The first offset that is wanted.
        from: Offset,
        /// One past the last.
        end: Offset,
        /// As many as fit, at least one.
        bytes_max: usize,
    },
    /// The batches of this segment that reach from `from` to `end`.
    Store {
        /// Where they lie.
        segment: SegmentRef,
        /// The first offset that is wanted.
        from: Offset,
        /// One past the last.
        end: Offset,
        /// As many as fit, at least one.
        bytes_max: usize,
    },
}

/// Batches that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FailedRead {
    /// Not in the journal any more: make another plan.
    #[error("the data has moved")]
    Moved,
    /// The object is not in the store: collected since, so make another plan. Where that names the object again, it
    /// is lost.
    #[error("the object store: {0}")]
    Missing(TierError),
    /// The journal cannot read it.
    #[error("the journal: {0}")]
    Journal(ReadError),
    /// The store does not give it.
    #[error("the object store: {0}")]
    Store(TierError),
    /// A task of ours was lost.
    #[error("the reading task ended early")]
    Lost,
}

impl FailedRead {
    /// Whether what is stored is not what was written: no repetition helps, a person must look.
    pub fn is_damage(&self) -> bool {
        match self {
            FailedRead::Journal(error) => matches!(error, ReadError::Damaged),
            FailedRead::Store(error) => {
                matches!(error, TierError::Corrupt { .. } | TierError::TooLarge { .. })
            }
            FailedRead::Moved | FailedRead::Missing(_) | FailedRead::Lost => false,
        }
    }
}

/// Plans to read batches of a partition from the one that holds `offset` on, up to `end`: at least one, further ones
/// while they fit in `bytes_max`, all from one place.
pub fn plan_of(state: &PartitionState, offset: Offset, end: Offset, bytes_max: usize) -> Plan {
    if offset >= end {
        return Plan::Nothing;
    }
    match state.place(offset) {
        Some(Place::Cold(segment)) => Plan::Store {
            segment,
            from: offset,
            end,
            bytes_max,
        },
        Some(Place::Hot(_)) => {
            let mut bytes = 0u64;
            let runs = state
                .hot()
                .starting_at(offset)
                .take_while(|run| run.base_offset < end);
            let fits = |run: &&HotRun| {
                let first = bytes == 0;
                bytes += run.bytes;
                first || bytes <= bytes_max as u64
            };
            Plan::Journal {
                runs: runs.take_while(fits).copied().collect(),
                from: offset,
                end,
                bytes_max,
            }
        }
        None => Plan::Nothing,
    }
}

/// The batches of these runs, as far as the journal has them: at least one. Where it has not a later one, whoever reads on
/// is told.
///
/// # Errors
/// [`FailedRead::Moved`] when the journal no longer has the first one, else when it cannot read it.
pub fn read_journal<D: Disk>(
    reader: &Reader<D>,
    group: GroupId,
    runs: &[HotRun],
) -> Result<Vec<Bytes>, FailedRead> {
    let mut batches = Vec::new();
    for run in runs {
        if let Err(error) = read_run(reader, group, run, &mut batches) {
            match batches.is_empty() {
                true => return Err(error),
                false => break,
            }
        }
    }
    Ok(batches)
}

fn read_run<D: Disk>(
    reader: &Reader<D>,
    group: GroupId,
    run: &HotRun,
    batches: &mut Vec<Bytes>,
) -> Result<(), FailedRead> {
    let mut next = run.first;
    while next <= run.last {
        let left = (run.last.0 - next.0 + 1).saturating_mul(ENTRY_HEADER_BYTES as u64 * 2) + run.bytes;
        let entries = reader.entries(group, next, usize::try_from(left).unwrap_or(usize::MAX));
        let entries = entries.map_err(|error| match error {
            ReadError::Absent => FailedRead::Moved,
            error => FailedRead::Journal(error),
        })?;
        let Some(last) = entries.last().map(|entry| entry.header.lsn) else {
            return Err(FailedRead::Moved);
        };
        next = Lsn(last.0 + 1);
        let within = entries.into_iter().filter(|entry| entry.header.lsn <= run.last);
        // One that stands for a missing entry and says nothing has no batch.
        batches.extend(
            within
                .map(|entry| entry.payload)
                .filter(|payload| !payload.is_empty()),
        );
    }
    Ok(())
}

/// The batches in these entries, as far as the journal has them: at least one.
///
/// # Errors
/// As [`read_journal`].
pub fn read_kept<D: Disk>(
    reader: &Reader<D>,
    group: GroupId,
    partition: PartitionId,
    places: &[Position],
) -> Result<Vec<Bytes>, FailedRead> {
    let mut batches = Vec::new();
    for place in places {
        let read = match reader.read(*place) {
            Ok(entry) if (entry.header.group, entry.header.partition) == (group, partition) => {
                batches.push(entry.payload);
                continue;
            }
            Ok(_) | Err(ReadError::Absent) => FailedRead::Moved,
            Err(error) => FailedRead::Journal(error),
        };
        match batches.is_empty() {
            true => return Err(read),
            false => break,
        }
    }
    Ok(batches)
}

/// Batches of a segment: whole blocks are read, what lies outside of the wish is cut off.
///
/// # Errors
/// [`FailedRead::Missing`] when the object is not there, else when the store does not give it.
pub async fn read_store(
    tier: &Tier,
    segment: &SegmentRef,
    from: Offset,
    end: Offset,
    bytes_max: usize,
) -> Result<Vec<Bytes>, FailedRead> {
    let run = tier.read(segment, from, bytes_max).await.map_err(of_tier)?;
    Ok(cut(run.blocks, from, end, bytes_max))
}

/// As [`read_store`], from the first block that has a record of `time` or later; none when the segment has no such one.
///
/// # Errors
/// As [`read_store`].
pub async fn read_store_since(
    tier: &Tier,
    segment: &SegmentRef,
    time: TimestampMs,
    end: Offset,
    bytes_max: usize,
) -> Result<Option<Vec<Bytes>>, FailedRead> {
    let run = tier.read_since(segment, time, bytes_max).await.map_err(of_tier)?;
    Ok(run.map(|run| cut(run.blocks, run.base_offset, end, bytes_max)))
}

fn of_tier(error: TierError) -> FailedRead {
    match error {
        error @ TierError::NotFound { .. } => FailedRead::Missing(error),
        error => FailedRead::Store(error),
    }
}

/// The batches that reach past `from` and start before `end`, at least one, while they fit. Each piece holds whole
/// batches. Pieces are cut; when less than half of their bytes is left it is copied, so that the others' memory is not
/// held by a reader who is counted with, and may be slow to take, a few.
pub fn cut(pieces: Vec<Bytes>, from: Offset, end: Offset, bytes_max: usize) -> Vec<Bytes> {
    let held: usize = pieces.iter().map(Bytes::len).sum();
    let mut kept = Vec::with_capacity(pieces.len());
    let mut bytes = 0usize;
    for mut piece in pieces {
        let (mut skip, mut take) = (0, 0);
        let mut full = false;
        while let Ok(header) = BatchHeader::read(&piece[skip + take..]) {
            if take == 0 && header.next_offset() <= from {
                skip += header.size();
                continue;
            }
            let fits = bytes == 0 || bytes + header.size() <= bytes_max;
            if header.base_offset >= end || !fits {
                full = true;
                break;
            }
            bytes += header.size();
            take += header.size();
        }
        if take > 0 {
            let _skipped = piece.split_to(skip.min(piece.len()));
            piece.truncate(take);
            kept.push(piece);
        }
        if full {
            break;
        }
    }
    if bytes < held / 2 {
        kept.iter_mut()
            .for_each(|piece| *piece = Bytes::copy_from_slice(piece));
    }
    kept
}

/// Adds batches up to `end` to the run that was begun; returns where the last one ends, nothing when no more of them
/// shall or can go into this object.
///
/// # Errors
/// When what was read is no batch.
pub fn push_all(
    pieces: &[Bytes],
    end: Offset,
    builder: &mut FlushBuilder,
) -> Result<Option<Offset>, BatchError> {
    let mut read = None;
    for batch in pieces.iter().flat_map(|piece| batches(piece.clone())) {
        let batch = batch?;
        let header = *batch.header();
        if header.base_offset >= end || !builder.fits(header.size()) {
            return Ok(None);
        }
        read = Some(header.next_offset());
        builder.push(Batch {
            base_offset: header.base_offset,
            end_offset: header.next_offset(),
            timestamp_max: header.max_timestamp,
            bytes: batch.into_bytes(),
        });
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::cut;
    use bytes::Bytes;
    use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
    use millstream_model::{Offset, TimestampMs};

    fn batch() -> Bytes {
        let mut builder = BatchBuilder::new();
        let record = NewRecord {
            timestamp: TimestampMs(0),
            key: None,
            value: Some(&[7; 100]),
            headers: &[],
        };
        builder.push(record).unwrap();
        builder.build().unwrap()
    }

    #[test]
    fn a_small_rest_does_not_hold_what_was_cut_off() {
        let one = batch();
        let piece = Bytes::from(one.repeat(4));
        for (batches, is_copied) in [(1, true), (2, false), (4, false)] {
            let kept = cut(vec![piece.clone()], Offset(0), Offset(1), batches * one.len());
            assert_eq!(kept.concat(), one.repeat(batches));
            let is_within = piece.as_ptr_range().contains(&kept[0].as_ptr());
            assert_eq!(is_within, !is_copied, "{batches} of 4 batches");
        }
    }
}
