//! What a leader knows beyond the committed state: the entries it has ordered and that are not decided yet.
//!
//! Thrown away whole when the leadership changes (log.md 20); the committed state never depends on it.

use crate::change::{AppendFacts, Change};
use crate::group::GroupState;
use crate::partition::PartitionState;
use crate::producers::{ProducerState, SequenceError};
use millstream_model::entry::EntryHeader;
use millstream_model::{Epoch, Lsn, Offset, OwnerEpoch, PartitionId, ProducerId, TenantId, TimestampMs};
use std::collections::BTreeMap;

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Append it here.
    Append {
        /// The offset of its first record.
        base_offset: Offset,
        /// The partition's base epoch: with the group's epoch it makes the leader epoch to stamp.
        base_epoch: i32,
    },
    /// It repeats a batch: answer with that one's offset once that one is committed.
    Repeat {
        /// The offset of that one's first record.
        base_offset: Offset,
        /// The entry that holds it.
        lsn: Lsn,
    },
}

/// Why a batch is not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The partition is not in this group, or not yet.
    #[error("the partition is not here")]
    Unknown,
    /// It is another tenant's.
    #[error("the partition is not here")]
    Foreign,
    /// It left this group.
    #[error("the partition is closed")]
    Closed,
    /// An entry could not be applied to it.
    #[error("the partition is in quarantine")]
    Quarantined,
    /// The offsets have come to their end.
    #[error("the partition's offsets are used up")]
    OffsetsUsedUp,
    /// The idempotent producer's sequence or epoch does not fit.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// One owner alone may write, and this is not the present one.
    #[error("another owner has taken over: its epoch is {current}")]
    NotOwner {
        /// The present owner's epoch; 0 when the partition has no owner.
        current: OwnerEpoch,
    },
}

/// The lower half of an owner's epoch counts the owners under one leader epoch.
const OWNERS_OF_A_LEADER_BITS: u32 = 32;

/// Undecided entries of one partition.
#[derive(Clone, Debug)]
struct Pending {
    tenant: TenantId,
    base_epoch: i32,
    owner_epoch: OwnerEpoch,
    closed: bool,
    /// It was closed, not only never opened: to open it again does nothing.
    left: bool,
    next_offset: Offset,
    /// How many of its entries are undecided.
    entries: usize,
    /// Producers with undecided batches, each with how many.
    producers: BTreeMap<ProducerId, (ProducerState, usize)>,
    /// Records behind the committed ones are lost: what the committed state knows of producers says nothing any more.
    forgot: bool,
}

/// The undecided entries of a leader, by partition.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    partitions: BTreeMap<PartitionId, Pending>,
}

impl Overlay {
    /// Nothing is undecided.
    pub fn new() -> Overlay {
        Overlay::default()
    }

    /// Whether nothing is undecided.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Forgets everything: the leadership has changed.
    pub fn clear(&mut self) {
        self.partitions.clear();
    }

    /// The epoch that the next owner of a partition gets, `epoch` being the group's: above all that were ordered, and
    /// above all that any earlier leader can have given, whose entries a damaged journal may have lost. Its upper half is
    /// the partition's leader epoch, which the catalog gives and which rises with every start.
    pub fn next_owner(&self, state: &GroupState, id: &PartitionId, epoch: Epoch) -> OwnerEpoch {
        let led = state
            .partition(id)
            .map(|partition| partition.leader_epoch(epoch).0);
        let floor = u64::from(led.unwrap_or(0).unsigned_abs()) << OWNERS_OF_A_LEADER_BITS;
        let next = self.owner_epoch(state, id).0.saturating_add(1);
        OwnerEpoch(next.max(floor))
    }

    fn owner_epoch(&self, state: &GroupState, id: &PartitionId) -> OwnerEpoch {
        let pending = self.partitions.get(id).map(|pending| pending.owner_epoch);
        let committed = || state.partition(id).map(PartitionState::owner_epoch);
        pending.or_else(committed).unwrap_or_default()
    }

    /// Where a batch goes; `facts` are those of the batch as it was sent, its offsets not yet stamped; `owner` is the
    /// epoch of the owner who sent it, 0 when it names none.
    ///
    /// # Errors
    /// When it must not be appended.
    pub fn decide(
        &self,
        state: &GroupState,
        tenant: TenantId,
        id: &PartitionId,
        owner_epoch: OwnerEpoch,
        facts: &AppendFacts,
    ) -> Result<Decision, AppendError> {
        let committed = state.partition(id);
        let pending = self.partitions.get(id);
        let (owner, closed, base_epoch, base_offset) = match (pending, committed) {
            (Some(pending), _) => (
                pending.tenant,
                pending.closed,
                pending.base_epoch,
                pending.next_offset,
            ),
            (None, Some(state)) => (state.tenant, state.closed, state.base_epoch, state.next_offset),
            (None, None) => return Err(AppendError::Unknown),
        };
        if owner != tenant {
            return Err(AppendError::Foreign);
        }
        if closed {
            return Err(AppendError::Closed);
        }
        if committed.is_some_and(|state| state.quarantine.is_some()) {
            return Err(AppendError::Quarantined);
        }
        let current = self.owner_epoch(state, id);
        if owner_epoch != current {
            return Err(AppendError::NotOwner { current });
        }
        if base_offset.0.checked_add(facts.offsets()).is_none() {
            return Err(AppendError::OffsetsUsedUp);
        }
        if let Some(producer) = facts.sequenced()
            && let Some(known) = self.producer(pending, committed, producer.id)
            && let Some(repeat) = known.check(producer)?
        {
            return Ok(Decision::Repeat {
                base_offset: repeat.base_offset,
                lsn: repeat.lsn,
            });
        }
        Ok(Decision::Append {
            base_offset,
            base_epoch,
        })
    }

    fn producer<'a>(
        &self,
        pending: Option<&'a Pending>,
        committed: Option<&'a PartitionState>,
        id: ProducerId,
    ) -> Option<&'a ProducerState> {
        let undecided = pending
            .and_then(|pending| pending.producers.get(&id))
            .map(|(state, _)| state);
        let committed = committed.filter(|_| pending.is_none_or(|pending| !pending.forgot));
        undecided.or_else(|| committed.and_then(|state| state.producers.get(id)))
    }

    /// Takes in an entry that the leader has ordered. `change` is what its payload says.
    pub fn ordered(&mut self, state: &GroupState, header: &EntryHeader, change: &Change) {
        if matches!(change, Change::EpochStart) {
            return;
        }
        let id = header.partition;
        let committed = state.partition(&id);
        let pending = self.partitions.entry(id).or_insert_with(|| Pending {
            tenant: header.tenant,
            base_epoch: committed.map_or(0, |state| state.base_epoch),
            owner_epoch: committed.map(PartitionState::owner_epoch).unwrap_or_default(),
            // Until an entry opens it, a partition that is not there takes nothing.
            closed: committed.is_none_or(|state| state.closed),
            left: false,
            next_offset: committed.map_or(Offset(0), |state| state.next_offset),
            entries: 0,
            producers: BTreeMap::new(),
            forgot: false,
        });
        pending.entries += 1;
        match change {
            Change::Opened(opened) if committed.is_none() && pending.closed && !pending.left => {
                pending.closed = false;
                pending.base_epoch = opened.base_epoch;
                pending.next_offset = opened.log_start;
            }
            Change::Closed => (pending.closed, pending.left) = (true, true),
            Change::Deleted => (pending.closed, pending.left) = (true, false),
            Change::Owned { epoch } => pending.owner_epoch = pending.owner_epoch.max(*epoch),
            Change::Append(facts) => pending.append(committed, header.lsn, header.time, facts),
            Change::Lost(gap) if gap.base_offset == pending.next_offset => {
                pending.next_offset = gap.end_offset;
                (pending.forgot, pending.producers) = (true, BTreeMap::new());
            }
            _ => {}
        }
    }

    /// Forgets an entry that was committed and applied.
    pub fn decided(&mut self, id: &PartitionId, producer: Option<ProducerId>) {
        let Some(pending) = self.partitions.get_mut(id) else {
            return;
        };
        if pending.entries <= 1 {
            self.partitions.remove(id);
            return;
        }
        pending.entries -= 1;
        let Some(producer) = producer else { return };
        if let Some((_, batches)) = pending.producers.get_mut(&producer) {
            *batches -= 1;
            if *batches == 0 {
                pending.producers.remove(&producer);
            }
        }
    }
}

impl Pending {
    fn append(
        &mut self,
        committed: Option<&PartitionState>,
        lsn: Lsn,
        time: TimestampMs,
        facts: &AppendFacts,
    ) {
        self.next_offset = facts.end_offset;
        let Some(producer) = facts.sequenced() else {
            return;
        };
        let forgot = self.forgot;
        let (state, batches) = self.producers.entry(producer.id).or_insert_with(|| {
            let known = committed
                .filter(|_| !forgot)
                .and_then(|state| state.producers.get(producer.id))
                .cloned();
            (
                known.unwrap_or_else(|| ProducerState::new(producer.epoch, time)),
                0,
            )
        });
        state.append(producer, facts.base_offset, lsn, time);
        *batches += 1;
    }
}
