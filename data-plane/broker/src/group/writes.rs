//! The group's writes meet the journal: handed over under the lock, answered on the journal's thread.

use super::{Core, Group};
use crate::writes::{AGAIN_AFTER, Outcome, Receipt};
use millstream_journal::{Committed, Record, SubmitError};
use millstream_replication::{Input, WriteNumber};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Core {
    pub(super) fn write(&mut self, group: &Group, number: WriteNumber, record: Record) {
        let bytes = self.writes.push(number, record);
        group.services.in_flight.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Hands over what waits, in order.
    pub(super) fn hand_over(&mut self, group: &Arc<Group>) {
        while let Some((append, receipt)) = self.writes.next() {
            let owner = Arc::clone(group);
            let answered = move |answer| owner.written(receipt, answer);
            if let Err(refused) = group.services.writer.submit(append, answered) {
                self.written(group, receipt, Err(&refused));
            }
        }
    }

    fn written(&mut self, group: &Arc<Group>, receipt: Receipt, answer: Result<(), &SubmitError>) {
        let Outcome {
            durable,
            bytes,
            stalled,
            again,
            failed,
        } = self.writes.written(receipt, answer);
        group.services.in_flight.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(number) = durable {
            self.step(&group.services, Input::Durable(number));
        }
        if let (true, Err(error)) = (stalled, answer) {
            tracing::warn!(group = %group.id, %error, "the journal takes nothing; its records wait");
        }
        if again {
            let group = Arc::clone(group);
            group.services.runtime.clone().spawn(async move {
                tokio::time::sleep(AGAIN_AFTER).await;
                group.with(|core| {
                    core.writes.again();
                    core.hand_over(&group);
                });
            });
        }
        if failed {
            if let (Err(error), false) = (answer, group.services.is_stopping()) {
                tracing::error!(group = %group.id, %error, "the journal failed");
            }
            self.step(&group.services, Input::Damaged);
        }
    }
}

impl Group {
    /// The journal's answer for records that were handed over together; they come in the order of submission.
    fn written(self: &Arc<Group>, receipt: Receipt, answer: Result<Committed, SubmitError>) {
        if let Ok(committed) = &answer {
            self.services.count_commits(committed.commit);
        }
        self.with(|core| core.written(self, receipt, answer.as_ref().map(drop)));
    }
}
