//! The group's writes meet the journal: handed over under the lock, answered on the journal's thread.

use super::{Core, Group};
use crate::replica::{AGAIN_AFTER, Outcome, Receipt};
use millstream_journal::{Committed, SubmitError};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Core {
    /// Hands over what waits, in order.
    pub(super) fn hand_over(&mut self, group: &Arc<Group>) {
        while let Some((append, receipt)) = self.replica.submit() {
            let owner = Arc::clone(group);
            let answered = move |answer| owner.written(receipt, answer);
            if let Err(refused) = group.services.writer.submit(append, answered) {
                self.written(group, receipt, Err(&refused));
            }
        }
        self.count_waiting(group);
    }

    /// What waits for the journal counts for all groups together.
    fn count_waiting(&mut self, group: &Group) {
        let in_flight = &group.services.in_flight;
        let (before, now) = (self.counted_bytes, self.replica.waiting_bytes());
        if now > before {
            in_flight.fetch_add(now - before, Ordering::Relaxed);
        } else {
            in_flight.fetch_sub(before - now, Ordering::Relaxed);
        }
        self.counted_bytes = now;
    }

    fn written(&mut self, group: &Arc<Group>, receipt: Receipt, answer: Result<(), &SubmitError>) {
        let now_ms = group.services.now_ms();
        let Outcome {
            durable: _,
            stalled,
            again,
            failed,
        } = self.replica.written(now_ms, receipt, answer, &mut self.out);
        self.count_waiting(group);
        if let (true, Err(error)) = (stalled, answer) {
            tracing::warn!(group = %group.id, %error, "the journal takes nothing; its records wait");
        }
        if let (true, Err(error), false) = (failed, answer, group.services.is_stopping()) {
            tracing::error!(group = %group.id, %error, "the journal failed");
        }
        if again {
            let group = Arc::clone(group);
            group.services.runtime.clone().spawn(async move {
                tokio::time::sleep(AGAIN_AFTER).await;
                group.with(|core| {
                    core.replica.write_again();
                    core.hand_over(&group);
                });
            });
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
