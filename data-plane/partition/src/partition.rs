//! One partition's state: where its log starts and ends, who wrote to it, and where its batches lie.

use crate::change::{AppendFacts, Opened, Replacement};
use crate::codec::{CodecError, Reader, Writer};
use crate::epochs::EpochHistory;
use crate::gap::Gap;
use crate::hot::{HotRun, HotRuns};
use crate::producers::Producers;
use crate::transactions::Transactions;
use millstream_model::segment::SegmentRef;
use millstream_model::{Epoch, LeaderEpoch, Lsn, Offset, OwnerEpoch, TenantId, TimestampMs};

/// Why a partition takes no more entries (log.md 22).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// The entry that could not be applied.
    pub lsn: Lsn,
    /// Why.
    pub reason: String,
}

/// Where the batch with some offset lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the object store.
    Cold(SegmentRef),
    /// In the group's log.
    Hot(HotRun),
}

/// What one partition knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    pub(crate) tenant: TenantId,
    pub(crate) base_epoch: i32,
    /// The present owner's, where one alone may write; 0 where none ever took it over.
    pub(crate) owner_epoch: OwnerEpoch,
    pub(crate) closed: bool,
    pub(crate) quarantine: Option<Quarantine>,
    pub(crate) log_start: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) tiered_up_to: Offset,
    pub(crate) epochs: EpochHistory,
    pub(crate) producers: Producers,
    pub(crate) transactions: Transactions,
    pub(crate) hot: HotRuns,
    /// In offset order.
    pub(crate) cold: Vec<SegmentRef>,
    pub(crate) cold_bytes: u64,
}

/// A partition's leader epoch while its group is in `epoch` (log.md 26).
fn leader_epoch(base: i32, epoch: Epoch) -> LeaderEpoch {
    LeaderEpoch(base.saturating_add(i32::try_from(epoch.0).unwrap_or(i32::MAX)))
}

impl PartitionState {
    pub(crate) fn new(tenant: TenantId, opened: Opened) -> PartitionState {
        PartitionState {
            tenant,
            base_epoch: opened.base_epoch,
            owner_epoch: OwnerEpoch(0),
            closed: false,
            quarantine: None,
            log_start: opened.log_start,
            next_offset: opened.log_start,
            tiered_up_to: opened.log_start,
            epochs: EpochHistory::default(),
            producers: Producers::default(),
            transactions: Transactions::default(),
            hot: HotRuns::default(),
            cold: Vec::new(),
            cold_bytes: 0,
        }
    }

    /// Who owns it.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The epoch of its present owner; 0 where anybody may write who is allowed to.
    pub fn owner_epoch(&self) -> OwnerEpoch {
        self.owner_epoch
    }

    /// Whether it takes appends and serves reads.
    pub fn is_open(&self) -> bool {
        !self.closed && self.quarantine.is_none()
    }

    /// Whether it no longer lives in this group.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Why it takes no more entries, if so.
    pub fn quarantine(&self) -> Option<&Quarantine> {
        self.quarantine.as_ref()
    }

    /// Its leader epoch while the group is in `epoch`.
    pub fn leader_epoch(&self, epoch: Epoch) -> LeaderEpoch {
        leader_epoch(self.base_epoch, epoch)
    }

    /// The first offset.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// One past the last committed offset: the high watermark.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// One past the last offset that is in no open transaction.
    pub fn last_stable(&self) -> Offset {
        self.transactions
            .first_open()
            .map_or(self.next_offset, |first| first.min(self.next_offset))
    }

    /// Everything below is in the object store.
    pub fn tiered_up_to(&self) -> Offset {
        self.tiered_up_to
    }

    /// Which leader epoch wrote what.
    pub fn epochs(&self) -> &EpochHistory {
        &self.epochs
    }

    /// Its idempotent producers.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// Its transactions.
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// What is not in the object store yet.
    pub fn hot(&self) -> &HotRuns {
        &self.hot
    }

    /// What is, in offset order.
    pub fn cold(&self) -> &[SegmentRef] {
        &self.cold
    }

    /// Bytes of all its batches.
    pub fn bytes(&self) -> u64 {
        self.cold_bytes + self.hot.bytes()
    }

    /// Where the batch lies that holds `offset`, or the first one after it.
    pub fn place(&self, offset: Offset) -> Option<Place> {
        let first = self.cold.partition_point(|segment| segment.end_offset <= offset);
        match self.cold.get(first) {
            Some(segment) => Some(Place::Cold(*segment)),
            None => self.hot.starting_at(offset).next().copied().map(Place::Hot),
        }
    }

    /// The first place whose records reach `time`, at or after the log's start.
    pub fn place_at_or_after(&self, time: TimestampMs) -> Option<Place> {
        let cold = self
            .cold
            .iter()
            .find(|segment| segment.timestamp_max >= time)
            .copied()
            .map(Place::Cold);
        cold.or_else(|| {
            self.hot
                .iter()
                .find(|run| run.timestamp_max >= time)
                .copied()
                .map(Place::Hot)
        })
    }

    /// The first place with the largest timestamp, of those that begin at `from` or behind it.
    pub fn place_of_max_timestamp(&self, from: Offset) -> Option<Place> {
        let cold = self.cold.iter().filter(|segment| segment.base_offset >= from);
        let cold = cold.map(|segment| (segment.timestamp_max, Place::Cold(*segment)));
        let hot = self.hot.iter().filter(|run| run.base_offset >= from);
        let hot = hot.map(|run| (run.timestamp_max, Place::Hot(*run)));
        let largest = |best: (TimestampMs, Place), next: (TimestampMs, Place)| {
            if next.0 > best.0 { next } else { best }
        };
        cold.chain(hot).reduce(largest).map(|(_, place)| place)
    }

    pub(crate) fn append(
        &mut self,
        facts: &AppendFacts,
        (epoch, lsn): (Epoch, Lsn),
        time: TimestampMs,
    ) -> Result<(), String> {
        if facts.base_offset != self.next_offset {
            return Err(format!(
                "a batch at offset {} where {} comes next",
                facts.base_offset, self.next_offset
            ));
        }
        self.epochs.append(self.leader_epoch(epoch), facts.base_offset);
        if let (Some(producer), Some(marker)) = (&facts.producer, facts.marker) {
            self.producers.marker(producer.id, producer.epoch, time);
            self.transactions.marker(producer.id, marker, facts.base_offset);
        }
        if let Some(producer) = facts.sequenced() {
            self.producers.append(producer, facts.base_offset, lsn, time);
            if facts.transactional {
                self.transactions.append(producer.id, facts.base_offset);
            }
        }
        self.hot.append(HotRun {
            base_offset: facts.base_offset,
            end_offset: facts.end_offset,
            first: lsn,
            last: lsn,
            bytes: facts.bytes,
            timestamp_max: facts.timestamp_max,
            time,
        });
        self.next_offset = facts.end_offset;
        Ok(())
    }

    /// Puts a batch without records in the place of hot ones that are gone, or behind the last one: then the offsets are
    /// of records that nobody knows any more, and so may be the last batches of every producer. What is not there any
    /// more, as after a repeat, is passed over; returns whether anything was.
    pub(crate) fn lose(&mut self, gap: &Gap, (epoch, lsn): (Epoch, Lsn), time: TimestampMs) -> bool {
        let run = HotRun {
            base_offset: gap.base_offset,
            end_offset: gap.end_offset,
            first: lsn,
            last: lsn,
            bytes: Gap::BYTES,
            timestamp_max: gap.timestamp_max,
            time,
        };
        if gap.base_offset != self.next_offset {
            return self.hot.replace(run);
        }
        self.epochs.append(self.leader_epoch(epoch), gap.base_offset);
        let transactions = &self.transactions;
        self.producers.forget_all(|id| transactions.is_open(id));
        self.hot.append(run);
        self.next_offset = gap.end_offset;
        true
    }

    /// Forgets producers that have written nothing since, but those whose transaction is open; whether there were any.
    pub(crate) fn forget_producers(&mut self, silent_since: TimestampMs) -> bool {
        let transactions = &self.transactions;
        self.producers.forget(silent_since, |id| transactions.is_open(id))
    }

    /// Gives it a new owner; whether it was new.
    pub(crate) fn own(&mut self, epoch: OwnerEpoch) -> bool {
        let newer = epoch > self.owner_epoch;
        if newer {
            self.owner_epoch = epoch;
        }
        newer
    }

    /// Moves the log's start up; a trim to below it does nothing.
    pub(crate) fn trim(&mut self, log_start: Offset) -> Result<bool, String> {
        if log_start > self.next_offset {
            return Err(format!(
                "a trim to {log_start}, past the end {}",
                self.next_offset
            ));
        }
        if log_start <= self.log_start {
            return Ok(false);
        }
        self.log_start = log_start;
        self.drop_trimmed();
        self.hot.drop_below(log_start);
        self.epochs.trim(log_start);
        self.transactions.trim(log_start);
        Ok(true)
    }

    /// Drops cold segments that end at or below the log's start.
    fn drop_trimmed(&mut self) {
        let gone = self
            .cold
            .partition_point(|segment| segment.end_offset <= self.log_start);
        self.cold_bytes -= self.cold.drain(..gone).map(|segment| segment.length).sum::<u64>();
    }

    /// Adds segments behind those that are there. One that is there already, as after a repeated flush, is passed
    /// over; returns whether any was new.
    pub(crate) fn tiered(&mut self, segments: &[SegmentRef]) -> Result<bool, String> {
        let mut changed = false;
        for segment in segments {
            if segment.base_offset < self.tiered_up_to || segment.end_offset <= segment.base_offset {
                continue;
            }
            if segment.base_offset > self.tiered_up_to.max(self.log_start) {
                return Err(format!(
                    "a segment from {}, a gap after {}",
                    segment.base_offset, self.tiered_up_to
                ));
            }
            if segment.end_offset > self.next_offset {
                return Err(format!(
                    "a segment up to {}, past the end {}",
                    segment.end_offset, self.next_offset
                ));
            }
            self.tiered_up_to = segment.end_offset;
            self.cold_bytes += segment.length;
            self.cold.push(*segment);
            changed = true;
        }
        self.drop_trimmed();
        self.hot.drop_below(self.tiered_up_to);
        Ok(changed)
    }

    /// Puts segments in the place of others. When one of those is gone meanwhile (trimmed) nothing changes.
    pub(crate) fn replace(&mut self, replacement: &Replacement) -> Result<bool, String> {
        let Some((first, _)) = replacement.gone.first() else {
            return Ok(false);
        };
        let start = self.cold.partition_point(|segment| segment.base_offset < *first);
        let end = start + replacement.gone.len();
        let found = self.cold.get(start..end).is_some_and(|segments| {
            segments
                .iter()
                .zip(&replacement.gone)
                .all(|(segment, (base, end))| segment.base_offset == *base && segment.end_offset == *end)
        });
        if !found {
            return Ok(false);
        }
        let whole = (self.cold[start].base_offset, self.cold[end - 1].end_offset);
        let mut next = whole.0;
        for segment in &replacement.segments {
            if segment.base_offset != next || segment.end_offset <= next {
                return Err(format!(
                    "a merged segment from {} where {next} comes next",
                    segment.base_offset
                ));
            }
            next = segment.end_offset;
        }
        if next != whole.1 {
            return Err(format!("merged segments up to {next} instead of {}", whole.1));
        }
        self.cold.splice(start..end, replacement.segments.iter().copied());
        self.cold_bytes = self.cold.iter().map(|segment| segment.length).sum();
        Ok(true)
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.u64(self.tenant.0);
        out.i32(self.base_epoch);
        out.u64(self.owner_epoch.0);
        out.u8(u8::from(self.closed));
        match &self.quarantine {
            None => out.u8(0),
            Some(quarantine) => {
                out.u8(1);
                out.u64(quarantine.lsn.0);
                out.text(&quarantine.reason);
            }
        }
        out.offset(self.log_start);
        out.offset(self.next_offset);
        out.offset(self.tiered_up_to);
        self.epochs.encode(out);
        self.producers.encode(out);
        self.transactions.encode(out);
        self.hot.encode(out);
        out.segments(&self.cold);
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<PartitionState, CodecError> {
        let tenant = TenantId(from.u64()?);
        let base_epoch = from.i32()?;
        let owner_epoch = OwnerEpoch(from.u64()?);
        let closed = from.u8()? != 0;
        let quarantine = match from.u8()? {
            0 => None,
            _ => Some(Quarantine {
                lsn: Lsn(from.u64()?),
                reason: from.text()?,
            }),
        };
        let (log_start, next_offset, tiered_up_to) = (from.offset()?, from.offset()?, from.offset()?);
        let epochs = EpochHistory::decode(from)?;
        let producers = Producers::decode(from)?;
        let transactions = Transactions::decode(from)?;
        let hot = HotRuns::decode(from)?;
        let cold = from.segments()?;
        let cold_bytes = cold
            .iter()
            .map(|segment| segment.length)
            .fold(0, u64::saturating_add);
        Ok(PartitionState {
            tenant,
            base_epoch,
            owner_epoch,
            closed,
            quarantine,
            log_start,
            next_offset,
            tiered_up_to,
            epochs,
            producers,
            transactions,
            hot,
            cold,
            cold_bytes,
        })
    }
}
