//! What a slot keeps, as its shell sees it: records in and out, commands and deadlines in, answers out.
//!
//! ```text
//!             every replica                     the leader alone
//!   log ── apply(record) ──▶ what survives ◀── lead, handle, expire, topics_deleted ◀── doors, clock, catalog
//!   snapshot ◀── records() ──┘                   │
//!                                                ├─▶ Output::Append{ticket, records} ─▶ log ─▶ committed(ticket)
//!                                                └─▶ Output::Answer{token, answer}   ─▶ who asked
//! ```
//! A ledger is pure: the time comes in, and nothing is drawn or waited for. Whatever takes time goes out as an [`Output`]
//! that names what it is for, and what became of it comes back as a call of its own, as an append does: so a ledger that
//! needs fresh producer ids will ask for a block by an output, go on with other commands, and get it by a call
//! (docs/decisions/047).

use crate::record::{Applied, Record};
use bytes::Bytes;
use millstream_model::{SlotKind, TenantId, TimestampMs, TopicId};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The time, in its two kinds: deadlines are judged on the monotonic one, records carry the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on any monotonic clock.
    pub ms: u64,
    /// The wall clock.
    pub time: TimestampMs,
}

/// Names one request that waits for its answer; chosen by the caller, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Names one append that waits to be committed; chosen by the ledger, never used twice while it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names one thing that a ledger keeps, and so its slot: a consumer group, say, or a partition as a group shares it.
pub trait LedgerKey {
    /// Whose it is.
    fn tenant(&self) -> TenantId;

    /// Its name within the tenant, for the hash that finds its slot: different keys have different bytes, for ever.
    fn name(&self) -> Cow<'_, [u8]>;
}

/// What a ledger wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<A> {
    /// Append these records to the slot as one batch, in the order of outputs; then call [`Ledger::committed`] (after
    /// the records were applied) or [`Ledger::failed`].
    Append {
        /// Names the append.
        ticket: Ticket,
        /// The records, never none; together they fit into a batch.
        records: Vec<Record>,
    },
    /// Send this answer.
    Answer {
        /// To this request.
        token: Token,
        /// What to answer: the reply of the command that was asked, or a refusal.
        answer: A,
    },
}

/// The ledger of one slot: what survives, and while its replica leads, the machine over it.
pub trait Ledger: Send + 'static {
    /// Whose slots it is for.
    const KIND: SlotKind;

    /// What a command is about.
    type Key: LedgerKey;

    /// What may be asked.
    type Command;

    /// What a command comes to: a reply, or a refusal.
    type Answer: Send;

    /// Applies one committed record; every replica, in log order. Infallible: a record that cannot be read changes nothing,
    /// on any replica.
    fn apply(&mut self, key: &[u8], value: Option<&Bytes>) -> Applied;

    /// The whole state as records: what a snapshot holds. Applied to an empty ledger they give this one; none when it is
    /// empty.
    fn records(&self) -> Box<dyn Iterator<Item = Record> + '_>;

    /// Leads from now on; called once everything committed was applied.
    fn lead(&mut self, now: Now);

    /// Leads no more: everyone who waits is told so. Tickets still out mean nothing any more.
    fn resign(&mut self, out: &mut Vec<Output<Self::Answer>>);

    /// Takes a command; its answer comes now or later, exactly once, as [`Output::Answer`] with the token.
    fn handle(
        &mut self,
        now: Now,
        token: Token,
        key: &Self::Key,
        command: Self::Command,
        out: &mut Vec<Output<Self::Answer>>,
    );

    /// The append is committed and its records applied.
    fn committed(&mut self, now: Now, ticket: Ticket, out: &mut Vec<Output<Self::Answer>>);

    /// The append will not be committed, or nobody here will learn whether it is.
    fn failed(&mut self, now: Now, ticket: Ticket, out: &mut Vec<Output<Self::Answer>>);

    /// When [`Ledger::expire`] is due, on the monotonic clock; never while it has nothing, for most slots have nothing.
    fn next_deadline(&self) -> Option<u64>;

    /// Does what is due.
    fn expire(&mut self, now: Now, out: &mut Vec<Output<Self::Answer>>);

    /// Forgets what it keeps about topics that are gone.
    fn topics_deleted(
        &mut self,
        topics: &BTreeSet<TopicId>,
        time: TimestampMs,
        out: &mut Vec<Output<Self::Answer>>,
    );
}
