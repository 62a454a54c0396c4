//! A group's state: its partitions, as of one entry of its log.

use crate::change::Change;
use crate::partition::{PartitionState, Quarantine};
use crate::payload::PayloadError;
use millstream_model::entry::{Entry, EntryHeader};
use millstream_model::{Epoch, GroupId, Lsn, Offset, PartitionId, TimestampMs};
use std::collections::BTreeMap;

/// What the entries of a group's log up to [`applied`](GroupState::applied) have made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    pub(crate) group: GroupId,
    pub(crate) applied: Lsn,
    pub(crate) epoch: Epoch,
    /// The largest time of an entry so far: the state's clock, which never goes back.
    pub(crate) time: TimestampMs,
    pub(crate) partitions: BTreeMap<PartitionId, PartitionState>,
}

/// What applying an entry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entry.
    pub lsn: Lsn,
    /// The partition it touched, [`PartitionId::NONE`] for none.
    pub partition: PartitionId,
    /// What it did.
    pub effect: Effect,
}

/// What applying an entry did to its partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: a repeat, or an entry that touches no partition.
    None,
    /// Appended a batch.
    Appended {
        /// The first offset.
        base_offset: Offset,
        /// One past the last: the new high watermark.
        end_offset: Offset,
    },
    /// Moved the log's start.
    Trimmed {
        /// The new one.
        log_start: Offset,
    },
    /// Learned what is in the object store.
    Tiered {
        /// Everything below is.
        up_to: Offset,
    },
    /// Merged segments.
    Replaced,
    /// Opened it.
    Opened,
    /// Closed it.
    Closed,
    /// Deleted it.
    Deleted,
    /// Passes over records that are gone.
    Lost {
        /// The first offset of a record that is gone.
        base_offset: Offset,
        /// One past the last.
        end_offset: Offset,
    },
    /// Forgot idempotent producers.
    ForgotProducers,
    /// Has a new owner.
    Owned,
    /// The entry could not be applied; the partition takes no more of them. A person must look.
    Quarantined {
        /// Why.
        reason: String,
    },
    /// The partition is in quarantine: the entry was passed over.
    PassedOver,
}

impl GroupState {
    /// Before the first entry.
    pub fn new(group: GroupId) -> GroupState {
        GroupState {
            group,
            applied: Lsn::ZERO,
            epoch: Epoch(0),
            time: TimestampMs(0),
            partitions: BTreeMap::new(),
        }
    }

    /// Whose state it is.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// The last entry applied.
    pub fn applied(&self) -> Lsn {
        self.applied
    }

    /// The epoch of the last entry applied.
    pub fn applied_epoch(&self) -> Epoch {
        self.epoch
    }

    /// One partition.
    pub fn partition(&self, id: &PartitionId) -> Option<&PartitionState> {
        self.partitions.get(id)
    }

    /// All of them.
    pub fn partitions(&self) -> impl Iterator<Item = (&PartitionId, &PartitionState)> {
        self.partitions.iter()
    }

    /// The last entry that nobody needs any more for its records: everything up to there is in the object store,
    /// trimmed, or was no append. May be released once a snapshot covers it (log.md 30).
    pub fn tiered_lsn(&self) -> Lsn {
        let hot = self
            .partitions
            .values()
            .filter_map(|partition| partition.hot.first_lsn());
        hot.map(|first| Lsn(first.0.saturating_sub(1)))
            .min()
            .unwrap_or(self.applied)
    }

    /// Bytes of batches that are not in the object store yet.
    pub fn hot_bytes(&self) -> u64 {
        self.partitions
            .values()
            .map(|partition| partition.hot.bytes())
            .sum()
    }

    /// Applies a committed entry, the one after [`applied`](Self::applied).
    pub fn apply(&mut self, entry: &Entry) -> Applied {
        self.apply_change(&entry.header, Change::of(entry))
    }

    /// Applies a committed entry whose payload was read before.
    pub fn apply_change(&mut self, header: &EntryHeader, change: Result<Change, PayloadError>) -> Applied {
        assert_eq!(header.group, self.group, "bug: an entry of another group");
        assert_eq!(
            header.lsn,
            self.applied.next(),
            "bug: entries are applied in order, without gaps"
        );
        self.applied = header.lsn;
        self.epoch = header.epoch;
        self.time = self.time.max(header.time);
        let effect = match change {
            Ok(Change::EpochStart) => {
                return Applied {
                    lsn: header.lsn,
                    partition: PartitionId::NONE,
                    effect: Effect::None,
                };
            }
            Ok(change) => self.change(header, change),
            Err(error) => Err(error.to_string()),
        };
        let effect = effect.unwrap_or_else(|reason| self.quarantine(header, reason));
        Applied {
            lsn: header.lsn,
            partition: header.partition,
            effect,
        }
    }

    /// Whether the next entry, with this header, could be applied.
    ///
    /// # Errors
    /// Why its partition would be put aside.
    pub fn would_take(&self, header: &EntryHeader, change: &Change) -> Result<(), String> {
        let Some(partition) = self.partitions.get(&header.partition) else {
            return match change {
                Change::Append(_) => Err("the partition was never opened here".to_owned()),
                _ => Ok(()),
            };
        };
        // The usual case, without a copy.
        if let (Change::Append(facts), None) = (change, &partition.quarantine)
            && partition.tenant == header.tenant
            && facts.base_offset == partition.next_offset
            && !partition.closed
        {
            return Ok(());
        }
        let mut alone = GroupState {
            partitions: BTreeMap::from([(header.partition, partition.clone())]),
            ..GroupState::new(self.group)
        };
        alone.change(header, change.clone()).map(drop)
    }

    fn change(&mut self, header: &EntryHeader, change: Change) -> Result<Effect, String> {
        let time = self.time;
        let id = header.partition;
        match change {
            Change::Deleted => {
                let known = self.partitions.remove(&id).is_some();
                return Ok(if known { Effect::Deleted } else { Effect::None });
            }
            Change::Opened(opened) if !self.partitions.contains_key(&id) => {
                self.partitions
                    .insert(id, PartitionState::new(header.tenant, opened));
                return Ok(Effect::Opened);
            }
            _ => {}
        }
        let Some(partition) = self.partitions.get_mut(&id) else {
            return match change {
                // What a leader decided before a deletion became known comes behind it: there is nothing to change.
                Change::Trim { .. }
                | Change::Tiered(_)
                | Change::Replace(_)
                | Change::Lost(_)
                | Change::ForgetProducers { .. }
                | Change::Owned { .. }
                | Change::Closed => Ok(Effect::None),
                _ => Err("the partition was never opened here".to_owned()),
            };
        };
        if partition.quarantine.is_some() {
            return Ok(match change {
                // It adds nothing, and without it the partition would pin the group's log for ever.
                Change::Tiered(segments) if partition.tiered(&segments) == Ok(true) => Effect::Tiered {
                    up_to: partition.tiered_up_to,
                },
                _ => Effect::PassedOver,
            });
        }
        if partition.tenant != header.tenant {
            return Err(format!(
                "tenant {} writes to tenant {}'s partition",
                header.tenant, partition.tenant
            ));
        }
        Ok(match change {
            // Opening twice is a repeat by a new leader, which could not know.
            Change::Opened(_) | Change::EpochStart | Change::Deleted => Effect::None,
            Change::Append(_) if partition.closed => return Err("an append to a closed partition".to_owned()),
            Change::Append(facts) => {
                partition.append(&facts, (header.epoch, header.lsn), time)?;
                Effect::Appended {
                    base_offset: facts.base_offset,
                    end_offset: facts.end_offset,
                }
            }
            Change::Trim { log_start } => match partition.trim(log_start)? {
                true => Effect::Trimmed { log_start },
                false => Effect::None,
            },
            Change::Tiered(segments) => match partition.tiered(&segments)? {
                true => Effect::Tiered {
                    up_to: partition.tiered_up_to,
                },
                false => Effect::None,
            },
            Change::Replace(replacement) => match partition.replace(&replacement)? {
                true => Effect::Replaced,
                false => Effect::None,
            },
            Change::Lost(gap) => match partition.lose(&gap, (header.epoch, header.lsn), time) {
                true => Effect::Lost {
                    base_offset: gap.base_offset,
                    end_offset: gap.end_offset,
                },
                false => Effect::None,
            },
            Change::ForgetProducers { silent_since } => match partition.forget_producers(silent_since) {
                true => Effect::ForgotProducers,
                false => Effect::None,
            },
            Change::Owned { epoch } => match partition.own(epoch) {
                true => Effect::Owned,
                false => Effect::None,
            },
            Change::Closed => match std::mem::replace(&mut partition.closed, true) {
                false => Effect::Closed,
                true => Effect::None,
            },
        })
    }

    /// Puts a partition aside: what it has stays readable as far as it goes, nothing is added (log.md 22).
    fn quarantine(&mut self, header: &EntryHeader, reason: String) -> Effect {
        let unopened = crate::change::Opened {
            base_epoch: 0,
            log_start: Offset(0),
        };
        let partition = self
            .partitions
            .entry(header.partition)
            .or_insert_with(|| PartitionState::new(header.tenant, unopened));
        if partition.quarantine.is_some() {
            return Effect::PassedOver;
        }
        partition.quarantine = Some(Quarantine {
            lsn: header.lsn,
            reason: reason.clone(),
        });
        Effect::Quarantined { reason }
    }
}
