//! Looking offsets up, and moving a partition's start.

use crate::bounds::{Look, NOT_FOUND, epoch_end, look_up, seen_end};
use crate::fetch::{EpochCheck, check_epoch};
use crate::group::{Core, Group};
use crate::interface::{EpochEnd, FoundOffset, Isolation, ListOffset, OffsetError};
use crate::read::{GaveUp, Tries, plan_for_reader};
use crate::reading::{FailedRead, Plan, read_store_since};
use crate::replica::{Appended, Lost};
use crate::shell::{NotServed, Served, Shell};
use bytes::Bytes;
use millstream_access::{Operation, Principal};
use millstream_kafka_wire::batch::{BatchError, batches};
use millstream_model::{LeaderEpoch, Offset, PartitionId, TimestampMs};
use millstream_partition::Change;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Bytes read at a time when looking for a timestamp.
const SCAN_BYTES: usize = 1024 * 1024;

/// How long a trim, or a new owner, may take to become durable.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

impl From<NotServed> for OffsetError {
    fn from(reason: NotServed) -> OffsetError {
        match reason {
            NotServed::Unknown => OffsetError::UnknownPartition,
            NotServed::Denied => OffsetError::Denied,
            NotServed::NotHere => OffsetError::NotLeader,
        }
    }
}

impl Shell {
    pub(crate) async fn list_offset(
        &self,
        who: &Principal,
        partition: PartitionId,
        leader_epoch: Option<LeaderEpoch>,
        what: ListOffset,
        isolation: Isolation,
    ) -> Result<FoundOffset, OffsetError> {
        let served = self.find(&self.image.image(), who, Operation::Describe, partition)?;
        let looked = served.group.with(|core| {
            let current = check(core, &served, partition, leader_epoch)?;
            let state = core.state().partition(&partition);
            look_up(state, current, what, isolation, core.log_end_is_known())
        })?;
        match looked {
            Look::Found(found) => Ok(found),
            Look::Scan { from, time } => self.scan(&served, partition, from, time, isolation).await,
            Look::ScanLargest { end, behind } => {
                let mut largest = Largest::before(end);
                let see = |pieces: &[Bytes], log_start| largest.see(pieces, log_start);
                self.walk(
                    &served,
                    partition,
                    (Offset(0), TimestampMs(i64::MIN)),
                    isolation,
                    see,
                )
                .await?;
                match (largest.found, behind) {
                    (found, Some((from, time))) if found.is_none_or(|found| found.timestamp < time) => {
                        self.scan(&served, partition, from, time, isolation).await
                    }
                    (found, _) => Ok(found.unwrap_or(NOT_FOUND)),
                }
            }
        }
    }

    /// The first record at or after `time`, from the batch at `from` on.
    async fn scan(
        &self,
        served: &Served,
        partition: PartitionId,
        from: Offset,
        time: TimestampMs,
        isolation: Isolation,
    ) -> Result<FoundOffset, OffsetError> {
        let see = |pieces: &[Bytes], log_start| first_at_or_after(pieces, log_start, time);
        self.walk(served, partition, (from, time), isolation, see).await
    }

    /// Shows `see` batches from the one at `from` on, but for segments that have nothing at or after `time`, until it
    /// has found what it looks for.
    async fn walk(
        &self,
        served: &Served,
        partition: PartitionId,
        (mut from, time): (Offset, TimestampMs),
        isolation: Isolation,
        mut see: impl FnMut(&[Bytes], Offset) -> Result<Scanned, BatchError>,
    ) -> Result<FoundOffset, OffsetError> {
        let mut tries = Tries::default();
        loop {
            let planned = served.group.read(|core| {
                let state = core.state().partition(&partition)?;
                let end = seen_end(state, isolation);
                from = from.max(state.log_start());
                let services = &served.group.services;
                let plan = plan_for_reader(services, core, &partition, (from, end), SCAN_BYTES);
                Some((plan, state.log_start()))
            });
            let (plan, log_start) = planned.ok_or(OffsetError::UnknownPartition)?;
            let place = plan.in_store();
            let pieces = match self.carry_out_since(&served.group, plan, time).await {
                Ok(Since::Pieces(pieces)) => pieces,
                Ok(Since::NotBefore(next)) => {
                    from = next;
                    continue;
                }
                Err(error) => match tries.failed(&error, place) {
                    Ok(()) => continue,
                    Err(GaveUp::Storage) => {
                        tracing::warn!(%partition, %error, "looking for a timestamp failed");
                        return Err(OffsetError::Storage);
                    }
                    Err(GaveUp::Damaged) => {
                        self.gave_up(&served.group, partition, place, &error);
                        return Err(OffsetError::Damaged { offset: from });
                    }
                },
            };
            match see(&pieces, log_start) {
                Ok(Scanned::Found(found)) => return Ok(found),
                Ok(Scanned::Next(next)) => from = next,
                Ok(Scanned::Nothing) => return Ok(NOT_FOUND),
                Err(error) => {
                    tracing::warn!(%partition, %error, "a stored batch cannot be read");
                    return Err(OffsetError::Storage);
                }
            }
        }
    }

    /// Reads what was planned; where that is a whole segment, from its first block with such a time on.
    async fn carry_out_since(
        &self,
        group: &Arc<Group>,
        plan: Plan,
        time: TimestampMs,
    ) -> Result<Since, FailedRead> {
        if let Plan::Store {
            segment,
            from,
            end,
            bytes_max,
        } = plan
            && from <= segment.base_offset
        {
            let tier = &self.services.tier;
            match read_store_since(tier, &segment, time, end, bytes_max).await {
                Ok(Some(pieces)) => return Ok(Since::Pieces(pieces)),
                Ok(None) => return Ok(Since::NotBefore(segment.end_offset)),
                // Read on from the beginning: that meets the damage where it is.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(self.services.rests(error)),
            }
        }
        self.carry_out(group, plan).await.map(Since::Pieces)
    }

    pub(crate) fn offset_for_leader_epoch(
        &self,
        who: &Principal,
        partition: PartitionId,
        current: Option<LeaderEpoch>,
        epoch: LeaderEpoch,
    ) -> Result<EpochEnd, OffsetError> {
        let served = self.find(&self.image.image(), who, Operation::Describe, partition)?;
        served.group.with(|core| {
            let now = check(core, &served, partition, current)?;
            let state = core.state().partition(&partition);
            epoch_end(state, now, epoch, core.log_end_is_known())
        })
    }

    pub(crate) async fn delete_records(
        &self,
        who: &Principal,
        partition: PartitionId,
        before: Option<Offset>,
    ) -> Result<Offset, OffsetError> {
        let served = self.find(&self.image.image(), who, Operation::Manage, partition)?;
        let begun = served.group.with(|core| {
            check(core, &served, partition, None)?;
            let state = core
                .state()
                .partition(&partition)
                .ok_or(OffsetError::NotAvailable)?;
            let (log_start, high_watermark) = (state.log_start(), state.next_offset());
            let before = before.unwrap_or(high_watermark);
            if before > high_watermark || before.0 < 0 {
                return Err(OffsetError::OutOfRange {
                    offset: before,
                    high_watermark,
                });
            }
            if before <= log_start {
                return Ok(Err(log_start));
            }
            let by = (who.tenant, who.key);
            let trim = Change::Trim { log_start: before };
            let begun = core.propose(&served.group.services, partition, by, trim);
            begun
                .map(|receiver| Ok((receiver, before)))
                .ok_or(OffsetError::NotLeader)
        })?;
        let (receiver, before) = match begun {
            Ok(begun) => begun,
            Err(log_start) => return Ok(log_start),
        };
        settled(receiver).await.map(|()| before)
    }
}

/// Waits until a proposed change is committed and applied.
pub(crate) async fn settled(receiver: oneshot::Receiver<Result<Appended, Lost>>) -> Result<(), OffsetError> {
    match tokio::time::timeout(CHANGE_TIMEOUT, receiver).await {
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err(Lost::Undecided))) => Err(OffsetError::NotLeader),
        Ok(Ok(Err(Lost::Quarantined))) => Err(OffsetError::Storage),
        Ok(Err(_)) => Err(OffsetError::ShuttingDown),
        Err(_) => Err(OffsetError::Timeout),
    }
}

/// Why a group does not serve reads.
pub(crate) fn unreadable(served: &Served) -> OffsetError {
    let services = &served.group.services;
    match services.reader.damage() {
        Some(_) => OffsetError::Storage,
        None if services.is_stopping() => OffsetError::ShuttingDown,
        None => OffsetError::NotLeader,
    }
}

/// That the group leads and the asker knows its epoch; returns the partition's leader epoch.
pub(crate) fn check(
    core: &mut Core,
    served: &Served,
    partition: PartitionId,
    asked: Option<LeaderEpoch>,
) -> Result<LeaderEpoch, OffsetError> {
    let services = &served.group.services;
    if !core.serves_reads() {
        return Err(unreadable(served));
    }
    core.open(services, partition, served.topic.tenant, served.row.base_epoch);
    let current = served.row.leader_epoch(core.replica.machine().epoch());
    match check_epoch(asked, current) {
        EpochCheck::Fits => Ok(current),
        EpochCheck::Fenced => Err(OffsetError::FencedEpoch { current }),
        EpochCheck::Unknown => Err(OffsetError::UnknownEpoch { current }),
    }
}

/// What was read in search of a time.
enum Since {
    /// These batches.
    Pieces(Vec<Bytes>),
    /// Nothing before this offset has it.
    NotBefore(Offset),
}

enum Scanned {
    Found(FoundOffset),
    /// Not in these; read on from here.
    Next(Offset),
    /// There were no batches.
    Nothing,
}

/// The first record with the largest timestamp before an offset.
struct Largest {
    end: Offset,
    found: Option<FoundOffset>,
}

impl Largest {
    fn before(end: Offset) -> Largest {
        Largest { end, found: None }
    }

    fn see(&mut self, pieces: &[Bytes], log_start: Offset) -> Result<Scanned, BatchError> {
        let mut next = None;
        for batch in pieces.iter().flat_map(|piece| batches(piece.clone())) {
            let batch = batch?;
            let header = *batch.header();
            if header.base_offset >= self.end {
                break;
            }
            next = Some(header.next_offset());
            for record in batch.records()?.iter() {
                let record = record?;
                let larger = self.found.is_none_or(|found| record.timestamp > found.timestamp);
                if record.offset >= log_start && larger {
                    self.found = Some(FoundOffset {
                        offset: record.offset,
                        timestamp: record.timestamp,
                        leader_epoch: header.leader_epoch,
                    });
                }
            }
        }
        Ok(match next {
            Some(next) if next < self.end => Scanned::Next(next),
            _ => Scanned::Nothing,
        })
    }
}

/// The first record in these batches at or after `log_start` and `time`.
fn first_at_or_after(pieces: &[Bytes], log_start: Offset, time: TimestampMs) -> Result<Scanned, BatchError> {
    let mut next = None;
    for batch in pieces.iter().flat_map(|piece| batches(piece.clone())) {
        let batch = batch?;
        let header = *batch.header();
        next = Some(header.next_offset());
        if header.max_timestamp < time {
            continue;
        }
        for record in batch.records()?.iter() {
            let record = record?;
            if record.timestamp >= time && record.offset >= log_start {
                let leader_epoch = header.leader_epoch;
                return Ok(Scanned::Found(FoundOffset {
                    offset: record.offset,
                    timestamp: record.timestamp,
                    leader_epoch,
                }));
            }
        }
    }
    Ok(next.map_or(Scanned::Nothing, Scanned::Next))
}
