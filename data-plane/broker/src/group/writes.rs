//! A group's records on their way to the journal, in order, whatever the journal answers.
//!
//! A full journal refuses records that the replica has already ordered. They stay here, in order, and are handed over
//! again once nothing of the group is under way; meanwhile new ones queue behind them. What was ordered counts as the
//! service's own from then on: it must get into the space that is kept for it, or nothing could ever be released.

use super::{Core, Group, Services};
use millstream_journal::{Append, CommitError, Committed, Framed, Record, SubmitError};
use millstream_model::TenantId;
use millstream_replication::{Input, WriteNumber};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Records are handed over together up to so many bytes at most: few enough that tenants still take turns.
const TOGETHER_BYTES_MAX: usize = 1024 * 1024;

/// How long a full journal is left alone before the records are handed over again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

thread_local! {
    /// While records are handed over, the journal may refuse it at once, on this thread, which holds the group's lock:
    /// the refusal is left here.
    static REFUSED: RefCell<Option<Option<SubmitError>>> = const { RefCell::new(None) };
}

/// A group's records that are not durable yet.
pub(crate) struct Writes {
    /// Records are handed over together up to so many bytes.
    together_bytes_max: usize,
    /// In order; the first `handed_over` of them are with the journal.
    queue: VecDeque<Write>,
    handed_over: usize,
    /// The journal refused some: nothing is handed over until it has answered for all.
    stalled: bool,
    /// The journal failed for good.
    failed: bool,
    /// The replica knows it.
    failure_told: bool,
}

struct Write {
    number: WriteNumber,
    tenant: TenantId,
    framed: Framed,
}

impl Write {
    /// Bytes that its payload takes.
    fn bytes(&self) -> usize {
        match self.framed.record() {
            Record::Entry(entry) => entry.payload.len(),
            _ => 0,
        }
    }
}

/// Records that were handed over together.
#[derive(Clone, Copy, Debug)]
struct Together {
    count: usize,
    last: WriteNumber,
}

impl Writes {
    /// None yet, for a journal whose commits take so many bytes.
    pub(super) fn new(commit_bytes_max: usize) -> Writes {
        Writes {
            together_bytes_max: TOGETHER_BYTES_MAX.min(commit_bytes_max / 4),
            queue: VecDeque::new(),
            handed_over: 0,
            stalled: false,
            failed: false,
            failure_told: false,
        }
    }

    /// Puts a record behind the others. What a log appends was checked when it came in: here at the door, and a
    /// follower has to do the same with what its leader sends.
    pub(super) fn push(
        &mut self,
        services: &Services,
        number: WriteNumber,
        tenant: TenantId,
        record: Record,
    ) {
        let write = Write {
            number,
            tenant,
            framed: Framed::checked(record),
        };
        services.in_flight.fetch_add(write.bytes(), Ordering::Relaxed);
        self.queue.push_back(write);
    }

    /// Whether the journal has failed since this was asked last.
    pub(super) fn take_failed(&mut self) -> bool {
        let told = std::mem::replace(&mut self.failure_told, self.failed);
        self.failed && !told
    }

    /// Hands over what waits, in order, as few times as can be: what a request wrote is one commit's anyway.
    pub(super) fn hand_over(&mut self, group: &Arc<Group>) {
        while !self.stalled
            && let Some((append, together)) = self.next()
        {
            self.handed_over += together.count;
            let owner = Arc::clone(group);
            REFUSED.set(Some(None));
            group.services.writer.submit(append, move |result| match result {
                Err(error) if REFUSED.with_borrow(Option::is_some) => REFUSED.set(Some(Some(error))),
                result => owner.written(together, result),
            });
            if let Some(Some(error)) = REFUSED.take() {
                self.refused(group, together, &error);
            }
        }
    }

    /// The next records of one tenant.
    fn next(&self) -> Option<(Append, Together)> {
        let waiting = self.queue.range(self.handed_over..);
        let tenant = waiting.clone().next()?.tenant;
        let mut bytes = 0;
        let fits = |write: &&Write| {
            let first = bytes == 0;
            bytes += write.framed.length();
            write.tenant == tenant && (first || bytes <= self.together_bytes_max)
        };
        let mut last = None;
        let taken = waiting
            .take_while(fits)
            .inspect(|write| last = Some(write.number));
        let records: Vec<Framed> = taken.map(|write| write.framed.clone()).collect();
        let together = Together {
            count: records.len(),
            last: last?,
        };
        Some((Append { tenant, records }, together))
    }

    /// Records were not written.
    fn refused(&mut self, group: &Arc<Group>, together: Together, error: &SubmitError) {
        self.handed_over -= together.count;
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
    /// The journal's answer for records that were handed over together; they come in the order of submission.
    fn written(self: &Arc<Group>, together: Together, result: Result<Committed, SubmitError>) {
        if let Ok(committed) = &result {
            self.services.count_commits(committed.commit);
        }
        self.with(|core| match result {
            Ok(_) => core.durable(self, together),
            Err(error) => core.writes.refused(self, together, &error),
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
    fn durable(&mut self, group: &Arc<Group>, together: Together) {
        let writes = &mut self.writes;
        let done = writes.queue.drain(..together.count.min(writes.queue.len()));
        let (mut bytes, mut last) = (0, None);
        for write in done {
            bytes += write.bytes();
            last = Some(write.number);
        }
        debug_assert_eq!(
            last,
            Some(together.last),
            "completions come in the order of submission"
        );
        writes.handed_over -= together.count;
        group.services.in_flight.fetch_sub(bytes, Ordering::Relaxed);
        self.step(&group.services, Input::Durable(together.last));
    }
}
