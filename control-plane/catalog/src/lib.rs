//! What the service knows, as a ledger over SlateDB: decide, apply, persist, fence.
//!
//! In: commands with their actor, time and randomness ([`Seeds`]). Out: [`decide`]d changes, durable rows, images.
//! [`Catalog`] holds the writer of the one database; opening it fences whoever held it before, so there is no
//! consensus to run.
//!
//! Invariants (log.md 36): a decision exists when its rows are durable, and only then is it applied or answered; a
//! write that fails in any way ends this writer, for its outcome is unknown; a take-over first raises the term.
//! Not here: when to open or give up (`controller`), the rows themselves (`proto/metadata`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod authorise;
mod batch;
mod catalog;
mod copy;
mod decide;
mod draft;
mod identity;
mod place;
mod seeds;
mod store;

pub use batch::Batch;
pub use catalog::{Catalog, CatalogError, CatalogReader, Lost};
pub use copy::{CatalogCopy, CopyError};
pub use decide::{Decision, decide};
pub use identity::{Identity, IdentityError, Joining, establish, takes_writes};
pub use place::{JOURNAL_GROUPS, TENANT_GROUPS_USED_MAX, place, replicas_max, shard};
pub use seeds::Seeds;
pub use store::StoreSettings;
