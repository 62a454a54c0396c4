//! One slot: its ledger behind a lock of its own, and who waits for the ledger's answers.
//!
//! What the ledger wants appended waits here, in order, until the group takes it: a command needs the slot's lock alone,
//! and the group's only when it has something for the log.

use bytes::Bytes;
use millstream_coordinator::{Applied, Host, Ledger, Now, Output, Record, Ticket, Token};
use millstream_kafka_wire::batch::{BatchError, batches};
use millstream_model::{TimestampMs, TopicId};
use parking_lot::Mutex;
use std::any::Any;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;

/// When a slot is due that wants nothing.
pub(super) const NEVER: u64 = u64::MAX;

/// A slot with its ledger.
pub(super) struct Slot<L: Ledger> {
    held: Mutex<Held<L>>,
    /// When the ledger is due, milliseconds on the broker's clock; [`NEVER`] when it wants nothing.
    due_ms: AtomicU64,
}

struct Held<L: Ledger> {
    ledger: L,
    waiting: HashMap<Token, oneshot::Sender<L::Answer>>,
    token_last: u64,
    /// What the group has not taken yet.
    appends: VecDeque<(Ticket, Vec<Record>)>,
    /// Reused for the ledger's outputs.
    out: Vec<Output<L::Answer>>,
}

/// A slot, whatever its ledger is.
pub(super) trait AnySlot: Any + Send + Sync {
    /// Applies every record of a committed batch.
    fn apply(&self, batch: &Bytes);
    /// Applies a record of a snapshot.
    fn restore(&self, record: &Record);
    /// What the ledger is, as records.
    fn records(&self) -> Vec<Record>;
    /// It leads from now on: everything committed was applied.
    fn lead(&self, now: Now);
    /// It leads no more: nothing of what it wanted goes into the log.
    fn resign(&self);
    /// An append was committed, or will not be.
    fn decided(&self, now: Now, ticket: Ticket, committed: bool);
    /// Does what is due.
    fn expire(&self, now: Now);
    /// Forgets what it keeps about topics.
    fn topics_deleted(&self, topics: &BTreeSet<TopicId>, time: TimestampMs);
    /// What is to be appended, in this order.
    fn take_appends(&self) -> VecDeque<(Ticket, Vec<Record>)>;
    /// Whether anything is to be appended.
    fn has_appends(&self) -> bool;
    /// When it is due.
    fn due_ms(&self) -> u64;
}

/// Puts a ledger into a slot.
pub(super) struct Slotted;

impl Host for Slotted {
    type Slot = Arc<dyn AnySlot>;

    fn host<L: Ledger>(self, ledger: L) -> Arc<dyn AnySlot> {
        Arc::new(Slot::new(ledger))
    }
}

impl<L: Ledger> Slot<L> {
    pub(super) fn new(ledger: L) -> Slot<L> {
        Slot {
            held: Mutex::new(Held {
                ledger,
                waiting: HashMap::new(),
                token_last: 0,
                appends: VecDeque::new(),
                out: Vec::new(),
            }),
            due_ms: AtomicU64::new(NEVER),
        }
    }

    /// The slot, if it has such a ledger.
    pub(super) fn of(slot: &dyn AnySlot) -> Option<&Slot<L>> {
        let any: &dyn Any = slot;
        any.downcast_ref()
    }

    /// Puts a command to the ledger; the receiver gets its answer.
    pub(super) fn ask(&self, now: Now, key: &L::Key, command: L::Command) -> oneshot::Receiver<L::Answer> {
        let (sender, receiver) = oneshot::channel();
        self.work(|held| {
            held.token_last += 1;
            let token = Token(held.token_last);
            held.waiting.insert(token, sender);
            held.ledger.handle(now, token, key, command, &mut held.out);
        });
        receiver
    }

    /// Looks at what the ledger knows.
    pub(super) fn look<R>(&self, look: impl FnOnce(&L) -> R) -> R {
        look(&self.held.lock().ledger)
    }

    /// Lets the ledger do something, and sorts what it wants.
    fn work(&self, act: impl FnOnce(&mut Held<L>)) {
        let mut held = self.held.lock();
        act(&mut held);
        let mut out = std::mem::take(&mut held.out);
        for output in out.drain(..) {
            match output {
                Output::Append { ticket, records } => held.appends.push_back((ticket, records)),
                Output::Answer { token, answer } => {
                    if let Some(sender) = held.waiting.remove(&token) {
                        // Whoever asked may have gone away.
                        let _ = sender.send(answer);
                    }
                }
            }
        }
        held.out = out;
        let due = held.ledger.next_deadline().unwrap_or(NEVER);
        self.due_ms.store(due, Ordering::SeqCst);
    }
}

impl<L: Ledger> Held<L> {
    fn apply_batch(&mut self, batch: &Bytes) -> Result<(), BatchError> {
        for batch in batches(batch.clone()) {
            let batch = batch?;
            // What it says belongs to the log, not to the ledger: a transaction's end, say.
            if batch.header().attributes.is_control() {
                continue;
            }
            for record in batch.records()?.shared() {
                let record = record?;
                self.apply_record(record.key.as_deref().unwrap_or_default(), record.value.as_ref());
            }
        }
        Ok(())
    }

    fn apply_record(&mut self, key: &[u8], value: Option<&Bytes>) {
        if let Applied::Skipped(error) = self.ledger.apply(key, value) {
            tracing::error!(topic = L::KIND.topic_name(), %error, "a record of an internal topic was passed over");
        }
    }
}

impl<L: Ledger> AnySlot for Slot<L> {
    fn apply(&self, batch: &Bytes) {
        if let Err(error) = self.held.lock().apply_batch(batch) {
            tracing::error!(
                topic = L::KIND.topic_name(), %error,
                "a batch of an internal topic cannot be read; it is passed over"
            );
        }
    }

    fn restore(&self, record: &Record) {
        self.held.lock().apply_record(&record.key, record.value.as_ref());
    }

    fn records(&self) -> Vec<Record> {
        self.held.lock().ledger.records().collect()
    }

    fn lead(&self, now: Now) {
        self.work(|held| held.ledger.lead(now));
    }

    fn resign(&self) {
        self.work(|held| {
            // They belong to the leadership that ends; who waits for them is told by the ledger.
            held.appends.clear();
            held.ledger.resign(&mut held.out);
        });
    }

    fn decided(&self, now: Now, ticket: Ticket, committed: bool) {
        self.work(|held| match committed {
            true => held.ledger.committed(now, ticket, &mut held.out),
            false => held.ledger.failed(now, ticket, &mut held.out),
        });
    }

    fn expire(&self, now: Now) {
        self.work(|held| held.ledger.expire(now, &mut held.out));
    }

    fn topics_deleted(&self, topics: &BTreeSet<TopicId>, time: TimestampMs) {
        self.work(|held| held.ledger.topics_deleted(topics, time, &mut held.out));
    }

    fn take_appends(&self) -> VecDeque<(Ticket, Vec<Record>)> {
        std::mem::take(&mut self.held.lock().appends)
    }

    fn has_appends(&self) -> bool {
        !self.held.lock().appends.is_empty()
    }

    fn due_ms(&self) -> u64 {
        self.due_ms.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_coordinator::{CommitOffsets, Coordinator, GroupKey, MemberRef, OffsetToCommit, Settings};
    use millstream_kafka_wire::batch::{BatchBuilder, ControlRecord, Marker, NewRecord};
    use millstream_model::{Offset, PartitionId, ProducerEpoch, ProducerId, TenantId};

    const NOW: Now = Now {
        ms: 0,
        time: TimestampMs(0),
    };

    fn leader() -> Slot<Coordinator> {
        let slot = Slot::new(Coordinator::new(Settings::default()));
        slot.lead(NOW);
        slot
    }

    fn commit(slot: &Slot<Coordinator>, offset: i64) -> oneshot::Receiver<millstream_coordinator::Answer> {
        let key = GroupKey {
            tenant: TenantId(1),
            group: "g".parse().unwrap(),
        };
        let commit = CommitOffsets {
            member: MemberRef::default(),
            generation: -1,
            retention_ms: None,
            offsets: vec![OffsetToCommit {
                partition: PartitionId::NONE,
                offset: Offset(offset),
                leader_epoch: -1,
                metadata: String::new(),
            }],
        };
        slot.ask(NOW, &key, millstream_coordinator::Command::CommitOffsets(commit))
    }

    fn batch_of(records: &[Record]) -> Bytes {
        let mut builder = BatchBuilder::new();
        for record in records {
            let new = NewRecord {
                timestamp: TimestampMs(0),
                key: Some(&record.key),
                value: record.value.as_deref(),
                headers: &[],
            };
            builder.push(new).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn a_control_batch_is_passed_over() {
        let slot = leader();
        drop(commit(&slot, 7));
        let (_, records) = slot.take_appends().pop_front().unwrap();
        // What would be read if it were no control batch: bit 5 of the attributes says that it is one.
        let batch = batch_of(&records);
        let mut control = batch.to_vec();
        control[22] |= 1 << 5;
        slot.apply(&control.into());
        assert!(slot.records().is_empty());
        slot.apply(&batch);
        assert_eq!(slot.records(), records);
        let marker = ControlRecord {
            marker: Marker::Commit,
            coordinator_epoch: 3,
        };
        slot.apply(&marker.to_batch(ProducerId(9), ProducerEpoch(0), TimestampMs(0)));
        assert_eq!(slot.records(), records);
    }

    #[test]
    fn what_a_leadership_wanted_does_not_outlive_it() {
        let slot = leader();
        let (mut one, mut two) = (commit(&slot, 1), commit(&slot, 2));
        let (ticket, _) = slot.take_appends().pop_front().unwrap();
        let mut three = commit(&slot, 3);
        assert!(slot.has_appends());
        slot.resign();
        assert!(!slot.has_appends());
        slot.lead(NOW);
        // A ticket of the leadership before means nothing.
        slot.decided(NOW, ticket, true);
        for receiver in [&mut one, &mut two, &mut three] {
            assert_eq!(
                receiver.try_recv().unwrap(),
                Err(millstream_coordinator::GroupError::NotCoordinator)
            );
        }
    }

    #[test]
    fn a_slot_that_has_nothing_is_never_due() {
        let slot = leader();
        assert_eq!(slot.due_ms(), NEVER);
        drop(commit(&slot, 1));
        assert_ne!(slot.due_ms(), NEVER);
        slot.resign();
        assert_eq!(slot.due_ms(), NEVER);
    }
}
