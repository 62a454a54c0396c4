//! Consumer groups and their committed offsets: Kafka's classic group protocol without sockets, clocks or disks.
//!
//! In: commands of members ([`Command`]), the time ([`Now`]), and the group log's committed records.
//! Out: records to append to the internal topic, and answers ([`Output`]).
//!
//! ```text
//!  door ── Command, Token ──▶ Coordinator::handle ──▶ Output::Append{ticket, records} ──▶ __groups (replicated)
//!   ▲                              │                                                          │ committed
//!   └──── Output::Answer{token} ◀──┴──── committed(ticket) ◀── apply(record) on every replica ◀┘
//! ```
//!
//! Two halves. The [`Ledger`] is what survives: group metadata and offsets, changed by [`Ledger::apply`] alone, the
//! same on every replica; restore is replay. The [`Coordinator`] is the leader's machine over it: members' sessions,
//! rebalances in progress and parked answers, all of which a new leader starts afresh, as Kafka does.
//!
//! Invariants: an answer that depends on a record leaves after that record committed; no command of one tenant reads
//! or writes anything of another (the tenant is in every key); every wait has a deadline ([`Coordinator::next_deadline`]);
//! what clients can make grow is capped by `model::limits`. Not here: Kafka's wire types and error codes (the Kafka
//! door maps [`GroupError`]), topic names (offsets are kept by topic id), who may do what (`access`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod command;
mod coordinator;
mod error;
mod ledger;
mod record;
mod reply;
mod request;
mod stored;

pub use command::{
    Client, CommitOffsets, DeleteGroup, DeleteOffsets, GroupKey, Heartbeat, Join, Leave, Leaving, MemberRef,
    Now, OffsetToCommit, Protocol, Settings, Sync, Ticket, Token,
};
pub use coordinator::{Coordinator, Output};
pub use error::GroupError;
pub use ledger::{Applied, Ledger, StoredGroup};
pub use record::{Record, RecordError};
pub use reply::{
    DescribedGroup, DescribedMember, GroupState, Joined, JoinedMember, Left, ListedGroup, PerPartition,
    Synced,
};
pub use request::{Answer, Command, Reply, Request};
pub use stored::{CommittedOffset, GroupMetadata, StoredMember};
