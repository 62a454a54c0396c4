//! What is written in the place of entries that are missing: as many entries as are missing, so that those behind them keep
//! their numbers and their chain. A pure plan.
//!
//! Where the state already contains a missing entry it is a batch that readers would not find: one without records, with
//! the same offsets, takes its place. Where it does not, what lies behind the gap says which offsets a partition has lost,
//! and which partition was opened in it; each takes one of the missing places, and as all of that was said by missing entries,
//! there are enough. Every need has a first gap, behind what is known of its partition, and a last one, before what tells of
//! it; the one that ends first goes first.

use super::survey::{Batch, Evidence, Missing, Survey};
use bytes::Bytes;
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::limits::BATCH_RECORDS_MAX;
use millstream_model::{Epoch, GroupId, KeyId, LeaderEpoch, Lsn, Offset, PartitionId, TenantId, TimestampMs};
use millstream_partition::{Change, Gap, GroupState, HotRun, Opened};
use std::collections::BTreeMap;
use std::ops::Range;

/// What the catalog says of a partition: whose it is, and its base epoch.
pub type Catalog<'a> = &'a dyn Fn(PartitionId) -> Option<(TenantId, i32)>;

/// Offsets that one batch without records can stand for.
const GAP_OFFSETS_MAX: i64 = i32::MAX as i64;

/// What is put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// In the place of missing entries, by LSN, without a gap within each.
    pub entries: BTreeMap<Lsn, Entry>,
    /// Behind the last entry: offsets that may have been seen are not given out again.
    pub tail: Vec<Entry>,
    /// Offsets without records.
    pub lost: Vec<(PartitionId, TenantId, Range<Offset>)>,
    /// Partitions that may have had more than is known: from which offset on, and where they go on.
    pub unknown: Vec<(PartitionId, TenantId, Range<Offset>)>,
    /// Partitions whose opening was missing.
    pub opened: Vec<(PartitionId, TenantId)>,
}

impl Fill {
    /// Puts bugs in.
    pub(super) fn plant(&mut self, planted: super::Planted, applied: Lsn) {
        if planted.tail_is_given_again {
            self.tail.clear();
        }
        let nobody = (PartitionId::NONE, TenantId::SYSTEM);
        for entry in self.entries.values_mut() {
            let header = entry.header;
            let is_left_out = match header.lsn <= applied {
                true => planted.known_batches_are_left_out,
                false => planted.gap_is_passed_over,
            };
            if is_left_out {
                *entry = entry_of(header.group, header.epoch, header.lsn, header.time, nobody, None);
            }
        }
    }
}

/// Something to say in one of the gaps from `from` to `by`.
#[derive(Clone, Copy, Debug)]
struct Need {
    from: usize,
    by: usize,
    partition: PartitionId,
    tenant: TenantId,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Open { base_epoch: i32 },
    Lose { base: Offset, end: Offset },
}

/// What is known of a partition on the way through the log.
#[derive(Clone, Copy, Debug)]
struct Known {
    tenant: TenantId,
    next: Offset,
    base_epoch: i32,
    /// The last stretch that told where it went on.
    seen: usize,
}

/// Plans what is put into the gaps of a group's log; `state` is the one that the survey was held against.
pub fn plan(survey: &Survey, state: &GroupState, catalog: Catalog<'_>) -> Fill {
    let mut planner = Planner {
        group: state.group(),
        state,
        catalog,
        known: BTreeMap::new(),
        needs: Vec::new(),
        fill: Fill::default(),
    };
    planner.know_state();
    planner.find_needs(survey);
    let mut unexplained = vec![0usize; survey.stretches.len()];
    for (at, stretch) in survey.stretches.iter().enumerate() {
        if let Some(gap) = &stretch.gap {
            unexplained[at] = planner.fill_gap(at, gap);
        }
    }
    planner.fill_tail(survey, &unexplained);
    planner.fill
}

/// Entries that do nothing in every gap: of a group whose state is not known.
pub(super) fn nothing_in(survey: &Survey, group: GroupId) -> Fill {
    let nobody = (PartitionId::NONE, TenantId::SYSTEM);
    let gaps = survey.stretches.iter().filter_map(|stretch| stretch.gap.as_ref());
    let entries = gaps.flat_map(|gap| {
        (gap.first.0..=gap.last.0).map(move |lsn| {
            let entry = entry_of(group, gap.epoch, Lsn(lsn), gap.time, nobody, None);
            (Lsn(lsn), entry)
        })
    });
    Fill {
        entries: entries.collect(),
        ..Fill::default()
    }
}

struct Planner<'a> {
    group: GroupId,
    state: &'a GroupState,
    catalog: Catalog<'a>,
    known: BTreeMap<PartitionId, Known>,
    needs: Vec<Need>,
    fill: Fill,
}

impl Planner<'_> {
    fn know_state(&mut self) {
        for (id, partition) in self.state.partitions() {
            let known = Known {
                tenant: partition.tenant(),
                next: partition.next_offset(),
                base_epoch: partition.leader_epoch(Epoch(0)).0,
                seen: 0,
            };
            self.known.insert(*id, known);
        }
    }

    fn find_needs(&mut self, survey: &Survey) {
        for (at, stretch) in survey.stretches.iter().enumerate() {
            for (partition, evidence) in &stretch.partitions {
                self.need(at, *partition, evidence);
            }
        }
    }

    /// What a stretch makes necessary before it.
    fn need(&mut self, at: usize, partition: PartitionId, evidence: &Evidence) {
        let known = self.known.get(&partition).copied();
        let cataloged = (self.catalog)(partition);
        let base_epoch = known.map(|known| known.base_epoch);
        let base_epoch = base_epoch
            .or(evidence.base_epoch)
            .or(cataloged.map(|(_, base_epoch)| base_epoch));
        let mut next = known.map_or(Offset(0), |known| known.next);
        let wanted = evidence.next.or(evidence.reached);
        let need = |what| Need {
            from: known.map_or(0, |known| known.seen) + 1,
            by: at,
            partition,
            tenant: evidence.tenant,
            what,
        };
        // Without an offset nothing has to be there: it is opened later, as the catalog says.
        if !evidence.begins_anew && (known.is_some() || wanted.is_some()) {
            if known.is_none() {
                let base_epoch = base_epoch.unwrap_or(0);
                self.needs.push(need(What::Open { base_epoch }));
                self.fill.opened.push((partition, evidence.tenant));
            }
            while let Some(wanted) = wanted.filter(|wanted| *wanted > next) {
                let end = wanted.min(next.plus(GAP_OFFSETS_MAX));
                self.needs.push(need(What::Lose { base: next, end }));
                next = end;
            }
        }
        let known = Known {
            tenant: evidence.tenant,
            next: next.max(evidence.end),
            base_epoch: base_epoch.unwrap_or(0),
            // What does not append says nothing of where the log ends.
            seen: match evidence.next.is_some() || evidence.begins_anew {
                true => at,
                false => known.map_or(0, |known| known.seen),
            },
        };
        self.known.insert(partition, known);
    }

    /// Fills one gap; gives how many of its places nothing explains.
    fn fill_gap(&mut self, at: usize, gap: &Missing) -> usize {
        let applied = self.state.applied();
        let mut lsn = gap.first;
        while lsn <= gap.last.min(applied) {
            lsn = self.fill_applied(lsn, gap);
        }
        let (mut places, mut known) = (gap.last.0 + 1 - lsn.0, 0);
        let mut due: Vec<usize> = (0..self.needs.len())
            .filter(|need| (self.needs[*need].from..=self.needs[*need].by).contains(&at))
            .collect();
        due.sort_by_key(|need| (self.needs[*need].by, *need));
        due.truncate(usize::try_from(places).unwrap_or(usize::MAX));
        for need in &due {
            let Need {
                partition,
                tenant,
                what,
                ..
            } = self.needs[*need];
            let change = self.say(partition, tenant, what, gap);
            known += usize::from(gap.known.iter().any(|header| header.partition == partition));
            self.put(lsn, gap, (partition, tenant), Some(change));
            (lsn, places) = (lsn.next(), places - 1);
        }
        let mut place = 0;
        self.needs.retain(|_| {
            place += 1;
            !due.contains(&(place - 1))
        });
        let by_others = usize::try_from(places).unwrap_or(usize::MAX) + known;
        while lsn <= gap.last {
            self.put(lsn, gap, (PartitionId::NONE, TenantId::SYSTEM), None);
            lsn = lsn.next();
        }
        by_others.saturating_sub(gap.known.iter().filter(|header| header.lsn > applied).count())
    }

    fn say(&mut self, partition: PartitionId, tenant: TenantId, what: What, gap: &Missing) -> Change {
        match what {
            What::Open { base_epoch } => Change::Opened(Opened {
                base_epoch,
                log_start: Offset(0),
            }),
            What::Lose { base, end } => {
                self.fill.lost.push((partition, tenant, base..end));
                Change::Lost(self.gap(partition, base, end, gap.epoch, gap.time))
            }
        }
    }

    fn gap(&self, partition: PartitionId, base: Offset, end: Offset, epoch: Epoch, time: TimestampMs) -> Gap {
        let base_epoch = self.known.get(&partition).map_or(0, |known| known.base_epoch);
        let epoch = i32::try_from(epoch.0).unwrap_or(i32::MAX);
        Gap {
            base_offset: base,
            end_offset: end,
            leader_epoch: LeaderEpoch(base_epoch.saturating_add(epoch)),
            timestamp_max: time,
        }
    }

    /// Fills from a missing entry that the state contains to the end of the run that it is in; gives the next one.
    fn fill_applied(&mut self, lsn: Lsn, gap: &Missing) -> Lsn {
        let Some((partition, tenant, run)) = self.run_of(lsn) else {
            self.put(lsn, gap, (PartitionId::NONE, TenantId::SYSTEM), None);
            return lsn.next();
        };
        let of_run = |batch: &Batch| batch.partition == partition;
        let before = gap.before.filter(of_run).filter(|_| run.first < lsn);
        let after = gap.after.filter(of_run).filter(|_| run.last > gap.last);
        let base = before.map_or(run.base_offset, |batch| batch.end_offset);
        let end = after.map_or(run.end_offset, |batch| batch.base_offset);
        let mut at = lsn;
        let mut next = base.max(run.base_offset);
        while at <= run.last.min(gap.last) {
            let piece = end.min(next.plus(GAP_OFFSETS_MAX));
            let change = (piece > next).then(|| {
                self.fill.lost.push((partition, tenant, next..piece));
                Change::Lost(self.gap(partition, next, piece, gap.epoch, run.timestamp_max))
            });
            next = next.max(piece);
            self.put(at, gap, (partition, tenant), change);
            at = at.next();
        }
        at
    }

    /// The hot batches that an entry belongs to.
    fn run_of(&self, lsn: Lsn) -> Option<(PartitionId, TenantId, HotRun)> {
        self.state.partitions().find_map(|(id, partition)| {
            let mut runs = partition.hot().iter();
            let run = runs.find(|run| (run.first..=run.last).contains(&lsn))?;
            Some((*id, partition.tenant(), *run))
        })
    }

    fn put(&mut self, lsn: Lsn, gap: &Missing, of: (PartitionId, TenantId), change: Option<Change>) {
        // The snapshot names the epoch of its last entry.
        let epoch = match lsn <= self.state.applied() {
            true => gap.epoch.min(self.state.applied_epoch()),
            false => gap.epoch,
        };
        let entry = entry_of(self.group, epoch, lsn, gap.time, of, change.as_ref());
        self.fill.entries.insert(lsn, entry);
    }

    /// Partitions of which nothing was seen behind a gap that is not explained may have lost their end: offsets that
    /// somebody may have seen are passed over.
    fn fill_tail(&mut self, survey: &Survey, unexplained: &[usize]) {
        let last_unexplained = match survey.is_unsure && survey.stops_at.is_none() {
            true => Some(survey.stretches.len()),
            false => unexplained.iter().rposition(|count| *count > 0),
        };
        let mut batches: BTreeMap<PartitionId, (TenantId, i64, usize)> = BTreeMap::new();
        for (at, stretch) in survey.stretches.iter().enumerate() {
            for header in stretch.gap.iter().flat_map(|gap| &gap.known) {
                if header.kind == EntryKind::Append && header.lsn > self.state.applied() {
                    let (_, count, seen) = batches.entry(header.partition).or_insert((header.tenant, 0, at));
                    (*count, *seen) = (*count + 1, at);
                }
            }
        }
        for (id, (tenant, _, _)) in &batches {
            if !self.known.contains_key(id) {
                self.open_at_end(*id, *tenant, survey);
            }
        }
        for (id, known) in self.known.clone() {
            let is_closed = self
                .state
                .partition(&id)
                .is_some_and(|partition| !partition.is_open());
            let bounded = batches.get(&id).filter(|(_, _, at)| *at > known.seen);
            let skipped = match (last_unexplained, bounded) {
                (Some(at), _) if at > known.seen => GAP_OFFSETS_MAX,
                (_, Some((_, count, _))) => (count * i64::from(BATCH_RECORDS_MAX)).min(GAP_OFFSETS_MAX),
                _ => continue,
            };
            if is_closed || known.next.0.checked_add(skipped).is_none() {
                continue;
            }
            let end = known.next.plus(skipped);
            self.fill.unknown.push((id, known.tenant, known.next..end));
            let gap = self.gap(id, known.next, end, survey.end.epoch, survey.time());
            self.push_tail(survey, (id, known.tenant), &Change::Lost(gap));
        }
    }

    /// A partition of which there was nothing but what is lost.
    fn open_at_end(&mut self, id: PartitionId, tenant: TenantId, survey: &Survey) {
        let Some((_, base_epoch)) = (self.catalog)(id) else {
            return;
        };
        self.fill.opened.push((id, tenant));
        let opened = Opened {
            base_epoch,
            log_start: Offset(0),
        };
        self.push_tail(survey, (id, tenant), &Change::Opened(opened));
        let known = Known {
            tenant,
            next: Offset(0),
            base_epoch,
            seen: 0,
        };
        self.known.insert(id, known);
    }

    fn push_tail(&mut self, survey: &Survey, of: (PartitionId, TenantId), change: &Change) {
        let lsn = Lsn(survey.end.lsn.0 + 1 + self.fill.tail.len() as u64);
        let entry = entry_of(self.group, survey.end.epoch, lsn, survey.time(), of, Some(change));
        self.fill.tail.push(entry);
    }
}

/// An entry of our own; without a change one that does nothing. Whoever writes it sets what it follows.
pub(super) fn entry_of(
    group: GroupId,
    epoch: Epoch,
    lsn: Lsn,
    time: TimestampMs,
    (partition, tenant): (PartitionId, TenantId),
    change: Option<&Change>,
) -> Entry {
    let nothing = || (EntryKind::EpochStart, Bytes::new());
    let (kind, payload) = change.and_then(Change::payload).unwrap_or_else(nothing);
    Entry {
        header: EntryHeader {
            kind,
            group,
            epoch,
            previous_epoch: epoch,
            lsn,
            time,
            partition,
            tenant,
            key: KeyId::NONE,
        },
        payload,
    }
}
