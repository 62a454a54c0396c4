//! What the slots of internal topics keep: consumer groups with their committed offsets, which is Kafka's classic group
//! protocol without sockets, clocks or disks.
//!
//! In: commands of members ([`Command`]), the time ([`Now`]), and a slot's committed records.
//! Out: records to append to the slot, and answers ([`Output`]).
//!
//! ```text
//!  door ── Command, Token ──▶ Coordinator::handle ──▶ Output::Append{ticket, records} ──▶ a slot of __groups (replicated)
//!   ▲                              │                                                          │ committed
//!   └──── Output::Answer{token} ◀──┴──── committed(ticket) ◀── apply(record) on every replica ◀┘
//! ```
//!
//! What a slot asks of what it keeps is [`Ledger`]; [`open`] has the table of all of them. A ledger is two halves: what
//! survives ([`StoredGroups`]: group metadata and offsets), changed by [`Ledger::apply`] alone, the same on every replica,
//! so that restoring is replaying; and the leader's machine over it ([`Coordinator`]: members' sessions, rebalances in
//! progress and parked answers), all of which a new leader starts afresh, as Kafka does.
//!
//! Invariants: an answer that depends on a record leaves after that record committed; no command of one tenant reads
//! or writes anything of another (the tenant is in every key); every wait has a deadline ([`Ledger::next_deadline`]);
//! what clients can make grow is capped by `model::limits`. Not here: Kafka's wire types and error codes (the Kafka
//! door maps [`GroupError`]), topic names (offsets are kept by topic id), who may do what (`access`), which slot a key
//! belongs to (`broker::interface::slot`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod command;
mod coordinator;
mod error;
mod fact;
mod groups;
mod ledger;
mod record;
mod reply;
mod request;
mod stored;

pub use command::{
    Client, CommitOffsets, DeleteGroup, DeleteOffsets, GroupKey, Heartbeat, Join, Leave, Leaving, MemberRef,
    OffsetToCommit, Protocol, Settings, Sync,
};
pub use coordinator::Coordinator;
pub use error::GroupError;
pub use groups::{StoredGroup, StoredGroups};
pub use ledger::{Ledger, LedgerKey, Now, Output, Ticket, Token};
pub use record::{Applied, Record, RecordError};
pub use reply::{
    DescribedGroup, DescribedMember, GroupState, Joined, JoinedMember, Left, ListedGroup, PerPartition,
    Synced,
};
pub use request::{Answer, Command, Reply, Request};
pub use stored::{CommittedOffset, GroupMetadata, StoredMember};

/// Where an empty ledger goes.
pub trait Host {
    /// What becomes of it.
    type Slot;

    /// Takes it.
    fn host<L: Ledger>(self, ledger: L) -> Self::Slot;
}

/// Gives the host the ledger of this kind of slot, empty: the table of all ledgers.
pub fn open<H: Host>(kind: millstream_model::SlotKind, settings: &Settings, host: H) -> H::Slot {
    match kind {
        Coordinator::KIND => host.host(Coordinator::new(settings.clone())),
    }
}
