//! The leader's machine over the ledger.

use crate::command::{Command, GroupKey, Now, Settings, Ticket, Token};
use crate::ledger::{Applied, CommittedOffset, Ledger};
use crate::record::Record;
use crate::reply::{DescribedGroup, ListedGroup, Reply};
use bytes::Bytes;
use millstream_model::{PartitionId, TenantId, TopicId};
use std::collections::BTreeSet;

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Append these records as one batch, in the order of outputs; then call [`Coordinator::committed`] (after the
    /// records were applied) or [`Coordinator::failed`].
    Append {
        /// Names the append.
        ticket: Ticket,
        /// Whose records they are.
        tenant: TenantId,
        /// The records, never none; together at most `limits::GROUP_APPEND_BYTES_MAX` bytes and a record.
        records: Vec<Record>,
    },
    /// Send this answer.
    Answer {
        /// To this request.
        token: Token,
        /// What to answer.
        reply: Reply,
    },
}

/// A replica of the internal topic: the ledger, and while it leads, the machine.
#[derive(Debug)]
pub struct Coordinator {
    settings: Settings,
    ledger: Ledger,
}

impl Coordinator {
    /// A follower that knows nothing yet.
    pub fn new(settings: Settings) -> Coordinator {
        Coordinator {
            settings,
            ledger: Ledger::new(),
        }
    }

    /// What survives.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Applies one committed record; every replica, in log order.
    pub fn apply(&mut self, key: &[u8], value: Option<&Bytes>) -> Applied {
        self.ledger.apply(key, value)
    }

    /// Leads from now on: call it once everything committed was applied. Stored members get fresh sessions.
    pub fn lead(&mut self, _now: Now) {}

    /// Leads no more: everyone who waits is told so.
    pub fn resign(&mut self, _out: &mut Vec<Output>) {}

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        let _ = &self.settings;
        false
    }

    /// Takes a command; its answer comes now or later, exactly once, as [`Output::Answer`] with the token.
    pub fn handle(
        &mut self,
        _now: Now,
        _token: Token,
        _key: &GroupKey,
        _command: Command,
        _out: &mut Vec<Output>,
    ) {
    }

    /// The append is committed and its records applied.
    pub fn committed(&mut self, _now: Now, _ticket: Ticket, _out: &mut Vec<Output>) {}

    /// The append will not be committed.
    pub fn failed(&mut self, _now: Now, _ticket: Ticket, _out: &mut Vec<Output>) {}

    /// When [`Coordinator::expire`] is due, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }

    /// Does what is due: sessions, rebalances, retention.
    pub fn expire(&mut self, _now: Now, _out: &mut Vec<Output>) {}

    /// Forgets all offsets of topics that are gone.
    pub fn forget_topics(&mut self, _topics: &BTreeSet<TopicId>, _out: &mut Vec<Output>) {}

    /// A group's committed offsets: of these partitions, or of all. Partitions without one are left out.
    pub fn fetch_offsets(
        &self,
        key: &GroupKey,
        partitions: Option<&[PartitionId]>,
    ) -> Vec<(PartitionId, CommittedOffset)> {
        let _ = (key, partitions);
        Vec::new()
    }

    /// A tenant's groups.
    pub fn list(&self, _tenant: TenantId) -> Vec<ListedGroup> {
        Vec::new()
    }

    /// One group; none when it does not exist.
    pub fn describe(&self, _key: &GroupKey) -> Option<DescribedGroup> {
        None
    }
}
