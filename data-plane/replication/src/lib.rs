//! One replica group's log as a pure machine: leader, followers, epoch, ISR, high watermark (log.md 12–20, 23, 24).
//!
//! In: what the shell knows ([`Input`]): appends, writes that became durable, messages of peers, assignments of the
//! controller, ticks. Out: what the shell has to do ([`Output`]): persist, truncate, send, commit, ask the
//! controller. There is no clock, lock, I/O or randomness here; the same inputs give the same outputs.
//!
//! ```text
//!              Append ──► Persist(write 7) ──► journal ──► Durable(write 7) ──► Committed(up to)
//!   leader        └─────► Send(Append) ──► follower: Persist ──► Durable ──► Send(Acknowledge) ─┘
//! ```
//!
//! Invariants: the high watermark never falls and covers only what every member of the committed and of any proposed
//! ISR has on disk; nothing at or below it is ever truncated; an epoch is led by one incarnation of one journal.
//!
//! Not here: applying entries (`partition`), storing them (`journal`), electing (`controller`), the composition of
//! those (`broker::replica`). Payloads are opaque; only headers are read.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod event;
mod history;
mod machine;
mod message;
mod settings;
mod tail;

pub use event::{
    AppendBody, AppendRefusal, Assignment, HaltReason, Input, Member, Output, ProposeIsr, ReadEntries,
    WriteNumber,
};
pub use history::{EntryId, EpochHistory, GapError, Recovered};
pub use machine::{Machine, Role};
pub use message::{Acknowledge, Append, Install, Message, Refuse};
pub use settings::{Planted, Settings};
