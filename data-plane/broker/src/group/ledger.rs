//! The group coordinator inside an internal group: records in as they commit, batches of records out to the log.

use super::{Core, Group, Services, Ticket};
use crate::interface::Acks;
use crate::interface::groups::{Answer, Command, GroupKey};
use crate::replica::Append;
use bytes::Bytes;
use millstream_coordinator::{Applied, Coordinator, Now, Output, Record, Token};
use millstream_kafka_wire::batch::{BatchBuilder, BatchError, BatchView, NewRecord, batches};
use millstream_model::{KeyId, OwnerEpoch, PartitionId, TenantId, TimestampMs};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The coordinator and who waits for its answers.
pub(crate) struct LedgerCore {
    pub(crate) coordinator: Coordinator,
    /// The internal topic's partitions, each with its base epoch.
    pub(crate) partitions: Vec<(PartitionId, i32)>,
    waiting: HashMap<Token, oneshot::Sender<Answer>>,
    token_last: u64,
    out: Vec<Output>,
    /// Elected, and not yet told the coordinator, which must first know all that is committed.
    elected: bool,
}

impl LedgerCore {
    pub(crate) fn new(settings: millstream_coordinator::Settings) -> LedgerCore {
        LedgerCore {
            coordinator: Coordinator::new(settings),
            partitions: Vec::new(),
            waiting: HashMap::new(),
            token_last: 0,
            out: Vec::new(),
            elected: false,
        }
    }

    /// Applies every record of a committed batch.
    pub(super) fn apply(&mut self, batch: &Bytes) {
        if let Err(error) = self.apply_records(batch) {
            tracing::error!(%error, "a batch of the internal topic cannot be read; it is passed over");
        }
    }

    fn apply_records(&mut self, batch: &Bytes) -> Result<(), BatchError> {
        for batch in batches(batch.clone()) {
            for record in batch?.records()?.shared() {
                let record = record?;
                self.apply_record(record.key.as_deref().unwrap_or_default(), record.value.as_ref());
            }
        }
        Ok(())
    }

    /// Applies one record, from the log or a snapshot.
    pub(crate) fn apply_record(&mut self, key: &[u8], value: Option<&Bytes>) {
        if let Applied::Skipped(error) = self.coordinator.apply(key, value) {
            tracing::error!(%error, "a record of the internal topic was passed over");
        }
    }

    pub(super) fn elected(&mut self) {
        self.elected = true;
    }

    pub(super) fn resign(&mut self) {
        self.elected = false;
        self.coordinator.resign(&mut self.out);
    }

    /// An append of the coordinator's was committed, or will not be.
    pub(super) fn decided(&mut self, now: Now, ticket: millstream_coordinator::Ticket, committed: bool) {
        if committed {
            self.coordinator.committed(now, ticket, &mut self.out);
        } else {
            self.coordinator.failed(now, ticket, &mut self.out);
        }
    }

    /// Where a tenant's records go: always to the same partition, so that compaction finds them together.
    fn partition_of(&self, tenant: TenantId) -> Option<(PartitionId, i32)> {
        let count = u64::try_from(self.partitions.len())
            .ok()
            .filter(|count| *count > 0)?;
        let index = usize::try_from(tenant.0 % count).ok()?;
        self.partitions.get(index).copied()
    }

    fn answer(&mut self, token: Token, answer: Answer) {
        if let Some(sender) = self.waiting.remove(&token) {
            // Whoever asked may have gone away.
            let _ = sender.send(answer);
        }
    }
}

/// The records as one batch.
fn batch_of(records: &[Record], time: TimestampMs) -> Result<BatchView, BatchError> {
    let mut builder = BatchBuilder::new();
    for record in records {
        let value = record.value.as_deref();
        builder.push(NewRecord {
            timestamp: time,
            key: Some(&record.key),
            value,
            headers: &[],
        })?;
    }
    BatchView::read(builder.build()?)
}

impl Core {
    /// Puts a command to the coordinator; the receiver gets its answer. `None` in a group without one.
    pub(crate) fn ask_ledger(
        &mut self,
        group: &Group,
        key: &GroupKey,
        command: Command,
    ) -> Option<oneshot::Receiver<Answer>> {
        let ledger = self.ledger.as_mut().filter(|ledger| ledger.coordinator.leads())?;
        ledger.token_last += 1;
        let token = Token(ledger.token_last);
        let (sender, receiver) = oneshot::channel();
        ledger.waiting.insert(token, sender);
        ledger
            .coordinator
            .handle(group.services.now(), token, key, command, &mut ledger.out);
        // A command that only parks its answer may bring the next deadline nearer.
        group.ledger_changed.notify_one();
        self.append_for_ledger(group);
        Some(receiver)
    }

    /// Lets the coordinator do what is due.
    pub(crate) fn expire_ledger(&mut self, group: &Group) {
        if let Some(ledger) = &mut self.ledger {
            ledger.coordinator.expire(group.services.now(), &mut ledger.out);
            self.append_for_ledger(group);
        }
    }

    /// Lets the coordinator forget topics that are gone.
    pub(crate) fn forget_topics(
        &mut self,
        group: &Group,
        topics: &std::collections::BTreeSet<millstream_model::TopicId>,
    ) {
        if let Some(ledger) = &mut self.ledger {
            let now = group.services.now();
            ledger
                .coordinator
                .forget_topics(topics, now.time, &mut ledger.out);
            self.append_for_ledger(group);
        }
    }

    /// After the replica's outputs: tells the coordinator that it leads, and carries out what it wants.
    pub(super) fn drive_ledger(&mut self, group: &Arc<Group>) {
        let known = self.replica.log_end_is_known();
        let Some(ledger) = &mut self.ledger else { return };
        if ledger.elected && known {
            ledger.elected = false;
            ledger.coordinator.lead(group.services.now());
            group.ledger_changed.notify_one();
        }
        self.append_for_ledger(group);
    }

    /// Carries out what the coordinator wants, until it wants nothing more.
    fn append_for_ledger(&mut self, group: &Group) {
        loop {
            let Some(ledger) = &mut self.ledger else { return };
            if ledger.out.is_empty() {
                return;
            }
            group.ledger_changed.notify_one();
            for output in std::mem::take(&mut ledger.out) {
                match output {
                    Output::Answer { token, answer } => {
                        if let Some(ledger) = &mut self.ledger {
                            ledger.answer(token, answer);
                        }
                    }
                    Output::Append {
                        ticket,
                        tenant,
                        records,
                    } => {
                        let taken = self.append_records(&group.services, ticket, tenant, &records);
                        if let (false, Some(ledger)) = (taken, &mut self.ledger) {
                            ledger.decided(group.services.now(), ticket, false);
                        }
                    }
                }
            }
        }
    }

    fn append_records(
        &mut self,
        services: &Services,
        ticket: millstream_coordinator::Ticket,
        tenant: TenantId,
        records: &[Record],
    ) -> bool {
        let time = TimestampMs::now();
        let Some((partition, base_epoch)) = self
            .ledger
            .as_ref()
            .and_then(|ledger| ledger.partition_of(tenant))
        else {
            return false;
        };
        let batch = match batch_of(records, time) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%error, "the coordinator's records do not fit into a batch");
                return false;
            }
        };
        self.open(services, partition, TenantId::SYSTEM, base_epoch);
        let append = Append {
            partition,
            tenant: TenantId::SYSTEM,
            key: KeyId::NONE,
            owner_epoch: OwnerEpoch(0),
            batch,
            time,
            acks: Acks::All,
            in_sync_min: 1,
            ticket: Ticket::Ledger(ticket),
        };
        match self.replica.append(services.now_ms(), append, &mut self.out) {
            Ok(_) => true,
            Err(refused) => {
                tracing::warn!(%refused, "the coordinator's records were not taken");
                false
            }
        }
    }
}
