//! A group's records on their way to the journal, in order, whatever the journal answers.
//!
//! A full journal refuses records that the replica has already ordered. They stay here, in order, and are handed over
//! again once nothing of the group is under way; meanwhile new ones queue behind them. What was ordered counts as the
//! service's own from then on: it must get into the space that is kept for it, or nothing could ever be released.

use super::{Core, Group};
use millstream_journal::{Append, CommitError, Committed, Record, SubmitError};
use millstream_model::TenantId;
use millstream_replication::{Input, WriteNumber};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a full journal is left alone before the records are handed over again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

thread_local! {
    /// While a record is handed over, the journal may refuse it at once, on this thread, which holds the group's lock:
    /// the refusal is left here.
    static REFUSED: RefCell<Option<Option<SubmitError>>> = const { RefCell::new(None) };
}

/// A group's records that are not durable yet.
#[derive(Default)]
pub(crate) struct Writes {
    /// In order; the first `handed_over` of them are with the journal.
    queue: VecDeque<Write>,
    handed_over: usize,
    /// The journal refused one: nothing is handed over until it has answered for all.
    stalled: bool,
    /// The journal failed for good.
    failed: bool,
    /// The replica knows it.
    failure_told: bool,
}

struct Write {
    number: WriteNumber,
    tenant: TenantId,
    record: Record,
}

/// Bytes that a record's payload takes.
fn bytes(record: &Record) -> usize {
    match record {
        Record::Entry(entry) => entry.payload.len(),
        _ => 0,
    }
}

impl Writes {
    pub(super) fn submit(
        &mut self,
        group: &Arc<Group>,
        number: WriteNumber,
        tenant: TenantId,
        record: Record,
    ) {
        group
            .services
            .in_flight
            .fetch_add(bytes(&record), Ordering::Relaxed);
        self.queue.push_back(Write {
            number,
            tenant,
            record,
        });
        if !self.stalled {
            self.hand_over(group);
        }
    }

    /// Whether the journal has failed since this was asked last.
    pub(super) fn take_failed(&mut self) -> bool {
        let told = std::mem::replace(&mut self.failure_told, self.failed);
        self.failed && !told
    }

    fn hand_over(&mut self, group: &Arc<Group>) {
        while let Some(write) = self.queue.get(self.handed_over).filter(|_| !self.stalled) {
            self.handed_over += 1;
            let append = Append {
                tenant: write.tenant,
                records: vec![write.record.clone()],
            };
            let (number, owner) = (write.number, Arc::clone(group));
            REFUSED.set(Some(None));
            group.services.writer.submit(append, move |result| match result {
                Err(error) if REFUSED.with_borrow(Option::is_some) => REFUSED.set(Some(Some(error))),
                result => owner.written(number, result),
            });
            if let Some(Some(error)) = REFUSED.take() {
                self.refused(group, &error);
            }
        }
    }

    /// A record was not written.
    fn refused(&mut self, group: &Arc<Group>, error: &SubmitError) {
        self.handed_over -= 1;
        let again = match error {
            SubmitError::Commit(CommitError::Full) | SubmitError::Busy => true,
            SubmitError::Commit(CommitError::OutOfOrder { .. }) => self.stalled,
            SubmitError::Closed | SubmitError::Commit(_) => false,
        };
        if !again {
            if !self.failed && !group.services.is_stopping() {
                tracing::error!(group = %group.id, %error, "the journal failed");
            }
            self.stalled = true;
            self.failed = true;
            return;
        }
        if !self.stalled {
            tracing::warn!(group = %group.id, %error, "the journal takes nothing; its records wait");
        }
        self.stalled = true;
        self.again_when_idle(group);
    }

    /// Once the journal has answered for every record, the refused ones are handed over again after a while.
    fn again_when_idle(&self, group: &Arc<Group>) {
        if !self.stalled || self.handed_over > 0 || self.failed {
            return;
        }
        let group = Arc::clone(group);
        let runtime = group.services.runtime.clone();
        runtime.spawn(async move {
            tokio::time::sleep(AGAIN_AFTER).await;
            group.write_again();
        });
    }
}

impl Group {
    /// The journal's answer for one record; they come in the order of submission.
    fn written(self: &Arc<Group>, number: WriteNumber, result: Result<Committed, SubmitError>) {
        if let Ok(committed) = &result {
            self.services.count_commits(committed.commit);
        }
        self.with(|core| match result {
            Ok(_) => core.durable(self, number),
            Err(error) => core.writes.refused(self, &error),
        });
    }

    /// Hands the refused records over again.
    fn write_again(self: &Arc<Group>) {
        self.with(|core| {
            let writes = &mut core.writes;
            writes.stalled = false;
            writes
                .queue
                .iter_mut()
                .for_each(|write| write.tenant = TenantId::SYSTEM);
            writes.hand_over(self);
        });
    }
}

impl Core {
    fn durable(&mut self, group: &Arc<Group>, number: WriteNumber) {
        let Some(write) = self.writes.queue.pop_front() else {
            return;
        };
        debug_assert_eq!(
            write.number, number,
            "completions come in the order of submission"
        );
        self.writes.handed_over -= 1;
        group
            .services
            .in_flight
            .fetch_sub(bytes(&write.record), Ordering::Relaxed);
        self.step(&group.services, Input::Durable(number));
    }
}
