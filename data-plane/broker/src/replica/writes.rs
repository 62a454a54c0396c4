//! A group's records on their way to the journal, in order, whatever the journal answers; without the journal.
//!
//! ```text
//!   push ─► queue ─► next ─► (journal) ─► written ─► durable up to
//!             ▲                              │
//!             └──── again, after a while ◄───┘ refused, and everything else has been answered
//! ```
//! A full journal refuses records that the replica has already ordered. They stay here, in order, and are handed over
//! again once nothing of the group is under way; meanwhile new ones queue behind them. What was ordered counts as the
//! service's own from then on: it must get into the space that is kept for it, or nothing could ever be released.

use millstream_journal::{Append, CommitError, Framed, Record, SubmitError};
use millstream_model::TenantId;
use millstream_model::entry::EntryKind;
use millstream_replication::WriteNumber;
use std::collections::VecDeque;
use std::time::Duration;

/// Records are handed over together up to so many bytes at most: few enough that tenants still take turns.
const TOGETHER_BYTES_MAX: usize = 1024 * 1024;

/// How long a full journal is left alone before the records are handed over again.
pub const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Bugs put in on purpose, for the simulator only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    /// What was refused goes behind what has come since.
    pub refused_goes_behind: bool,
    /// Records that were refused while others were under way are handed over again only if one of those is refused too.
    pub only_a_refusal_asks_again: bool,
}

/// A group's records that are not durable yet.
#[derive(Debug)]
pub(super) struct Writes {
    planted: Planted,
    /// Records are handed over together up to so many bytes.
    together_bytes_max: usize,
    /// In order; the first `handed_over` of them are with the journal.
    queue: VecDeque<Write>,
    handed_over: usize,
    /// Payload bytes in the queue.
    bytes: usize,
    flow: Flow,
}

/// Whether the journal is given anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Open,
    /// It refused some: nothing is handed over until it has answered for all.
    Stalled,
    /// It has: whoever runs this hands over again after a while.
    Resting,
    /// It failed for good.
    Failed,
}

#[derive(Debug)]
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

/// Records that were handed over together: goes back to [`Replica::written`](super::Replica::written) with the journal's
/// answer.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Receipt {
    count: usize,
    /// The number of the last one; the others' precede it without a gap.
    pub last: WriteNumber,
}

/// What follows from an answer of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// Everything up to here is on disk.
    pub durable: Option<WriteNumber>,
    /// The journal takes nothing for now; said once.
    pub stalled: bool,
    /// What was refused may be handed over again ([`Replica::write_again`](super::Replica::write_again)) after
    /// [`AGAIN_AFTER`].
    pub again: bool,
    /// The journal has failed for good; said once.
    pub failed: bool,
}

impl Writes {
    /// None yet, for a journal whose commits take so many bytes.
    pub(super) fn new(commit_bytes_max: usize, planted: Planted) -> Writes {
        Writes {
            planted,
            together_bytes_max: TOGETHER_BYTES_MAX.min(commit_bytes_max / 4),
            queue: VecDeque::new(),
            handed_over: 0,
            bytes: 0,
            flow: Flow::Open,
        }
    }

    /// Payload bytes that are not durable yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts a record behind the others. What a log appends was checked when it came in: here at the door, and a follower
    /// has to do the same with what its leader sends.
    pub(super) fn push(&mut self, number: WriteNumber, record: Record) {
        assert!(
            self.queue.back().is_none_or(|last| last.number < number),
            "bug: writes are pushed in the order of their numbers"
        );
        // What is not a client's batch makes room sooner or later: it may use the space kept for that.
        let tenant = match &record {
            Record::Entry(entry) if entry.header.kind == EntryKind::Append => entry.header.tenant,
            _ => TenantId::SYSTEM,
        };
        let write = Write {
            number,
            tenant,
            framed: Framed::checked(record),
        };
        self.bytes += write.bytes();
        self.queue.push_back(write);
    }

    /// What the journal is to be given next, of one tenant: as much as can be, for what a request wrote is one commit's
    /// anyway. Its answer belongs to [`Writes::written`].
    pub(super) fn next(&mut self) -> Option<(Append, Receipt)> {
        if self.flow != Flow::Open {
            return None;
        }
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
        let receipt = Receipt {
            count: records.len(),
            last: last?,
        };
        self.handed_over += receipt.count;
        Some((Append { tenant, records }, receipt))
    }

    /// The journal has answered for records that were handed over together. Answers come in the order of submission.
    pub(super) fn written(&mut self, receipt: Receipt, answer: Result<(), &SubmitError>) -> Outcome {
        assert!(
            receipt.count <= self.handed_over,
            "bug: the journal answers for more than it was given"
        );
        self.handed_over -= receipt.count;
        let mut outcome = Outcome::default();
        match answer {
            Ok(()) => {
                for write in self.queue.drain(..receipt.count) {
                    self.bytes -= write.bytes();
                    outcome.durable = Some(write.number);
                }
                assert_eq!(
                    outcome.durable,
                    Some(receipt.last),
                    "bug: the journal's answers are not in the order of submission"
                );
            }
            Err(error) if self.may_be_taken_later(error) => {
                if self.flow == Flow::Open {
                    self.flow = Flow::Stalled;
                    outcome.stalled = true;
                }
            }
            Err(_) => {
                outcome.failed = self.flow != Flow::Failed;
                self.flow = Flow::Failed;
            }
        }
        let asks = answer.is_err() || !self.planted.only_a_refusal_asks_again;
        if self.flow == Flow::Stalled && self.handed_over == 0 && asks {
            self.flow = Flow::Resting;
            outcome.again = true;
        }
        outcome
    }

    /// Whether records that were refused so may be taken later.
    fn may_be_taken_later(&self, error: &SubmitError) -> bool {
        match error {
            SubmitError::Commit(CommitError::Full) | SubmitError::Busy => true,
            // They came behind others that were refused.
            SubmitError::Commit(CommitError::OutOfOrder { .. }) => self.flow == Flow::Stalled,
            SubmitError::Closed | SubmitError::Commit(_) => false,
        }
    }

    /// The refused records may be handed over again.
    pub(super) fn again(&mut self) {
        if self.flow != Flow::Resting {
            return;
        }
        self.flow = Flow::Open;
        if self.planted.refused_goes_behind {
            self.queue.rotate_left(1);
        }
        self.queue
            .iter_mut()
            .for_each(|write| write.tenant = TenantId::SYSTEM);
    }
}

#[cfg(test)]
mod tests;
