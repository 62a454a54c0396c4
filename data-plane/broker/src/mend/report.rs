//! What was kept and what was lost behind damage: one line each, for people and for programs.

use super::count;
use millstream_metadata::Image;
use millstream_model::{GroupId, Lsn, Offset, PartitionId, TenantId};
use std::ops::Range;

/// What became of a journal behind its damage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries behind the damage that count.
    pub kept: u64,
    /// What does not come back.
    pub losses: Vec<Loss>,
    /// Partitions that are there in the end, and whose they are: those that were deleted lost their deletion.
    pub standing: Vec<(PartitionId, TenantId)>,
}

/// Something that does not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// These records: readers pass over their offsets.
    Offsets {
        /// Where they were.
        partition: PartitionId,
        /// Whose they were.
        tenant: TenantId,
        /// The offsets.
        offsets: Range<Offset>,
    },
    /// An unknown number of records behind the last one that is left.
    Unknown {
        /// Where they were.
        partition: PartitionId,
        /// Whose they were.
        tenant: TenantId,
        /// From the first one that may be lost to the one at which the partition goes on.
        offsets: Range<Offset>,
    },
    /// Nothing but the opening of the partition, which was done again.
    Opened {
        /// The partition.
        partition: PartitionId,
        /// Whose it is.
        tenant: TenantId,
    },
    /// Nothing but the deletion of the partition, which is done again from its tombstone in the catalog.
    Deleted {
        /// The partition.
        partition: PartitionId,
        /// Whose it was.
        tenant: TenantId,
    },
    /// Which batches of idempotent producers came last: the next one of each may have any sequence.
    Producers {
        /// Where they write.
        partition: PartitionId,
        /// Whose they are.
        tenant: TenantId,
        /// How many.
        count: usize,
    },
    /// Everything of a group from this entry on.
    Stopped {
        /// The group.
        group: GroupId,
        /// The entry.
        lsn: Lsn,
    },
}

impl Report {
    pub(super) fn push(&mut self, loss: Loss) {
        self.losses.push(loss);
    }

    /// What became of something else, too.
    pub fn extend(&mut self, other: Report) {
        self.kept += other.kept;
        self.losses.extend(other.losses);
        self.standing.extend(other.standing);
    }

    /// Deletions that were lost: who asks knows which partitions had been deleted.
    pub fn deleted(&self, is_deleted: impl Fn(PartitionId) -> bool) -> Vec<Loss> {
        let lost = self.standing.iter().filter(|(id, _)| is_deleted(*id));
        lost.map(|(partition, tenant)| Loss::Deleted {
            partition: *partition,
            tenant: *tenant,
        })
        .collect()
    }

    /// One line each, with the catalog's names: words and `key=value`.
    pub fn lines(&self, image: &Image) -> Vec<String> {
        let offsets = |loss: &Loss| match loss {
            Loss::Offsets { offsets, .. } => count(offsets),
            _ => 0,
        };
        let lost: u64 = self.losses.iter().map(offsets).sum();
        let is_unsure = self
            .losses
            .iter()
            .any(|loss| matches!(loss, Loss::Unknown { .. } | Loss::Stopped { .. }));
        let first = format!(
            "journal recovered entries_kept={} offsets_lost={lost} more_may_be_lost={is_unsure}",
            self.kept
        );
        // The catalog has a tombstone of what its group had said to be deleted (log.md 34).
        let deleted = self.deleted(|id| image.partition(id).is_some_and(|(_, row)| row.deleted));
        let rest = self.losses.iter().chain(&deleted).map(|loss| loss.line(image));
        std::iter::once(first).chain(rest).collect()
    }
}

impl Loss {
    fn line(&self, image: &Image) -> String {
        let place = |partition: &PartitionId, tenant: &TenantId| {
            let topic = image.topic_by_id(partition.topic);
            let topic = topic.map_or_else(|| partition.topic.to_string(), |topic| topic.name.to_string());
            format!("tenant={tenant} topic={topic} partition={}", partition.index)
        };
        match self {
            Loss::Offsets {
                partition,
                tenant,
                offsets,
            } => format!(
                "journal lost {} from={} to={} count={}",
                place(partition, tenant),
                offsets.start,
                offsets.end.plus(-1),
                count(offsets)
            ),
            Loss::Unknown {
                partition,
                tenant,
                offsets,
            } => format!(
                "journal unknown {} from={} goes_on_at={}",
                place(partition, tenant),
                offsets.start,
                offsets.end
            ),
            Loss::Opened { partition, tenant } => {
                format!("journal reopened {}", place(partition, tenant))
            }
            Loss::Deleted { partition, tenant } => {
                format!("journal deleted_again {}", place(partition, tenant))
            }
            Loss::Producers {
                partition,
                tenant,
                count,
            } => format!(
                "journal forgot_producers {} count={count}",
                place(partition, tenant)
            ),
            Loss::Stopped { group, lsn } => {
                format!("journal stopped group={group} from_lsn={lsn}")
            }
        }
    }
}
