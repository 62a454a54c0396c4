//! Taking a batch, or a change of the service's own, into the log.

use super::{Output, Replica};
use crate::interface::Acks;
use bytes::Bytes;
use millstream_kafka_wire::batch::BatchView;
use millstream_model::entry::EntryKind;
use millstream_model::{KeyId, LeaderEpoch, Lsn, Offset, OwnerEpoch, PartitionId, TenantId, TimestampMs};
use millstream_partition::{AppendError, AppendFacts, Change, Decision};
use millstream_replication::{AppendBody, AppendRefusal, EntryId};

/// Who waits for an entry to become durable.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) lsn: Lsn,
    pub(super) partition: PartitionId,
    pub(super) base_offset: Offset,
    pub(super) acks: Acks,
    pub(super) who: Who<T>,
}

/// Who waits.
#[derive(Debug)]
pub(super) enum Who<T> {
    /// Whoever asked.
    Asked(T),
    /// This replica's own moving to the store.
    Tiering,
}

/// A checked batch on its way into a partition.
#[derive(Debug)]
pub struct Append<T> {
    /// Where to.
    pub partition: PartitionId,
    /// Whose the partition must be.
    pub tenant: TenantId,
    /// The key that writes.
    pub key: KeyId,
    /// The epoch of the owner who sends it; 0 from whom owns nothing.
    pub owner_epoch: OwnerEpoch,
    /// The batch, checked; stamped in place when nobody else holds its memory.
    pub batch: BatchView,
    /// The leader's wall clock.
    pub time: TimestampMs,
    /// When to answer.
    pub acks: Acks,
    /// The topic's `min.insync.replicas`, where it asks for more than the group's class.
    pub in_sync_min: usize,
    /// Whom to answer.
    pub ticket: T,
}

/// A change of the service's own: a trim, a segment, a partition opened or deleted.
#[derive(Debug)]
pub struct Propose<T> {
    /// Which partition.
    pub partition: PartitionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The key that asked, [`KeyId::NONE`] for the service.
    pub key: KeyId,
    /// The change; appends go through [`Append`].
    pub change: Change,
    /// The leader's wall clock.
    pub time: TimestampMs,
    /// Whom to answer once it is committed.
    pub ticket: T,
}

/// Why an entry was not taken; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendRefused {
    /// The log takes none.
    #[error(transparent)]
    Log(#[from] AppendRefusal),
    /// The partition does not take it.
    #[error(transparent)]
    Partition(#[from] AppendError),
    /// An append or the start of an epoch was proposed.
    #[error("not a change that can be proposed")]
    NotProposable,
}

impl<T> Replica<T> {
    /// Takes a batch: decides its place, stamps it, orders it. The answer comes as [`Output::Acknowledge`], at once
    /// when the batch repeats one that is committed. With [`Acks::None`] the ticket is dropped.
    ///
    /// # Errors
    /// When the batch is not taken; the ticket is dropped then.
    pub fn append(
        &mut self,
        now_ms: u64,
        append: Append<T>,
        out: &mut Vec<Output<T>>,
    ) -> Result<Decision, AppendRefused> {
        self.machine.check_append(now_ms)?;
        if append.in_sync_min > 1 && append.acks == Acks::All {
            let live = self.machine.live_in_sync(now_ms);
            if live < append.in_sync_min {
                return Err(AppendRefusal::NotEnoughReplicas {
                    live,
                    minimum: append.in_sync_min,
                }
                .into());
            }
        }
        let Append {
            partition,
            tenant,
            key,
            owner_epoch,
            batch,
            time,
            acks,
            ticket,
            ..
        } = append;
        let mut facts = AppendFacts::of(batch.header());
        if self.planted.repeat_is_appended {
            facts.producer = None;
        }
        let decision = self
            .overlay
            .decide(&self.state, tenant, &partition, owner_epoch, &facts)?;
        let (lsn, base_offset) = match decision {
            Decision::Append {
                base_offset,
                base_epoch,
            } => {
                let epoch = i32::try_from(self.machine.epoch().0).unwrap_or(i32::MAX);
                let planted = i32::from(self.planted.stamped_an_epoch_low);
                let leader_epoch = LeaderEpoch(base_epoch.saturating_add(epoch) - planted);
                let payload = batch.stamp(base_offset, leader_epoch).into_bytes();
                let body = AppendBody {
                    kind: EntryKind::Append,
                    time,
                    partition,
                    tenant,
                    key,
                    payload,
                };
                (self.order(now_ms, body, out)?.lsn, base_offset)
            }
            Decision::Repeat { base_offset, lsn } => (lsn, base_offset),
        };
        self.wait(
            Waiting {
                lsn,
                partition,
                base_offset,
                acks,
                who: Who::Asked(ticket),
            },
            out,
        );
        Ok(decision)
    }

    /// The epoch that the next owner of a partition gets.
    pub fn next_owner(&self, partition: &PartitionId) -> OwnerEpoch {
        self.overlay
            .next_owner(&self.state, partition, self.machine.epoch())
    }

    /// Puts a change of the service's own into the log; answered once it is committed.
    ///
    /// # Errors
    /// When it is not taken; the ticket is dropped then.
    pub fn propose(
        &mut self,
        now_ms: u64,
        propose: Propose<T>,
        out: &mut Vec<Output<T>>,
    ) -> Result<Lsn, AppendRefused> {
        let Propose {
            partition,
            tenant,
            key,
            change,
            time,
            ticket,
        } = propose;
        let by = (tenant, key);
        self.order_change(now_ms, partition, by, change, time, Who::Asked(ticket), out)
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn order_change(
        &mut self,
        now_ms: u64,
        partition: PartitionId,
        (tenant, key): (TenantId, KeyId),
        change: Change,
        time: TimestampMs,
        who: Who<T>,
        out: &mut Vec<Output<T>>,
    ) -> Result<Lsn, AppendRefused> {
        let (kind, payload): (EntryKind, Bytes) = change.payload().ok_or(AppendRefused::NotProposable)?;
        let body = AppendBody {
            kind,
            time,
            partition,
            tenant,
            key,
            payload,
        };
        let lsn = self.order(now_ms, body, out)?.lsn;
        self.wait(
            Waiting {
                lsn,
                partition,
                base_offset: Offset(0),
                acks: Acks::All,
                who,
            },
            out,
        );
        Ok(lsn)
    }

    fn order(
        &mut self,
        now_ms: u64,
        body: AppendBody,
        out: &mut Vec<Output<T>>,
    ) -> Result<EntryId, AppendRefusal> {
        let mut ordered = std::mem::take(&mut self.ordered);
        let id = self.machine.append(now_ms, body, &mut ordered);
        self.carry_out(&mut ordered, out);
        self.ordered = ordered;
        id
    }

    /// Queues who waits, in LSN order, or answers at once.
    fn wait(&mut self, waiting: Waiting<T>, out: &mut Vec<Output<T>>) {
        let (queue, reached) = match waiting.acks {
            Acks::None => return,
            Acks::Leader => (&mut self.for_disk, self.machine.durable_lsn()),
            Acks::All => (&mut self.for_commit, self.state.applied()),
        };
        if waiting.lsn <= reached {
            self.acknowledge(waiting, true, out);
            return;
        }
        // New entries go to the end; only a repeat of an undecided batch goes between.
        let place = match queue.back() {
            Some(last) if last.lsn > waiting.lsn => queue.partition_point(|other| other.lsn <= waiting.lsn),
            _ => queue.len(),
        };
        queue.insert(place, waiting);
    }
}
