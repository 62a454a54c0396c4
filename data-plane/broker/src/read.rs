//! Reading committed batches from wherever they lie: memory, then the journal, then the object store.
//!
//! What to read is decided under the group's lock ([`plan`]), the reading happens outside of it ([`Shell::carry_out`]).
//! Between the two the data may move on to the object store; then the plan is made anew.

use crate::group::{Core, Disk, Group, Services};
use crate::metrics::Metrics;
use crate::shell::Shell;
use bytes::Bytes;
use millstream_journal::{ReadError, Reader};
use millstream_kafka_wire::batch::BatchHeader;
use millstream_model::entry::ENTRY_HEADER_BYTES;
use millstream_model::segment::SegmentRef;
use millstream_model::{GroupId, Lsn, Offset, PartitionId};
use millstream_partition::{HotRun, Place};
use millstream_tier::TierError;
use prometheus_client::metrics::counter::Counter;
use std::sync::Arc;

/// How often a plan is made anew because what it named has moved meanwhile.
pub(crate) const PLANS_MAX: usize = 4;

/// What to read, and up to where a reader may see.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Nothing is there.
    Nothing,
    /// These batches.
    Memory(Vec<Bytes>),
    /// The batches in these runs of the journal that reach from `from` to `end`.
    Journal {
        runs: Vec<HotRun>,
        from: Offset,
        end: Offset,
        bytes_max: usize,
    },
    /// The batches of this segment that reach from `from` to `end`.
    Store {
        segment: SegmentRef,
        from: Offset,
        end: Offset,
        bytes_max: usize,
    },
}

impl Plan {
    /// What counts the bytes that come from there.
    pub(crate) fn counter<'a>(&self, metrics: &'a Metrics) -> Option<&'a Counter> {
        match self {
            Plan::Nothing => None,
            Plan::Memory(_) => Some(&metrics.fetched_from_memory_bytes),
            Plan::Journal { .. } => Some(&metrics.fetched_from_journal_bytes),
            Plan::Store { .. } => Some(&metrics.fetched_from_store_bytes),
        }
    }
}

/// Batches that could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FailedRead {
    /// Not where the plan says: make another.
    #[error("the data has moved")]
    Moved,
    #[error("the journal: {0}")]
    Journal(ReadError),
    #[error("the object store: {0}")]
    Store(TierError),
    /// A task of ours was lost.
    #[error("the reading task ended early")]
    Lost,
}

/// Plans to read batches from the one that holds `offset` on, up to `end`: at least one, further ones while they fit
/// in `bytes_max`, all from one place.
pub(crate) fn plan(
    core: &Core,
    partition: &PartitionId,
    offset: Offset,
    end: Offset,
    bytes_max: usize,
) -> Plan {
    if offset >= end {
        return Plan::Nothing;
    }
    if let Some(batches) = core.tail.starting_at(partition, offset) {
        let mut found = Vec::new();
        let mut bytes = 0usize;
        for batch in batches.take_while(|batch| batch.base_offset < end) {
            bytes += batch.bytes.len();
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(batch.bytes.clone());
        }
        return Plan::Memory(found);
    }
    let Some(state) = core.state().partition(partition) else {
        return Plan::Nothing;
    };
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

impl Shell {
    /// Reads what was planned.
    pub(crate) async fn carry_out(&self, group: &Arc<Group>, plan: Plan) -> Result<Vec<Bytes>, FailedRead> {
        match plan {
            Plan::Nothing => Ok(Vec::new()),
            Plan::Memory(batches) => Ok(batches),
            Plan::Journal {
                runs,
                from,
                end,
                bytes_max,
            } => {
                let (reader, id) = (self.services.reader.clone(), group.id);
                let read = move || read_journal(&reader, id, &runs);
                let batches = tokio::task::spawn_blocking(read)
                    .await
                    .map_err(|_| FailedRead::Lost)??;
                Ok(cut(batches, from, end, bytes_max))
            }
            Plan::Store {
                segment,
                from,
                end,
                bytes_max,
            } => read_store(&self.services, &segment, from, end, bytes_max).await,
        }
    }
}

/// Every batch of these runs.
pub(crate) fn read_journal(
    reader: &Reader<Disk>,
    group: GroupId,
    runs: &[HotRun],
) -> Result<Vec<Bytes>, FailedRead> {
    let mut batches = Vec::new();
    for run in runs {
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
            batches.extend(within.map(|entry| entry.payload));
        }
    }
    Ok(batches)
}

/// Batches of a segment: whole blocks are read, what lies outside of the wish is cut off.
async fn read_store(
    services: &Services,
    segment: &SegmentRef,
    from: Offset,
    end: Offset,
    bytes_max: usize,
) -> Result<Vec<Bytes>, FailedRead> {
    let run = services
        .tier
        .read(segment, from, bytes_max)
        .await
        .map_err(|error| match error {
            TierError::NotFound { .. } => FailedRead::Moved,
            error => FailedRead::Store(error),
        })?;
    Ok(cut(run.blocks, from, end, bytes_max))
}

/// The batches that reach past `from` and start before `end`, at least one, while they fit. Each piece holds whole
/// batches; pieces are cut, never copied.
fn cut(pieces: Vec<Bytes>, from: Offset, end: Offset, bytes_max: usize) -> Vec<Bytes> {
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
    kept
}
